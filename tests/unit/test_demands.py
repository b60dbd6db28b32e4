"""When a leaf is demanded, claimed or answered, and what the answers hold."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
import trio

from protocol import events as e
from protocol.batch import Header
from protocol.calls import FinalizeBatch
from protocol.datanet import Document, assemble, shard_of
from protocol.demands import (
    CONTENT_TREE,
    AnswerContentDemand,
    AnswerDemand,
    ClaimUnanswered,
    Demand,
    RefundDemand,
)
from protocol.errors import Malformed, Temporary
from protocol.ledger import BatchRecord, DemandRecord, Ledger, Status
from protocol.merkle import BODY, BODY_LEAF, DOCUMENT, TEXT, Commitment, byte_root
from protocol.parameters import Parameters
from protocol.signature import address_of
from protocol.windows import verify_leaf
from roles.demands import (
    GRACE,
    MARGIN,
    _draw,
    _Subject,
    answer_demands,
    answer_shard_demands,
    claim_unanswered,
    demand_withheld,
    demand_withheld_shard,
)
from roles.doubts import _beyond, leaf_of_body
from roles.ports import Ports
from tests.sim.chain import SimOutcome
from tests.sim.world import MemoryStore, Signer, VirtualClock, inline

ME, POSTER, OTHER = (address_of(bytes([n]) * 32) for n in (1, 2, 3))
RULES = Parameters(window=1_000, response=200, datanet_window=1_000)
A_ROOT, DATA_ROOT = b"\x01" * 32, b"\x02" * 32
HEADER = Header(*[A_ROOT] * 5, DATA_ROOT, 20 * BODY_LEAF - 1, 1, 3, 4, 0, 0)
POSTED = e.BatchPosted(1, POSTER, HEADER, 1_000, 1)
FIRST, LAST = 250, 1_000 - 200 - MARGIN
ORACLE = "AttributionOracle"


class Desk:
    """The ports of one node, all in memory; nothing is sent, only noted."""

    def __init__(self, secret: int = 1) -> None:
        self.ledger, self.store = Ledger(), MemoryStore()
        self.live, self.intended = True, dict[str, Any]()
        self.outcomes = dict[str, SimOutcome]()
        self.bodies = dict[bytes, bytes]()
        self.ledger.apply(e.ParametersProposed(1, 0, RULES))
        self.ports = Ports(
            self, self, self, self.store, Signer(bytes([secret]) * 32), inline, VirtualClock()  # type: ignore[arg-type]
        )  # fmt: skip

    def at(self, time: int, *events: Any) -> None:
        self.ledger.begin(time, time)
        for event in events:
            self.ledger.apply(event)

    async def intend(self, key: str, call: object) -> None:
        self.intended.setdefault(key, call)

    def pending(self, key: str) -> bool:
        return key in self.intended and key not in self.outcomes

    def outcome(self, key: str) -> SimOutcome | None:
        return self.outcomes.get(key)

    def end(self, succeeded: bool) -> None:
        for key in self.intended:
            self.outcomes.setdefault(key, SimOutcome(succeeded))

    @property
    def calls(self) -> list[Any]:
        return list(self.intended.values())

    async def fetch(self, commitment: Commitment) -> bytes:
        await trio.lowlevel.checkpoint()
        if commitment.root not in self.bodies:
            raise Temporary("no peer has the body")
        return self.bodies[commitment.root]

    def batch(self) -> BatchRecord:
        return self.ledger.batches[1]

    async def watch(self, times: Any) -> None:
        for time in times:
            self.at(time)
            await demand_withheld(self.ports, self.batch())


def demanded(by: bytes, until: int, tree: int = BODY, index: int = 3, batch: int = 1) -> Any:
    return e.OpeningDemanded(ORACLE, batch, tree, index, by, until)


# ---------------------------------------------------------------- the ledger


def test_a_demand_ends_with_its_answer_or_its_subject() -> None:
    ledger = Desk().ledger
    asked = [demanded(OTHER, 9, BODY, n) for n in range(3)]
    for event in [POSTED, *asked, e.OpeningDemanded("DatanetRegistry", 1, 1, 0, OTHER, 9)]:
        ledger.apply(event)
    assert len(ledger.demands) == 4
    assert ledger.demands[ORACLE, 1, BODY, 0] == DemandRecord(OTHER, 9)

    ledger.apply(e.OpeningAnswered(ORACLE, 1, BODY, 0, POSTER))
    ledger.apply(e.DemandRefunded(ORACLE, 1, BODY, 1, OTHER))
    assert (ORACLE, 1, BODY, 2) in ledger.demands
    assert len(ledger.demands) == 2
    ledger.apply(e.BatchSlashed(1, OTHER, 9, 1, 1))
    assert list(ledger.demands) == [("DatanetRegistry", 1, 1, 0)]
    ledger.apply(e.ShardPublished(1, 0, POSTER, bytes(32), bytes(32), 1, 1, 9, 1))
    ledger.apply(e.ShardSlashed(1, 0, OTHER, 9, 1, 1))
    assert not ledger.demands


# ---------------------------------------------------------------- asking


async def test_it_asks_once_when_the_time_has_come_and_never_when_it_is_over() -> None:
    desk = Desk()
    desk.at(0, POSTED)
    await desk.watch([0, FIRST - 1, LAST + 1, 999])
    assert not desk.calls

    await desk.watch([(FIRST + LAST) // 2 + 1])
    (call,) = desk.calls
    assert isinstance(call, Demand)
    assert (call.contract, call.subject, call.tree) == (ORACLE, 1, BODY)
    assert call.index < 20
    assert call.value == RULES.demand_bond
    for succeeded in (True, False):
        desk.outcomes.clear()
        desk.end(succeeded)
        await desk.watch(range(600, LAST, 10))
        assert len(desk.calls) == 1, "answered or refused: that was its demand"


async def test_validators_begin_at_other_moments_and_ask_for_other_leaves() -> None:
    first, calls = set(), set()
    for secret in range(1, 9):
        desk = Desk(secret)
        desk.at(0, POSTED)
        for time in range(0, LAST + 1, 2):
            await desk.watch([time])
            if desk.calls and time not in first:
                first.add(time)
                break
        calls |= {desk.calls[0].index}
    assert min(first) >= FIRST
    assert len(first) > 5
    assert len(calls) > 2


async def test_a_restart_and_a_late_body_change_nothing_of_what_was_asked() -> None:
    desk = Desk()
    desk.at(0, POSTED)
    await desk.watch([600])
    call, row = desk.calls[0], desk.store.scan(b"demanded/")
    desk.store.write(dict.fromkeys([key for key, _ in desk.store.scan(b"pursued/")]))
    desk.intended.clear()  # killed between the two writes

    desk.bodies[HEADER.data_root] = b"?" * HEADER.data_size
    await desk.watch([602])
    assert desk.calls == [call]
    assert desk.store.scan(b"demanded/") == row


async def test_it_does_not_ask_while_somebody_else_does_or_while_it_catches_up() -> None:
    desk = Desk()
    desk.at(0, POSTED, demanded(OTHER, 800))
    await desk.watch(range(FIRST, LAST, 20))
    assert not desk.calls
    desk.at(600, e.OpeningAnswered(ORACLE, 1, BODY, 3, POSTER))
    desk.live = False
    await desk.watch([610])
    assert not desk.calls
    desk.live = True
    await desk.watch([612])
    assert len(desk.calls) == 1


def test_the_last_leaf_is_asked_for_often_and_every_other_one_sometimes() -> None:
    """A root over fewer bytes than posted opens all but the last."""
    drawn = [leaf_of_body(HEADER, Random(seed))[1] for seed in range(600)]
    assert drawn.count(19) > 250
    assert set(drawn) == set(range(20))
    empty = replace(HEADER, data_size=0)
    assert {leaf_of_body(empty, Random(n))[0] for n in range(9)} == {3}, "there is no such leaf"


async def test_nobody_foresees_what_is_asked_for() -> None:
    """Who knew it would keep just these leaves: the draw hangs on what only the key can make."""

    class Other(Signer):
        def sign(self, digest: bytes) -> bytes:
            return super().sign(bytes(reversed(digest)))

    def drawn(desk: Desk) -> list[float]:
        subjects = (_Subject(ORACLE, 1, bytes([n]) * 32) for n in range(5))
        return [_draw(desk.ports, subject).random() for subject in subjects]

    mine, other = Desk(), Desk()
    other.ports = replace(other.ports, signer=Other(b"\x01" * 32))
    assert drawn(mine) == drawn(Desk())
    assert len(set(drawn(mine) + drawn(other))) == 10


def test_leaves_that_only_the_header_has_are_asked_for() -> None:
    assert {_beyond(3, 5, Random(seed)) for seed in range(20)} == {3, 4}
    assert {_beyond(3, 3, Random(seed)) for seed in range(30)} == {0, 1, 2}
    assert {_beyond(9, 2, Random(seed)) for seed in range(30)} == {0, 1}


# ---------------------------------------------------------------- claiming


async def test_who_asked_claims_at_once_and_everybody_a_while_later() -> None:
    desk = Desk()
    desk.at(500, POSTED, demanded(ME, 600, index=1), demanded(OTHER, 600, index=2))
    for time, want in ((599, []), (600, [1]), (600 + GRACE - 1, [1]), (600 + GRACE, [1, 2])):
        desk.at(time)
        await claim_unanswered(desk.ports)
        assert [call.index for call in desk.calls] == want
        assert all(isinstance(call, ClaimUnanswered) for call in desk.calls)


async def test_nobody_claims_his_own_bond_nor_that_of_a_decided_batch() -> None:
    poster, other = Desk(2), Desk()
    poster.at(0, POSTED, demanded(OTHER, 600))
    other.at(0, POSTED, e.BatchSlashed(1, OTHER, 1, 1, 1), demanded(ME, 600))
    for desk in (poster, other):
        desk.at(5_000)
        await claim_unanswered(desk.ports)
        assert not desk.calls


async def test_a_bond_is_asked_back_once_when_its_batch_died_of_something_else() -> None:
    desk = Desk()
    desk.at(0, POSTED)
    await desk.watch([600])
    call = desk.calls[0]
    desk.end(True)
    desk.at(601, demanded(ME, 801, call.tree, call.index))
    await claim_unanswered(desk.ports)
    assert len(desk.calls) == 1, "it is pending"
    desk.at(610, e.BatchSlashed(1, OTHER, 1, 1, 1))
    for _ in range(3):
        await claim_unanswered(desk.ports)
        desk.end(False)
    assert desk.calls[1:] == [RefundDemand(ORACLE, 1, call.tree, call.index)]
    assert not list(desk.store.scan(b"demanded/"))


# ---------------------------------------------------------------- answering


async def test_helpers_answer_for_a_poster_that_is_silent_for_half_of_the_time() -> None:
    async def examine(batch: BatchRecord) -> Any:
        raise Temporary("asked to answer")

    desk = Desk()
    desk.at(500, POSTED, demanded(OTHER, 700))
    await answer_demands(desk.ports, examine)
    await answer_demands(desk.ports, examine, others=True)
    desk.at(600)
    await answer_demands(desk.ports, examine)
    with pytest.raises(Temporary, match="asked to answer"):
        await answer_demands(desk.ports, examine, others=True)


async def test_a_refused_answer_is_tried_again_and_a_sent_one_is_not_made_anew() -> None:
    computed = []

    async def examine(batch: BatchRecord) -> Any:
        computed.append(desk.ledger.time)
        raise Malformed("no matter")

    desk = Desk(2)
    desk.at(500, POSTED, demanded(OTHER, 700))
    with pytest.raises(Malformed):
        await answer_demands(desk.ports, examine)
    stem = f"answer/{ORACLE}/1/{HEADER.data_root.hex()[:16]}/{BODY}/3"
    desk.store.write({b"pursued/" + stem.encode(): b"key@1"})
    await desk.intend("key", FinalizeBatch(1))
    await answer_demands(desk.ports, examine)
    desk.end(True)
    await answer_demands(desk.ports, examine)
    assert computed == [500]
    desk.outcomes["key"] = SimOutcome(False)
    desk.at(5_000)  # late is better than never
    with pytest.raises(Malformed):
        await answer_demands(desk.ports, examine)


async def test_a_curator_opens_text_documents_and_what_contributors_signed() -> None:
    texts = [b"a" * 600, b"b" * 10]
    data, starts = assemble(texts)
    rows = [
        Document(start, len(text), 1, 0, byte_root(TEXT, text), bytes(32), bytes(65))
        for start, text in zip(starts, texts, strict=True)
    ]
    shard = shard_of(data, rows)
    desk = Desk()
    desk.bodies |= {
        shard.text_root: data,
        shard.document_root: b"".join(row.encode() for row in rows),
    }
    published = e.ShardPublished(
        1, 0, ME, shard.text_root, shard.document_root, shard.text_size, 2, 1_000, 7
    )
    places = [(TEXT, 2), (DOCUMENT, 1), (CONTENT_TREE, 0 << 32 | 2), (CONTENT_TREE, 1 << 32 | 5)]
    desk.at(
        100,
        published,
        *(e.OpeningDemanded("DatanetRegistry", 7, *place, OTHER, 300) for place in places),
    )
    await answer_shard_demands(desk.ports, desk.ledger.shards[1])
    text, document, inside, outside = sorted(desk.calls, key=lambda call: (
        isinstance(call, AnswerContentDemand), getattr(call, "tree", 0), call.index
    ))  # fmt: skip
    assert isinstance(text, AnswerDemand)
    verify_leaf(shard.text, 2, text.leaf, text.proof)
    verify_leaf(shard.table, 1, document.leaf, document.proof)
    verify_leaf(Commitment(TEXT, 600, rows[0].content_root), 2, inside.leaf, inside.proof)
    assert (outside.leaf, outside.proof) == (b"", ()), "his text has no such leaf"
    assert outside.document.opened(shard) == rows[1]

    stranger = Desk(3)
    stranger.at(100, published, e.OpeningDemanded("DatanetRegistry", 7, TEXT, 0, OTHER, 300))
    await answer_shard_demands(stranger.ports, stranger.ledger.shards[1])
    assert not stranger.calls


@pytest.mark.parametrize("given", [TEXT, DOCUMENT, None])
async def test_a_shard_is_asked_for_the_body_that_is_missing(given: int | None) -> None:
    desk = Desk()
    desk.at(0, e.ShardPublished(1, 0, POSTER, b"t" * 32, b"d" * 32, 1_000, 3, 1_000, 7))
    row = desk.ledger.shards[1][0]
    assert row.status is Status.PENDING
    if given == TEXT:
        desk.bodies[b"t" * 32] = b"?"
    elif given is None:
        desk.bodies |= {b"t" * 32: b"?", b"d" * 32: b"?"}
    for time in (0, FIRST - 1, 600, 610, 999):
        desk.at(time)
        await demand_withheld_shard(desk.ports, row)
    if given is None:
        assert not desk.calls
        return
    (call,) = desk.calls
    tree = DOCUMENT if given == TEXT else TEXT
    assert (call.contract, call.subject, call.tree) == ("DatanetRegistry", 7, tree)
    assert call.index < (3 if given == TEXT else 4)
