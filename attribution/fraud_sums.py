"""Lies about numbers: each is refuted by opening a few leaves, without any text."""

from collections.abc import Iterator
from itertools import pairwise

from attribution.fraud_influences import amount_of
from attribution.openings import Case
from protocol.claims import INFLUENCE_SLOT, REMAINDER, Claim, Entry, split
from protocol.openings import (
    NO_ANSWER,
    NO_CLAIM,
    NO_ENTRY,
    NO_INFLUENCE,
    ClaimOpening,
    InfluenceOpening,
)
from protocol.refute import (
    EntryWrong,
    InfluenceInvented,
    Invented,
    Numbering,
    Owned,
    Paid,
    Refutation,
    Remainder,
    Transition,
)
from protocol.sumtree import ENTRY_BITS, entry_position


def sum_frauds(case: Case) -> Iterator[Refutation]:
    """Everything wrong with the numbers of a batch whose spans are right."""
    for answer, row in enumerate(case.body.answers):
        numbers = range(row.first_claim, row.first_claim + row.claim_count)
        for number in numbers:
            yield from _owned(case, number, numbers)
        for number in numbers:
            yield from _paid(case, number, answer)
            yield from _entries(case, number, answer)
        yield from _remainder(case, answer)
    yield from _invented(case)
    yield from _transitions(case)


def _owned(case: Case, number: int, numbers: range) -> Iterator[Refutation]:
    """What a claim says it owns, by itself or against another claim of its answer."""
    claim, claims = case.body.claims[number], case.body.claims
    opened = case.claim(number)
    left, right = claim.left_by, claim.right_by
    alone = left > number or right < number or right >= len(claims)
    alone |= left == number and claim.own_start != claim.start
    alone |= right == number and claim.own_end != claim.end
    if alone:
        yield Owned(case.batch, opened, NO_CLAIM)
        return
    if left != number and not (_cuts(claims, left, number) and claim.own_start == claims[left].end):
        yield Owned(case.batch, opened, case.claim(left))
    if right != number and not (
        _cuts(claims, right, number) and claim.own_end == claims[right].start
    ):
        yield Owned(case.batch, opened, case.claim(right))
    for other in numbers:
        if other != number and _cuts(claims, other, number):
            before = other < number and claims[other].end > claim.own_start
            if before or (other > number and claims[other].start < claim.own_end):
                yield Owned(case.batch, opened, case.claim(other))


def _cuts(claims: tuple[Claim, ...], other: int, number: int) -> bool:
    """Whether claim `other` takes bytes from claim `number`."""
    one, claim = claims[other], claims[number]
    if one.answer != claim.answer:
        return False
    if other < number:
        return one.length >= claim.length and one.end > claim.start
    return one.length > claim.length and one.start < claim.end


def _paid(case: Case, number: int, answer: int) -> Iterator[Refutation]:
    claim, row = case.body.claims[number], case.body.answers[answer]
    first = number == row.first_claim
    before = None if first else case.body.claims[number - 1]
    covered, paid = (before.covered, before.paid) if before else (0, 0)
    sums = covered + claim.owned, paid + claim.amount(row.receipt, case.parameters)
    if (claim.covered, claim.paid) != sums:
        previous = NO_CLAIM if first else case.claim(number - 1)
        yield Paid(case.batch, case.claim(number), case.answer(answer), previous)


def _entries(case: Case, number: int, answer: int) -> Iterator[Refutation]:
    """Each holder's payment stands in the entry tree where his claim says."""
    claim = case.body.claims[number]
    amount = claim.amount(case.body.answers[answer].receipt, case.parameters)
    shares = split(amount, len(claim.who))
    for slot, (holder, share) in enumerate(zip(claim.who, shares, strict=True)):
        due = Entry(holder.contributor, answer, number, slot, share) if share else None
        place = entry_position(holder.contributor, holder.entry)
        if due and case.entry_at(place) != due:
            opened = (case.claim(number), case.answer(answer), slot)
            yield EntryWrong(case.batch, *opened, case.entry(place))
        if not due and holder.entry:
            opened = (case.claim(number), case.answer(answer), slot)
            yield EntryWrong(case.batch, *opened, NO_ENTRY)


def _rest(case: Case, answer: int) -> int:
    """What the spans and influences of an answer leave, by their last sums."""
    row, body = case.body.answers[answer], case.body
    rest = case.parameters.contributors_share(row.receipt.amount)
    if row.claim_count:
        rest -= body.claims[row.first_claim + row.claim_count - 1].paid
    if row.influence_count:
        rest -= body.influences[row.first_influence + row.influence_count - 1].paid
    return rest


def _last(case: Case, answer: int) -> tuple[ClaimOpening, InfluenceOpening]:
    """What shows the rest."""
    row = case.body.answers[answer]
    claim, influence = NO_CLAIM, NO_INFLUENCE
    if row.claim_count:
        claim = case.claim(row.first_claim + row.claim_count - 1)
    if row.influence_count:
        influence = case.influence(row.first_influence + row.influence_count - 1)
    return claim, influence


def _remainder(case: Case, answer: int) -> Iterator[Refutation]:
    row, rest = case.body.answers[answer], _rest(case, answer)
    if rest < 0 or row.remainder_entry >> ENTRY_BITS or (not rest and row.remainder_entry):
        yield Remainder(case.batch, case.answer(answer), NO_ENTRY, *_last(case, answer))
    elif rest and case.entry_at(row.remainder_entry) != Entry(0, answer, REMAINDER, 0, rest):
        entry = case.entry(row.remainder_entry)
        yield Remainder(case.batch, case.answer(answer), entry, *_last(case, answer))


def _invented(case: Case) -> Iterator[Refutation]:
    """Entries that follow from nothing, or are numbered out of order."""
    for number, entry in case.body.entries:
        if not _follows(case, number, entry):
            yield _invention(case, number, entry)
    places = sorted(entry_position(e.contributor, n) for n, e in case.body.entries)
    for place in places:
        if place & (1 << ENTRY_BITS) - 1 and case.entry_at(place - 1) is None:
            yield Numbering(case.batch, case.entry(place - 1), case.entry(place))
    for one, other in pairwise(places):
        if other == one + 1 and one >> ENTRY_BITS == other >> ENTRY_BITS:
            before, after = case.entry_at(one), case.entry_at(other)
            assert before is not None
            assert after is not None
            if before.order >= after.order:
                yield Numbering(case.batch, case.entry(one), case.entry(other))


def _follows(case: Case, number: int, entry: Entry) -> bool:
    body = case.body
    if entry.answer >= len(body.answers) or not entry.value:
        return False
    row = body.answers[entry.answer]
    if entry.slot == INFLUENCE_SLOT:
        if entry.claim >= len(body.influences):
            return False
        influence = body.influences[entry.claim]
        amount = amount_of(case, entry.answer, influence)
        due = (influence.answer, influence.contributor, influence.entry, amount)
        return due == (entry.answer, entry.contributor, number, entry.value)
    if entry.claim == REMAINDER:
        right = (entry.contributor, entry.slot, entry.value) == (0, 0, _rest(case, entry.answer))
        return right and row.remainder_entry == number
    if entry.claim >= len(body.claims):
        return False
    claim = body.claims[entry.claim]
    if claim.answer != entry.answer or entry.slot >= len(claim.who):
        return False
    holder = claim.who[entry.slot]
    share = split(claim.amount(row.receipt, case.parameters), len(claim.who))[entry.slot]
    return (holder.contributor, holder.entry, share) == (entry.contributor, number, entry.value)


def _invention(case: Case, number: int, entry: Entry) -> Refutation:
    opened = case.entry(entry_position(entry.contributor, number))
    alone = Invented(case.batch, opened, NO_CLAIM, NO_INFLUENCE, NO_ANSWER)
    if entry.answer >= len(case.body.answers) or not entry.value or entry.slot > INFLUENCE_SLOT:
        return alone
    answer = case.answer(entry.answer)
    if entry.slot == INFLUENCE_SLOT:
        if entry.claim >= len(case.body.influences):
            return alone
        return InfluenceInvented(case.batch, opened, case.influence(entry.claim), answer)
    if entry.claim == REMAINDER:
        return Invented(case.batch, opened, *_last(case, entry.answer), answer)
    if entry.claim >= len(case.body.claims):
        return alone
    return Invented(case.batch, opened, case.claim(entry.claim), NO_INFLUENCE, answer)


def _transitions(case: Case) -> Iterator[Refutation]:
    """A contributor's new total is the old one and the entries of the batch."""
    new = case.totals
    for who in sorted({*new, *case.old_totals, *(e.contributor for _, e in case.body.entries)}):
        subtotal = case.trees.entries.node(who, ENTRY_BITS).sum
        if case.old_totals.get(who, 0) + subtotal != new.get(who, 0):
            opened = (case.old_total(who), case.subtotal(who), case.new_total(who))
            yield Transition(case.batch, who, *opened)
