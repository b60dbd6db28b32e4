"""Opens the leaves of a batch and of its texts, as refutations carry them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from attribution.corpus import Corpus
from attribution.influence.store import FeatureSet
from attribution.vouchers import Vouchers
from protocol.batch import Body, Trees
from protocol.claims import Entry
from protocol.merkle import TEXT, ByteTree
from protocol.openings import (
    AnswerOpening,
    ClaimOpening,
    DocumentOpening,
    EntryOpening,
    FeatureOpening,
    InfluenceOpening,
    SubtotalOpening,
    TotalOpening,
)
from protocol.parameters import Parameters
from protocol.sumtree import ENTRY_BITS, SumTree, total_tree
from protocol.windows import TextOpening, open_text


@dataclass(frozen=True)
class Case:
    """A batch under examination, with all that its examiner holds."""

    batch: int
    body: Body
    trees: Trees
    digests: tuple[bytes, ...]  # of the receipts, in the order of the answers
    corpora: Mapping[bytes, Corpus]  # by adapter, without what was down as of the batch
    old_totals: Mapping[int, int]  # wei by contributor before this batch
    parameters: Parameters
    features: Mapping[bytes, FeatureSet] = field(default_factory=dict)  # in force, by adapter
    as_of: int = 0  # the chain's time by which corpora and features are chosen, unix seconds
    begun: bool = False  # a batch is below, be it one that paid nobody: its totals have a root

    def answer(self, number: int) -> AnswerOpening:
        row = self.body.answers[number]
        return AnswerOpening.of(number, row, self.trees.answers.siblings(number))

    def claim(self, number: int) -> ClaimOpening:
        row = self.body.claims[number]
        return ClaimOpening.of(number, row, self.trees.claims.siblings(number))

    def influence(self, number: int) -> InfluenceOpening:
        row = self.body.influences[number]
        return InfluenceOpening.of(number, row, self.trees.influences.siblings(number))

    def output(self, answer: int, start: int, end: int) -> TextOpening:
        """Bytes [start, end) of an answer and the byte before them."""
        text = self.body.texts[answer].output
        return open_text(ByteTree(TEXT, text), text, start, end)

    def prompt(self, answer: int, start: int, end: int) -> TextOpening:
        text = self.body.texts[answer].prompt
        return open_text(ByteTree(TEXT, text), text, start, end, before=False)

    def corpus(self, answer: int) -> Corpus:
        """Of an answer's adapter; one that is registered nowhere has no shards."""
        return self.corpora.get(self.body.answers[answer].receipt.adapter, Corpus(()))

    def features_of(self, answer: int) -> FeatureSet | None:
        """The set in force for the adapter that made an answer."""
        return self.features.get(self.body.answers[answer].receipt.adapter)

    def example(self, answer: int, number: int) -> FeatureOpening:
        held = self.features[self.body.answers[answer].receipt.adapter]
        return FeatureOpening(number, held.row(number), tuple(held.siblings(number)))

    def down(self, answer: int) -> frozenset[int]:
        """Examples of documents that were taken down."""
        adapter = self.body.answers[answer].receipt.adapter
        if adapter not in self._down:
            self._down[adapter] = down_examples(self.corpora[adapter], self.features[adapter])
        return self._down[adapter]

    def place(self, answer: int, shard: int, start: int, end: int) -> TextOpening:
        """Bytes [start, end) of a shard and the byte before them."""
        held = self.corpus(answer).shards[shard]
        return open_text(held.text_tree, held.text, start, end)

    def document(self, answer: int, shard: int, number: int) -> DocumentOpening:
        held = self.corpus(answer).shards[shard]
        siblings = tuple(held.document_tree.siblings(number))
        return DocumentOpening(number, held.documents[number].encode(), siblings)

    def entry(self, position: int) -> EntryOpening:
        siblings = tuple(self.trees.entries.siblings(position))
        row = self._entries.get(position)
        if row is None:
            return EntryOpening(position, False, 0, 0, 0, 0, siblings)
        return EntryOpening(position, True, row.answer, row.claim, row.slot, row.value, siblings)

    def entry_at(self, position: int) -> Entry | None:
        return self._entries.get(position)

    def subtotal(self, contributor: int) -> SubtotalOpening:
        entries, below = self.trees.entries, ENTRY_BITS - 1
        left, right = (entries.node(2 * contributor + side, below) for side in (0, 1))
        return SubtotalOpening(left, right, tuple(entries.siblings(contributor, ENTRY_BITS)))

    def new_total(self, contributor: int) -> TotalOpening:
        value = self.totals.get(contributor, 0)
        return TotalOpening(value, tuple(self.trees.totals.siblings(contributor)))

    def old_total(self, contributor: int) -> TotalOpening:
        if not self.old_totals and not self.begun:
            return TotalOpening(0, ())
        value = self.old_totals.get(contributor, 0)
        return TotalOpening(value, tuple(self._old.siblings(contributor)))

    @cached_property
    def _down(self) -> dict[bytes, frozenset[int]]:
        return {}

    @cached_property
    def vouchers(self) -> Vouchers:
        return Vouchers(self.body)

    @cached_property
    def totals(self) -> Mapping[int, int]:
        """Wei by contributor after this batch."""
        return dict(self.body.totals)

    @cached_property
    def _entries(self) -> dict[int, Entry]:
        return {
            entry.contributor << ENTRY_BITS | number: entry for number, entry in self.body.entries
        }

    @cached_property
    def _old(self) -> SumTree:
        return total_tree(self.old_totals)


def down_examples(corpus: Corpus, features: FeatureSet) -> frozenset[int]:
    """The rows of a feature set whose documents were taken down."""
    down = {(n, row) for n, shard in enumerate(corpus.shards) for row in shard.down}
    if not down:
        return frozenset()
    places = zip(features.shards.tolist(), features.documents.tolist(), strict=True)
    return frozenset(number for number, place in enumerate(places) if place in down)
