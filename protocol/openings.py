"""Openings: leaves of a batch's or shard's trees with their way up, as a judge is shown them.

Each has the fields of its Solidity struct, by their names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from eth_hash.auto import keccak

from protocol.batch import Header
from protocol.claims import INFLUENCE_SLOT, Answer, Claim
from protocol.codec import require
from protocol.datanet import Document, Shard
from protocol.features import FeatureRow
from protocol.influences import Influence
from protocol.merkle import ANSWER, CLAIM, INFLUENCE, Commitment
from protocol.receipt import Receipt
from protocol.signature import Domain
from protocol.sumtree import (
    ENTRY_ABSENT,
    ENTRY_BITS,
    ENTRY_DEPTH,
    TOTAL_DEPTH,
    Node,
    entry_leaf,
    fold,
    opens,
    parent,
    total_leaf,
)
from protocol.windows import TextOpening, require_leaf, verify_leaf
from protocol.words import (
    NO_ANSWER_WORDS,
    NO_CLAIM_WORDS,
    NO_INFLUENCE_WORDS,
    RECEIPT_BYTES,
    AnswerWords,
    ClaimWords,
    InfluenceWords,
    decode_answer,
    decode_claim,
    decode_influence,
)

NONE = 0xFFFFFFFF  # index of an opening that is not there


@dataclass(frozen=True, slots=True)
class ClaimOpening:
    index: int
    claim: ClaimWords
    proof: tuple[bytes, ...]

    @classmethod
    def of(cls, index: int, claim: Claim, proof: Sequence[bytes]) -> Self:
        return cls(index, decode_claim(claim.words()), tuple(proof))

    def opened(self, header: Header) -> ClaimWords:
        """Raise `Malformed` unless the batch has this claim."""
        root, count = header.claims_root, header.claim_count
        require_leaf(CLAIM, root, count, self.index, self.claim.words(), self.proof)
        return self.claim


@dataclass(frozen=True, slots=True)
class AnswerOpening:
    index: int
    answer: AnswerWords
    proof: tuple[bytes, ...]

    @classmethod
    def of(cls, index: int, answer: Answer, proof: Sequence[bytes]) -> Self:
        return cls(index, decode_answer(answer.words()), tuple(proof))

    def digest(self, escrow: Domain) -> bytes:
        """What the host signed."""
        struct = keccak(Receipt.TYPE.encode()) + self.answer.words()[:RECEIPT_BYTES]
        return escrow.digest(keccak(struct))

    def opened(self, header: Header) -> AnswerWords:
        """Raise `Malformed` unless the batch has this answer."""
        root, count = header.answers_root, header.answer_count
        require_leaf(ANSWER, root, count, self.index, self.answer.words(), self.proof)
        return self.answer


@dataclass(frozen=True, slots=True)
class InfluenceOpening:
    index: int
    influence: InfluenceWords
    proof: tuple[bytes, ...]

    @classmethod
    def of(cls, index: int, influence: Influence, proof: Sequence[bytes]) -> Self:
        return cls(index, decode_influence(influence.words()), tuple(proof))

    def opened(self, header: Header) -> InfluenceWords:
        """Raise `Malformed` unless the batch has this influence."""
        root, count = header.influences_root, header.influence_count
        require_leaf(INFLUENCE, root, count, self.index, self.influence.words(), self.proof)
        return self.influence


@dataclass(frozen=True, slots=True)
class FeatureOpening:
    """A row of a feature set."""

    index: int
    row: bytes
    proof: tuple[bytes, ...]

    def opened(self, features: Commitment) -> FeatureRow:
        """Raise `Malformed` unless the set has this row."""
        verify_leaf(features, self.index, self.row, self.proof)
        return FeatureRow.decode(self.row)


NO_CLAIM = ClaimOpening(NONE, NO_CLAIM_WORDS, ())
NO_ANSWER = AnswerOpening(NONE, NO_ANSWER_WORDS, ())
NO_INFLUENCE = InfluenceOpening(NONE, NO_INFLUENCE_WORDS, ())
NO_FEATURE = FeatureOpening(NONE, b"", ())


@dataclass(frozen=True, slots=True)
class DocumentOpening:
    index: int
    row: bytes
    proof: tuple[bytes, ...]

    def opened(self, shard: Shard) -> Document:
        verify_leaf(shard.table, self.index, self.row, self.proof)
        return Document.decode(self.row)


NO_DOCUMENT = DocumentOpening(NONE, b"", ())


@dataclass(frozen=True, slots=True)
class EntryOpening:
    """One place of the entry tree: contributor << ENTRY_BITS | number."""

    index: int
    present: bool
    answer: int
    claim: int
    slot: int
    value: int
    proof: tuple[Node, ...]

    @property
    def entry(self) -> tuple[int, int, int, int]:
        return self.answer, self.claim, self.slot, self.value

    @property
    def contributor(self) -> int:
        return self.index >> ENTRY_BITS

    @property
    def number(self) -> int:
        return self.index & ((1 << ENTRY_BITS) - 1)

    @property
    def key(self) -> tuple[int, int, int]:
        return self.answer, self.claim, self.slot

    @property
    def order(self) -> tuple[int, bool, int, int]:
        """What numbers the entries of one contributor."""
        return self.answer, self.slot == INFLUENCE_SLOT, self.claim, self.slot

    def opened(self, header: Header) -> None:
        node = entry_leaf(*self.key, self.value) if self.present else ENTRY_ABSENT
        root = Node(header.entries_root, header.total)
        require(opens(root, node, self.index, self.proof, ENTRY_DEPTH), "an entry not committed")


NO_ENTRY = EntryOpening(0, False, 0, 0, 0, 0, ())


@dataclass(frozen=True, slots=True)
class TotalOpening:
    """A contributor's cumulative wei; a root of zeros, before the first batch, holds nothing."""

    value: int
    proof: tuple[Node, ...]

    def opened(self, root: Node, contributor: int) -> None:
        if root.hash == bytes(32):
            require(not self.value and not root.sum, "nobody has anything yet")
            return
        node = total_leaf(self.value)
        require(opens(root, node, contributor, self.proof, TOTAL_DEPTH), "a total not committed")

    def stated(self, header: Header, contributor: int) -> int:
        """The sum that the new totals' root commits to; `Malformed` unless this is under it."""
        root = fold(total_leaf(self.value), contributor, self.proof, TOTAL_DEPTH)
        require(root.hash == header.totals_root, "a total not committed")
        return root.sum


@dataclass(frozen=True, slots=True)
class SubtotalOpening:
    """What a contributor gets from a batch: the node above his entries, by its children."""

    left: Node
    right: Node
    proof: tuple[Node, ...]

    @property
    def value(self) -> int:
        return self.left.sum + self.right.sum

    def stated(self, header: Header, contributor: int) -> int:
        """The sum that the entries' root commits to; `Malformed` unless this is under it."""
        node = parent(self.left, self.right)
        root = fold(node, contributor, self.proof, ENTRY_DEPTH - ENTRY_BITS)
        require(root.hash == header.entries_root, "a subtotal not committed")
        return root.sum


NO_TEXT = TextOpening()
