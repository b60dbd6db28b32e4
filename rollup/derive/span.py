"""A span batch while it is unrolled: block by block, since it may claim ten million of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from rollup.codec.config import RollupConfig
from rollup.codec.span import U64_MASK, SpanBatch, SpanBlock


@dataclass(frozen=True, slots=True)
class Span:
    """A span batch whose transactions are all well formed; times in seconds."""

    batch: SpanBatch
    start_time: int
    end_time: int  # of the last block
    start_epoch: int
    end_epoch: int

    @classmethod
    def of(cls, batch: SpanBatch, config: RollupConfig) -> Self:
        """`Malformed` when a transaction cannot be put together: that spoils the whole span."""
        for transaction in batch.transactions:
            transaction.raw(config.l2_chain_id)
        start = (config.genesis.l2_time + batch.relative_time) & U64_MASK
        return cls(
            batch,
            start,
            (start + (batch.block_count - 1) * config.block_time) & U64_MASK,
            (batch.l1_origin_number - sum(batch.origin_bits[1:])) & U64_MASK,
            batch.l1_origin_number,
        )

    def after(self, time: int, config: RollupConfig) -> Iterator[SpanBlock]:
        """The blocks later than `time`, made as they are taken."""
        expanded = self.batch.expand(config.genesis.l2_time, config.block_time, config.l2_chain_id)
        return (block for block in expanded if block.timestamp > time)
