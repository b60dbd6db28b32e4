"""Lies about spans: each is refuted by opening one or two windows of text."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from attribution.corpus import Place
from attribution.openings import Case
from attribution.spans import Span
from protocol.claims import Claim, Holder
from protocol.openings import NO_CLAIM, NO_DOCUMENT, NO_TEXT, AnswerOpening, ClaimOpening
from protocol.refute import (
    Contributor,
    Earlier,
    Echo,
    Gap,
    Longer,
    Mismatch,
    Omitted,
    Order,
    Refutation,
    Shape,
    TakenDown,
)
from protocol.sumtree import ENTRY_BITS, ID_BITS
from protocol.text import SEPARATOR, is_word_start
from protocol.windows import TextOpening


def span_frauds(case: Case, honest: Sequence[Sequence[Span]]) -> Iterator[Refutation]:
    """Everything wrong with the claims of a batch whose answers and claims are chained."""
    for answer in range(len(case.body.answers)):
        numbers = _numbers(case, answer)
        for number in numbers:
            if _misshapen(case, case.body.claims[number], answer):
                yield Shape(case.batch, case.claim(number), case.answer(answer))
        for number in numbers[:-1]:
            one, other = case.body.claims[number : number + 2]
            if one.start >= other.start or one.end >= other.end:
                yield Order(case.batch, case.claim(number), case.claim(number + 1))
        true = {(span.start, span.length, span.echo, span.who) for span in honest[answer]}
        for number in numbers:
            if _told(case.body.claims[number]) not in true:
                yield from _claim_frauds(case, number, answer)
        yield from _omissions(case, answer, honest[answer])


def _told(claim: Claim) -> tuple[int, int, int, tuple[Place, ...]]:
    """What a claim says of its span."""
    who = tuple(Place(h.shard, h.position, h.document, h.contributor) for h in claim.who)
    return claim.start, claim.length, claim.echo, who


def _numbers(case: Case, answer: int) -> range:
    row = case.body.answers[answer]
    return range(row.first_claim, row.first_claim + row.claim_count)


def _misshapen(case: Case, claim: Claim, answer: int) -> bool:
    rules, receipt = case.parameters, case.body.answers[answer].receipt
    places = [(holder.shard, holder.position) for holder in claim.who]
    return not (
        claim.answer == answer
        and rules.span_min <= claim.length <= rules.span_max
        and claim.end <= receipt.output_size
        and 1 <= len(claim.who) <= rules.holders_max
        and all(one < other for one, other in pairwise(places))
        and len({holder.contributor for holder in claim.who}) == len(claim.who)
        and all(0 < h.contributor < 1 << ID_BITS and h.entry < 1 << ENTRY_BITS for h in claim.who)
        and (not claim.echo or claim.echo - 1 + claim.length <= receipt.prompt_size)
    )


@dataclass(frozen=True, slots=True)
class _Opened:
    """A claim and its answer, opened only for who wants to show them."""

    case: Case
    number: int
    answer: int

    @property
    def leaves(self) -> tuple[int, ClaimOpening, AnswerOpening]:
        """The first fields of each refutation of a claim."""
        return self.case.batch, self.case.claim(self.number), self.case.answer(self.answer)

    def shown(self, more: int = 0) -> TextOpening:
        """The bytes of the answer that the claim is of, and `more` after them."""
        claim = self.case.body.claims[self.number]
        return self.case.output(self.answer, claim.start, claim.end + more)


def _claim_frauds(case: Case, number: int, answer: int) -> Iterator[Refutation]:
    """What is wrong with one well-formed claim."""
    claim, text = case.body.claims[number], case.body.texts[answer]
    opened = _Opened(case, number, answer)
    span = text.output[claim.start : claim.end]
    sound = is_word_start(text.output, claim.start) and SEPARATOR not in span
    for slot, holder in enumerate(claim.who):
        inside = _inside(case, answer, holder, claim.length)
        if not (sound and inside and _held(case, answer, holder, span)):
            end = holder.position + claim.length
            there = case.place(answer, holder.shard, holder.position, end) if inside else NO_TEXT
            yield Mismatch(*opened.leaves, slot, opened.shown(), there)
            return  # what follows takes the places for true
        yield from _contributor_frauds(case, number, answer, slot)
        if holder.document in case.corpus(answer).shards[holder.shard].down:
            yield TakenDown(*opened.leaves, slot)
    if claim.length < case.parameters.span_max and claim.end < len(text.output):
        more = text.output[claim.start : claim.end + 1]
        place = None if SEPARATOR in more else case.corpus(answer).first_place(more)
        if place is not None:
            there = case.place(answer, place.shard, place.position, place.position + len(more))
            document = case.document(answer, place.shard, place.document)
            where = (place.shard, place.position, document)
            yield Longer(*opened.leaves, *where, opened.shown(more=1), there)
    for place in case.corpus(answer).holders(span, case.parameters.holders_max):
        if _displaces(place, claim, case.parameters.holders_max):
            document = case.document(answer, place.shard, place.document)
            there = case.place(answer, place.shard, place.position, place.position + claim.length)
            where = (place.shard, place.position, document)
            yield Earlier(*opened.leaves, *where, opened.shown(), there)
    first = text.prompt.find(span) + 1
    if claim.echo != first:
        at = (first if first and not 0 < claim.echo < first else claim.echo) - 1
        yield Echo(*opened.leaves, at, opened.shown(), case.prompt(answer, at, at + claim.length))


def _inside(case: Case, answer: int, holder: Holder, length: int) -> bool:
    shards = case.corpus(answer).shards
    return holder.shard < len(shards) and holder.position + length <= len(shards[holder.shard].text)


def _held(case: Case, answer: int, holder: Holder, span: bytes) -> bool:
    text = case.corpus(answer).shards[holder.shard].text
    found = text[holder.position : holder.position + len(span)]
    return found == span and is_word_start(text, holder.position)


def _contributor_frauds(case: Case, number: int, answer: int, slot: int) -> Iterator[Refutation]:
    claim = case.body.claims[number]
    holder = claim.who[slot]
    documents = case.corpus(answer).shards[holder.shard].documents
    document = NO_DOCUMENT
    if holder.document < len(documents):
        row = documents[holder.document]
        holds = row.start <= holder.position and holder.position + claim.length <= row.end
        if holds and row.contributor == holder.contributor:
            return
        document = case.document(answer, holder.shard, holder.document)
    yield Contributor(case.batch, case.claim(number), case.answer(answer), slot, document)


def _displaces(place: Place, claim: Claim, holders_max: int) -> bool:
    """Whether somebody who holds the span belongs before somebody listed, or among them."""
    where = (place.shard, place.position)
    listed = {h.contributor: (h.shard, h.position) for h in claim.who}
    if place.contributor in listed:
        return where < listed[place.contributor]
    return len(listed) < holders_max or where < list(listed.values())[-1]


def _omissions(case: Case, answer: int, honest: Sequence[Span]) -> Iterator[Refutation]:
    numbers = _numbers(case, answer)
    starts = [case.body.claims[number].start for number in numbers]
    for span in honest:
        at = bisect_left(starts, span.start)
        if at < len(starts) and starts[at] == span.start:
            continue
        end = span.start + span.length
        if at and case.body.claims[numbers[at - 1]].end >= end:
            continue
        place = span.who[0]
        yield Omitted(
            case.batch,
            case.answer(answer),
            case.claim(numbers[at - 1]) if at else NO_CLAIM,
            case.claim(numbers[at]) if at < len(numbers) else NO_CLAIM,
            Gap(span.start, span.length, place.shard, place.position),
            case.document(answer, place.shard, place.document),
            case.output(answer, span.start, end),
            case.place(answer, place.shard, place.position, place.position + span.length),
        )
