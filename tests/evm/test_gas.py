"""What each refutation costs on one fixed batch, as recorded; REWRITE_GAS=1 records it anew."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attribution.claims import Answered
from attribution.fraud import find_fraud
from attribution.spans import Span
from contracts import abi
from protocol.batch import Body, Text
from protocol.claims import Claim, Entry
from protocol.parameters import OPEN
from protocol.refute import (
    REFUTATIONS,
    Chain,
    Contributor,
    Earlier,
    Echo,
    EntryWrong,
    Forged,
    Invented,
    Longer,
    Mismatch,
    Numbering,
    Omitted,
    Order,
    Owned,
    Paid,
    Refutation,
    Remainder,
    Repeated,
    Shape,
    Transition,
    Unfunded,
)
from protocol.signature import sign
from tests.courtroom import ADAPTER, HOST, PAYER, PHRASES, REDEEMED, World, secret
from tests.evm.courthouse import VALIDATOR, Courthouse

TABLE = Path(__file__).with_name("gas.json")
BASE, ZERO_BYTE, BYTE = 21_000, 4, 16  # gas of a transaction and of its calldata
QUESTIONS = [
    (Text(b"say: " + PHRASES[3], b" ".join(PHRASES[n] for n in (0, 4, 1, 2, 3))), 3 * OPEN),
    (Text(b"why?", PHRASES[1][20:] + b" " + PHRASES[0]), OPEN),
]


def respan(told: list[Answered], answer: int, number: int, **changes: Any) -> list[Answered]:
    spans = list(told[answer].spans)
    spans[number] = replace(spans[number], **changes)
    told[answer] = replace(told[answer], spans=tuple(spans))
    return told


def first(told: list[Answered], wanted: Callable[[Span], bool]) -> tuple[int, int]:
    places = ((a, s) for a, item in enumerate(told) for s in range(len(item.spans)))
    return next((a, s) for a, s in places if wanted(told[a].spans[s]))


def lie(kind: type[Refutation], world: World, told: list[Answered]) -> Body:
    """A body that the validator's search convicts by exactly that refutation."""
    several = first(told, lambda span: len(span.who) > 1)
    span = told[several[0]].spans[several[1]]
    if kind is Mismatch:
        moved = replace(span.who[0], position=span.who[0].position + 1)
        return world.body(respan(told, *several, who=(moved, *span.who[1:])))
    if kind is Longer:
        return world.body(respan(told, *several, length=span.length - 1))
    if kind is Earlier:
        return world.body(respan(told, *several, who=span.who[1:]))
    if kind is Contributor:
        other = replace(span.who[0], contributor=5)
        return world.body(respan(told, *several, who=(other, *span.who[1:])))
    if kind is Echo:
        where = first(told, lambda span: span.echo > 0)
        return world.body(respan(told, *where, echo=0))
    if kind is Omitted:
        told[0] = replace(told[0], spans=told[0].spans[:1] + told[0].spans[2:])
        return world.body(told)
    if kind in (Forged, Unfunded, Repeated):
        return _receipts(kind, world, told)
    return _numbers(kind, world.body(told))


def _receipts(kind: type[Refutation], world: World, told: list[Answered]) -> Body:
    receipt = told[0].receipt
    if kind is Forged:
        signature = sign(secret("another"), receipt.digest(world.escrow))
        told[0] = replace(told[0], signature=signature)
        return world.body(told)
    spent = OPEN if kind is Repeated else 2 * REDEEMED
    receipt = replace(receipt, amount=OPEN, cumulative=spent)
    told[0] = replace(told[0], receipt=receipt, signature=world.signed(receipt))
    return world.body(told)


def _numbers(kind: type[Refutation], body: Body) -> Body:
    claims, rows, answers = list(body.claims), list(body.entries), list(body.answers)
    claim: Claim = claims[1]
    if kind is Shape:
        claims[1] = replace(claim, answer=claim.answer + 1)
    if kind is Order:
        claims[1], claims[2] = claims[2], claims[1]
    if kind is Owned:
        claims[1] = replace(claim, own_end=claim.own_end - 1)
    if kind is Paid:
        claims[1] = replace(claim, paid=claim.paid + 1)
    if kind is EntryWrong:
        at = next(n for n, (_, e) in enumerate(rows) if e.contributor)
        rows[at] = (rows[at][0], replace(rows[at][1], value=rows[at][1].value + 1))
    if kind is Remainder:
        at = next(n for n, (_, e) in enumerate(rows) if not e.contributor)
        rows[at] = (rows[at][0], replace(rows[at][1], value=rows[at][1].value + 1))
    if kind is Invented:
        rows.append((0, Entry(6, 0, 0, 0, OPEN)))
    if kind is Numbering:
        mine = [n for n, (_, e) in enumerate(rows) if not e.contributor]
        last = mine[-1]
        number, entry = rows[last]
        rows[last] = (number + 1, entry)
        answers[entry.answer] = replace(answers[entry.answer], remainder_entry=number + 1)
    if kind is Chain:
        answers[1] = replace(answers[1], first_claim=answers[1].first_claim + 1)
    body = replace(body, claims=tuple(claims), entries=tuple(rows), answers=tuple(answers))
    if kind is Transition:
        totals = dict(body.totals)
        totals[1] -= 1
        totals[2] += 1
        body = replace(body, totals=tuple(sorted(totals.items())))
    return body


def measure(court: Courthouse) -> dict[str, dict[str, int]]:
    """Bytes of calldata, and gas of the whole transaction, by function."""
    world, table = court.world, dict[str, dict[str, int]]()
    with court.anchor():
        case = world.case(0, world.body(world.answered(QUESTIONS, court.paid)))
        header = court.posting(case.trees.header(case.body.encode()))
        court.send(header)
        table["post"] = _cost(court, header)
    for kind in REFUTATIONS:
        with court.anchor():
            body = lie(kind, world, world.answered(QUESTIONS, court.paid))
            case = world.case(court.post(body), body)
            fraud = find_fraud(case, {(PAYER, HOST, ADAPTER): REDEEMED}, [*world.final.values()])
            assert type(fraud) is kind
            assert fraud is not None
            court.send(fraud, VALIDATOR)
            table[fraud.function] = _cost(court, fraud)
    return table


def _cost(court: Courthouse, call: Any) -> dict[str, int]:
    data = court.chain.bindings.encode(call)[1]
    zeros = data.count(0)
    calldata = ZERO_BYTE * zeros + BYTE * (len(data) - zeros)
    return {"bytes": len(data), "gas": BASE + calldata + court.chain.gas}


@pytest.fixture(scope="module")
def court(_deployed: Any) -> Courthouse:
    return Courthouse(type(_deployed))


def test_gas_is_what_was_recorded(court: Courthouse) -> None:
    """Rewrite the table when a change of the contracts is meant to cost something else."""
    found = measure(court)
    if os.environ.get("REWRITE_GAS"):
        TABLE.write_text(json.dumps(found, indent=1) + "\n")
    recorded = json.loads(TABLE.read_text())

    assert {name: row["bytes"] for name, row in found.items()} == {
        name: row["bytes"] for name, row in recorded.items()
    }
    for name, row in found.items():
        # Signatures differ with the addresses, so a few bytes of calldata weigh otherwise.
        assert abs(row["gas"] - recorded[name]["gas"]) <= recorded[name]["gas"] // 50, name


def test_every_refutation_is_recorded() -> None:
    recorded = json.loads(TABLE.read_text())

    assert {kind.function for kind in REFUTATIONS} | {"post"} == set(recorded)
    assert all(abi.artifact(kind.contract).functions[kind.function] for kind in REFUTATIONS)
    # A challenge must fit comfortably into any block, and stay cheap against the least bond.
    assert max(row["gas"] for row in recorded.values()) < 700_000
