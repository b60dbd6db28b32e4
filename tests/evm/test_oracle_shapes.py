"""A claim that breaks a bound is convicted, also one that our own types could not hold."""

from dataclasses import replace
from typing import Any

import pytest

from protocol.batch import Text
from protocol.events import BatchPosted
from protocol.merkle import CLAIM, Tree, leaf
from protocol.openings import ClaimOpening
from protocol.parameters import OPEN
from protocol.refute import Shape, convicts
from protocol.words import ClaimWords, Slot, decode_claim
from tests.courtroom import PHRASES, RULES
from tests.evm.courthouse import Courthouse

TEXT = Text(PHRASES[3], PHRASES[0] + b"! " + PHRASES[3])
NOBODY = Slot(0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def court(_deployed: Any) -> Courthouse:
    return Courthouse(type(_deployed))


def slots(claim: ClaimWords, number: int, **changes: int) -> ClaimWords:
    who = list(claim.who)
    who[number] = who[number]._replace(**changes)
    return claim._replace(who=tuple(who))


BROKEN = {
    "too short": lambda c: c._replace(length=RULES.span_min - 1),
    "too long": lambda c: c._replace(length=RULES.span_max + 1),
    "beyond the answer": lambda c: c._replace(start=len(TEXT.output) - c.length + 1),
    "far beyond the answer": lambda c: c._replace(start=2**32 - 1),
    "nobody": lambda c: c._replace(holders=0),
    "more than are paid": lambda c: c._replace(
        holders=4, who=(*c.who[:3], Slot(1, 2**63, 0, 9, 0))
    ),
    "more than there are slots": lambda c: c._replace(holders=2**32 - 1),
    "an unused slot in use": lambda c: slots(c, 3, entry=1),
    "the treasury": lambda c: slots(c, 0, contributor=0),
    "an id beyond the pool": lambda c: slots(c, 0, contributor=2**24),
    "a number beyond the tree": lambda c: slots(c, 0, entry=2**20),
    "one contributor twice": lambda c: slots(c, 2, contributor=c.who[0].contributor),
    "out of order": lambda c: c._replace(who=(c.who[1], c.who[0], *c.who[2:])),
    "one place twice": lambda c: slots(c, 1, shard=c.who[0].shard, position=c.who[0].position),
    "an echo beyond the prompt": lambda c: c._replace(echo=len(TEXT.prompt) - c.length + 2),
    "of another answer": lambda c: c._replace(answer=1),
}


@pytest.mark.parametrize("name", ["nothing", *BROKEN])
def test_a_broken_bound_is_convicted(name: str, court: Courthouse) -> None:
    world = court.world
    body = world.body(world.answered([(TEXT, OPEN)], court.paid))
    case = world.case(2, body)
    claims = [decode_claim(claim.words()) for claim in body.claims]
    assert claims[0].holders == 3
    claims[0] = BROKEN[name](claims[0]) if name in BROKEN else claims[0]
    tree = Tree(CLAIM, [leaf(CLAIM, claim.words()) for claim in claims])
    header = replace(case.trees, claims=tree).header(body.encode(), world.as_of)
    opening = ClaimOpening(0, claims[0], tuple(tree.siblings(0)))
    refutation = Shape(2, opening, case.answer(0))
    with court.anchor():
        assert any(isinstance(e, BatchPosted) for e in court.send(court.posting(header)))

        slashed = court.verdict(refutation)

    assert (slashed is not None) == (name in BROKEN)
    assert convicts(refutation, header, world) == (name in BROKEN)
