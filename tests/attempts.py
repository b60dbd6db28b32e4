"""Draws refutations of a batch, sound and unsound ones, for every function of the contracts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from attribution.openings import Case
from protocol.openings import (
    NO_ANSWER,
    NO_CLAIM,
    NO_ENTRY,
)
from protocol.refute import (
    Chain,
    Contributor,
    Earlier,
    Echo,
    EntryWrong,
    Forged,
    Gap,
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
    TakenDown,
    Transition,
    Unfunded,
)
from protocol.sumtree import ENTRY_BITS, ID_BITS
from protocol.text import is_word_start
from tests.attempt_openings import Drawing
from tests.attempts_influence import OF_ANSWERS, OF_INFLUENCES
from tests.courtroom import World


def _mismatch(d: Drawing) -> Refutation:
    batch, claim, answer = d.opened(d.claim())
    slot = d.number(0, max(0, claim.claim.holders - (not d.one_in(6))))
    who, words = claim.claim.who[min(slot, 3)], claim.claim
    output = d.output(answer.index, words.start, words.end)
    corpus = d.corpus(who.shard, who.position, who.position + words.length)
    return Mismatch(batch, claim, answer, slot, output, corpus)


def _longer(d: Drawing) -> Refutation:
    batch, claim, answer = d.opened(d.claim())
    words, text = claim.claim, d.body.texts[answer.index].output
    shard, position = d.place(text[words.start : words.end + (not d.one_in(4))])
    output = d.output(answer.index, words.start, words.end + 1)
    corpus = d.corpus(shard, position, position + words.length + 1)
    document = d.document(shard, position)
    return Longer(batch, claim, answer, shard, position, document, output, corpus)


def _earlier(d: Drawing) -> Refutation:
    batch, claim, answer = d.opened(d.claim())
    words, text = claim.claim, d.body.texts[answer.index].output
    shard, position = d.place(text[words.start : words.end])
    document = d.document(shard, position)
    output = d.output(answer.index, words.start, words.end)
    corpus = d.corpus(shard, position, position + words.length)
    return Earlier(batch, claim, answer, shard, position, document, output, corpus)


def _omitted(d: Drawing) -> Refutation:
    answer = d.number(0, len(d.body.answers) - 1)
    row, text = d.body.answers[answer], d.body.texts[answer].output
    starts = [at for at in range(len(text)) if is_word_start(text, at)] or [0]
    start = d.draw(st.sampled_from(starts)) if not d.one_in(8) else d.number(0, len(text))
    first, last = row.first_claim, row.first_claim + row.claim_count
    claims = d.body.claims[first:last]
    at = first + sum(claim.start < start for claim in claims) + (-1 if d.one_in(8) else 0)
    length = d.number(d.world.parameters.span_min - d.one_in(8), d.world.parameters.span_max)
    longest = max(
        (w for w in range(length, 0, -1) if _occurs(d, text[start : start + w])), default=1
    )
    gap = Gap(start, longest, *d.place(text[start : start + longest]))
    return Omitted(
        d.batch,
        d.case.answer(answer),
        d.case.claim(at - 1) if first < at <= last else NO_CLAIM,
        d.case.claim(at) if first <= at < last else NO_CLAIM,
        gap,
        d.document(gap.shard, gap.position),
        d.output(answer, start, start + longest),
        d.corpus(gap.shard, gap.position, gap.position + longest),
    )


def _occurs(d: Drawing, span: bytes) -> bool:
    return any(span in text for text, _ in d.world.bodies)


def _contributor(d: Drawing) -> Refutation:
    batch, claim, answer = d.opened(d.claim())
    slot = d.number(0, max(0, claim.claim.holders - (not d.one_in(6))))
    who = claim.claim.who[min(slot, 3)]
    document = d.document(who.shard, who.position)
    return Contributor(batch, claim, answer, slot, document)


def _taken_down(d: Drawing) -> Refutation:
    batch, claim, answer = d.opened(d.claim())
    return TakenDown(batch, claim, answer, d.number(0, max(0, claim.claim.holders)))


def _echo(d: Drawing) -> Refutation:
    batch, claim, answer = d.opened(d.claim())
    words, text = claim.claim, d.body.texts[answer.index]
    span = text.output[words.start : words.end]
    places = [at for at in range(len(text.prompt)) if text.prompt.startswith(span, at)]
    place = d.number(0, len(text.prompt))
    if places and not d.one_in(4):
        place = d.draw(st.sampled_from(places))
    elif words.echo and not d.one_in(4):
        place = words.echo - 1
    output = d.output(answer.index, words.start, words.end)
    return Echo(
        batch, claim, answer, place, output, d.prompt(answer.index, place, place + len(span))
    )


def _shape(d: Drawing) -> Refutation:
    return Shape(*d.opened(d.claim()))


def _order(d: Drawing) -> Refutation:
    number = d.claim()
    return Order(d.batch, d.case.claim(number), d.neighbour(number, 1 - d.one_in(8)))


def _owned(d: Drawing) -> Refutation:
    number = d.claim()
    claim = d.body.claims[number]
    near = (claim.left_by, claim.right_by, number - 1, number + 1)
    inside = [n for n in near if 0 <= n < len(d.body.claims)] or [number]
    other = d.claim() if d.one_in(4) else d.draw(st.sampled_from(inside))
    return Owned(d.batch, d.case.claim(number), d.case.claim(other))


def _paid(d: Drawing) -> Refutation:
    number = d.claim()
    claim = d.body.claims[number]
    answers = d.body.answers
    first = claim.answer < len(answers) and answers[claim.answer].first_claim == number
    previous = NO_CLAIM if first and not d.one_in(6) else d.neighbour(number, -1)
    return Paid(*d.opened(number), previous)


def _entry(d: Drawing) -> Refutation:
    opened = d.opened(d.claim())
    words = opened[1].claim
    slot = d.number(0, max(0, words.holders - (not d.one_in(6))))
    who = words.who[min(slot, 3)]
    known = who.contributor >> ID_BITS == 0 and who.entry >> ENTRY_BITS == 0
    entry = d.case.entry(who.contributor << ENTRY_BITS | who.entry) if known else NO_ENTRY
    return EntryWrong(*opened, slot, d.entry() if d.one_in(6) else entry)


def _invented(d: Drawing) -> Refutation:
    entry = d.entry()
    answer = entry.answer if entry.answer < len(d.body.answers) and not d.one_in(8) else 0
    row, number = d.body.answers[answer], entry.claim
    if number >= len(d.body.claims):
        number = row.first_claim + row.claim_count - 1 if row.claim_count else len(d.body.claims)
    claim = d.case.claim(number) if 0 <= number < len(d.body.claims) else NO_CLAIM
    return Invented(d.batch, entry, claim, d.last_influence(answer), d.case.answer(answer))


def _remainder(d: Drawing) -> Refutation:
    answer = d.number(0, len(d.body.answers) - 1)
    row = d.body.answers[answer]
    last = row.first_claim + row.claim_count - 1
    claim = d.case.claim(last) if row.claim_count and last < len(d.body.claims) else NO_CLAIM
    entry = d.entry() if row.remainder_entry >> ENTRY_BITS else d.case.entry(row.remainder_entry)
    return Remainder(d.batch, d.case.answer(answer), entry, claim, d.last_influence(answer))


def _numbering(d: Drawing) -> Refutation:
    second = d.entry()
    first = d.case.entry(max(0, second.index - 1 - d.one_in(8)))
    return Numbering(d.batch, first, second)


def _transition(d: Drawing) -> Refutation:
    who = d.number(0, 7)
    other = who ^ 1 if d.one_in(8) else who
    return Transition(
        d.batch, who, d.case.old_total(other), d.case.subtotal(who), d.case.new_total(who)
    )


def _chain(d: Drawing) -> Refutation:
    number = d.number(0, len(d.body.answers) - 1)
    other = number + 1 - 2 * d.one_in(8)
    inside = 0 <= other < len(d.body.answers)
    return Chain(d.batch, d.case.answer(number), d.case.answer(other) if inside else NO_ANSWER)


def _forged(d: Drawing) -> Refutation:
    return Forged(d.batch, d.case.answer(d.number(0, len(d.body.answers) - 1)))


def _unfunded(d: Drawing) -> Refutation:
    return Unfunded(d.batch, d.case.answer(d.number(0, len(d.body.answers) - 1)))


def _repeated(d: Drawing) -> Refutation:
    answer = d.number(0, len(d.body.answers) - 1)
    batch = d.draw(st.sampled_from([d.batch, *d.world.final, 77]))
    case = d.world.final.get(batch, d.case)
    return Repeated(
        d.batch, d.case.answer(answer), batch, case.answer(d.number(0, len(case.body.answers) - 1))
    )


_OF_CLAIMS: list[Callable[[Drawing], Refutation]] = [
    *(_mismatch, _longer, _earlier, _contributor, _echo),
    *(_shape, _order, _owned, _paid, _entry, _taken_down),
]
_OF_ANSWERS: list[Callable[[Drawing], Refutation]] = [
    *(_omitted, _invented, _remainder, _numbering, _transition),
    *(_chain, _forged, _unfunded, _repeated, *OF_ANSWERS),
]


@st.composite
def attempts(draw: st.DrawFn, case: Case, world: World) -> Refutation:
    """Any refutation of `case`, its openings now and then damaged."""
    kinds = _OF_ANSWERS + (_OF_CLAIMS if case.body.claims else [])
    kinds += OF_INFLUENCES if case.body.influences else []
    refutation = draw(st.sampled_from(kinds))(Drawing(draw, case, world))
    return _damaged(draw, refutation) if draw(st.integers(0, 9)) == 0 else refutation


def _damaged(draw: st.DrawFn, refutation: Refutation) -> Refutation:
    """One proof of one opening cut or turned over."""
    names = type(refutation).__dataclass_fields__
    names = [name for name in names if getattr(getattr(refutation, name), "proof", ())]
    if not names:
        return refutation
    name = draw(st.sampled_from(names))
    opening: Any = getattr(refutation, name)
    way = opening.proof
    bad = way[:-1] if draw(st.booleans()) else tuple(reversed(way))
    changed: dict[str, Any] = {name: replace(opening, proof=bad)}
    return replace(refutation, **changed)
