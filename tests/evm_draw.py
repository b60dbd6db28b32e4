"""Random programs and transactions for the EVM, drawn so that most of them do something."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import coincurve
import rlp
from eth_hash.auto import keccak

from protocol.signature import address_of

EDGES = (0, 1, 2, 31, 32, 33, 255, 256, 2**64 - 1, 2**128, 2**255 - 1, 2**255, 2**256 - 1)
# opcode: how many words it takes; each leaves one
PURE = {
    **dict.fromkeys((0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0A, 0x0B), 2),
    **dict.fromkeys((0x10, 0x11, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1A, 0x1B, 0x1C, 0x1D), 2),
    **dict.fromkeys((0x15, 0x19, 0x35, 0x40, 0x49), 1),
    **dict.fromkeys((0x08, 0x09), 3),
}
AROUND = (
    *(0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46),
    *(0x47, 0x48, 0x4A, 0x58, 0x59, 0x5A),
)
POP, SSTORE, JUMPI, JUMPDEST = b"\x50", b"\x55", b"\x57", b"\x5b"
PRECOMPILES = tuple(range(1, 0x12))
G1 = (1).to_bytes(32, "big") + (2).to_bytes(32, "big")


def push(value: int) -> bytes:
    size = (value.bit_length() + 7) // 8
    return bytes([0x5F + size]) + value.to_bytes(size, "big")


@dataclass
class Programs:
    """Draws code that calls, creates, reads and writes; `targets` are addresses worth a call."""

    random: Random
    targets: list[bytes]

    def word(self) -> int:
        draw = self.random.random()
        if draw < 0.4:
            return self.random.choice(EDGES)
        if draw < 0.7:
            return self.random.randrange(300)
        if draw < 0.85:
            return int.from_bytes(self.random.choice(self.targets), "big")
        return self.random.getrandbits(256)

    def program(self, snippets: int) -> bytes:
        body = b"".join(self.snippet() for _ in range(self.random.randint(1, snippets)))
        return body + self._end()

    def initcode(self, snippets: int) -> bytes:
        """Runs something, then returns a drawn program as the code; now and then it does not."""
        if self.random.random() < 0.15:
            return self.program(snippets)
        before = self.snippet() if self.random.random() < 0.5 else b""
        code = self.program(snippets)
        if self.random.random() < 0.1:
            code = b"\xef" + code  # EIP-3541
        size = push(len(code))
        at = len(before) + 2 * len(size) + 7
        copy = size + b"\x61" + at.to_bytes(2, "big") + b"\x5f\x39"  # CODECOPY(0, at, size)
        return before + copy + size + b"\x5f\xf3" + code

    def snippet(self) -> bytes:
        """Leaves the stack as it was."""
        kinds = (
            (self._pure, 5),
            (self._around, 2),
            (self._account, 2),
            (self._memory, 3),
            (self._storage, 4),
            (self._log, 1),
            (self._call, 4),
            (self._create, 1),
            (self._branch, 1),
            (self._shuffle, 1),
            (self._noise, 0.15),
        )
        drawn = self.random.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
        return drawn[0]()

    def _keep(self) -> bytes:
        """Do away with one word: forget it, or store it, so that it counts."""
        if self.random.random() < 0.5:
            return POP
        return push(self.random.randrange(8)) + SSTORE

    def _words(self, count: int) -> bytes:
        return b"".join(push(self.word()) for _ in range(count))

    def _pure(self) -> bytes:
        op, takes = self.random.choice(list(PURE.items()))
        return self._words(takes) + bytes([op]) + self._keep()

    def _around(self) -> bytes:
        return bytes([self.random.choice(AROUND)]) + self._keep()

    def _account(self) -> bytes:
        address = push(int.from_bytes(self.random.choice(self.targets), "big"))
        if self.random.random() < 0.2:  # EXTCODECOPY
            return self._range() + push(self.random.randrange(40)) + address + b"\x3c"
        return address + bytes([self.random.choice((0x31, 0x3B, 0x3F))]) + self._keep()

    def _range(self) -> bytes:
        """Pushes a size and an offset in memory, not so far that it costs everything."""
        far = self.random.random() < 0.03
        at = 2**40 if far else self.random.randrange(300)
        return push(self.random.randrange(100)) + push(at)

    def _memory(self) -> bytes:
        at = push(self.random.randrange(300))
        match self.random.randrange(6):
            case 0:
                return push(self.word()) + at + bytes([self.random.choice((0x52, 0x53))])
            case 1:
                return at + b"\x51" + self._keep()
            case 2:  # MCOPY, CALLDATACOPY, CODECOPY: size, source, target
                size = push(self.random.randrange(100))
                op = self.random.choice((0x5E, 0x37, 0x39))
                return size + push(self.random.randrange(300)) + at + bytes([op])
            case 3:  # RETURNDATACOPY of what is there, or one byte too much
                more = b"\x60\x01\x01" if self.random.random() < 0.1 else b""
                return b"\x3d" + more + b"\x5f" + at + b"\x3e"
            case 4:
                return self._range() + b"\x20" + self._keep()
            case _:
                return push(self.word()) + b"\x35" + self._keep()

    def _storage(self) -> bytes:
        slot = push(self.random.randrange(8))
        match self.random.randrange(5):
            case 0:
                return slot + b"\x54" + self._keep()
            case 1:
                return push(self.word()) + slot + b"\x5d"
            case 2:
                return slot + b"\x5c" + self._keep()
            case _:
                value = 0 if self.random.random() < 0.4 else self.word()
                return push(value) + slot + SSTORE

    def _log(self) -> bytes:
        topics = self.random.randrange(5)
        return self._words(topics) + self._range() + bytes([0xA0 + topics])

    def _call(self) -> bytes:
        """CALL, CALLCODE, DELEGATECALL or STATICCALL, then what it returned and said."""
        op = self.random.choice((0xF1, 0xF1, 0xF2, 0xF4, 0xFA))
        value = b""
        if op in (0xF1, 0xF2):
            value = push(self.random.choice((0, 0, 0, 1, 10**15, 10**30)))
        gas = b"\x5a" if self.random.random() < 0.7 else push(self.random.randrange(60_000))
        code = self._range() + self._range() + value
        code += push(int.from_bytes(self.random.choice(self.targets), "big")) + gas + bytes([op])
        return code + self._keep()

    def _create(self) -> bytes:
        """CREATE or CREATE2 of up to 32 bytes of initcode, and a call of what came out."""
        code = self.random.choice(
            (
                bytes.fromhex("602a5f5260205ff3"),  # 31 zeros and 42: STOP
                bytes.fromhex("69602a5f5260206000f3005f52600a6016f3"),
                bytes.fromhex("60015f555f5ffd"),  # writes, then reverts
                bytes.fromhex("60ef5f5360015ff3"),  # code that begins with EF
                bytes.fromhex("33ff"),  # destroys itself
                bytes.fromhex("600160015560016000f3"),
                b"",
            )
        )
        value = push(self.random.choice((0, 0, 1, 10**30)))
        stored = push(int.from_bytes(code.ljust(32, b"\0"), "big")) + b"\x5f\x52"
        if self.random.random() < 0.5:
            made = push(self.random.randrange(3)) + push(len(code)) + b"\x5f" + value + b"\xf5"
        else:
            made = push(len(code)) + b"\x5f" + value + b"\xf0"
        if self.random.random() < 0.5:
            return stored + made + self._keep()
        call = b"\x5f\x5f\x5f\x5f\x5f\x85\x5a\xf1\x50"
        return stored + made + call + self._keep()

    def _branch(self) -> bytes:
        """Skips a snippet or not; the target is counted from PC, so it may stand anywhere."""
        inner = self.snippet()
        if len(inner) > 200:
            return inner
        jump = b"\x58\x60" + bytes([5 + len(inner)]) + b"\x01" + JUMPI
        return push(self.random.choice((0, 1))) + jump + inner + JUMPDEST

    def _shuffle(self) -> bytes:
        count = self.random.randint(2, 6)
        moves = bytes(
            self.random.choice((0x80, 0x90)) + self.random.randrange(count - 1) for _ in range(3)
        )
        extra = sum(1 for move in moves if move < 0x90)
        return self._words(count) + moves + POP * (count + extra - 1) + self._keep()

    def _noise(self) -> bytes:
        return self.random.randbytes(self.random.randint(1, 4))

    def _end(self) -> bytes:
        match self.random.randrange(8):
            case 0:
                return self._range() + b"\xfd"
            case 1:
                return push(int.from_bytes(self.random.choice(self.targets), "big")) + b"\xff"
            case 2:
                return b"\xfe"
            case 3:
                return b"\x00"
            case _:
                return self._range() + b"\xf3"


def precompile_input(random: Random, number: int) -> bytes:
    """Input that a precompile takes, mostly; otherwise noise."""
    if random.random() < 0.3:
        return random.randbytes(random.choice((0, 1, 32, 64, 96, 128, 192, 213, 256)))
    match number:
        case 1:
            digest = random.randbytes(32)
            signature = coincurve.PrivateKey(b"\x11" * 32).sign_recoverable(digest, hasher=None)
            v = random.choice((signature[64] + 27, 26, 29))
            return digest + v.to_bytes(32, "big") + signature[:64]
        case 5:
            sizes = [random.choice((0, 1, 5, 32)) for _ in range(3)]
            head = b"".join(size.to_bytes(32, "big") for size in sizes)
            return head + random.randbytes(sum(sizes))
        case 6:
            return random.choice((G1 + G1, G1 + bytes(64), G1, bytes(128), G1 + b"\x01" * 64))
        case 7:
            return random.choice((G1, bytes(64))) + random.randbytes(random.choice((0, 1, 32)))
        case 8:
            return random.choice((b"", bytes(192), G1 + bytes(128), bytes(191)))
        case 9:
            final = random.choice((b"\x00", b"\x01", b"\x02"))
            return random.randrange(20).to_bytes(4, "big") + random.randbytes(208) + final
        case _:
            return random.choice((bytes(128), bytes(160), bytes(256), bytes(288), bytes(384)))


@dataclass
class Transactions:
    """Draws signed transactions of all types, a few of them invalid."""

    programs: Programs
    secrets: Sequence[bytes]
    chain_id: int
    delegates: Sequence[bytes]  # contracts that an account may become

    def draw(self, nonces: dict[bytes, int], base_fee: int) -> bytes:
        """`nonces` are the next ones, and are counted up."""
        random, targets = self.programs.random, self.programs.targets
        secret = random.choice(self.secrets)
        sender, kind = address_of(secret), random.choice((0, 1, 2, 2, 2, 4))
        to = b"" if kind != 4 and random.random() < 0.2 else random.choice(targets)
        wrong = random.random()
        nonce = nonces[sender] + (0.01 < wrong < 0.03) - (0.03 < wrong < 0.04)
        fields: dict[str, Any] = {
            # EELS 2.20.0 takes typed transactions of any chain; geth and we do not.
            "chain_id": self.chain_id + (wrong < 0.01 and kind == 0),
            "nonce": max(0, nonce),
            "tip": random.choice((0, 1, 10**9)),
            "fee": 0 if 0.04 < wrong < 0.06 else 2 * base_fee + random.randrange(3 * 10**9),
            "gas": self._gas(),
            "to": to,
            "value": 10**30 if 0.06 < wrong < 0.08 else random.choice((0, 0, 1, 10**15)),
            "data": self._data(to),
        }
        if kind:
            fields["access"] = [
                (random.choice(targets), [random.randrange(8).to_bytes(32, "big")] * count)
                for count in random.choices((0, 1, 2), k=random.randrange(3))
            ]
        if kind == 4:
            count = random.randrange(3)
            fields["authorizations"] = [self._authorization(nonces) for _ in range(count)]
        nonces[sender] += wrong > 0.08
        return signed(secret, kind, **fields)

    def _data(self, to: bytes) -> bytes:
        random, number = self.programs.random, int.from_bytes(to, "big")
        if not to:
            return self.programs.initcode(12)
        if number in PRECOMPILES:
            return precompile_input(random, number)
        return random.randbytes(random.choice((0, 0, 4, 36, 100, 900)))

    def _gas(self) -> int:
        """Enough, or about as much as the transaction costs before it runs."""
        random = self.programs.random
        if random.random() < 0.3:
            return 21_000 + random.choice((0, random.randrange(9_000), random.randrange(90_000)))
        return random.choice((60_000, 100_000, 300_000, 1_000_000, 3_000_000))

    def _authorization(self, nonces: dict[bytes, int]) -> list[object]:
        random = self.programs.random
        secret = random.choice(self.secrets)
        nonce = nonces[address_of(secret)] + random.choice((0, 0, 0, 1))
        chain_id = random.choice((0, self.chain_id, self.chain_id, 7))
        others = [bytes(20), *map(address_of, self.secrets)]
        to = random.choice([*self.delegates, *self.delegates, *others])
        return authorization(secret, chain_id, to, nonce)


def signed(
    secret: bytes,
    kind: int,
    *,
    chain_id: int,
    nonce: int,
    tip: int,
    fee: int,
    gas: int,
    to: bytes,
    value: int,
    data: bytes,
    access: Sequence[tuple[bytes, Sequence[bytes]]] = (),
    authorizations: Sequence[Sequence[object]] = (),
) -> bytes:
    """The transaction of type 0, 1, 2 or 4, whatever its fields say."""
    key = coincurve.PrivateKey(secret)
    if kind == 0:
        fields: list[object] = [nonce, fee, gas, to, value, data]
        digest = keccak(rlp.encode([*fields, chain_id, b"", b""]))
        signature = key.sign_recoverable(digest, hasher=None)
        v = chain_id * 2 + 35 + signature[64]
        return bytes(rlp.encode([*fields, v, _int(signature[:32]), _int(signature[32:64])]))
    fees = [fee] if kind == 1 else [tip, fee]
    fields = [chain_id, nonce, *fees, gas, to, value, data, list(access)]
    if kind == 4:
        fields.append(list(authorizations))
    head = bytes([kind])
    signature = key.sign_recoverable(keccak(head + rlp.encode(fields)), hasher=None)
    tail = [signature[64], _int(signature[:32]), _int(signature[32:64])]
    return head + bytes(rlp.encode([*fields, *tail]))


def authorization(secret: bytes, chain_id: int, address: bytes, nonce: int) -> list[object]:
    """EIP-7702: the account of `secret` runs the code of `address` from now on."""
    digest = keccak(b"\x05" + rlp.encode([chain_id, address, nonce]))
    signature = coincurve.PrivateKey(secret).sign_recoverable(digest, hasher=None)
    sealed = [signature[64], _int(signature[:32]), _int(signature[32:64])]
    return [chain_id, address, nonce, *sealed]


def _int(data: bytes) -> int:
    return int.from_bytes(data, "big")
