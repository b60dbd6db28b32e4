"""What each refutation costs at the most, as recorded; REWRITE_GAS=1 records it anew.

The batch is as large as can be, the shards have 2**30 bytes, prompts and outputs 24 KiB.
"""

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
from protocol.claims import INFLUENCE_SLOT, Claim, Entry
from protocol.court import Kind
from protocol.features import DIMENSION
from protocol.parameters import OPEN
from protocol.receipt import PROMPT_MAX
from protocol.refute import (
    REFUTATIONS,
    Chain,
    Contributor,
    Earlier,
    Echo,
    EntryWrong,
    Forged,
    InfluenceEnd,
    InfluenceEntry,
    InfluenceInvented,
    InfluenceWrong,
    Invented,
    Longer,
    Mismatch,
    Missing,
    Numbering,
    Omitted,
    Order,
    Owned,
    Paid,
    Query,
    Refutation,
    Remainder,
    Repeated,
    Score,
    Shape,
    TakenDown,
    Transition,
    Unfunded,
)
from protocol.signature import sign
from tests.courtroom import ADAPTER, HOST, PAYER, PHRASES, REDEEMED, World, header_of, secret
from tests.evm.courthouse import VALIDATOR, Courthouse
from tests.evm.deep import DeepCourthouse

TABLE = Path(__file__).with_name("gas.json")
BASE, ZERO_BYTE, BYTE = 21_000, 4, 16  # gas of a transaction and of its calldata
CALLDATA_MAX, GAS_MAX = 8_000, 300_000  # of any proof, without what the conviction costs
SPAN_CALLDATA_MAX, SPAN_GAS_MAX = 3_900, 145_000  # that the corpus has not what a claim says


def whole(start: bytes) -> bytes:
    """A text of the greatest length, of which only the start stands in the corpus."""
    return (start + b" zq" * PROMPT_MAX)[:PROMPT_MAX]


QUESTIONS = [
    (
        Text(whole(b"say: " + PHRASES[3]), whole(b" ".join(PHRASES[n] for n in (0, 4, 1, 2, 3)))),
        3 * OPEN,
    ),
    (Text(b"why?", whole(PHRASES[1][20:] + b" " + PHRASES[0])), OPEN),
    (Text(b"", PHRASES[5]), OPEN),
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
    if kind in (Query, Score, Missing):
        return _lists(kind, world, told)
    return _numbers(kind, world.body(told))


def _lists(kind: type[Refutation], world: World, told: list[Answered]) -> Body:
    item = told[0]
    if kind is Query:
        loud = bytes([127]) * DIMENSION
        told[0] = replace(item, query=loud, influences=())
    if kind is Score:
        first_of_all = replace(item.influences[0], score=item.influences[0].score + 1)
        told[0] = replace(item, influences=(first_of_all, *item.influences[1:]))
    if kind is Missing:
        told[0] = replace(item, influences=(item.influences[0], *item.influences[2:]))
    return world.body(told)


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
    influences = list(body.influences)
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
    if kind is InfluenceWrong:
        influences[1] = replace(influences[1], paid=influences[1].paid + 1)
    if kind is InfluenceEnd:
        answers[0] = replace(answers[0], score_total=answers[0].score_total + 1)
    if kind in (InfluenceEntry, InfluenceInvented):
        at = next(n for n, (_, e) in enumerate(rows) if e.slot == INFLUENCE_SLOT)
        number, entry = rows[at]
        changed = replace(entry, value=entry.value + 1)
        rows[at] = (number, changed)
        if kind is InfluenceInvented:
            rows[at] = (number, entry)
            rows.append((99, replace(entry, contributor=6)))
    if kind is Chain:
        answers[1] = replace(answers[1], first_claim=answers[1].first_claim + 1)
    body = replace(body, claims=tuple(claims), entries=tuple(rows), answers=tuple(answers))
    body = replace(body, influences=tuple(influences))
    if kind is Transition:
        totals = dict(body.totals)
        totals[1] -= 1
        totals[2] += 1
        body = replace(body, totals=tuple(sorted(totals.items())))
    return body


def measure(court: DeepCourthouse) -> dict[str, dict[str, int]]:
    """Bytes of calldata, and gas of the whole transaction, by function."""
    world, table = court.world, dict[str, dict[str, int]]()
    with court.anchor():
        case = world.case(0, world.body(world.answered(QUESTIONS, court.paid)))
        header = court.posting(court.committed(header_of(case)))
        court.send(header)
        table["post"] = _cost(court, header)
    told = world.answered(QUESTIONS, court.paid)
    table["conviction"] = {"bytes": 0, "gas": _conviction(court)}
    for kind in REFUTATIONS:
        # Who lists a document that is down believed a moment ago that it was not.
        late = court.worlds[3] if kind is TakenDown else world
        with court.anchor():
            body = lie(kind, world, list(told))
            case = late.case(court.post(body, late.as_of), body)
            fraud = find_fraud(case, {(PAYER, HOST, ADAPTER): REDEEMED}, [*world.final.values()])
            assert type(fraud) is kind, fraud
            assert fraud is not None
            deep = court.deepened(fraud)
            court.send(deep, VALIDATOR)
            table[fraud.function] = row = _cost(court, deep)
            row["proof"] = row["gas"] - table["conviction"]["gas"]
    return table


def _conviction(court: Courthouse) -> int:
    """What it costs to slash and to void, whatever the proof: execution alone."""
    world, chain = court.world, court.chain
    with court.anchor():
        batch = court.post(world.body(world.answered(QUESTIONS, court.paid)))
        kind, judge = int(Kind.MISMATCH), chain.addresses["SpanRefutations"]
        query = chain.bindings.query("AttributionOracle", "convict", batch, kind, VALIDATOR)
        chain.execute(*query, 0, judge)
        return int(chain.gas)


def _cost(court: Courthouse, call: Any) -> dict[str, int]:
    data = court.chain.bindings.encode(call)[1]
    zeros = data.count(0)
    calldata = ZERO_BYTE * zeros + BYTE * (len(data) - zeros)
    return {"bytes": len(data), "gas": BASE + calldata + court.chain.gas}


@pytest.fixture(scope="module")
def court(_deployed: Any) -> DeepCourthouse:
    return DeepCourthouse(type(_deployed))


def test_gas_is_what_was_recorded(court: DeepCourthouse) -> None:
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

    assert {kind.function for kind in REFUTATIONS} | {"post", "conviction"} == set(recorded)
    assert all(abi.artifact(kind.contract).functions[kind.function] for kind in REFUTATIONS)
    # A challenge must fit comfortably into any block, and stay cheap against the least bond.
    proofs = [recorded[kind.function] for kind in REFUTATIONS]
    assert max(row["proof"] for row in proofs) <= GAS_MAX
    assert max(row["bytes"] for row in proofs) <= CALLDATA_MAX
    for kind in (Mismatch, Contributor, Echo, TakenDown):
        assert recorded[kind.function]["proof"] <= SPAN_GAS_MAX
        assert recorded[kind.function]["bytes"] <= SPAN_CALLDATA_MAX
