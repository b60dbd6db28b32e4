"""Lies about numbers: each is refuted by opening a few leaves, without any text."""

from collections.abc import Iterator
from itertools import pairwise

from attribution.openings import Case
from protocol.claims import REMAINDER, Claim, Entry, split
from protocol.openings import NO_CLAIM, NO_ENTRY
from protocol.refute import (
    EntryWrong,
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
    before = 0 if first else case.body.claims[number - 1].paid
    if claim.paid != before + claim.amount(row.receipt, case.parameters):
        previous = NO_CLAIM if first else case.claim(number - 1)
        yield Paid(case.batch, case.claim(number), case.answer(answer), previous)


def _entries(case: Case, number: int, answer: int) -> Iterator[Refutation]:
    """Each holder's payment stands in the entry tree where his claim says."""
    claim = case.body.claims[number]
    amount = claim.amount(case.body.answers[answer].receipt, case.parameters)
    for slot, (holder, share) in enumerate(
        zip(claim.who, split(amount, len(claim.who)), strict=True)
    ):
        opened = (case.batch, case.claim(number), case.answer(answer), slot)
        if not share:
            if holder.entry:
                yield EntryWrong(*opened, NO_ENTRY)
            continue
        place = entry_position(holder.contributor, holder.entry)
        due = Entry(holder.contributor, answer, number, slot, share)
        if case.entry_at(place) != due:
            yield EntryWrong(*opened, case.entry(place))


def _remainder(case: Case, answer: int) -> Iterator[Refutation]:
    row = case.body.answers[answer]
    last = row.first_claim + row.claim_count - 1
    paid = case.body.claims[last].paid if row.claim_count else 0
    rest = case.parameters.contributors_share(row.receipt.amount) - paid
    closing = case.claim(last) if row.claim_count else NO_CLAIM
    opened = (case.batch, case.answer(answer), closing)
    if rest < 0 or row.remainder_entry >> ENTRY_BITS or (not rest and row.remainder_entry):
        yield Remainder(*opened, NO_ENTRY)
    elif rest and case.entry_at(row.remainder_entry) != Entry(0, answer, REMAINDER, 0, rest):
        yield Remainder(*opened, case.entry(row.remainder_entry))


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
            if _key(before) >= _key(after):
                yield Numbering(case.batch, case.entry(one), case.entry(other))


def _key(entry: Entry) -> tuple[int, int, int]:
    return (entry.answer, entry.claim, entry.slot)


def _follows(case: Case, number: int, entry: Entry) -> bool:
    if entry.answer >= len(case.body.answers) or not entry.value:
        return False
    row = case.body.answers[entry.answer]
    if entry.claim == REMAINDER:
        last = row.first_claim + row.claim_count - 1
        paid = case.body.claims[last].paid if row.claim_count else 0
        rest = case.parameters.contributors_share(row.receipt.amount) - paid
        right = (entry.contributor, entry.slot, entry.value) == (0, 0, rest)
        return right and row.remainder_entry == number
    if entry.claim >= len(case.body.claims):
        return False
    claim = case.body.claims[entry.claim]
    if claim.answer != entry.answer or entry.slot >= len(claim.who):
        return False
    holder = claim.who[entry.slot]
    amount = claim.amount(row.receipt, case.parameters)
    share = split(amount, len(claim.who))[entry.slot]
    return (holder.contributor, holder.entry, share) == (entry.contributor, number, entry.value)


def _invention(case: Case, number: int, entry: Entry) -> Invented:
    opened = case.entry(entry_position(entry.contributor, number))
    if entry.answer >= len(case.body.answers):
        return Invented(case.batch, opened, NO_CLAIM, case.answer(0))
    row, claim = case.body.answers[entry.answer], NO_CLAIM
    if entry.claim == REMAINDER:
        last = row.first_claim + row.claim_count - 1
        claim = case.claim(last) if row.claim_count else NO_CLAIM
    elif entry.claim < len(case.body.claims):
        claim = case.claim(entry.claim)
    return Invented(case.batch, opened, claim, case.answer(entry.answer))


def _transitions(case: Case) -> Iterator[Refutation]:
    """A contributor's new total is the old one and the entries of the batch."""
    new = dict(case.body.totals)
    for who in sorted({*new, *case.old_totals, *(e.contributor for _, e in case.body.entries)}):
        subtotal = case.trees.entries.node(who, ENTRY_BITS).sum
        if case.old_totals.get(who, 0) + subtotal != new.get(who, 0):
            opened = (case.old_total(who), case.subtotal(who), case.new_total(who))
            yield Transition(case.batch, who, *opened)
