"""Header, receipt and block as the chain stores them and as their hashes are formed."""

from dataclasses import dataclass
from typing import Any, Final

import rlp
from eth_hash.auto import keccak
from trie.hexary import HexaryTrie

from protocol.errors import Malformed

EMPTY_TRIE: Final = keccak(rlp.encode(b""))
EMPTY_UNCLES: Final = keccak(rlp.encode([]))
EMPTY_REQUESTS: Final = bytes.fromhex(
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)
BLOOM_BYTES: Final = 256


def minimal(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def number(data: bytes) -> int:
    return int.from_bytes(data, "big")


@dataclass(frozen=True, slots=True)
class Header:
    """A Prague header without its constants (no uncles, withdrawals, blobs, requests)."""

    parent_hash: bytes
    coinbase: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    bloom: bytes
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    mix_hash: bytes
    base_fee: int

    def encode(self) -> bytes:
        return bytes(
            rlp.encode(
                [
                    self.parent_hash,
                    EMPTY_UNCLES,
                    self.coinbase,
                    self.state_root,
                    self.transactions_root,
                    self.receipts_root,
                    self.bloom,
                    b"",
                    minimal(self.number),
                    minimal(self.gas_limit),
                    minimal(self.gas_used),
                    minimal(self.timestamp),
                    b"",
                    self.mix_hash,
                    bytes(8),
                    minimal(self.base_fee),
                    EMPTY_TRIE,
                    b"",
                    b"",
                    bytes(32),
                    EMPTY_REQUESTS,
                ]
            )
        )

    @staticmethod
    def decode(data: bytes) -> "Header":
        try:
            f = rlp.decode(data)
            return Header(
                parent_hash=f[0],
                coinbase=f[2],
                state_root=f[3],
                transactions_root=f[4],
                receipts_root=f[5],
                bloom=f[6],
                number=number(f[8]),
                gas_limit=number(f[9]),
                gas_used=number(f[10]),
                timestamp=number(f[11]),
                mix_hash=f[13],
                base_fee=number(f[15]),
            )
        except (rlp.RLPException, IndexError, TypeError) as error:
            raise Malformed(f"stored header does not decode: {error}") from error

    @property
    def hash(self) -> bytes:
        return keccak(self.encode())


@dataclass(frozen=True, slots=True)
class Log:
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """Outcome of one transaction: `status` 1 or 0, gas of itself and of the block up to it."""

    status: int
    gas_used: int
    gas_used_cumulative: int
    logs: tuple[Log, ...]
    created: bytes
    """Address of the created contract, or empty."""

    def encode(self, type_id: int) -> bytes:
        """The consensus encoding whose trie root stands in the header."""
        logs = [[log.address, log.topics, log.data] for log in self.logs]
        fields = [minimal(self.status), minimal(self.gas_used_cumulative), bloom(self.logs), logs]
        return (bytes([type_id]) if type_id else b"") + bytes(rlp.encode(fields))


@dataclass(frozen=True, slots=True)
class Block:
    """A header with its transactions (signed encodings), their senders and receipts, in order."""

    header: Header
    hash: bytes
    transactions: tuple[bytes, ...]
    senders: tuple[bytes, ...]
    receipts: tuple[Receipt, ...]
    size: int

    @property
    def number(self) -> int:
        return self.header.number


def encode_body(block: Block) -> bytes:
    receipts = [
        [
            minimal(r.status),
            minimal(r.gas_used),
            minimal(r.gas_used_cumulative),
            [[log.address, log.topics, log.data] for log in r.logs],
            r.created,
        ]
        for r in block.receipts
    ]
    return bytes(rlp.encode([block.transactions, block.senders, receipts]))


def decode_block(header: bytes, body: bytes) -> Block:
    """The inverse of `Header.encode` and `encode_body`. Raises `Malformed`."""
    try:
        transactions, senders, receipts = rlp.decode(body)
        return Block(
            Header.decode(header),
            keccak(header),
            tuple(transactions),
            tuple(senders),
            tuple(_receipt(r) for r in receipts),
            len(header) + sum(map(len, transactions)),
        )
    except (rlp.RLPException, ValueError, TypeError) as error:
        raise Malformed(f"stored block does not decode: {error}") from error


def _receipt(fields: Any) -> Receipt:
    status, used, cumulative, logs, created = fields
    entries = tuple(Log(address, tuple(topics), data) for address, topics, data in logs)
    return Receipt(number(status), number(used), number(cumulative), entries, created)


def bloom(logs: tuple[Log, ...]) -> bytes:
    """The 2048-bit filter over addresses and topics (Yellow Paper, 4.3.1)."""
    bits = 0
    for log in logs:
        for entry in (log.address, *log.topics):
            bits |= bloom_bits(entry)
    return bits.to_bytes(BLOOM_BYTES, "big")


def bloom_bits(entry: bytes) -> int:
    digest = keccak(entry)
    return sum_or(1 << (number(digest[i : i + 2]) & 2047) for i in (0, 2, 4))


def sum_or(values: Any) -> int:
    total = 0
    for value in values:
        total |= value
    return total


def trie_root(items: list[bytes]) -> bytes:
    """Root of the trie that maps RLP(index) to each item."""
    if not items:
        return EMPTY_TRIE
    trie = HexaryTrie({})
    for index, item in enumerate(items):
        trie[rlp.encode(minimal(index))] = item
    return bytes(trie.root_hash)
