"""The node says of each duty that does not run that it does not, in the words of `/status`."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from node.funds import Funds
from node.http.health import duty_rows, not_running
from node.reports import Situation
from node.supervisor import State
from protocol import events as e
from protocol.ledger import Ledger
from protocol.parameters import Parameters

STATES = (
    State("chain", "running"),
    State("prover", "retrying", restarts=2, error="rpc down"),
    State("curator", "rebuilding", error="the chain moved"),
)


@pytest.fixture
def situation() -> Situation:
    ledger = Ledger(chain_id=7)
    ledger.apply(e.ParametersProposed(1, 0, Parameters()))
    parts: Any = SimpleNamespace
    outbox = parts(status=lambda: parts(problem=None, waiting=0, in_flight=0))
    return Situation(
        settings=parts(roles=("host",)),
        chain=parts(live=True, ledger=ledger, outbox=outbox),
        network=parts(peers=parts(connected=tuple), peer=bytes(38)),
        membership=parts(confirmed=parts(is_set=lambda: True), operator=b"\x01" * 20, endpoint=""),
        supervisor=lambda: parts(states=STATES),
        watchdog=parts(late=tuple),
        clock=parts(now=lambda: 0.0),
        trouble=lambda: ["host: adapter cat: nobody has it"],
        funds=Funds(parts(), bytes(20), wei=7),
    )


async def test_every_duty_that_does_not_run_is_a_reason(situation: Situation) -> None:
    reasons = situation.report().not_ready()
    assert reasons == not_running(STATES)
    assert len(reasons) == 2
    assert "prover is retrying: rpc down" in reasons


async def test_the_trouble_of_a_role_is_why_it_does_not_earn(situation: Situation) -> None:
    assert situation.report().not_earning() == ["host: adapter cat: nobody has it"]


async def test_status_shows_the_duties_as_everywhere(
    situation: Situation, autojump_clock: object
) -> None:
    assert situation.report().status()["duties"] == duty_rows(STATES)


async def test_status_shows_what_the_account_has(
    situation: Situation, autojump_clock: object
) -> None:
    assert situation.report().status()["balance"] == "7"


async def test_the_rollup_speaks_along(situation: Situation, autojump_clock: object) -> None:
    rollup: Any = SimpleNamespace(
        not_ready=lambda: ["derivation is 40 of L1's blocks behind"],
        trouble=lambda: ["batcher: no ether"],
        section=lambda: {"resets": 2},
    )
    report = replace(situation, rollup=rollup).report()

    assert report.not_ready()[0] == "derivation is 40 of L1's blocks behind"
    assert report.not_earning()[-1] == "batcher: no ether"
    assert report.status()["rollup"] == {"resets": 2}
    assert "rollup" not in situation.report().status()
