"""Tables of op-node's own tests, restated with the verdicts since Holocene.

Source: op-node/rollup/derive of ethereum-optimism/optimism (MIT): frame_queue_test.go,
channel_assembler_test.go, batches_test.go.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from rollup.codec.batch import SingularBatch
from rollup.codec.channel import FRAME_SIZE_OVERHEAD, Channel
from rollup.codec.frame import Frame, encode_frames
from rollup.codec.refs import L1BlockRef, L2BlockRef
from rollup.codec.span import SpanBatch
from rollup.derive.batch_check import (
    ACCEPT,
    Ruling,
    Verdict,
    check_singular,
    check_span_prefix,
    check_span_times,
    overlap_parent,
)
from rollup.derive.channel_assembler import ChannelAssembler
from rollup.derive.frame_queue import FrameQueue, prune
from rollup.derive.l1_retrieval import L1Retrieval
from rollup.derive.l1_traversal import L1Traversal
from rollup.derive.span import Span
from tests.derive_world import inbox, l1_child, l1_genesis, make_config

DROP, PAST, UNDECIDED = Verdict.DROP, Verdict.PAST, Verdict.UNDECIDED


def frames(text: str) -> list[Frame]:
    """`a:0:data!` is frame 0 of channel a with this data, the last one."""
    found = []
    for each in text.split():
        name, number, data = each.split(":")
        last = data.endswith("!")
        channel_id = name.encode().ljust(16, b"\0")
        found.append(Frame(channel_id, int(number), data.removesuffix("!").encode(), last))
    return found


# -- frame_queue_test.go, TestPruneFrameQueue

PRUNED = {
    "empty": ("", ""),
    "one": ("a:2:", "a:2:"),
    "one-last": ("a:2:!", "a:2:!"),
    "last-new": ("a:2:! b:0:", "a:2:! b:0:"),
    "last-ooo": ("a:2:! b:1:", "a:2:!"),
    "middle-lastooo": ("b:1: a:2:!", "b:1:"),
    "middle-first": ("b:1: a:0:", "a:0:"),
    "last-first": ("b:1:! a:0:", "b:1:! a:0:"),
    "last-ooo-same": ("b:1:! b:2:", "b:1:!"),
    "ooo": ("b:1: b:3:", "b:1:"),
    "other-ooo": ("b:1: c:3:", "b:1:"),
    "other-ooo-last": ("b:1: c:3: b:2:!", "b:1: b:2:!"),
    "ooo-resubmit": ("b:1: b:3:! b:2: b:3:!", "b:1: b:2: b:3:!"),
    "first-discards-multiple": ("c:0: c:1: c:2: d:0: c:3:!", "d:0:"),
    "complex": (
        "b:1: b:2:! a:0: c:1:! a:1: a:2:! c:0: c:1: d:0: c:2:! e:0:",
        "b:1: b:2:! a:0: a:1: a:2:! e:0:",
    ),
    # ours: the walk back stops at a closed channel, whose first frame does not count twice
    "restart-same": ("a:0: a:1: a:0: a:2:!", "a:0: a:1: a:2:!"),
    "closed-again": ("a:0:! b:0: a:0:", "a:0:!"),
}


@pytest.mark.parametrize("name", PRUNED)
def test_the_frame_queue_keeps_contiguous_frames(name: str) -> None:
    given, wanted = PRUNED[name]

    assert prune(frames(given)) == frames(wanted)


# -- channel_assembler_test.go, TestChannelStage_NextData: frames of one transaction per block, the
# channel that comes of each block, the channel that stays open

ASSEMBLED: dict[str, tuple[list[str], list[str | None], list[str | None]]] = {
    "simple": (["a:0:first!"], ["first"], [None]),
    "simple-two": (["a:0:first a:1:second!"], ["firstsecond"], [None]),
    "drop-other": (
        ["a:0:first b:1:foo", "a:1:second c:1:bar!", "a:2:third!"],
        [None, None, "firstsecondthird"],
        ["a", "a", None],
    ),
    "drop-non-first": (["a:1:foo"], [None], [None]),
    "first-discards": (["b:0:foo", "a:0:first!"], [None, "first"], ["b", None]),
    "already-closed": (["a:0:foo", "a:1:bar! a:2:baz!"], [None, "foobar"], ["a", None]),
}


def assembler(
    blocks: Sequence[str], step: int = 12
) -> tuple[L1Traversal, L1Retrieval, ChannelAssembler]:
    config = make_config()
    origin = l1_genesis()
    l1 = L1Traversal(config, origin, config.genesis.system_config)
    retrieval = L1Retrieval(config)
    return l1, retrieval, ChannelAssembler(config, l1, FrameQueue(retrieval))


@pytest.mark.parametrize("name", ASSEMBLED)
def test_the_assembler_holds_one_channel(name: str) -> None:
    given, channels, left_open = ASSEMBLED[name]
    l1, retrieval, stage = assembler(given)
    block = l1_genesis()

    for text, wanted, staging in zip(given, channels, left_open, strict=True):
        block = l1_child(block)
        l1.advance(block)
        retrieval.open(
            replace(block, transactions=(inbox(encode_frames(frames(text))),)), INBOX_SENDER
        )
        found = stage.next()
        assert found == (wanted.encode() if wanted else None)
        held = stage._channel
        assert (held.channel_id.rstrip(b"\0").decode() if held else None) == staging
        assert stage.next() is None


@pytest.mark.parametrize(("spare", "wanted"), [(0, b"0123456789"), (-1, None)])
def test_an_oversized_channel_is_dropped(
    spare: int, wanted: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """max-size and oversized: the bound counts the overhead of each frame."""
    l1, retrieval, stage = assembler([])
    block = l1_child(l1_genesis(), transactions=[inbox(encode_frames(frames("a:0:0123456789!")))])
    bound = FRAME_SIZE_OVERHEAD + 10 + spare
    monkeypatch.setattr(Channel, "oversized", property(lambda self: self.size > bound))
    l1.advance(block)
    retrieval.open(block, INBOX_SENDER)

    assert stage.next() == wanted
    assert stage._channel is None


def test_a_channel_times_out_after_fifty_blocks() -> None:
    """TestChannelStage_NextData_Timeout, with Granite's constant."""
    l1, retrieval, stage = assembler([])
    block = l1_genesis()

    def turn(text: str = "") -> bytes | object | None:
        nonlocal block
        sent = [inbox(encode_frames(frames(text)))] if text else []
        block = l1_child(block, transactions=sent)
        l1.advance(block)
        retrieval.open(block, INBOX_SENDER)
        return stage.next()

    assert turn("a:0:foo") is None
    for _ in range(49):
        assert turn() is None
    assert turn("a:1:bar") is None
    assert stage._channel is not None
    assert turn("a:2:baz!") is None
    assert stage._channel is None


# -- batches_test.go, TestValidBatch

CONFIG = make_config(
    **{f"{fork}_time": None for fork in ("ecotone", "fjord", "granite", "holocene", "isthmus")},
    seq_window_size=4,
    max_sequencer_drift=6,
)
INBOX_SENDER = CONFIG.genesis.system_config.batcher


def hashed(name: str) -> bytes:
    return name.encode().ljust(32, b".")


def row(start: int, number: int, names: str, step: int) -> list[L1BlockRef]:
    return [
        L1BlockRef(
            hashed(name), number + at, hashed(names[at - 1] if at else "-"), start + at * step
        )
        for at, name in enumerate(names)
    ]


A, B, C, D, E, F = row(1_000_031, 50, "ABCDEF", 7)
X, Y, Z = row(1_010_000, 42, "XYZ", 12)


def l2(
    name: str, number: int, parent: str, time: int, origin: L1BlockRef, sequence: int
) -> L2BlockRef:
    return L2BlockRef(hashed(name), number, hashed(parent), time, origin.id, sequence)


A0 = l2("a0", 100, "99", A.time, A, 0)
A1 = l2("a1", 101, "a0", A.time + 2, A, 1)
A2 = l2("a2", 102, "a1", A.time + 4, A, 2)
A3 = l2("a3", 103, "a2", A.time + 6, A, 3)
A4 = l2("a4", 104, "a3", A.time + 8, A, 4)  # beyond the drift of 6
B0 = l2("b0", 104, "a3", A.time + 8, B, 0)
B1 = l2("b1", 105, "b0", A.time + 10, B, 1)
B_LATE = L1BlockRef(hashed("B late"), 51, A.hash, A4.time + 1)
X0 = l2("x0", 1000, "w9", X.time + 24 + 6 - 1, X, 0)
Y0 = l2("y0", 1001, "x0", X0.time + 2, Y, 0)  # beyond the drift, though it moves the epoch
Z0 = l2("z0", 1002, "y0", Y0.time + 2, Z, 0)
CHAIN = {block.number: block for block in (A0, A1, A2, A3)}


def batch(block: L2BlockRef, *transactions: bytes, **changes: object) -> SingularBatch:
    whole = SingularBatch(
        block.parent_hash, block.l1_origin.number, block.l1_origin.hash, block.time, transactions
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


SENT = b"\x02\x42\x13\x37"

SINGULAR: dict[str, tuple[list[L1BlockRef], L2BlockRef, SingularBatch, L1BlockRef, Ruling]] = {
    "missing L1 info": ([], A0, batch(A1), B, Ruling(UNDECIDED, "no L1 block")),
    "future timestamp": (
        [A, B, C], A0, batch(A1, timestamp=A1.time + 1), B, Ruling(DROP, "a gap before the batch"),
    ),
    "old timestamp": (
        [A, B, C], A0, batch(A1, timestamp=A0.time), B, Ruling(PAST, "at or before the safe head"),
    ),
    "misaligned timestamp": (
        [A, B, C], A0, batch(A1, timestamp=A1.time - 1), B,
        Ruling(PAST, "at or before the safe head"),
    ),
    "invalid parent block hash": (
        [A, B, C], A0, batch(A1, parent_hash=hashed("?")), B, Ruling(DROP, "another parent"),
    ),
    "sequence window expired": (
        [A, B, C, D, E, F], A0, batch(A1), F, Ruling(DROP, "included too late"),
    ),
    "last block of the sequence window": ([A, B, C, D, E], A0, batch(A1), E, ACCEPT),  # ours
    "epoch too old": (
        [B, C, D], B0,
        batch(B1, epoch_number=A.number, epoch_hash=A.hash), C, Ruling(DROP, "epoch too old"),
    ),
    "insufficient L1 info for eager derivation": (
        [A], A3, batch(B0), C, Ruling(UNDECIDED, "the next L1 block is not known"),
    ),
    "epoch too new": (
        [A, B, C, D], A3, batch(B0, epoch_number=C.number, epoch_hash=C.hash), D,
        Ruling(DROP, "epoch too far ahead"),
    ),
    "epoch hash wrong": (
        [A, B], A3, batch(B0, epoch_hash=A.hash), C, Ruling(DROP, "another L1 chain"),
    ),
    "drift on same epoch with transactions": (
        [A, B], A3, batch(A4, SENT), B, Ruling(DROP, "transactions beyond the sequencer drift"),
    ),
    "drift on changing epoch with transactions": (
        [X, Y, Z], X0, batch(Y0, SENT), Z,
        Ruling(DROP, "transactions beyond the sequencer drift"),
    ),
    "drift on same epoch, empty, late next epoch": ([A, B_LATE], A3, batch(A4), B_LATE, ACCEPT),
    "drift on changing epoch, empty": ([X, Y, Z], X0, batch(Y0), Z, ACCEPT),
    "drift on same epoch, empty, no next epoch yet": (
        [A], A3, batch(A4), B, Ruling(UNDECIDED, "the next L1 block is not known"),
    ),
    "drift on same epoch, empty, next epoch in sight": (
        [A, B, C], A3, batch(A4), C,
        Ruling(DROP, "beyond the sequencer drift, the next L1 origin not taken"),
    ),
    "empty transaction": (
        [A, B], A0, batch(A1, b""), B, Ruling(DROP, "an empty transaction"),
    ),
    "deposit transaction": (
        [A, B], A0, batch(A1, b"\x7e\x00"), B, Ruling(DROP, "a deposit in a batch"),
    ),
    "set-code transaction before Isthmus": (  # isthmus/derivation.md, "Activation"
        [A, B], A0, batch(A1, SENT, b"\x04\x00"), B,
        Ruling(DROP, "a set-code transaction before Isthmus"),
    ),
    "valid, same epoch": ([A, B], A0, batch(A1, SENT, b"\x02\xde\xad\xbe\xef"), B, ACCEPT),
    "valid, changing epoch": ([A, B, C], A3, batch(B0, SENT), C, ACCEPT),
    "L2 time before L1 time": (
        [A, B, C], A2, batch(B0, parent_hash=A2.hash, timestamp=A2.time + 2), B,
        Ruling(DROP, "earlier than its L1 origin"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGULAR)
def test_a_singular_batch_is_judged(name: str) -> None:
    l1_blocks, safe, given, inclusion, wanted = SINGULAR[name]

    assert check_singular(CONFIG, l1_blocks, safe, given, inclusion) == wanted


def test_forks_change_what_a_batch_may_hold() -> None:
    """Fjord: drift of 1800 s. Isthmus: set-code. Jovian: its first block holds none (jovian/
    derivation.md, "Activation Block Rules")."""
    fjord = replace(CONFIG, ecotone_time=0, fjord_time=A.time)
    isthmus = replace(fjord, granite_time=0, holocene_time=0, isthmus_time=A1.time)
    jovian = replace(isthmus, isthmus_time=0, jovian_time=A1.time)

    assert check_singular(fjord, [A, B], A3, batch(A4, SENT), B) == ACCEPT
    assert check_singular(isthmus, [A, B], A0, batch(A1, b"\x04"), B) == ACCEPT
    dropped = check_singular(jovian, [A, B], A0, batch(A1, SENT), B)
    assert dropped == Ruling(DROP, "transactions in the activation block of a fork")
    assert check_singular(jovian, [A, B], A0, batch(A1), B) == ACCEPT
    assert check_singular(jovian, [A, B], A1, batch(A2, SENT), B) == ACCEPT


def span(
    *blocks: L2BlockRef, time: int | None = None, end: bytes | None = None, parent: bytes = b""
) -> Span:
    """The blocks' times follow from the first one; `end`: hash of the last origin."""
    epochs = [block.l1_origin.number for block in blocks]
    moved = [False, *[after > before for before, after in pairwise(epochs)]]
    wire = SpanBatch(
        (blocks[0].time if time is None else time) - CONFIG.genesis.l2_time,
        epochs[-1],
        (parent or blocks[0].parent_hash)[:20],
        (end or blocks[-1].l1_origin.hash)[:20],
        tuple(moved),
        (0,) * len(blocks),
        (),
    )
    return Span.of(wire, CONFIG)


def epoch(block: L2BlockRef, origin: L1BlockRef) -> L2BlockRef:
    return replace(block, l1_origin=origin.id)


GAP, OLD = (
    Ruling(DROP, "a gap before the span"),
    Ruling(PAST, "all blocks at or before the safe head"),
)
STEP = Ruling(DROP, "out of step with the safe chain")
LATE = Ruling(DROP, "included too late")
UNKNOWN = Ruling(UNDECIDED, "the L1 origin of its last block is not known")
EAGER = Ruling(UNDECIDED, "the next L1 block is not known")

SPANS: dict[str, tuple[list[L1BlockRef], L2BlockRef, Span, L1BlockRef, Ruling]] = {
    "missing L1 info": ([], A0, span(A1), B, EAGER),
    "future timestamp": ([A, B, C], A0, span(A1, time=A1.time + 1), B, GAP),
    "misaligned timestamp": ([A, B, C], A0, span(A1, time=A1.time - 1), B, OLD),
    "invalid parent block hash": (
        [A, B, C], A0, span(A1, parent=hashed("?")), B, Ruling(DROP, "another parent"),
    ),
    "sequence window expired": ([A, B, C, D, E, F], A0, span(A1), F, LATE),
    "last block of the sequence window": ([A, B, C, D, E], A0, span(A1), E, ACCEPT),  # ours
    "epoch too old": (
        [A, B, C, D], B0, span(epoch(B1, A), epoch(B1, B)), C, Ruling(DROP, "epoch too old"),
    ),
    "epoch too old, unknown end": ([B, C, D], B0, span(epoch(B1, A)), C, UNKNOWN),
    "insufficient L1 info": ([A], A3, span(B0), C, EAGER),
    "insufficient L1 info, long span": ([A], A2, span(A3, B0), C, UNKNOWN),
    "epoch too new": (
        [A, B, C, D], A3, span(epoch(B0, C)), D, Ruling(DROP, "epoch too far ahead"),
    ),
    "epoch hash wrong": ([A, B], A3, span(B0, end=A.hash), C, Ruling(DROP, "another L1 chain")),
    "epoch hash wrong, long span": (
        [A, B], A2, span(A3, B0, end=A.hash), C, Ruling(DROP, "another L1 chain"),
    ),
    "valid, same epoch": ([A, B], A0, span(A1), B, ACCEPT),
    "valid, changing epoch": ([A, B, C], A3, span(B0), C, ACCEPT),
    "overlapping": ([A, B], A2, span(A2, A3), B, ACCEPT),
    "longer overlapping": ([A, B], A2, span(A1, A2, A3), B, ACCEPT),
    "fully overlapping": ([A, B], A2, span(A1, A2), B, OLD),
    "overlapping, invalid parent hash": (
        [A, B], A2, span(A2, A3, parent=A0.hash), B, Ruling(DROP, "another parent"),
    ),
    "short block time": ([A, B], A0, span(A1, A2, time=A0.time + 1), B, STEP),
    "misaligned batch": ([A, B], A0, span(A1, A2, A3, time=A0.time - 1), B, STEP),
}  # fmt: skip


def judged(
    l1_blocks: list[L1BlockRef], safe: L2BlockRef, given: Span, inclusion: L1BlockRef
) -> Ruling:
    ruling = check_span_times(CONFIG, safe, given)
    if ruling != ACCEPT:
        return ruling
    number = overlap_parent(CONFIG, safe, given)
    parent = safe if number is None else CHAIN[number]
    return check_span_prefix(CONFIG, l1_blocks, parent, given, inclusion)


@pytest.mark.parametrize("name", SPANS)
def test_the_prefix_of_a_span_batch_is_judged(name: str) -> None:
    l1_blocks, safe, given, inclusion, wanted = SPANS[name]

    assert judged(l1_blocks, safe, given, inclusion) == wanted


def test_a_span_below_the_genesis_has_no_parent() -> None:
    """ "overlapping batch l2 fetcher error": the number of the parent is not of this chain."""
    first = replace(A0, number=0)

    assert overlap_parent(CONFIG, first, span(A0, A1)) == -1
