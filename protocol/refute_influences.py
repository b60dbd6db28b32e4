"""What can be wrong with an answer's influences.  Twin of `contracts/src/InfluenceRefutations.sol`.

Each class has the fields of the Solidity function `function`, in order; `proves`
is its verdict.  It may raise `Malformed` where the function reverts over an opening.
"""

from dataclasses import dataclass
from typing import ClassVar

from eth_hash.auto import keccak

from protocol.batch import Header
from protocol.claims import INFLUENCE_SLOT
from protocol.codec import require
from protocol.court import Context, FeaturesInForce, Kind
from protocol.features import NO_EXAMPLE, FeatureRow, credited, dot, norm2, well_formed
from protocol.influences import NO_QUERY, part, pot
from protocol.openings import (
    NONE,
    AnswerOpening,
    ClaimOpening,
    EntryOpening,
    FeatureOpening,
    InfluenceOpening,
)
from protocol.parameters import Parameters
from protocol.refutation import Refutation
from protocol.sumtree import ENTRY_BITS, ID_BITS, entry_position
from protocol.words import AnswerWords, InfluenceWords


@dataclass(frozen=True, slots=True)
class Query(Refutation):
    """The feature of the answer is there without a set in force or not with one; or is none."""

    KIND: ClassVar[Kind] = Kind.INFLUENCE
    contract: ClassVar[str] = "InfluenceRefutations"
    function: ClassVar[str] = "refuteQuery"

    answer: AnswerOpening
    query: bytes  # ignored where it should not, or should, be there

    def proves(self, header: Header, context: Context) -> bool:
        answer = self.answer.opened(header)
        if context.features(answer.receipt.adapter) is None:
            return answer.query != NO_QUERY
        if answer.query == NO_QUERY:
            return True
        require(keccak(self.query) == answer.query, "another query than the answer's")
        return not well_formed(self.query)


@dataclass(frozen=True, slots=True)
class Score(Refutation):
    """The listed example is none, or may not be listed, or has another score."""

    KIND: ClassVar[Kind] = Kind.INFLUENCE
    contract: ClassVar[str] = "InfluenceRefutations"
    function: ClassVar[str] = "refuteScore"

    influence: InfluenceOpening
    answer: AnswerOpening
    row: FeatureOpening  # ignored where there is no such example
    query: bytes

    def proves(self, header: Header, context: Context) -> bool:
        influence, answer = _open(header, self.influence, self.answer)
        found = _features(context, answer)
        if influence.example >= found.example_count:
            return True
        require(self.row.index == influence.example, "another example than the influence's")
        row = self.row.opened(found.features)
        if row.contributor != influence.contributor or not _listable(context, answer, row):
            return True
        score = _score(answer, row, self.query, context.parameters)
        return score is None or score != influence.score


@dataclass(frozen=True, slots=True)
class Missing(Refutation):
    """An example that belongs between two neighbours of the list stands nowhere in it."""

    KIND: ClassVar[Kind] = Kind.INFLUENCE
    contract: ClassVar[str] = "InfluenceRefutations"
    function: ClassVar[str] = "refuteMissing"

    answer: AnswerOpening
    previous: InfluenceOpening  # NO_INFLUENCE where the list has none before
    next: InfluenceOpening  # NO_INFLUENCE where the list has none after
    row: FeatureOpening
    query: bytes

    def proves(self, header: Header, context: Context) -> bool:
        answer = self.answer.opened(header)
        found = _features(context, answer)
        if answer.covered >= answer.receipt.output_size:
            return False
        row = self.row.opened(found.features)
        if not _listable(context, answer, row):
            return False
        score = _score(answer, row, self.query, context.parameters)
        if score is None:
            return False
        return self._between(header, answer, (-score, self.row.index), context.parameters)

    def _between(
        self, header: Header, answer: AnswerWords, rank: tuple[int, int], values: Parameters
    ) -> bool:
        first, last = answer.first_influence, answer.first_influence + answer.influence_count
        place = first  # where the example would stand
        if self.previous.index != NONE:
            place = self.previous.index + 1
            if not first < place <= last or _rank(self.previous.opened(header)) >= rank:
                return False
        if self.next.index == NONE:
            return place == last and answer.influence_count < values.influences_max
        if self.next.index != place or place >= last:
            return False
        return rank < _rank(self.next.opened(header))


@dataclass(frozen=True, slots=True)
class InfluenceWrong(Refutation):
    """Of another answer than it says, out of bounds or order, or its prefix sums are wrong."""

    KIND: ClassVar[Kind] = Kind.INFLUENCE
    contract: ClassVar[str] = "InfluenceRefutations"
    function: ClassVar[str] = "refuteInfluence"

    influence: InfluenceOpening
    answer: AnswerOpening
    previous: InfluenceOpening  # NO_INFLUENCE for the first of the answer

    def proves(self, header: Header, context: Context) -> bool:
        influence, answer = self.influence.opened(header), self.answer.opened(header)
        first, index = answer.first_influence, self.influence.index
        inside = first <= index < first + answer.influence_count
        if self.answer.index != influence.answer:
            return inside
        if not inside or not 0 < influence.contributor < 1 << ID_BITS:
            return True
        if influence.entry >> ENTRY_BITS:
            return True
        scores = paid = 0
        if index == first:
            require(self.previous.index == NONE, "the first influence has none before")
        else:
            require(self.previous.index + 1 == index, "not the influence before")
            before = self.previous.opened(header)
            if _rank(before) >= _rank(influence):
                return True
            scores, paid = before.score_sum, before.paid
        paid += _amount(influence, answer, context.parameters)
        return (influence.score_sum, influence.paid) != (scores + influence.score, paid)


@dataclass(frozen=True, slots=True)
class InfluenceEnd(Refutation):
    """The sums that the answer names are not its last leaves', or its list should not be there."""

    KIND: ClassVar[Kind] = Kind.INFLUENCE
    contract: ClassVar[str] = "InfluenceRefutations"
    function: ClassVar[str] = "refuteInfluenceEnd"

    answer: AnswerOpening
    last_claim: ClaimOpening  # NO_CLAIM without claims
    last_influence: InfluenceOpening  # NO_INFLUENCE without influences

    def proves(self, header: Header, context: Context) -> bool:
        answer = self.answer.opened(header)
        count = answer.influence_count
        if count > context.parameters.influences_max:
            return True
        if count and (answer.query == NO_QUERY or answer.covered >= answer.receipt.output_size):
            return True
        covered = scores = 0
        if answer.claim_count:
            place = answer.first_claim + answer.claim_count - 1
            require(self.last_claim.index == place, "not the last claim of the answer")
            covered = self.last_claim.opened(header).covered
        if count:
            place = answer.first_influence + count - 1
            require(self.last_influence.index == place, "not the last influence of the answer")
            scores = self.last_influence.opened(header).score_sum
        return (covered, scores) != (answer.covered, answer.score_total)


@dataclass(frozen=True, slots=True)
class InfluenceEntry(Refutation):
    """An influence's payment is not where it says; or it names one for nothing."""

    KIND: ClassVar[Kind] = Kind.INFLUENCE
    contract: ClassVar[str] = "InfluenceRefutations"
    function: ClassVar[str] = "refuteInfluenceEntry"

    influence: InfluenceOpening
    answer: AnswerOpening
    entry: EntryOpening  # ignored where nothing is paid

    def proves(self, header: Header, context: Context) -> bool:
        influence, answer = _open(header, self.influence, self.answer)
        amount = _amount(influence, answer, context.parameters)
        if not amount:
            return influence.entry != 0
        place = entry_position(influence.contributor, influence.entry)
        require(self.entry.index == place, "another entry than the influence's")
        self.entry.opened(header)
        key = self.answer.index, self.influence.index, INFLUENCE_SLOT
        return not (self.entry.present and (self.entry.key, self.entry.value) == (key, amount))


@dataclass(frozen=True, slots=True)
class InfluenceInvented(Refutation):
    """An entry that says it is an influence's, which names another or is of another amount."""

    KIND: ClassVar[Kind] = Kind.INFLUENCE
    contract: ClassVar[str] = "InfluenceRefutations"
    function: ClassVar[str] = "refuteInfluenceInvented"

    entry: EntryOpening
    influence: InfluenceOpening  # the one that the entry names
    answer: AnswerOpening

    def proves(self, header: Header, context: Context) -> bool:
        entry = self.entry
        entry.opened(header)
        if not entry.present or entry.slot != INFLUENCE_SLOT:
            return False
        require(self.influence.index == entry.claim, "another influence than the entry's")
        require(self.answer.index == entry.answer, "another answer than the entry's")
        influence, answer = self.influence.opened(header), self.answer.opened(header)
        if influence.answer != entry.answer:
            return True
        amount = _amount(influence, answer, context.parameters)
        named = influence.contributor, influence.entry, amount
        return named != (entry.contributor, entry.number, entry.value)


def _open(
    header: Header, influence: InfluenceOpening, answer: AnswerOpening
) -> tuple[InfluenceWords, AnswerWords]:
    """An influence and the answer that it says it is of."""
    opened = influence.opened(header)
    require(opened.answer == answer.index, "another answer than the influence's")
    return opened, answer.opened(header)


def _features(context: Context, answer: AnswerWords) -> FeaturesInForce:
    found = context.features(answer.receipt.adapter)
    if found is None:
        require(False, "no features are in force")
    assert found is not None
    return found


def _listable(context: Context, answer: AnswerWords, row: FeatureRow) -> bool:
    """Whether an example may be listed at all."""
    down = context.is_down(answer.receipt.adapter, row.shard, row.document)
    return row.duplicate_of == NO_EXAMPLE and not down


def _score(answer: AnswerWords, row: FeatureRow, query: bytes, values: Parameters) -> int | None:
    """What an example scores for an answer, or None under the threshold."""
    require(keccak(query) == answer.query, "another query than the answer's")
    score = dot(row.phi, query)
    return score if credited(score, norm2(row.phi), norm2(query), values) else None


def _rank(influence: InfluenceWords) -> tuple[int, int]:
    """The order of a list: by score, greatest first, then by example."""
    return -influence.score, influence.example


def _amount(influence: InfluenceWords, answer: AnswerWords, values: Parameters) -> int:
    """Wei that an influence earns, rounded down."""
    return part(pot(answer.receipt, answer.covered, values), influence.score, answer.score_total)
