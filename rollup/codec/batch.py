"""Batches: what a channel carries, each the input of one L2 block or of a span of them.

batch = 0x00 | rlp([parent hash, epoch number, epoch hash, timestamp, [transaction]])
      | 0x01 | span batch, see span.py

https://specs.optimism.io/protocol/derivation.html#batch-format
"""

from dataclasses import dataclass
from typing import Final, Self

from protocol.codec import require, require_uint
from protocol.errors import Malformed
from rollup.codec.span import SpanBatch
from rollup.codec.strict import as_bytes, as_list, as_uint, encode, read

SINGULAR_BATCH: Final = 0  # first byte


@dataclass(frozen=True, slots=True)
class SingularBatch:
    """The input of one L2 block; its transactions without the deposits, in order."""

    parent_hash: bytes
    epoch_number: int  # number of the L1 origin
    epoch_hash: bytes
    timestamp: int  # seconds
    transactions: tuple[bytes, ...]

    def __post_init__(self) -> None:
        require(len(self.parent_hash) == 32 and len(self.epoch_hash) == 32, "hash of a batch")
        require_uint(self.epoch_number, 64, "epoch number")
        require_uint(self.timestamp, 64, "timestamp")

    def encode(self) -> bytes:
        return bytes((SINGULAR_BATCH,)) + encode(
            [
                self.parent_hash,
                self.epoch_number,
                self.epoch_hash,
                self.timestamp,
                self.transactions,
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The batch that `data` starts with.  What follows it is ignored, because op-node's
        rlp.Decode (derive/singular_batch.go) ignores it too, and the chain depends on that."""
        require(data[:1] == bytes((SINGULAR_BATCH,)), f"singular batch of type {data[:1].hex()}")
        item, _ = read(data, 1)
        parent_hash, epoch_number, epoch_hash, timestamp, items = as_list(item, 5, "batch")
        return cls(
            as_bytes(parent_hash, 32, "parent hash"),
            as_uint(epoch_number, 64, "epoch number"),
            as_bytes(epoch_hash, 32, "epoch hash"),
            as_uint(timestamp, 64, "timestamp"),
            tuple([as_bytes(raw, name="transaction") for raw in as_list(items, name="batch")]),
        )


def decode_batch(data: bytes) -> SingularBatch | SpanBatch:
    """A batch by its first byte; `Malformed` if that is of no known type."""
    match data[:1]:
        case b"\0":
            return SingularBatch.decode(data)
        case b"\1":
            return SpanBatch.decode(data)
    raise Malformed(f"batch of type {data[:1].hex() or 'none'}")
