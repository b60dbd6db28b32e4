"""Scenarios of op-node's and kona's own tests of the batch stage, restated.

Source: op-node/rollup/derive/batch_queue_test.go of ethereum-optimism/optimism (TestBatchStages,
TestBatchQueueOverlappingSpanBatch, TestBatchQueueResetSpan), crates/protocol/derive of op-rs/kona
(batch_validator.rs, batch_stream.rs, frame_queue.rs); both MIT.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.errors import Reset
from rollup.codec.batch import SingularBatch
from rollup.codec.frame import Frame
from rollup.codec.refs import L1BlockRef, L2BlockRef
from rollup.codec.span import SpanBatch, SpanBlock
from rollup.derive.batch_stage import BatchStage, NextBatch
from rollup.derive.frame_queue import prune
from rollup.derive.needs import NeedL2, NeedL2Block
from rollup.derive.span import Span
from tests.derive_world import l2_transaction, make_config

# the scenarios are older than Fjord and Isthmus, and so are their times
CONFIG = make_config(max_sequencer_drift=600, seq_window_size=30)
CONFIG = replace(CONFIG, genesis=replace(CONFIG.genesis, l2_time=0))


def mock_hash(time: int, layer: int) -> bytes:
    return bytes([layer]) + time.to_bytes(31, "big")


def l1_chain(*times: int) -> list[L1BlockRef]:
    parents = [bytes(32), *[mock_hash(time, 1) for time in times]]
    return [L1BlockRef(mock_hash(time, 1), at, parents[at], time) for at, time in enumerate(times)]


def safe_at(time: int, origin: L1BlockRef, number: int = 0) -> L2BlockRef:
    return L2BlockRef(mock_hash(time, 2), number, bytes(32), time, origin.id, 0)


def batch(time: int, origin: L1BlockRef) -> SingularBatch:
    """On the block two seconds before."""
    return SingularBatch(
        mock_hash(time - 2, 2), origin.number, origin.hash, time, (l2_transaction(time),)
    )


def span_of(batches: Sequence[SingularBatch], epoch_before: int = 0) -> Span:
    blocks = [SpanBlock(each.timestamp, each.epoch_number, each.transactions) for each in batches]
    wire = SpanBatch.from_blocks(
        blocks,
        parent_hash=batches[0].parent_hash,
        parent_epoch_number=epoch_before,
        l1_origin_hash=batches[-1].epoch_hash,
        genesis_time=0,
        chain_id=CONFIG.l2_chain_id,
    )
    return Span.of(wire, CONFIG)


class Reader:
    """What a channel reader gives, one after the other."""

    def __init__(self, batches: Iterable[SingularBatch | Span] = ()) -> None:
        self.batches = list(batches)
        self.flushed = 0

    def next(self) -> SingularBatch | Span | None:
        return self.batches.pop(0) if self.batches else None

    def flush(self) -> None:
        self.flushed += 1
        self.batches.clear()


class Bench:
    """A batch stage between a reader and a safe head that follows what comes out."""

    def __init__(
        self, origin: L1BlockRef, safe: L2BlockRef, reader: Reader, window: int = 30
    ) -> None:
        self.l1 = SimpleNamespace(origin=origin)
        self.safe = safe
        config: Any = replace(CONFIG, seq_window_size=window)
        l1: Any = self.l1
        previous: Any = reader
        self.stage = BatchStage(config, l1, previous)

    def next(self) -> SingularBatch | None:
        found = self.stage.next(self.safe)
        if found is None:
            return None
        assert isinstance(found, NextBatch), found
        self.adopt(found.batch)
        return found.batch

    def adopt(self, taken: SingularBatch) -> None:
        origin = L1BlockRef(taken.epoch_hash, taken.epoch_number, bytes(32), 0)
        self.safe = safe_at(taken.timestamp, origin, self.safe.number + 1)

    def shape(self) -> list[L1BlockRef]:
        return self.stage._l1_blocks


def grouped(
    batches: Sequence[SingularBatch], counts: Sequence[int] | None, before: int = 0
) -> list[SingularBatch | Span]:
    """As they are, or as span batches of so many blocks."""
    if counts is None:
        return list(batches)
    out: list[SingularBatch | Span] = []
    at = 0
    for count in counts:
        out.append(span_of(batches[at : at + count], before))
        before = batches[at + count - 1].epoch_number
        at += count
    return out


def test_new_origin() -> None:
    """NewOrigin: the safe head's origin is ahead of where the pipeline starts."""
    l1 = l1_chain(10, 15, 20, 25)
    bench = Bench(l1[0], safe_at(20, l1[2]), Reader())

    assert bench.next() is None
    for origin, kept in ((l1[1], []), (l1[2], [l1[2]])):
        bench.l1.origin = origin
        assert bench.next() is None
        assert bench.shape() == kept


def test_reset_one_block_before_origin() -> None:
    l1 = l1_chain(10, 15, 20, 25)
    bench = Bench(l1[0], safe_at(20, l1[1]), Reader())

    assert bench.next() is None
    for origin, kept in ((l1[1], [l1[1]]), (l1[2], [l1[1], l1[2]])):
        bench.l1.origin = origin
        assert bench.next() is None
        assert bench.shape() == kept


@pytest.mark.parametrize("counts", [None, [1, 2, 3]])
def test_eager(counts: list[int] | None) -> None:
    l1 = l1_chain(10, 20, 30)
    batches = [batch(time, l1[0]) for time in range(12, 24, 2)]
    bench = Bench(l1[0], safe_at(10, l1[0]), Reader(grouped(batches, counts)))
    bench.l1.origin = l1[1]

    assert [bench.next() for _ in range(7)] == [*batches, None]


@pytest.mark.parametrize("counts", [None, [1, 2, 3]])
def test_invalid_internal_advance(counts: list[int] | None) -> None:
    """No epoch is left out when empty batches are made: one each, once its window has gone."""
    l1 = l1_chain(5, 10, 15, 20, 25, 30)
    batches = [batch(time, l1[0]) for time in range(12, 24, 2)]
    reader = Reader()
    bench = Bench(l1[0], safe_at(10, l1[0]), reader, window=2)

    assert bench.next() is None
    reader.batches = grouped(batches, counts)
    bench.l1.origin = l1[1]
    assert [bench.next() for _ in range(7)] == [*batches, None]
    bench.l1.origin = l1[2]
    assert bench.next() is None
    for epoch in (1, 2):
        bench.l1.origin = l1[epoch + 2]
        time = bench.safe.time + 2
        empty = SingularBatch(bench.safe.hash, epoch, l1[epoch].hash, time, ())
        assert bench.next() == empty
        assert bench.next() is None


@pytest.mark.parametrize("counts", [None, [2, 2, 2, 3]])
def test_advanced_epoch(counts: list[int] | None) -> None:
    """Each batch moves the window on, in the middle of a span too."""
    l1 = l1_chain(0, 6, 12, 18, 24)
    epochs = (1, 1, 1, 2, 2, 2, 3, 3, 3)
    batches = [batch(6 + 2 * at, l1[epoch]) for at, epoch in enumerate(epochs)]
    bench = Bench(l1[0], safe_at(4, l1[0]), Reader(grouped(batches, counts)))
    bench.l1.origin = l1[1]
    bench.stage._follow_origin(bench.safe)
    bench.l1.origin = l1[2]
    seen = 2

    for wanted in batches:
        if wanted.epoch_number == seen:
            seen += 1
            bench.l1.origin = l1[seen]
        assert bench.next() == wanted
    assert bench.next() is None


def test_overlapping_spans() -> None:
    """Only what is new of a span counts; its parent is asked for by number."""
    l1 = l1_chain(10, 20, 30)
    batches = [batch(time, l1[0]) for time in range(12, 24, 2)]
    spans = [span_of(batches[at : at + 3]) for at in range(4)]
    bench = Bench(l1[0], safe_at(10, l1[0]), Reader(spans))
    bench.l1.origin = l1[1]
    found = []

    while (step := bench.stage.next(bench.safe)) is not None:
        if isinstance(step, NeedL2):
            assert bench.stage.next(bench.safe) == step
            bench.stage.add_l2(step.number, safe_at(10 + 2 * step.number, l1[0], step.number))
            found.append(step.number)
        elif isinstance(step, NeedL2Block):
            told = batches[step.number - 1]
            ref = safe_at(told.timestamp, l1[0], step.number)
            bench.stage.add_l2_block(ref, (b"\x7e", *told.transactions))
        elif isinstance(step, NextBatch):
            assert step.batch == batches[bench.safe.number]
            bench.adopt(step.batch)
    assert found == [1, 2, 3]
    assert bench.safe.number == 6


def test_reset_span() -> None:
    """A stale safe head: what it did not take drops the rest of the span, and that alone."""
    l1 = l1_chain(0, 4, 8, 12)
    epochs = (0, 1, 1, 2)
    batches = [batch(2 + 2 * at, l1[epoch]) for at, epoch in enumerate(epochs)]
    bench = Bench(l1[0], safe_at(0, l1[0]), Reader([span_of(batches), batches[1]]))
    for origin in l1[1:]:
        bench.l1.origin = origin
        bench.stage._follow_origin(bench.safe)

    assert bench.next() == batches[0]
    before = bench.safe
    assert bench.next() == batches[1]
    bench.safe = before
    assert bench.next() == batches[1]
    assert bench.next() is None


def test_origin_mismatch() -> None:
    """kona, l1_origin_mismatch: the safe head is of another L1."""
    l1 = l1_chain(10, 15, 20)
    bench = Bench(
        l1[0], replace(safe_at(10, l1[0]), l1_origin=replace(l1[0].id, hash=bytes(32))), Reader()
    )
    bench.l1.origin = l1[1]

    with pytest.raises(Reset):
        bench.next()


def test_origin_behind_drains() -> None:
    """kona, origin_behind_drain_prev: batches before the safe head's origin are of the past."""
    l1 = l1_chain(10, 15, 20)
    reader = Reader([batch(12, l1[0]), span_of([batch(12, l1[0])])])
    bench = Bench(l1[0], safe_at(30, l1[1]), reader)

    assert bench.next() is None
    assert reader.batches == []
    assert reader.flushed == 0


def test_a_batch_in_its_own_origin_is_drained() -> None:
    """Its hash could not be known in it; op-node drains up to and with the safe head's origin."""
    l1 = l1_chain(10, 15, 20)
    reader = Reader([batch(22, l1[1])])
    bench = Bench(l1[0], safe_at(20, l1[1]), reader)
    bench.l1.origin = l1[1]

    assert bench.next() is None
    assert reader.batches == []


def test_an_epoch_without_an_origin_flushes() -> None:
    """kona, span_batch_extraction_error_flushes_stage: no crash, and the channel is gone."""
    l1 = l1_chain(10, 12, 14, 16)
    known = [batch(12, l1[1]), batch(14, l1[1])]
    stale = SpanBatch(  # from the genesis on: epochs 0 0 0 1, where the safe chain has 0 1 1
        12, 1, mock_hash(10, 2)[:20], l1[1].hash[:20], (False, False, False, True), (0,) * 4, ()
    )
    reader = Reader([*known, Span.of(stale, CONFIG), batch(16, l1[1])])
    bench = Bench(l1[0], safe_at(10, l1[0]), reader)
    bench.l1.origin = l1[1]
    bench.stage._follow_origin(bench.safe)
    bench.l1.origin = l1[2]

    assert [bench.next(), bench.next()] == known
    assert bench.stage.next(bench.safe) == NeedL2(0)
    bench.stage.add_l2(0, safe_at(10, l1[0]))
    assert bench.stage.next(bench.safe) == NeedL2Block(1)
    bench.stage.add_l2_block(safe_at(12, l1[1], 1), (b"\x7e", *known[0].transactions))
    assert bench.next() is None
    assert reader.flushed == 1


# kona, frame_queue.rs, test_holocene_*: channel and number of each frame, * where it stays, ! last

KONA_FRAMES = {
    "valid": "a0* a1* a2!*",
    "single": "a1!*",
    "unordered": "a0* a1* a2!* a3 b0* b1!*",
    "non sequential": "a0* a1* a3! a4",
    "unclosed channel": "a0 a1 a2 a3 b0* b1!*",
    "unstarted channel": "a0* a1* a2* a3!* b1 b2! c0* c1!*",
    "unclosed channel with invalid start": "a0* a1* a2* a3* b1 b2!",
    "replace channel": "a0* a1!* b0 b1 c0* c1!*",
    "interleaved invalid channel": "a0 b0 a1! b1 c0* c1!*",
    "interleaved valid channel": "a0 b0* a1! b1!* c0* c1!*",
}


@pytest.mark.parametrize("name", KONA_FRAMES)
def test_the_frame_queue_agrees_with_kona(name: str) -> None:
    words = KONA_FRAMES[name].split()
    frames = [Frame(w[0].encode() * 16, int(w[1]), b"\xdd" * 50, "!" in w) for w in words]

    assert prune(frames) == [f for f, w in zip(frames, words, strict=True) if w.endswith("*")]
