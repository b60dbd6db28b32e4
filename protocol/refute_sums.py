"""What can be wrong with a batch's numbers.  Twin of `contracts/src/SumRefutations.sol`.

Each class has the fields of the Solidity function `function`, in order; `proves`
is its verdict.  It may raise `Malformed` where the function reverts over an opening.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from protocol.batch import Header
from protocol.claims import INFLUENCE_SLOT, REMAINDER
from protocol.codec import require
from protocol.court import Context, Kind
from protocol.openings import (
    NONE,
    AnswerOpening,
    ClaimOpening,
    EntryOpening,
    InfluenceOpening,
    SubtotalOpening,
    TotalOpening,
)
from protocol.parameters import BPS, HOLDERS_MAX, Parameters
from protocol.refutation import Refutation, open_claim
from protocol.sumtree import ENTRY_BITS, ID_BITS, SUM_MAX, entry_position
from protocol.words import AnswerWords, ClaimWords, ReceiptWords


@dataclass(frozen=True, slots=True)
class Shape(Refutation):
    """A field of the claim is out of bounds; or it belongs to another answer than it says."""

    KIND: ClassVar[Kind] = Kind.ARITHMETIC
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteShape"

    claim: ClaimOpening
    answer: AnswerOpening

    def proves(self, header: Header, context: Context) -> bool:
        claim, answer = self.claim.opened(header), self.answer.opened(header)
        first = answer.first_claim
        inside = first <= self.claim.index < first + answer.claim_count
        if self.answer.index != claim.answer:
            return inside
        return not inside or _misshapen(claim, answer.receipt, context.parameters)


@dataclass(frozen=True, slots=True)
class Order(Refutation):
    """Two adjacent claims of one answer, of which the second does not start and end later."""

    KIND: ClassVar[Kind] = Kind.ARITHMETIC
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteOrder"

    first: ClaimOpening
    second: ClaimOpening

    def proves(self, header: Header, context: Context) -> bool:
        one, two = self.first.opened(header), self.second.opened(header)
        adjacent = self.second.index == self.first.index + 1 and one.answer == two.answer
        return adjacent and (one.start >= two.start or one.end >= two.end)


@dataclass(frozen=True, slots=True)
class Owned(Refutation):
    """What a claim says it owns is wrong by itself (`other` is ignored), or against `other`."""

    KIND: ClassVar[Kind] = Kind.ARITHMETIC
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteOwned"

    claim: ClaimOpening
    other: ClaimOpening

    def proves(self, header: Header, context: Context) -> bool:
        claim, j = self.claim.opened(header), self.claim.index
        if claim.left_by > j or not j <= claim.right_by < header.claim_count:
            return True
        if claim.left_by == j and claim.own_start != claim.start:
            return True
        if claim.right_by == j and claim.own_end != claim.end:
            return True
        return _cut_wrong(claim, j, self.other.opened(header), self.other.index)


@dataclass(frozen=True, slots=True)
class Paid(Refutation):
    """`covered` or `paid` is not that of the claim before plus the claim's own part."""

    KIND: ClassVar[Kind] = Kind.ARITHMETIC
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refutePaid"

    claim: ClaimOpening
    answer: AnswerOpening
    previous: ClaimOpening  # NO_CLAIM for the first of the answer

    def proves(self, header: Header, context: Context) -> bool:
        claim, answer = open_claim(header, self.claim, self.answer)
        covered = paid = 0
        if self.claim.index == answer.first_claim:
            if self.previous.index != NONE:
                return False
        elif self.previous.index + 1 != self.claim.index:
            return False
        else:
            before = self.previous.opened(header)
            covered, paid = before.covered, before.paid
        covered += _owned(claim)
        paid += _amount(claim, answer.receipt, context.parameters)
        return (claim.covered, claim.paid) != (covered, paid)


@dataclass(frozen=True, slots=True)
class EntryWrong(Refutation):
    """A holder's payment is not where the claim says; or the claim names one for nothing."""

    KIND: ClassVar[Kind] = Kind.ARITHMETIC
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteEntry"

    claim: ClaimOpening
    answer: AnswerOpening
    slot: int
    entry: EntryOpening  # ignored where the share is nothing

    def proves(self, header: Header, context: Context) -> bool:
        claim, answer = open_claim(header, self.claim, self.answer)
        if self.slot >= min(claim.holders, HOLDERS_MAX):
            return False
        who = claim.who[self.slot]
        share = _share(claim, answer.receipt, context.parameters, self.slot)
        if not share:
            return who.entry != 0
        if self.entry.index != entry_position(who.contributor, who.entry):
            return False
        self.entry.opened(header)
        key = self.answer.index, self.claim.index, self.slot
        return not (self.entry.present and (self.entry.key, self.entry.value) == (key, share))


@dataclass(frozen=True, slots=True)
class Invented(Refutation):
    """An entry that follows from no claim and no remainder, nor can from an influence."""

    KIND: ClassVar[Kind] = Kind.ARITHMETIC
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteInvented"

    entry: EntryOpening
    claim: ClaimOpening  # the one the entry names; for a remainder the answer's last, or NO_CLAIM
    influence: InfluenceOpening  # for a remainder the answer's last, or NO_INFLUENCE
    answer: AnswerOpening  # all three are ignored where the entry is impossible by itself

    def proves(self, header: Header, context: Context) -> bool:
        entry = self.entry
        entry.opened(header)
        if not entry.present:
            return False
        if not entry.value or entry.answer >= header.answer_count or entry.slot > INFLUENCE_SLOT:
            return True
        if entry.slot == INFLUENCE_SLOT:
            return entry.claim >= header.influence_count  # else see InfluenceInvented
        rest = entry.claim == REMAINDER
        if (entry.contributor or entry.slot) if rest else entry.claim >= header.claim_count:
            return True
        require(self.answer.index == entry.answer, "another answer than the entry's")
        answer = self.answer.opened(header)
        if rest:
            if answer.remainder_entry != entry.number:
                return True
            last = self.claim, self.influence
            return entry.value != _remainder(header, answer, *last, context.parameters)
        if self.claim.index != entry.claim:
            return False
        claim = self.claim.opened(header)
        if claim.answer != entry.answer or entry.slot >= claim.holders:
            return True
        who = claim.who[entry.slot]
        share = _share(claim, answer.receipt, context.parameters, entry.slot)
        named = who.contributor, who.entry, share
        return named != (entry.contributor, entry.number, entry.value)


@dataclass(frozen=True, slots=True)
class Remainder(Refutation):
    """What an answer's spans and influences left is not the treasury's where the answer says."""

    KIND: ClassVar[Kind] = Kind.ARITHMETIC
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteRemainder"

    answer: AnswerOpening
    entry: EntryOpening  # ignored where nothing is left, or less than nothing
    last_claim: ClaimOpening  # NO_CLAIM without claims
    last_influence: InfluenceOpening  # NO_INFLUENCE without influences

    def proves(self, header: Header, context: Context) -> bool:
        answer = self.answer.opened(header)
        last = self.last_claim, self.last_influence
        left = _remainder(header, answer, *last, context.parameters)
        if not left:
            return answer.remainder_entry != 0
        if not 0 < left <= SUM_MAX or answer.remainder_entry >> ENTRY_BITS:
            return True
        if self.entry.index != answer.remainder_entry:
            return False
        self.entry.opened(header)
        key = self.answer.index, REMAINDER, 0
        return not (self.entry.present and (self.entry.key, self.entry.value) == (key, left))


@dataclass(frozen=True, slots=True)
class Numbering(Refutation):
    """Two neighbouring entries of one contributor with a gap before the second, or disordered."""

    KIND: ClassVar[Kind] = Kind.ARITHMETIC
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteNumbering"

    first: EntryOpening
    second: EntryOpening

    def proves(self, header: Header, context: Context) -> bool:
        self.first.opened(header)
        self.second.opened(header)
        if self.second.index != self.first.index + 1 or not self.second.present:
            return False
        if self.second.contributor != self.first.contributor:
            return False
        return not self.first.present or self.first.order >= self.second.order


@dataclass(frozen=True, slots=True)
class Transition(Refutation):
    """A contributor's new total is not the old one plus the batch; or the trees' sums are not.

    Entries and new totals are opened by hash alone: under a root of another sum than the batch
    announces nothing could be opened otherwise, and nobody could ever claim a reward again.
    """

    KIND: ClassVar[Kind] = Kind.ARITHMETIC
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteTransition"

    contributor: int
    old: TotalOpening
    subtotal: SubtotalOpening
    new: TotalOpening

    def proves(self, header: Header, context: Context) -> bool:
        before = context.old_totals
        self.old.opened(before, self.contributor)
        added = self.subtotal.stated(header, self.contributor)
        total = self.new.stated(header, self.contributor)
        if (added, total) != (header.total, before.sum + header.total):
            return True
        return self.old.value + self.subtotal.value != self.new.value


@dataclass(frozen=True, slots=True)
class Chain(Refutation):
    """Answers out of order, or the chain of their claims or of their influences broken."""

    KIND: ClassVar[Kind] = Kind.ARITHMETIC
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteChain"

    first: AnswerOpening
    second: AnswerOpening  # NO_ANSWER to show the first or last one alone

    def proves(self, header: Header, context: Context) -> bool:
        one = self.first.opened(header)
        first = one.first_claim, one.first_influence
        ends = one.first_claim + one.claim_count, one.first_influence + one.influence_count
        if not self.first.index and first != (0, 0):
            return True
        counts = header.claim_count, header.influence_count
        if self.first.index == header.answer_count - 1 and ends != counts:
            return True
        if self.second.index == NONE:
            return False
        two = self.second.opened(header)
        if self.second.index != self.first.index + 1:
            return False
        digests = (opening.digest(context.escrow) for opening in (self.first, self.second))
        chained = (two.first_claim, two.first_influence) == ends
        return not chained or next(digests) >= next(digests)


def _misshapen(claim: ClaimWords, receipt: ReceiptWords, values: Parameters) -> bool:
    if not values.span_min <= claim.length <= values.span_max or claim.end > receipt.output_size:
        return True
    if not 0 < claim.holders <= min(values.holders_max, HOLDERS_MAX):
        return True
    if claim.echo and claim.echo - 1 + claim.length > receipt.prompt_size:
        return True
    listed, unused = claim.who[: claim.holders], claim.who[claim.holders :]
    if any(any(slot) for slot in unused):
        return True
    ids, places = [s.contributor for s in listed], [(s.shard, s.position) for s in listed]
    if len(set(ids)) < len(ids) or any(not 0 < who < 1 << ID_BITS for who in ids):
        return True
    if any(slot.entry >> ENTRY_BITS for slot in listed):
        return True
    return any(a >= b for a, b in pairwise(places))


def _cut_wrong(claim: ClaimWords, j: int, other: ClaimWords, x: int) -> bool:
    """Whether claim `x` shows that what claim `j` owns is stated wrongly."""
    if x == j:
        return False
    if x < j:
        cuts = other.length >= claim.length and other.end > claim.start
        more = other.end > claim.own_start
    else:
        cuts = other.length > claim.length and other.start < claim.end
        more = other.start < claim.own_end
    cuts = cuts and other.answer == claim.answer
    if x == claim.left_by:
        return not cuts or claim.own_start != other.end
    if x == claim.right_by:
        return not cuts or claim.own_end != other.start
    return cuts and more


def _owned(claim: ClaimWords) -> int:
    return max(0, claim.own_end - claim.own_start)


def _amount(claim: ClaimWords, receipt: ReceiptWords, values: Parameters) -> int:
    """Wei that a span earns, rounded down; the twin of `Claim.amount` for any numbers."""
    owned = _owned(claim)
    if claim.echo or not receipt.output_size:
        return 0
    weight = values.weight(claim.length, claim.holders)
    share = values.contributors_share(receipt.amount)
    return share * owned * weight // (receipt.output_size * BPS * BPS)


def _share(claim: ClaimWords, receipt: ReceiptWords, values: Parameters, slot: int) -> int:
    return 0 if slot else _amount(claim, receipt, values)


def _remainder(
    header: Header,
    answer: AnswerWords,
    claim: ClaimOpening,
    influence: InfluenceOpening,
    values: Parameters,
) -> int:
    """What spans and influences leave; below 0 if they took more than there is."""
    paid = 0
    if answer.claim_count:
        place = answer.first_claim + answer.claim_count - 1
        require(claim.index == place, "not the last claim of the answer")
        paid = claim.opened(header).paid
    if answer.influence_count:
        place = answer.first_influence + answer.influence_count - 1
        require(influence.index == place, "not the last influence of the answer")
        paid += influence.opened(header).paid
    return values.contributors_share(answer.receipt.amount) - paid
