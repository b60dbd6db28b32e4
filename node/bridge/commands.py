"""The commands `openledger bridge deposit | withdraw | prove | finalize | status`."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from contracts.rpc import Rejected
from node.bridge import actions, show, withdrawals
from node.bridge.actions import Options
from node.bridge.reports import Report
from node.exits import ChainTrouble
from protocol.errors import Malformed, Refused, Temporary


def deposit(options: Options, amount: str | None, to: str | None, again: bool) -> None:
    _print(options, _run(actions.cross, options, "deposit", amount, to, again))


def withdraw(options: Options, amount: str | None, to: str | None, again: bool) -> None:
    _print(options, _run(actions.cross, options, "withdrawal", amount, to, again))


def prove(options: Options, transaction: str) -> None:
    _print(options, _run(actions.at_once, options, transaction, withdrawals.prove))


def finalize(options: Options, transaction: str) -> None:
    _print(options, _run(actions.at_once, options, transaction, withdrawals.finalize))


def status(options: Options, transaction: str | None) -> None:
    _print(options, _run(actions.look, options, transaction))


def _run(work: Callable[..., Awaitable[list[Report]]], *values: Any) -> list[Report]:
    """Run it; what the world may do to us is told as an expected fault."""
    try:
        return trio.run(work, *values)
    except (Temporary, Malformed, Rejected) as error:
        raise ChainTrouble(f"{error}; nothing that was begun is lost, try again") from None
    except Refused as error:
        raise ChainTrouble(str(error)) from None


def _print(options: Options, rows: list[Report]) -> None:
    if options.as_json:
        show.data(rows)
        return
    for line in show.lines(rows, time.time()) or ["nothing has crossed yet"]:
        print(line)
