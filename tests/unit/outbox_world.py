"""A chain, a disk and a clock for the outbox, with every way to fail that a test may want."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio
from coincurve import PrivateKey
from eth_hash.auto import keccak

from contracts.outbox import Outbox
from contracts.rpc import Rejected, Reverted
from protocol.errors import Temporary
from rollup.engine import transaction
from rollup.engine.transaction import Transaction

CHAIN_ID = 4242
decode = functools.cache(transaction.decode)
CONFIRMATIONS = 2
TO = b"\x11" * 20


class LocalSigner:
    def __init__(self, secret: bytes = b"\x01" * 32) -> None:
        self._key = PrivateKey(secret)
        self.address = keccak(self._key.public_key.format(compressed=False)[1:])[12:]

    def sign(self, digest: bytes) -> bytes:
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])


class Crash(Exception):
    """The process dies here."""


@dataclass
class MemoryStore:
    """What the disk holds; dies before or after the write that `dies_at` counts down to."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    dies_at: int | None = None
    after: bool = False

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter([(k, v) for k, v in self.values.items() if k.startswith(prefix)])

    def open(self) -> int:
        """How many intents have not ended, by the disk."""
        return sum(b"/open/" in key for key in self.values)

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        assert sync, "money must be on disk"
        dying = self.dies_at == 0
        if self.dies_at is not None:
            self.dies_at -= 1
        if dying and not self.after:
            raise Crash
        for key, value in puts.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        if dying:
            raise Crash


@dataclass
class World:
    """A chain of one interesting account, behind the JSON-RPC methods that the outbox uses.

    Data b"pay..." always works, b"bad" always reverts, b"late" only on chain, b"after:X" works once
    X was paid.
    """

    address: bytes
    blocks: list[list[bytes]] = field(default_factory=lambda: [[]])
    pool: dict[int, bytes] = field(default_factory=dict)
    fork: int = 0
    rich: bool = True
    base_fee: int = 100
    fails_at: int | None = None
    fails_after: bool = False
    sent: list[bytes] = field(default_factory=list)
    blind: int = 0
    """For so many questions the node forgets receipts, as one behind a balancer may."""

    def transactions(self, last: int | None = None) -> list[Transaction]:
        chosen = self.blocks if last is None else self.blocks[: last + 1]
        raws = [raw for block in chosen for raw in block if raw != b"stranger"]
        return [decode(raw, CHAIN_ID) for raw in raws]

    def count(self, last: int | None = None) -> int:
        return sum(map(len, self.blocks if last is None else self.blocks[: last + 1]))

    def paid(self) -> list[bytes]:
        return [tx.data for tx in self.transactions() if self.works(tx.data)]

    def works(self, data: bytes, simulated: bool = False) -> bool:
        if data.startswith(b"after:"):
            return data[6:] in [tx.data for tx in self.transactions()]
        return data != b"bad" and (simulated or data != b"late")

    def mine(self) -> None:
        block = []
        while (raw := self.pool.pop(self.count() + len(block), None)) is not None:
            if decode(raw, CHAIN_ID).max_fee_per_gas < self.base_fee:
                self.pool[self.count() + len(block)] = raw
                break
            block.append(raw)
        self.blocks.append(block)

    def reorg(self, depth: int, back_to_pool: bool) -> None:
        gone = self.blocks[-depth:]
        del self.blocks[-depth:]
        self.fork += 1
        nonce = self.count()
        for raw in [raw for block in gone for raw in block]:
            if back_to_pool and raw != b"stranger":
                self.pool.setdefault(nonce, raw)
            nonce += 1
        for _ in gone:
            self.blocks.append([])

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [await self.call(method, *params) for method, params in calls]

    async def call(self, method: str, *params: Any) -> Any:
        failing = self.fails_at == 0
        if self.fails_at is not None:
            self.fails_at -= 1
        if failing and not self.fails_after:
            raise Temporary("lost on the way there")
        result = getattr(self, method)(*params)
        if failing:
            raise Temporary("lost on the way back")
        return result

    def eth_chainId(self) -> str:  # noqa: N802
        return hex(CHAIN_ID)

    def eth_blockNumber(self) -> str:  # noqa: N802
        return hex(len(self.blocks) - 1)

    def eth_getBlockByNumber(self, tag: str, full: bool) -> Any:  # noqa: N802
        number = len(self.blocks) - 1 if tag == "latest" else int(tag, 16)
        fork = self.fork if number else 0
        block_hash = keccak(b"%d %d" % (number, fork)).hex()
        fee, limit = hex(self.base_fee), hex(10**7)
        return {"hash": "0x" + block_hash, "baseFeePerGas": fee, "gasLimit": limit}

    def eth_maxPriorityFeePerGas(self) -> str:  # noqa: N802
        return hex(10)

    def eth_getBalance(self, address: str, tag: str) -> str:  # noqa: N802
        return hex(10**18 if self.rich else 1)

    def eth_getTransactionCount(self, address: str, tag: str) -> str:  # noqa: N802
        assert bytes.fromhex(address[2:]) == self.address
        return hex(self.count(None if tag == "latest" else int(tag, 16)))

    def eth_call(self, call: dict[str, str], tag: str) -> str:
        if not self.rich and int(call["value"], 16):
            raise Rejected(-32000, "insufficient funds for transfer")
        if not self.works(bytes.fromhex(call["data"][2:]), simulated=True):
            raise Reverted("reverted: it is bad", b"")
        return "0x"

    def eth_estimateGas(self, call: dict[str, str]) -> str:  # noqa: N802
        return hex(50_000)

    def eth_sendRawTransaction(self, encoded: str) -> str:  # noqa: N802
        raw = bytes.fromhex(encoded[2:])
        self.sent.append(raw)
        tx = decode(raw, CHAIN_ID)
        old = self.pool.get(tx.nonce)
        if tx.nonce < self.count():
            raise Rejected(-32000, f"nonce too low: next nonce {self.count()}, tx {tx.nonce}")
        if not self.rich:
            raise Rejected(-32000, "insufficient funds for gas * price + value")
        if old == raw:
            raise Rejected(-32000, "already known")
        if old and not _outbids(tx, decode(old, CHAIN_ID)):
            raise Rejected(-32000, "replacement transaction underpriced")
        self.pool[tx.nonce] = raw
        return "0x" + tx.hash.hex()

    def eth_getTransactionByHash(self, value: str) -> Any:  # noqa: N802
        if self.blind:
            return None
        waiting = any(keccak(raw).hex() == value[2:] for raw in self.pool.values())
        return {} if waiting or self.eth_getTransactionReceipt(value) else None

    def eth_getTransactionReceipt(self, value: str) -> Any:  # noqa: N802
        if self.blind:
            self.blind -= 1
            return None
        for number, block in enumerate(self.blocks):
            for raw in block:
                if keccak(raw).hex() == value[2:]:
                    works = self.works(decode(raw, CHAIN_ID).data)
                    return {
                        "transactionHash": value,
                        "blockNumber": hex(number),
                        "status": hex(int(works)),
                        "gasUsed": hex(40_000),
                        "contractAddress": None,
                    }
        return None


def _outbids(new: Transaction, old: Transaction) -> bool:
    return (
        new.max_fee_per_gas * 10 >= old.max_fee_per_gas * 11
        and new.max_priority_fee_per_gas * 10 >= old.max_priority_fee_per_gas * 11
    )


@dataclass
class Time:
    seconds: float = 1_700_000_000.0

    def now(self) -> float:
        return self.seconds


class Bench:
    """One account, its disk and its chain; `restart` is what a new process finds."""

    def __init__(self) -> None:
        self.signer = LocalSigner()
        self.store = MemoryStore()
        self.world = World(self.signer.address)
        self.time = Time()
        self.restart()

    def restart(self) -> None:
        self.store.dies_at = None
        self.outbox = Outbox(
            self.store,
            self.world,
            self.signer,
            CHAIN_ID,
            clock=self.time,
            confirmations=CONFIRMATIONS,
        )

    def intend(self, data: bytes, key: str | None = None) -> None:
        self.outbox.intend(key or data.decode(), TO, data)

    def step(self) -> None:
        trio.run(self.outbox.step)

    def rounds(self, n: int) -> None:
        for _ in range(n):
            self.step()
            self.world.mine()
            self.time.seconds += 2
