"""Lies about influences: each is refuted by a few leaves and at most one row of features."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from attribution.influence.scores import Scored
from attribution.openings import Case
from protocol.claims import INFLUENCE_SLOT, Entry
from protocol.features import NO_EXAMPLE, FeatureRow, credited, dot, norm2, well_formed
from protocol.influences import Influence, part, pot
from protocol.openings import NO_CLAIM, NO_ENTRY, NO_FEATURE, NO_INFLUENCE
from protocol.refute import (
    InfluenceEnd,
    InfluenceEntry,
    InfluenceWrong,
    Missing,
    Query,
    Refutation,
    Score,
)
from protocol.sumtree import ENTRY_BITS, ID_BITS, entry_position


def numbers_of(case: Case, answer: int) -> range:
    """The influences of an answer."""
    row = case.body.answers[answer]
    return range(row.first_influence, row.first_influence + row.influence_count)


def query_frauds(case: Case) -> Iterator[Refutation]:
    """A feature that is there without a set in force, missing with one, or is none."""
    for answer, query in enumerate(case.body.queries):
        wanted = case.features_of(answer) is not None
        if wanted != bool(query) or (wanted and not well_formed(query)):
            yield Query(case.batch, case.answer(answer), query)


def influence_frauds(case: Case, honest: Sequence[Sequence[Scored]]) -> Iterator[Refutation]:
    """Everything wrong with the influences of a batch whose queries and chain are right."""
    for answer in range(len(case.body.answers)):
        yield from _ends(case, answer)
        for number in numbers_of(case, answer):
            yield from _sums(case, answer, number)
        yield from _scores(case, answer, honest[answer])
        yield from _missing(case, answer, honest[answer])
        for number in numbers_of(case, answer):
            yield from _entries(case, answer, number)


def amount_of(case: Case, answer: int, influence: Influence) -> int:
    """What an influence earns by the numbers that its answer states."""
    row = case.body.answers[answer]
    whole = pot(row.receipt, row.covered, case.parameters)
    return part(whole, influence.score, row.score_total)


def _ends(case: Case, answer: int) -> Iterator[Refutation]:
    row, numbers = case.body.answers[answer], numbers_of(case, answer)
    last = row.first_claim + row.claim_count - 1
    covered = case.body.claims[last].covered if row.claim_count else 0
    scores = case.body.influences[numbers[-1]].score_sum if numbers else 0
    spare = numbers and (not case.body.queries[answer] or row.covered >= row.receipt.output_size)
    long = len(numbers) > case.parameters.influences_max
    if long or spare or (covered, scores) != (row.covered, row.score_total):
        claim = case.claim(last) if row.claim_count else NO_CLAIM
        influence = case.influence(numbers[-1]) if numbers else NO_INFLUENCE
        yield InfluenceEnd(case.batch, case.answer(answer), claim, influence)


def _sums(case: Case, answer: int, number: int) -> Iterator[Refutation]:
    """An influence by itself and after the one before it."""
    one, numbers = case.body.influences[number], numbers_of(case, answer)
    first = number == numbers[0]
    before = None if first else case.body.influences[number - 1]
    scores, paid = (before.score_sum, before.paid) if before else (0, 0)
    sums = scores + one.score, paid + amount_of(case, answer, one)
    fits = 0 < one.contributor < 1 << ID_BITS and one.entry < 1 << ENTRY_BITS
    ordered = before is None or _rank(before) < _rank(one)
    if not (one.answer == answer and fits and ordered and sums == (one.score_sum, one.paid)):
        previous = NO_INFLUENCE if first else case.influence(number - 1)
        yield InfluenceWrong(case.batch, case.influence(number), case.answer(answer), previous)


def _scores(case: Case, answer: int, honest: Sequence[Scored]) -> Iterator[Refutation]:
    """Listed examples that may not be listed, or not so."""
    features, query = case.features_of(answer), case.body.queries[answer]
    if features is None:
        return
    known = {(one.example, one.contributor, one.score) for one in honest}
    for number in numbers_of(case, answer):
        one = case.body.influences[number]
        if (one.example, one.contributor, one.score) in known:
            continue
        row = case.example(answer, one.example) if one.example < features.rows else NO_FEATURE
        if row is NO_FEATURE or not _listed_right(case, answer, one, FeatureRow.decode(row.row)):
            yield Score(case.batch, case.influence(number), case.answer(answer), row, query)


def _listed_right(case: Case, answer: int, one: Influence, row: FeatureRow) -> bool:
    """Whether an example may stand in the list as it does, be it among the best or not."""
    if row.contributor != one.contributor or row.duplicate_of != NO_EXAMPLE:
        return False
    query = case.body.queries[answer]
    score, sizes = dot(row.phi, query), (norm2(row.phi), norm2(query))
    right = score == one.score and credited(score, *sizes, case.parameters)
    return right and one.example not in case.down(answer)


def _missing(case: Case, answer: int, honest: Sequence[Scored]) -> Iterator[Refutation]:
    """Examples that belong into a list whose own ones are right, and stand nowhere in it."""
    row, numbers = case.body.answers[answer], numbers_of(case, answer)
    if row.covered >= row.receipt.output_size:
        return
    ranks = [_rank(case.body.influences[number]) for number in numbers]
    for one in honest:
        rank = (-one.score, one.example)
        at = bisect_left(ranks, rank)
        if at < len(ranks) and ranks[at] == rank:
            continue
        yield Missing(
            case.batch,
            case.answer(answer),
            case.influence(numbers[at - 1]) if at else NO_INFLUENCE,
            case.influence(numbers[at]) if at < len(numbers) else NO_INFLUENCE,
            case.example(answer, one.example),
            case.body.queries[answer],
        )
        return


def _entries(case: Case, answer: int, number: int) -> Iterator[Refutation]:
    """The payment of an influence stands in the entry tree where it says."""
    one = case.body.influences[number]
    amount = amount_of(case, answer, one)
    opened = (case.batch, case.influence(number), case.answer(answer))
    if not amount:
        if one.entry:
            yield InfluenceEntry(*opened, NO_ENTRY)
        return
    place = entry_position(one.contributor, one.entry)
    due = Entry(one.contributor, answer, number, INFLUENCE_SLOT, amount)
    if case.entry_at(place) != due:
        yield InfluenceEntry(*opened, case.entry(place))


def _rank(influence: Influence) -> tuple[int, int]:
    return -influence.score, influence.example
