"""Span batches: many L2 blocks at once, column by column.

batch   = 0x01 | prefix | payload
prefix  = time of the first block since genesis, varint | L1 origin number of the last block, varint
          | parent hash of the first block, 20 bytes of it | hash of the last L1 origin, 20 bytes
payload = count of blocks, varint | origin bits | transactions per block, varints | transactions
transactions = creation bits | parity bits | r, s of each, 64 bytes | recipients, 20 bytes each
          | data of each, see span_transaction.py | nonces, varints | gas limits, varints
          | protected bits of the legacy ones

Bits are a big-endian integer of as many bytes as it needs, bit 0 for the first; an origin bit says
that the block has another L1 origin than the one before it.

https://specs.optimism.io/protocol/delta/span-batches.html.  Where the reference implementation is
lenient, so are we, because the chain depends on it (op-node's derive/span_batch.go): varints may be
long, and what follows the batch is ignored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

from protocol.codec import require, require_uint
from rollup.codec.config import RollupConfig
from rollup.codec.span_transaction import SpanTransaction, counts_as_legacy
from rollup.codec.strict import span
from rollup.codec.varint import read_uvarint, read_uvarints, uvarint, uvarints

SPAN_BATCH: Final = 1  # first byte
ELEMENTS_MAX: Final = 10_000_000  # blocks; transactions; bytes of one transaction's data
CHECK_BYTES: Final = 20
U64_MASK: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class SpanBlock:
    """What a span batch says of one block; `timestamp` in seconds."""

    timestamp: int
    epoch_number: int
    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """A span batch as it is on the wire; `blocks` makes transactions of it."""

    relative_time: int  # seconds from the genesis of the L2 to the first block
    l1_origin_number: int  # of the last block
    parent_check: bytes
    l1_origin_check: bytes
    origin_bits: tuple[bool, ...]  # one a block
    transaction_counts: tuple[int, ...]  # one a block
    transactions: tuple[SpanTransaction, ...]

    def __post_init__(self) -> None:
        require_uint(self.relative_time, 64, "relative time")
        require_uint(self.l1_origin_number, 64, "L1 origin")
        require(len(self.parent_check) == CHECK_BYTES, "parent check")
        require(len(self.l1_origin_check) == CHECK_BYTES, "L1 origin check")
        require(0 < len(self.origin_bits) <= ELEMENTS_MAX, f"{len(self.origin_bits)} blocks")
        require(len(self.origin_bits) == len(self.transaction_counts), "counts of other blocks")
        require(sum(self.transaction_counts) == len(self.transactions), "other transactions")
        require(len(self.transactions) <= ELEMENTS_MAX, f"{len(self.transactions)} transactions")

    @property
    def block_count(self) -> int:
        return len(self.origin_bits)

    def matches_parent(self, block_hash: bytes) -> bool:
        """Whether the first block says that this is its parent."""
        return self.parent_check == block_hash[:CHECK_BYTES]

    def matches_l1_origin(self, block_hash: bytes) -> bool:
        """Whether the last block says that this is its L1 origin."""
        return self.l1_origin_check == block_hash[:CHECK_BYTES]

    def encode(self) -> bytes:
        each = self.transactions
        return b"".join(
            (
                bytes((SPAN_BATCH,)),
                uvarint(self.relative_time) + uvarint(self.l1_origin_number),
                self.parent_check + self.l1_origin_check,
                uvarint(self.block_count),
                _pack(self.origin_bits),
                uvarints(self.transaction_counts),
                _pack([not tx.to for tx in each]),
                _pack([bool(tx.y_parity) for tx in each]),
                *[tx.r.to_bytes(32, "big") + tx.s.to_bytes(32, "big") for tx in each],
                *[tx.to for tx in each],
                *[tx.data for tx in each],
                uvarints([tx.nonce for tx in each]),
                uvarints([tx.gas for tx in each]),
                _pack([tx.protected for tx in each if counts_as_legacy(tx.data)]),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The span batch that `data` starts with."""
        require(data[:1] == bytes((SPAN_BATCH,)), f"span batch of type {data[:1].hex()}")
        relative_time, at = read_uvarint(data, 1)
        l1_origin_number, at = read_uvarint(data, at)
        start = at + 2 * CHECK_BYTES
        require(start <= len(data), "span batch is cut")
        parent_check, l1_origin_check = data[at : at + CHECK_BYTES], data[at + CHECK_BYTES : start]
        block_count, at = read_uvarint(data, start)
        require(0 < block_count <= ELEMENTS_MAX, f"span batch of {block_count} blocks")
        require(len(data) - at >= block_count, f"{block_count} blocks in {len(data) - at} bytes")
        origin_bits, at = _unpack(data, at, block_count)
        counts, at = read_uvarints(data, at, block_count)
        transactions, _ = _read_transactions(data, at, sum(counts))
        return cls(
            relative_time,
            l1_origin_number,
            parent_check,
            l1_origin_check,
            tuple(origin_bits),
            tuple(counts),
            transactions,
        )

    def blocks(self, config: RollupConfig) -> tuple[SpanBlock, ...]:
        """The blocks of the span; `Malformed` if a transaction in it is none."""
        return tuple(self.expand(config.genesis.l2_time, config.block_time, config.l2_chain_id))

    def expand(self, genesis_time: int, block_time: int, chain_id: int) -> Iterator[SpanBlock]:
        """The blocks one by one.  Numbers and times wrap around 2**64, as in op-node."""
        origin = self.l1_origin_number - sum(self.origin_bits[1:])
        at = 0
        for i, count in enumerate(self.transaction_counts):
            origin += i > 0 and self.origin_bits[i]
            yield SpanBlock(
                (genesis_time + self.relative_time + i * block_time) & U64_MASK,
                origin & U64_MASK,
                tuple([tx.raw(chain_id) for tx in self.transactions[at : at + count]]),
            )
            at += count

    @classmethod
    def from_blocks(
        cls,
        blocks: Sequence[SpanBlock],
        *,
        parent_hash: bytes,
        parent_epoch_number: int,
        l1_origin_hash: bytes,
        genesis_time: int,
        chain_id: int,
    ) -> Self:
        """The batch of consecutive blocks, at least one; deposits are not among their transactions.

        `parent_hash` and `parent_epoch_number` are of the block before the first, `l1_origin_hash`
        of the last one's origin.  `Malformed` if a transaction has no place in a span batch.
        """
        epochs = [parent_epoch_number, *[block.epoch_number for block in blocks]]
        steps = [after - before for before, after in pairwise(epochs)]
        assert all(step in (0, 1) for step in steps), "an L2 block skips no L1 origin"
        return cls(
            blocks[0].timestamp - genesis_time,
            epochs[-1],
            parent_hash[:CHECK_BYTES],
            l1_origin_hash[:CHECK_BYTES],
            tuple([step == 1 for step in steps]),
            tuple([len(block.transactions) for block in blocks]),
            tuple([SpanTransaction.split(raw, chain_id) for b in blocks for raw in b.transactions]),
        )


def _read_transactions(data: bytes, at: int, count: int) -> tuple[tuple[SpanTransaction, ...], int]:
    require(count <= ELEMENTS_MAX, f"span batch of {count} transactions")
    # each has a signature, and at least a byte each of data, nonce and gas limit
    require(len(data) - at >= count * 67, f"{count} transactions in {len(data) - at} bytes")
    creations, at = _unpack(data, at, count)
    parities, at = _unpack(data, at, count)
    signatures, at = at, at + 64 * count
    recipients, at = at, at + 20 * (count - sum(creations))
    bodies = []
    for _ in range(count):
        body, at = _read_body(data, at)
        bodies.append(body)
    nonces, at = read_uvarints(data, at, count)
    gases, at = read_uvarints(data, at, count)
    legacy, at = _unpack(data, at, sum(map(counts_as_legacy, bodies)))
    protected = iter(legacy)
    out = []
    for i, body in enumerate(bodies):
        signature = data[signatures + 64 * i : signatures + 64 * i + 64]
        to = b"" if creations[i] else data[recipients : recipients + 20]
        recipients += len(to)
        out.append(
            SpanTransaction(
                to,
                int(parities[i]),
                int.from_bytes(signature[:32], "big"),
                int.from_bytes(signature[32:], "big"),
                nonces[i],
                gases[i],
                next(protected) if counts_as_legacy(body) else True,
                body,
            )
        )
    return tuple(out), at


def _read_body(data: bytes, at: int) -> tuple[bytes, int]:
    """A type, unless legacy, and an RLP list whose items nobody looks at yet."""
    require(at < len(data), "data of a transaction is missing")
    start = at + (data[at] < 0x80)
    is_list, _, end = span(data, start)
    require(is_list, "data of a transaction is not a list")
    require(end - start <= ELEMENTS_MAX, f"transaction of {end - start} bytes")
    return data[at:end], end


def _unpack(data: bytes, at: int, count: int) -> tuple[list[bool], int]:
    end = at + (count + 7) // 8
    require(end <= len(data), f"{count} bits are cut")
    value = int.from_bytes(data[at:end], "big")
    require(value.bit_length() <= count, f"more than {count} bits")
    # by digits: shifting so long an integer bit by bit would take quadratic time
    return [digit == "1" for digit in f"{value:0{count}b}"[::-1][:count]], end


def _pack(bits: Sequence[bool]) -> bytes:
    digits = "".join(["1" if bit else "0" for bit in reversed(bits)])
    return int(digits or "0", 2).to_bytes((len(bits) + 7) // 8, "big")
