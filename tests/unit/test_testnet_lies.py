"""The demonstration's lies about influence are lies, and each is found."""

from dataclasses import replace
from random import Random

import pytest

from attribution.claims import Answered, build_body
from attribution.fraud import find_fraud
from attribution.influence.scores import influences_of
from attribution.openings import Case
from attribution.spans import spans_of
from node.testnet.lies import ALL_KINDS, Liar, NoOccasion, lies_left
from protocol.batch import Body, Header, Text
from protocol.court import Kind
from protocol.ledger import BatchRecord, Ledger, Status
from protocol.receipt import domain
from protocol.refute import Refutation
from protocol.refute_influences import InfluenceEnd, InfluenceWrong, Missing, Score
from protocol.signature import address_of, sign
from tests.sim.story import HOST
from tests.unit.test_why import FEE, OUTPUT, PROMPT, RULES, features, held, receipt

ACCOMPLICE = 9
WHERE = domain(1, bytes(20))
ROOT = bytes(32)
HEADER = Header(ROOT, ROOT, ROOT, ROOT, ROOT, ROOT, 1, 0, 1, 0, 0, 0)


def answered(output: bytes = OUTPUT) -> Answered:
    held_features, psi = features()
    spans = tuple(spans_of(held(), PROMPT, output, RULES))
    found = tuple(influences_of(held_features, psi, RULES))
    signed = replace(receipt(PROMPT, output, FEE), host=address_of(HOST))
    signature = sign(HOST, signed.digest(WHERE))
    return Answered(signed, signature, Text(PROMPT, output), spans, psi, found)


def honest(item: Answered) -> Body:
    return build_body([item], [item.receipt.digest(WHERE)], {}, RULES)


def lie(item: Answered, seed: int) -> Body:
    liar = Liar("influence", Random(seed), ACCOMPLICE)
    return liar([item], [item.receipt.digest(WHERE)], {}, RULES)


def judged(body: Body) -> Refutation | None:
    signed = body.answers[0].receipt
    corpora, sets = {signed.adapter: held()}, {signed.adapter: features()[0]}
    case = Case(1, body, body.trees(), (signed.digest(WHERE),), corpora, {}, RULES, sets)
    return find_fraud(case, {(signed.payer, signed.host, signed.adapter): FEE}, [])


def test_the_honest_body_is_right() -> None:
    assert judged(honest(answered())) is None


@pytest.mark.parametrize("seed", range(12))
def test_every_lie_about_influence_is_found(seed: int) -> None:
    body = lie(answered(), seed)

    assert body != honest(answered())
    assert isinstance(judged(body), Score | Missing | InfluenceWrong | InfluenceEnd)


def test_without_influence_or_a_byte_left_there_is_no_occasion() -> None:
    for item in (
        replace(answered(), influences=()),
        answered(b"Pack my box with five dozen liquor jugs"),
    ):
        with pytest.raises(NoOccasion):
            lie(item, 1)


def test_the_liar_goes_through_all_kinds_and_then_stops() -> None:
    ledger = Ledger()
    for number, kind in enumerate(ALL_KINDS, 1):
        assert lies_left(ledger)[0] == kind
        row = BatchRecord(number, bytes(20), HEADER, 0, 1, Status.SLASHED, int(Kind[kind.upper()]))
        ledger.batches[number] = row
    assert lies_left(ledger) == []
