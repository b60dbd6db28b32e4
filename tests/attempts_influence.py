"""Draws refutations of the influences of a batch, sound and unsound ones."""

from collections.abc import Callable

from hypothesis import strategies as st

from protocol.claims import INFLUENCE_SLOT
from protocol.openings import NO_ENTRY, NO_INFLUENCE
from protocol.refute import (
    InfluenceEnd,
    InfluenceEntry,
    InfluenceInvented,
    InfluenceWrong,
    Missing,
    Query,
    Refutation,
    Score,
)
from protocol.sumtree import ENTRY_BITS, ID_BITS
from tests.attempt_openings import Drawing


def _query(d: Drawing) -> Refutation:
    answer = d.number(0, len(d.body.answers) - 1)
    return Query(d.batch, d.case.answer(answer), d.query(answer))


def _missing(d: Drawing) -> Refutation:
    answer = d.number(0, len(d.body.answers) - 1)
    row = d.body.answers[answer]
    first, last = row.first_influence, row.first_influence + row.influence_count
    at = d.number(first, last) if last - first < 99 else first
    before, after = first < at, first <= at < last
    return Missing(
        d.batch,
        d.case.answer(answer),
        d.influence(at - 1) if before and not d.one_in(8) else NO_INFLUENCE,
        d.influence(at) if after and not d.one_in(8) else NO_INFLUENCE,
        d.row(d.number(0, 7)),
        d.query(answer),
    )


def _end(d: Drawing) -> Refutation:
    answer = d.number(0, len(d.body.answers) - 1)
    opened = d.case.answer(answer)
    return InfluenceEnd(d.batch, opened, d.last_claim(answer), d.last_influence(answer))


def _score(d: Drawing) -> Refutation:
    number = d.number(0, len(d.body.influences) - 1)
    answer = d.answer_of(number)
    example = d.body.influences[number].example
    row = d.row(d.number(0, 7) if d.one_in(8) else example)
    return Score(d.batch, d.case.influence(number), answer, row, d.query(answer.index))


def _wrong(d: Drawing) -> Refutation:
    number = d.number(0, len(d.body.influences) - 1)
    answer = d.answer_of(number)
    first = d.body.answers[answer.index].first_influence == number
    previous = NO_INFLUENCE if first and not d.one_in(8) else d.influence(number - 1)
    return InfluenceWrong(d.batch, d.case.influence(number), answer, previous)


def _entry(d: Drawing) -> Refutation:
    number = d.number(0, len(d.body.influences) - 1)
    one = d.body.influences[number]
    known = one.contributor >> ID_BITS == 0 and one.entry >> ENTRY_BITS == 0
    entry = d.case.entry(one.contributor << ENTRY_BITS | one.entry) if known else NO_ENTRY
    entry = d.entry() if d.one_in(6) else entry
    return InfluenceEntry(d.batch, d.case.influence(number), d.answer_of(number), entry)


def _invented(d: Drawing) -> Refutation:
    places = [
        entry.contributor << ENTRY_BITS | number
        for number, entry in d.body.entries
        if entry.slot == INFLUENCE_SLOT
    ]
    entry = d.case.entry(d.draw(st.sampled_from(places))) if places else d.entry()
    entry = d.entry() if d.one_in(8) else entry
    answer = min(entry.answer, len(d.body.answers) - 1)
    named = d.influence(min(entry.claim, len(d.body.influences) - 1))
    return InfluenceInvented(d.batch, entry, named, d.case.answer(answer))


OF_ANSWERS: list[Callable[[Drawing], Refutation]] = [_query, _missing, _end]
OF_INFLUENCES: list[Callable[[Drawing], Refutation]] = [_score, _wrong, _entry, _invented]
