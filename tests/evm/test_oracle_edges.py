"""The nearest misses of an honest batch: everything that almost convicts it does not."""

from collections.abc import Iterator
from typing import Any

import pytest

from attribution.openings import Case
from protocol.batch import Text
from protocol.claims import INFLUENCE_SLOT
from protocol.openings import (
    NO_ANSWER,
    NO_CLAIM,
    NO_INFLUENCE,
    DocumentOpening,
    InfluenceOpening,
)
from protocol.parameters import OPEN
from protocol.refute import (
    Chain,
    Contributor,
    Earlier,
    Echo,
    EntryWrong,
    Forged,
    Gap,
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
    convicts,
)
from protocol.sumtree import ENTRY_BITS
from tests.courtroom import CONTRIBUTORS, PHRASES, RULES, World, header_of
from tests.evm.courthouse import Courthouse

DIGITS = PHRASES[6]
TEXTS = [
    # Asked for by name, twice; the corpus has the phrase four times, of which three are paid.
    Text(PHRASES[0] + b" " + PHRASES[0], b"xthe quick brown fox jumps and " + PHRASES[0]),
    # Spans of the greatest length, two of them equal and overlapping; the corpus has more of each.
    Text(b"count", DIGITS),
    # Begins inside a word of the corpus; what is before an FF does not reach over it.
    Text(
        b"", b"rown fox jumps over the lazy dog\xff" + PHRASES[4] + b"\xff to be or not to be that"
    ),
    Text(b"", b"nothing of this stands anywhere"),
]


@pytest.fixture(scope="module")
def court(_deployed: Any) -> Courthouse:
    return Courthouse(type(_deployed))


@pytest.fixture(params=[2, 3], ids=["all documents", "some down"])
def honest(court: Courthouse, request: pytest.FixtureRequest) -> Iterator[tuple[Case, World]]:
    world = court.worlds[request.param]
    told = world.answered([(text, (n + 1) * OPEN) for n, text in enumerate(TEXTS)], court.paid)
    body = world.body(told)
    with court.anchor():
        yield world.case(court.post(body, world.as_of), body), world


def occurrences(world: World, span: bytes) -> Iterator[tuple[int, int]]:
    """Every place of the corpus, word start or not."""
    for shard, (text, _) in enumerate(world.bodies):
        at = text.find(span)
        while at >= 0:
            yield shard, at
            at = text.find(span, at + 1)


def row_at(world: World, shard: int, position: int) -> DocumentOpening:
    held = world.texts.shards[shard]
    row = held.document_at(position)
    proof = tuple(held.document_tree.siblings(row))
    return DocumentOpening(row, held.documents[row].encode(), proof)


def of_spans(case: Case, world: World) -> Iterator[Refutation]:
    for number, claim in enumerate(case.body.claims):
        answer, text = claim.answer, case.body.texts[claim.answer]
        opened = (case.batch, case.claim(number), case.answer(answer))
        span = text.output[claim.start : claim.end]
        output = case.output(answer, claim.start, claim.end)
        for slot, who in enumerate(claim.who):
            place = case.place(answer, who.shard, who.position, who.position + claim.length)
            yield Mismatch(*opened, slot, output, place)
            yield Contributor(*opened, slot, row_at(world, who.shard, who.position))
            yield TakenDown(*opened, slot)
        for shard, at in occurrences(world, span):
            place = case.place(answer, shard, at, at + claim.length)
            yield Earlier(*opened, shard, at, row_at(world, shard, at), output, place)
        if claim.end < len(text.output):
            more = case.output(answer, claim.start, claim.end + 1)
            for shard, at in occurrences(world, text.output[claim.start : claim.end + 1]):
                place = case.place(answer, shard, at, at + claim.length + 1)
                yield Longer(*opened, shard, at, row_at(world, shard, at), more, place)
        for at in {text.prompt.find(span), text.prompt.rfind(span), 0}:
            if 0 <= at <= len(text.prompt) - claim.length:
                prompt = case.prompt(answer, at, at + claim.length)
                yield Echo(*opened, at, output, prompt)


def of_gaps(case: Case, world: World) -> Iterator[Refutation]:
    """Every unclaimed start, with the longest thing that the corpus has for it anywhere."""
    for answer, row in enumerate(case.body.answers):
        text = case.body.texts[answer].output
        numbers = range(row.first_claim, row.first_claim + row.claim_count)
        for start in range(len(text) - RULES.span_min):
            after = next((n for n in numbers if case.body.claims[n].start >= start), numbers.stop)
            spans = (text[start : start + n] for n in range(RULES.span_max, RULES.span_min - 1, -1))
            span = next((s for s in spans if any(occurrences(world, s))), b"")
            before = case.body.claims[after - 1] if after > numbers.start else None
            if not span or (before and before.end >= start + len(span)):
                continue  # covered, or not held: no near miss
            for shard, at in occurrences(world, span):
                yield Omitted(
                    case.batch,
                    case.answer(answer),
                    case.claim(after - 1) if after > numbers.start else NO_CLAIM,
                    case.claim(after) if after in numbers else NO_CLAIM,
                    Gap(start, len(span), shard, at),
                    row_at(world, shard, at),
                    case.output(answer, start, start + len(span)),
                    case.place(answer, shard, at, at + len(span)),
                )


def of_sums(case: Case, world: World) -> Iterator[Refutation]:
    claims = case.body.claims
    for number, claim in enumerate(claims):
        opened = (case.batch, case.claim(number), case.answer(claim.answer))
        first = case.body.answers[claim.answer].first_claim == number
        yield Shape(*opened)
        yield Paid(*opened, NO_CLAIM if first else case.claim(number - 1))
        for other in range(max(0, number - 2), min(len(claims), number + 3)):
            yield Owned(case.batch, case.claim(number), case.claim(other))
        if number + 1 < len(claims):
            yield Order(case.batch, case.claim(number), case.claim(number + 1))
        for slot, who in enumerate(claim.who):
            entry = case.entry(who.contributor << ENTRY_BITS | who.entry)
            yield EntryWrong(*opened, slot, entry)
    for number, entry in case.body.entries:
        place = entry.contributor << ENTRY_BITS | number
        row = case.body.answers[entry.answer]
        last = row.first_claim + row.claim_count - 1
        named = entry.claim if entry.claim < len(claims) else last
        shown = case.claim(named) if row.claim_count else NO_CLAIM
        opened_entry, answer = case.entry(place), case.answer(entry.answer)
        yield Invented(case.batch, opened_entry, shown, last_influence(case, entry.answer), answer)
        yield Numbering(case.batch, case.entry(place), case.entry(place + 1))


def of_answers(case: Case, world: World) -> Iterator[Refutation]:
    answers = case.body.answers
    for number, row in enumerate(answers):
        opened = case.answer(number)
        last = row.first_claim + row.claim_count - 1
        claim = case.claim(last) if row.claim_count else NO_CLAIM
        entry, influence = case.entry(row.remainder_entry), last_influence(case, number)
        yield Remainder(case.batch, opened, entry, claim, influence)
        yield Forged(case.batch, opened)
        yield Unfunded(case.batch, opened)
        after = case.answer(number + 1) if number + 1 < len(answers) else NO_ANSWER
        yield Chain(case.batch, opened, after)
        yield Repeated(case.batch, opened, case.batch, case.answer((number + 1) % len(answers)))
        for final, other in world.final.items():
            yield Repeated(case.batch, opened, final, other.answer(0))
    for who in range(CONTRIBUTORS + 2):
        opened_totals = (case.old_total(who), case.subtotal(who), case.new_total(who))
        yield Transition(case.batch, who, *opened_totals)


def last_influence(case: Case, answer: int) -> InfluenceOpening:
    row = case.body.answers[answer]
    last = row.first_influence + row.influence_count - 1
    return case.influence(last) if row.influence_count else NO_INFLUENCE


def of_influences(case: Case, world: World) -> Iterator[Refutation]:
    for number, one in enumerate(case.body.influences):
        opened = (case.batch, case.influence(number), case.answer(one.answer))
        first = case.body.answers[one.answer].first_influence == number
        query = case.body.queries[one.answer]
        yield InfluenceWrong(*opened, NO_INFLUENCE if first else case.influence(number - 1))
        yield Score(*opened, case.example(one.answer, one.example), query)
        yield InfluenceEntry(*opened, case.entry(one.contributor << ENTRY_BITS | one.entry))
    for number, entry in case.body.entries:
        if entry.slot == INFLUENCE_SLOT:
            place = case.entry(entry.contributor << ENTRY_BITS | number)
            named, answer = case.influence(entry.claim), case.answer(entry.answer)
            yield InfluenceInvented(case.batch, place, named, answer)


def of_lists(case: Case, world: World) -> Iterator[Refutation]:
    """Every example in every gap of every list."""
    for answer, row in enumerate(case.body.answers):
        opened, query = case.answer(answer), case.body.queries[answer]
        yield Query(case.batch, opened, query)
        last = row.first_claim + row.claim_count - 1
        claim = case.claim(last) if row.claim_count else NO_CLAIM
        yield InfluenceEnd(case.batch, opened, claim, last_influence(case, answer))
        numbers = range(row.first_influence, row.first_influence + row.influence_count)
        for at in range(numbers.start, numbers.stop + 1):
            before = case.influence(at - 1) if at > numbers.start else NO_INFLUENCE
            after = case.influence(at) if at in numbers else NO_INFLUENCE
            for example in range(len(world.rows)):
                shown = case.example(answer, example)
                yield Missing(case.batch, opened, before, after, shown, query)


@pytest.mark.parametrize("near", [of_spans, of_gaps, of_sums, of_answers, of_influences, of_lists])
def test_no_near_miss_convicts(near: Any, court: Courthouse, honest: tuple[Case, World]) -> None:
    case, world = honest
    misses = list(near(case, world))

    assert len(misses) > 3
    for refutation in misses:
        assert not convicts(refutation, header_of(case), world), refutation
        assert court.verdict(refutation) is None, refutation


def test_the_batch_has_the_edges(honest: tuple[Case, World]) -> None:
    """Else the near misses above would be far ones."""
    case, world = honest
    claims, text = case.body.claims, case.body.texts

    assert any(claim.echo for claim in claims)
    assert any(len(claim.who) == RULES.holders_max for claim in claims)
    full = [claim for claim in claims if claim.length == RULES.span_max]
    assert len(full) >= 2
    assert any(claim.left_by != number for number, claim in enumerate(claims))
    assert any(row.claim_count == 0 for row in case.body.answers)
    assert case.body.influences
    assert any(row.influence_count == RULES.influences_max for row in case.body.answers)
    beyond = [c for c in full if text[c.answer].output[c.start : c.end + 1] in world.bodies[0][0]]
    assert beyond
