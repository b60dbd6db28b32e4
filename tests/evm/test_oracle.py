"""The contracts' verdict on a refutation is that of its Python twin, on batches honest and not."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from attribution.fraud import find_fraud
from protocol.refute import convicts
from tests.attempts import attempts
from tests.courtroom import ADAPTER, HOST, PAYER, REDEEMED, header_of, questions
from tests.evm.courthouse import VALIDATOR, Courthouse
from tests.lies import LIES, Lie

COURT: list[Courthouse] = []
MONEY = {(PAYER, HOST, ADAPTER): REDEEMED}
CHECKS = list(HealthCheck)  # py-evm is slow: about 100 ms a refutation


@pytest.fixture(scope="module", autouse=True)
def court(_deployed: Any) -> Iterator[Courthouse]:
    COURT.append(Courthouse(type(_deployed)))
    yield COURT[0]
    COURT.clear()


@settings(max_examples=8, deadline=None, suppress_health_check=CHECKS)
@given(questions, st.integers(0, 3), st.data())
def test_an_honest_batch_is_never_convicted(asked: Any, when: int, data: st.DataObject) -> None:
    court, world = COURT[0], COURT[0].worlds[when]
    with court.anchor():
        body = world.body(world.answered(asked, court.paid))
        case = world.case(court.post(body, world.as_of), body)
        for _ in range(8):
            refutation = data.draw(attempts(case, world))
            assert not convicts(refutation, header_of(case), world)
            assert court.verdict(refutation) is None


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
@settings(max_examples=2, deadline=None, suppress_health_check=CHECKS)
@given(questions, st.integers(0, 3), st.data())
def test_a_lie_costs_the_bond(lie: Lie, asked: Any, when: int, data: st.DataObject) -> None:
    court, world = COURT[0], COURT[0].worlds[when]
    told = world.answered(asked, court.paid)
    honest = world.body(told)
    body = lie(data.draw, world, told)
    assume(body != honest)
    with court.anchor():
        case = world.case(court.post(body, world.as_of), body)
        fraud = find_fraud(case, MONEY, list(world.final.values()))
        assert fraud is not None

        slashed = court.verdict(fraud)

        assert slashed is not None
        assert (slashed.id, slashed.kind) == (case.batch, fraud.KIND)
        assert slashed.challenger == VALIDATOR
        assert slashed.reward == slashed.bond * world.parameters.challenger_bps // 10_000


@settings(max_examples=10, deadline=None, suppress_health_check=CHECKS)
@given(questions, st.sampled_from(LIES), st.integers(0, 3), st.data())
def test_python_and_the_contracts_agree(
    asked: Any, lie: Lie, when: int, data: st.DataObject
) -> None:
    """Whatever refutation is drawn against whatever lie."""
    court, world = COURT[0], COURT[0].worlds[when]
    body = lie(data.draw, world, world.answered(asked, court.paid))
    assume(body.answers)
    with court.anchor():
        case = world.case(court.post(body, world.as_of), body)
        for _ in range(8):
            refutation = data.draw(attempts(case, world))
            expected = convicts(refutation, header_of(case), world)
            assert (court.verdict(refutation) is not None) == expected, refutation
