"""Receipt and block as the chain stores them and as their hashes are formed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from rollup.codec import strict
from rollup.codec.header import Header
from rollup.codec.strict import Item, as_bytes, as_list, as_uint

__all__ = ["EMPTY_REQUESTS", "EMPTY_TRIE", "EMPTY_UNCLES", "Block", "Header", "Log", "Receipt"]

EMPTY_TRIE: Final = keccak(b"\x80")
EMPTY_UNCLES: Final = keccak(b"\xc0")
EMPTY_REQUESTS: Final = bytes.fromhex(
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)
BLOOM_BYTES: Final = 256
DEPOSIT: Final = 0x7E


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
    deposit_nonce: int | None = None
    """The sender's nonce before a deposit; None for any other transaction."""
    l1_fee: int = 0
    """What the transaction paid for its data, in wei; without the operator fee."""

    @property
    def deposit_receipt_version(self) -> int | None:
        """1 since Canyon."""
        return None if self.deposit_nonce is None else 1

    def encode(self, type_id: int, bloom_of_logs: bytes | None = None) -> bytes:
        """The consensus encoding whose trie root stands in the header."""
        filter_bytes = bloom(self.logs) if bloom_of_logs is None else bloom_of_logs
        logs: list[strict.Encodable] = [_fields(log) for log in self.logs]
        fields: list[strict.Encodable] = [
            self.status,
            self.gas_used_cumulative,
            filter_bytes,
            logs,
        ]
        if self.deposit_nonce is not None:
            fields += [self.deposit_nonce, 1]
        return (bytes([type_id]) if type_id else b"") + strict.encode(fields)


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
    receipts: list[strict.Encodable] = [
        [
            r.status,
            r.gas_used,
            r.gas_used_cumulative,
            [_fields(log) for log in r.logs],
            r.created,
            [] if r.deposit_nonce is None else [r.deposit_nonce],
            r.l1_fee,
        ]
        for r in block.receipts
    ]
    return strict.encode([block.transactions, block.senders, receipts])


def decode_block(header: bytes, body: bytes) -> Block:
    """The inverse of `Header.encode` and `encode_body`. Raises `Malformed`."""
    transactions, senders, receipts = as_list(strict.decode(body), 3, "stored block")
    raws = tuple(as_bytes(raw) for raw in as_list(transactions))
    return Block(
        Header.decode(header),
        keccak(header),
        raws,
        tuple(as_bytes(sender, 20) for sender in as_list(senders, len(raws))),
        tuple(_receipt(receipt) for receipt in as_list(receipts, len(raws))),
        len(header) + sum(map(len, raws)),
    )


def _fields(log: Log) -> list[strict.Encodable]:
    return [log.address, log.topics, log.data]


def _receipt(item: Item) -> Receipt:
    status, used, cumulative, logs, created, nonce, l1_fee = as_list(item, 7, "stored receipt")
    nonces = as_list(nonce)
    return Receipt(
        as_uint(status),
        as_uint(used),
        as_uint(cumulative),
        tuple(_log(log) for log in as_list(logs)),
        as_bytes(created),
        as_uint(nonces[0]) if nonces else None,
        as_uint(l1_fee, 256),
    )


def _log(item: Item) -> Log:
    address, topics, data = as_list(item, 3, "stored log")
    return Log(as_bytes(address), tuple(as_bytes(t) for t in as_list(topics)), as_bytes(data))


def bloom(logs: Iterable[Log]) -> bytes:
    """The 2048-bit filter over addresses and topics (Yellow Paper, 4.3.1)."""
    bits = 0
    for log in logs:
        for entry in (log.address, *log.topics):
            bits |= bloom_bits(entry)
    return bits.to_bytes(BLOOM_BYTES, "big")


def bloom_bits(entry: bytes) -> int:
    digest = keccak(entry)
    return (
        1 << (int.from_bytes(digest[0:2], "big") & 2047)
        | 1 << (int.from_bytes(digest[2:4], "big") & 2047)
        | 1 << (int.from_bytes(digest[4:6], "big") & 2047)
    )


def merge(blooms: Iterable[bytes]) -> bytes:
    """The filter of all logs whose filters are given."""
    bits = 0
    for each in blooms:
        bits |= int.from_bytes(each, "big")
    return bits.to_bytes(BLOOM_BYTES, "big")
