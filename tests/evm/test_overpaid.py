"""Spans that take more than the contributors' share are refuted by the remainder alone."""

from dataclasses import replace

from protocol.batch import Text
from protocol.openings import NO_ENTRY
from protocol.parameters import OPEN
from protocol.refute import Remainder, convicts
from tests.courtroom import PHRASES, header_of
from tests.evm.courthouse import Courthouse
from tests.evm.embedded import Chain


def test_spans_may_not_take_more_than_there_is() -> None:
    """Also where the answer says that nothing is left; a wei less is only a wrong remainder."""
    court = Courthouse(Chain)
    world = court.world
    told = world.answered([(Text(b"", PHRASES[0] + b" " + PHRASES[1]), OPEN)], court.paid)
    honest = world.body(told)
    last = honest.answers[0].claim_count - 1
    share = world.parameters.contributors_share(OPEN)
    answer = replace(honest.answers[0], remainder_entry=0)
    for paid, convicted in ((share, False), (share + 1, True)):
        claims = (*honest.claims[:last], replace(honest.claims[last], paid=paid))
        body = replace(honest, answers=(answer,), claims=claims)
        with court.anchor():
            case = world.case(court.post(body), body)
            refutation = Remainder(case.batch, case.answer(0), case.claim(last), NO_ENTRY)

            assert convicts(refutation, header_of(case), world) == convicted
            assert (court.verdict(refutation) is not None) == convicted
