"""Honest batches are never convicted, and every lie is, by the rules as Python has them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from attribution.claims import Answered
from attribution.fraud import find_fraud
from attribution.openings import Case
from protocol.batch import Text
from protocol.openings import NO_ANSWER
from protocol.parameters import OPEN
from protocol.refute import Chain, Refutation, Transition, convicts
from protocol.signature import Domain
from tests.attempts import attempts
from tests.courtroom import (
    ADAPTER,
    HOST,
    PAYER,
    PHRASES,
    REDEEMED,
    World,
    feature_rows,
    header_of,
    questions,
)
from tests.courtroom import shards as signed_shards
from tests.lies import KINDS, LIES, Lie

ESCROW = Domain("OpenLedger Inference", 1, b"\x01" * 20)
REGISTRY = Domain("OpenLedger Datanet", 1, b"\x02" * 20)
RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=15)
FINALIZED, DOWN = 1000, 2000  # when the feature set came into force, when documents were taken down


def started() -> World:
    """One batch is final, so receipts can repeat and totals are not empty."""
    bodies = signed_shards(REGISTRY)
    world = World(
        ESCROW,
        bodies,
        as_of=FINALIZED - 1,
        rows=feature_rows(bodies),
        finalized_at=FINALIZED,
        takedowns={(0, 0): DOWN, (1, 1): DOWN},
    )
    paid = [(Text(b"", PHRASES[n] + b" " + PHRASES[n + 1]), OPEN) for n in range(2)]
    return world.after(world.case(1, world.body(world.answered(paid))))


BEFORE = started()
WORLDS = [replace(BEFORE, as_of=at) for at in (FINALIZED - 1, FINALIZED, DOWN - 1, DOWN)]
PAID = 2 * OPEN
MONEY = {(PAYER, HOST, ADAPTER): REDEEMED}
worlds = st.sampled_from(WORLDS)


def found_in(world: World, body: Any) -> tuple[Case, Refutation | None]:
    case = world.case(2, body)
    return case, find_fraud(case, MONEY, list(world.final.values()))


@RELAXED
@given(worlds, questions, st.data())
def test_nothing_convicts_an_honest_batch(world: World, asked: Any, data: st.DataObject) -> None:
    case, fraud = found_in(world, world.body(world.answered(asked, PAID)))

    assert fraud is None
    for _ in range(20):
        refutation = data.draw(attempts(case, world))
        assert not convicts(refutation, header_of(case), world), refutation


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
@RELAXED
@given(worlds, questions, st.data())
def test_every_lie_is_found_and_convicted(
    lie: Lie, world: World, asked: Any, data: st.DataObject
) -> None:
    told = world.answered(asked, PAID)
    honest = world.body(told)
    body = lie(data.draw, world, told)
    assume(body != honest)

    case, fraud = found_in(world, body)

    assert fraud is not None
    assert convicts(fraud, header_of(case), world), fraud
    assert fraud.KIND in KINDS.get(lie, {fraud.KIND})


@RELAXED
@given(worlds, worlds, questions)
def test_a_body_of_another_moment_is_convicted(world: World, other: World, asked: Any) -> None:
    """Unless nothing that it depends on changed between them."""
    body = world.body(world.answered(asked, PAID))

    case, fraud = found_in(other, body)

    assert (fraud is None) == (other.body(other.answered(asked, PAID)) == body)
    assert fraud is None or convicts(fraud, header_of(case), other)


@RELAXED
@given(worlds, questions, st.integers(1, 2**31), st.booleans())
def test_a_header_that_counts_otherwise_is_convicted(
    world: World, asked: Any, by: int, down: bool
) -> None:
    """The trees are honest; what is said of them is not."""
    case = world.case(2, world.body(world.answered(asked, PAID)))
    honest = header_of(case)
    last = Chain(2, case.answer(len(case.body.answers) - 1), NO_ANSWER)
    sums = Transition(2, 0, case.old_total(0), case.subtotal(0), case.new_total(0))
    for name, refutation in (("claim_count", last), ("influence_count", last), ("total", sums)):
        old = getattr(honest, name)
        wrong = replace(honest, **{name: max(0, old - by) if down else old + by})

        assert not convicts(refutation, honest, world)
        assert convicts(refutation, wrong, world) == (wrong != honest)


@RELAXED
@given(worlds, questions)
def test_who_is_attributed_to_nothing_pays_the_treasury(world: World, asked: Any) -> None:
    """A voucher may pay for an adapter that nobody registered: it has no corpus, and no fraud."""
    told = list[Answered]()
    for item in world.answered(asked, PAID):
        receipt = replace(item.receipt, adapter=b"\x0a" * 32)
        told.append(Answered(receipt, world.signed(receipt), item.text, ()))
    case = world.case(2, world.body(told))
    money = {(PAYER, HOST, b"\x0a" * 32): REDEEMED}

    assert find_fraud(case, money, list(world.final.values())) is None
    assert all(not entry.contributor for _, entry in case.body.entries)
