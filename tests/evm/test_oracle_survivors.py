"""Cases that a seeded bug (`contracts/mutants`) once survived."""

from dataclasses import replace

from protocol.batch import Text
from protocol.openings import NO_CLAIM, NO_DOCUMENT, NO_ENTRY, NO_INFLUENCE
from protocol.parameters import OPEN
from protocol.refute import Gap, Omitted, Remainder, convicts
from tests.courtroom import PHRASES, header_of
from tests.evm.courthouse import Courthouse
from tests.evm.embedded import Chain


def test_spans_may_not_take_more_than_there_is() -> None:
    """Also where the answer says that nothing is left; a wei less is only a wrong remainder."""
    court = Courthouse(Chain)
    world = court.worlds[0]  # no influences yet
    told = world.answered([(Text(b"", PHRASES[0] + b" " + PHRASES[1]), OPEN)], court.paid)
    honest = world.body(told)
    last = honest.answers[0].claim_count - 1
    share = world.parameters.contributors_share(OPEN)
    answer = replace(honest.answers[0], remainder_entry=0)
    for paid, convicted in ((share, False), (share + 1, True)):
        claims = (*honest.claims[:last], replace(honest.claims[last], paid=paid))
        body = replace(honest, answers=(answer,), claims=claims)
        with court.anchor():
            case = world.case(court.post(body, world.as_of), body)
            claim = case.claim(last)
            refutation = Remainder(case.batch, case.answer(0), NO_ENTRY, claim, NO_INFLUENCE)

            assert convicts(refutation, header_of(case), world) == convicted
            assert (court.verdict(refutation) is not None) == convicted


def test_a_span_begins_at_a_word_of_the_answer() -> None:
    """The corpus holds at a word start what the answer has only inside a word."""
    court = Courthouse(Chain)
    world, phrase = court.world, PHRASES[5]
    for prefix, convicted in ((b"x", False), (b"!", True)):
        text = Text(b"", prefix + phrase)
        honest = world.body(world.answered([(text, OPEN)], court.paid))
        # The liar leaves all spans out; what then is missing is still only what begins a word.
        answer = replace(honest.answers[0], claim_count=0)
        body = replace(honest, answers=(answer,), claims=())
        with court.anchor():
            case = world.case(court.post(body), body)
            shard = next(n for n, (held, _) in enumerate(world.bodies) if phrase in held)
            at = world.bodies[shard][0].find(phrase)
            length = len(phrase)
            refutation = Omitted(
                case.batch,
                case.answer(0),
                NO_CLAIM,
                NO_CLAIM,
                Gap(1, length, shard, at),
                NO_DOCUMENT,
                case.output(0, 1, 1 + length),
                case.place(0, shard, at, at + length),
            )

            assert convicts(refutation, header_of(case), world) == convicted
            assert (court.verdict(refutation) is not None) == convicted
