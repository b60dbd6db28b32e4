"""The batch stage: singular batches in strict order, span batches unrolled, lapsed windows filled.

Source: specs, protocol/holocene/derivation.md "Span Batches" and "Batch Queue"; op-node,
batch_stage.go.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.errors import Reset
from rollup.codec.batch import SingularBatch
from rollup.codec.config import RollupConfig
from rollup.codec.refs import L2BlockRef
from rollup.codec.span import SpanBlock
from rollup.derive.batch_check import (
    ACCEPT,
    Ruling,
    Verdict,
    check_singular,
    check_span_prefix,
    check_span_times,
    overlap_parent,
)
from rollup.derive.channel_in_reader import ChannelInReader
from rollup.derive.l1_traversal import L1Traversal
from rollup.derive.needs import Need, NeedL2, NeedL2Block, NeedTime
from rollup.derive.overlap import Overlap
from rollup.derive.span import Span

SKIPPED_MAX: Final = 512  # batches in one step; a channel may hold a million of the past


@dataclass(frozen=True, slots=True)
class NextBatch:
    """A batch that is valid on the safe head."""

    batch: SingularBatch


class BatchStage:
    """Holds the L1 blocks of one sequencing window and what is left of one span batch."""

    def __init__(self, config: RollupConfig, l1: L1Traversal, previous: ChannelInReader) -> None:
        self._config = config
        self._l1 = l1
        self._previous = previous
        self._origin = l1.origin
        self._l1_blocks = [l1.origin]
        self._block: SpanBlock | None = None  # the next one of the span
        self._rest: Iterator[SpanBlock] = iter(())
        self._waiting: Span | None = None  # for its parent
        self._parents: dict[int, L2BlockRef | None] = {}  # the answer to `NeedL2`
        self._overlap: Overlap | None = None  # of the waiting span with the safe chain

    def flush(self) -> None:
        """Drops the rest of the span and of the channel that it came from."""
        self._begin(iter(()))
        self._wait_for(None)
        self._previous.flush()

    def add_l2(self, number: int, ref: L2BlockRef | None) -> None:
        self._parents = {number: ref}

    def add_l2_block(self, ref: L2BlockRef, transactions: Sequence[bytes]) -> None:
        if self._overlap is None:
            raise ValueError("an L2 block that was not asked for")
        self._overlap.add(ref, transactions)

    def next(self, safe: L2BlockRef) -> NextBatch | Need | None:
        """The batch after `safe`; None when it takes another L1 block to tell.

        `Reset` when the L1 blocks that were read are not those of the safe head.
        """
        self._follow_origin(safe)
        if self._origin.number <= safe.l1_origin.number:
            return self._drain()
        epoch = self._l1_blocks[0]
        if safe.l1_origin != epoch.id and safe.l1_origin.number != epoch.number - 1:
            raise Reset(f"L1 block {epoch.number} was read, the safe head has another origin")
        for _ in range(SKIPPED_MAX):
            batch = self._candidate(safe)
            if batch is None:
                return self._empty(safe)
            if not isinstance(batch, SingularBatch):
                return batch
            ruling = check_singular(self._config, self._l1_blocks, safe, batch, self._origin)
            if ruling.verdict is Verdict.ACCEPT:
                return NextBatch(batch)
            if ruling.verdict is Verdict.DROP:
                self.flush()
        return NeedTime()

    def _follow_origin(self, safe: L2BlockRef) -> None:
        """`l1_blocks` from the safe head's origin, or the one after it, up to the current one."""
        if self._origin != self._l1.origin:
            self._origin = self._l1.origin
            self._l1_blocks.append(self._origin)
        while self._l1_blocks and self._l1_blocks[0].number < safe.l1_origin.number:
            del self._l1_blocks[0]

    def _drain(self) -> Need | None:
        """A batch in or before the safe head's own origin can only be of the past."""
        for _ in range(SKIPPED_MAX):
            found = self._previous.next()
            if not isinstance(found, SingularBatch | Span):
                return found
        return NeedTime()

    def _candidate(self, safe: L2BlockRef) -> SingularBatch | Need | None:
        """The next batch to check, from the span if one is open."""
        time = safe.time + self._config.block_time
        if self._block is not None and self._block.timestamp != time:
            self._begin(iter(()))  # the safe head did not take the block before it
        skipped = 0
        while self._block is None:
            if (skipped := skipped + 1) > SKIPPED_MAX:
                return NeedTime()
            found = self._waiting or self._previous.next()
            if not isinstance(found, Span):
                return found
            if found is not self._waiting:
                self._wait_for(found)
            ruling = self._judge(safe, found)
            if not isinstance(ruling, Ruling):
                return ruling
            self._wait_for(None)
            if ruling.verdict is Verdict.DROP:
                self.flush()
            elif ruling.verdict is Verdict.ACCEPT:
                self._begin(found.after(safe.time))
                if self._block is not None and self._block.epoch_number < self._l1_blocks[0].number:
                    self.flush()  # its L1 origin is behind: not a batch of its own, all is dropped
        return self._taken(safe)

    def _wait_for(self, span: Span | None) -> None:
        self._waiting, self._parents, self._overlap = span, {}, None

    def _judge(self, safe: L2BlockRef, span: Span) -> Ruling | NeedL2 | NeedL2Block:
        """op-node's checkSpanBatchHolocene: the prefix, then what overlaps the safe chain."""
        if self._overlap is not None and self._overlap.safe == safe:
            return self._overlap.ruling()
        ruling = check_span_times(self._config, safe, span)
        if ruling != ACCEPT:
            return ruling
        parent: L2BlockRef | None = safe
        number = overlap_parent(self._config, safe, span)
        if number is not None:
            if number not in self._parents and number >= self._config.genesis.l2.number:
                return NeedL2(number)
            parent = self._parents.get(number)
        if parent is None:
            return Ruling(Verdict.UNDECIDED, "its parent is not there")
        ruling = check_span_prefix(self._config, self._l1_blocks, parent, span, self._origin)
        if ruling != ACCEPT or number is None:
            return ruling
        self._overlap = Overlap(safe, span, number + 1)
        return self._overlap.ruling()

    def _begin(self, blocks: Iterator[SpanBlock]) -> None:
        self._rest = blocks
        self._block = next(blocks, None)

    def _taken(self, safe: L2BlockRef) -> SingularBatch:
        """The open span's next block, as a batch on `safe`."""
        block = self._block
        assert block is not None
        self._block = next(self._rest, None)
        at = block.epoch_number - self._l1_blocks[0].number
        if not 0 <= at < len(self._l1_blocks):
            raise Reset("the safe head left the span that it came from")
        origin = self._l1_blocks[at]
        return SingularBatch(
            safe.hash, origin.number, origin.hash, block.timestamp, block.transactions
        )

    def _empty(self, safe: L2BlockRef) -> NextBatch | None:
        """The batch that stands in for a sequencer that was silent a whole window long.

        An epoch gets blocks until the time of the next one, and at least one block.
        """
        epoch = self._l1_blocks[0]
        if epoch.number + self._config.seq_window_size > self._origin.number:
            return None
        if len(self._l1_blocks) < 2:
            return None
        time = safe.time + self._config.block_time
        first_of_epoch = epoch.number == safe.l1_origin.number + 1
        if time < self._l1_blocks[1].time or first_of_epoch:
            return NextBatch(SingularBatch(safe.hash, epoch.number, epoch.hash, time, ()))
        del self._l1_blocks[0]  # the epoch moves on, with the first block when L1 does
        return None
