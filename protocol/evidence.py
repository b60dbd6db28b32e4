"""Opens any leaf of a batch whose body one has: what refutations and answers to demands need."""

from dataclasses import dataclass, field
from functools import cached_property

from protocol.batch import Body, Trees
from protocol.claims import Entry
from protocol.merkle import TEXT, ByteTree
from protocol.openings import (
    NO_ANSWER,
    NO_CLAIM,
    NONE,
    AnswerOpening,
    ClaimOpening,
    EntryOpening,
    SubtotalOpening,
    TotalOpening,
)
from protocol.sumtree import ENTRY_BITS, SumTree, entry_position
from protocol.windows import TextOpening, open_text


@dataclass(frozen=True)
class Evidence:
    body: Body
    _texts: dict[tuple[int, bool], ByteTree] = field(default_factory=dict)

    @cached_property
    def trees(self) -> Trees:
        return self.body.trees()

    @cached_property
    def entries(self) -> dict[int, Entry]:
        """By their place in the entry tree."""
        rows = self.body.entries
        return {entry_position(entry.contributor, number): entry for number, entry in rows}

    def claim(self, index: int) -> ClaimOpening:
        """Claim number `index`, or NO_CLAIM for NONE."""
        if index == NONE:
            return NO_CLAIM
        proof = self.trees.claims.siblings(index)
        return ClaimOpening.of(index, self.body.claims[index], proof)

    def answer(self, index: int) -> AnswerOpening:
        if index == NONE:
            return NO_ANSWER
        proof = self.trees.answers.siblings(index)
        return AnswerOpening.of(index, self.body.answers[index], proof)

    def entry(self, contributor: int, number: int) -> EntryOpening:
        """A place of the entry tree, whether or not something is there."""
        place = entry_position(contributor, number)
        proof, entry = tuple(self.trees.entries.siblings(place)), self.entries.get(place)
        if entry is None:
            return EntryOpening(place, False, 0, 0, 0, 0, proof)
        where = entry.answer, entry.claim, entry.slot
        return EntryOpening(place, True, *where, entry.value, proof)

    def subtotal(self, contributor: int) -> SubtotalOpening:
        tree, below = self.trees.entries, ENTRY_BITS - 1
        left, right = tree.node(2 * contributor, below), tree.node(2 * contributor + 1, below)
        return SubtotalOpening(left, right, tuple(tree.siblings(contributor, ENTRY_BITS)))

    def total(self, contributor: int) -> TotalOpening:
        """The cumulative amount after the batch."""
        return open_total(self.trees.totals, contributor)

    def output(self, answer: int, start: int, end: int) -> TextOpening:
        """Bytes [start, end) of the answer and the byte before them."""
        data = self.body.texts[answer].output
        return open_text(self._tree(answer, True), data, start, end)

    def prompt(self, answer: int, start: int, end: int) -> TextOpening:
        """Bytes [start, end) of the prompt."""
        data = self.body.texts[answer].prompt
        return open_text(self._tree(answer, False), data, start, end, before=False)

    def _tree(self, answer: int, output: bool) -> ByteTree:
        key = answer, output
        if key not in self._texts:
            text = self.body.texts[answer]
            self._texts[key] = ByteTree(TEXT, text.output if output else text.prompt)
        return self._texts[key]


def open_total(totals: SumTree, contributor: int) -> TotalOpening:
    """One contributor of a TOTAL tree."""
    value = totals.node(contributor).sum
    return TotalOpening(value, tuple(totals.siblings(contributor)))
