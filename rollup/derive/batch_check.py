"""Whether a batch may come next on the safe chain: the rules since Holocene.

Source: specs, protocol/derivation.md "Batch Queue", holocene/derivation.md "Span Batches",
isthmus and jovian derivation.md; op-node, batches.go (checkSingularBatch, checkSpanBatchPrefix).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rollup.codec.batch import SingularBatch
from rollup.codec.config import RollupConfig
from rollup.codec.refs import L1BlockRef, L2BlockRef
from rollup.codec.span import SpanBlock
from rollup.derive.span import Span

DEPOSIT: Final = 0x7E
SET_CODE: Final = 0x04  # EIP-7702, from Isthmus on


class Verdict(Enum):
    ACCEPT = "accept"
    DROP = "drop"  # and the rest of its span and channel with it
    PAST = "past"  # at or before the safe head: skipped, the rest goes on
    UNDECIDED = "undecided"  # not enough L1 to tell; op-node and kona skip it then, so do we


@dataclass(frozen=True, slots=True)
class Ruling:
    verdict: Verdict
    reason: str = ""


ACCEPT: Final = Ruling(Verdict.ACCEPT)


def _drop(reason: str) -> Ruling:
    return Ruling(Verdict.DROP, reason)


def check_singular(
    config: RollupConfig,
    l1_blocks: Sequence[L1BlockRef],
    safe: L2BlockRef,
    batch: SingularBatch,
    inclusion: L1BlockRef,
) -> Ruling:
    """`l1_blocks`: consecutive, from the safe head's L1 origin on (or one later)."""
    if not l1_blocks:
        return Ruling(Verdict.UNDECIDED, "no L1 block")
    next_time = safe.time + config.block_time
    if batch.timestamp > next_time:
        return _drop("a gap before the batch")
    if batch.timestamp < next_time:
        return Ruling(Verdict.PAST, "at or before the safe head")
    if batch.parent_hash != safe.hash:
        return _drop("another parent")
    if batch.epoch_number + config.seq_window_size < inclusion.number:
        return _drop("included too late")
    epoch = l1_blocks[0]
    if batch.epoch_number < epoch.number:
        return _drop("epoch too old")
    if batch.epoch_number > epoch.number + 1:
        return _drop("epoch too far ahead")
    if batch.epoch_number > epoch.number and len(l1_blocks) < 2:
        return Ruling(Verdict.UNDECIDED, "the next L1 block is not known")
    origin = l1_blocks[batch.epoch_number - epoch.number]
    if batch.epoch_hash != origin.hash:
        return _drop("another L1 chain")
    if batch.timestamp < origin.time:
        return _drop("earlier than its L1 origin")
    ruling = _drift(config, l1_blocks, batch, origin)
    return _transactions(config, batch) if ruling.verdict is Verdict.ACCEPT else ruling


def _drift(
    config: RollupConfig,
    l1_blocks: Sequence[L1BlockRef],
    batch: SingularBatch,
    origin: L1BlockRef,
) -> Ruling:
    """Past the drift only empty blocks, and only while no newer L1 origin could be taken."""
    if batch.timestamp <= origin.time + config.max_drift(origin.time):
        return ACCEPT
    if batch.transactions:
        return _drop("transactions beyond the sequencer drift")
    if origin.number > l1_blocks[0].number:
        return ACCEPT  # it moves the epoch on, which is what ends the drift
    if len(l1_blocks) < 2:
        return Ruling(Verdict.UNDECIDED, "the next L1 block is not known")
    if batch.timestamp >= l1_blocks[1].time:
        return _drop("beyond the sequencer drift, the next L1 origin not taken")
    return ACCEPT


def _transactions(config: RollupConfig, batch: SingularBatch) -> Ruling:
    if batch.transactions and _activates(config, "jovian", batch.timestamp):
        return _drop("transactions in the activation block of a fork")
    isthmus = config.is_active("isthmus", batch.timestamp)
    for raw in batch.transactions:
        if not raw:
            return _drop("an empty transaction")
        if raw[0] == DEPOSIT:
            return _drop("a deposit in a batch")
        if raw[0] == SET_CODE and not isthmus:
            return _drop("a set-code transaction before Isthmus")
    return ACCEPT


def _activates(config: RollupConfig, fork: str, time: int) -> bool:
    before = time - config.block_time
    return config.is_active(fork, time) and not config.is_active(fork, before)


def overlap_parent(config: RollupConfig, safe: L2BlockRef, span: Span) -> int | None:
    """The number of the block a span builds on, if it starts at or below the safe head and in
    step with it; may be negative."""
    behind = safe.time - span.start_time
    if behind < 0 or behind % config.block_time:
        return None
    return safe.number - behind // config.block_time - 1


def check_span_times(config: RollupConfig, safe: L2BlockRef, span: Span) -> Ruling:
    """What can be told of a span before its parent is known."""
    next_time = safe.time + config.block_time
    if span.start_time > next_time:
        return _drop("a gap before the span")
    if span.end_time < next_time:
        return Ruling(Verdict.PAST, "all blocks at or before the safe head")
    if span.start_time < next_time and overlap_parent(config, safe, span) is None:
        return _drop("out of step with the safe chain")
    return ACCEPT


def check_span_prefix(
    config: RollupConfig,
    l1_blocks: Sequence[L1BlockRef],
    parent: L2BlockRef,
    span: Span,
    inclusion: L1BlockRef,
) -> Ruling:
    """The rest of the prefix rules, for a span that `check_span_times` accepts.

    `parent`: the safe head, or below it the block `overlap_parent` when the span starts there.
    """
    start_epoch = span.start_epoch
    if not l1_blocks or (start_epoch == l1_blocks[0].number + 1 and len(l1_blocks) < 2):
        return Ruling(Verdict.UNDECIDED, "the next L1 block is not known")
    if not span.batch.matches_parent(parent.hash):
        return _drop("another parent")
    if start_epoch + config.seq_window_size < inclusion.number:
        return _drop("included too late")
    if start_epoch > parent.l1_origin.number + 1:
        return _drop("epoch too far ahead")
    end_origin = next((block for block in l1_blocks if block.number == span.end_epoch), None)
    if end_origin is None:
        return Ruling(Verdict.UNDECIDED, "the L1 origin of its last block is not known")
    if not span.batch.matches_l1_origin(end_origin.hash):
        return _drop("another L1 chain")
    if start_epoch < parent.l1_origin.number:
        return _drop("epoch too old")
    return ACCEPT


def check_overlap(block: SpanBlock, ref: L2BlockRef, transactions: Sequence[bytes]) -> Ruling:
    """A block of a span against the safe block of its height, whose `transactions` begin with
    deposits.

    Source: specs, delta/span-batches.md "Span Batch Validity Rules".  Holocene keeps this rule
    (specs pull request 928), and so do op-node and kona (optimism 22215).
    """
    deposits = sum(raw[:1] == bytes((DEPOSIT,)) for raw in transactions)
    if tuple(transactions[deposits:]) != block.transactions:
        return _drop("an overlapped block has other transactions")
    if ref.l1_origin.number != block.epoch_number:
        return _drop("an overlapped block has another L1 origin")
    return ACCEPT
