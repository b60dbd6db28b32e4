"""A span batch while it is unrolled: block by block, since it may claim ten million of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Self

from rollup.codec.config import RollupConfig
from rollup.codec.span import U64_MASK, SpanBatch, SpanBlock


@dataclass(frozen=True, slots=True)
class Span:
    """A span batch whose transactions are all well formed; times in seconds.

    Numbers and times wrap around 2**64, as in op-node.
    """

    batch: SpanBatch
    transactions: tuple[bytes, ...]  # of all blocks
    start_time: int
    end_time: int  # of the last block
    start_epoch: int
    block_time: int

    @classmethod
    def of(cls, batch: SpanBatch, config: RollupConfig) -> Self:
        """`Malformed` when a transaction cannot be put together: that spoils the whole span."""
        start = (config.genesis.l2_time + batch.relative_time) & U64_MASK
        return cls(
            batch,
            tuple([each.raw(config.l2_chain_id) for each in batch.transactions]),
            start,
            (start + (batch.block_count - 1) * config.block_time) & U64_MASK,
            (batch.l1_origin_number - sum(batch.origin_bits[1:])) & U64_MASK,
            config.block_time,
        )

    @property
    def end_epoch(self) -> int:
        return self.batch.l1_origin_number

    def after(self, time: int) -> Iterator[SpanBlock]:
        """The blocks later than `time`, made as they are taken (codec's SpanBatch.expand)."""
        epoch, at = self.start_epoch, 0
        for i, count in enumerate(self.batch.transaction_counts):
            epoch += i > 0 and self.batch.origin_bits[i]
            timestamp = (self.start_time + i * self.block_time) & U64_MASK
            if timestamp > time:
                yield SpanBlock(timestamp, epoch & U64_MASK, self.transactions[at : at + count])
            at += count

    def up_to(self, time: int) -> Iterator[SpanBlock]:
        """The blocks before those, likewise."""
        return takewhile(lambda block: block.timestamp <= time, self.after(-1))
