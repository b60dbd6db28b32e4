"""Honest batches are never convicted, and every lie is, by the rules as Python has them."""

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from attribution.fraud import find_fraud
from protocol.batch import Text
from protocol.parameters import OPEN
from protocol.refute import convicts
from protocol.signature import Domain
from tests.attempts import attempts
from tests.courtroom import ADAPTER, HOST, PAYER, PHRASES, REDEEMED, World, header_of, questions
from tests.courtroom import shards as signed_shards
from tests.lies import KINDS, LIES, Lie

ESCROW = Domain("OpenLedger Inference", 1, b"\x01" * 20)
REGISTRY = Domain("OpenLedger Datanet", 1, b"\x02" * 20)
RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=40)


def started() -> World:
    """One batch is final, so receipts can repeat and totals are not empty."""
    world = World(ESCROW, signed_shards(REGISTRY))
    paid = [(Text(b"", PHRASES[n] + b" " + PHRASES[n + 1]), OPEN) for n in range(2)]
    return world.after(world.case(1, world.body(world.answered(paid))))


WORLD, PAID = started(), 2 * OPEN
MONEY = {(PAYER, HOST, ADAPTER): REDEEMED}


def found_in(body: Any) -> Any:
    case = WORLD.case(2, body)
    return case, find_fraud(case, MONEY, list(WORLD.final.values()))


@RELAXED
@given(questions, st.data())
def test_nothing_convicts_an_honest_batch(asked: Any, data: st.DataObject) -> None:
    case, fraud = found_in(WORLD.body(WORLD.answered(asked, PAID)))

    assert fraud is None
    for _ in range(20):
        assert not convicts(data.draw(attempts(case, WORLD)), header_of(case), WORLD)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
@RELAXED
@given(questions, st.data())
def test_every_lie_is_found_and_convicted(lie: Lie, asked: Any, data: st.DataObject) -> None:
    told = WORLD.answered(asked, PAID)
    honest = WORLD.body(told)
    body = lie(data.draw, WORLD, told)
    assume(body != honest)

    case, fraud = found_in(body)

    assert fraud is not None
    assert convicts(fraud, header_of(case), WORLD)
    assert fraud.KIND in KINDS.get(lie, {fraud.KIND})
