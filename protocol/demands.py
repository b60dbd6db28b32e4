"""Demands for withheld data, and their answers, as calls: who posted a root must open its leaves.

The subject is a batch of the AttributionOracle, a publication of the DatanetRegistry or a feature
set of the FeatureRegistry.
"""

from dataclasses import dataclass
from typing import ClassVar

from protocol.openings import AnswerOpening, DocumentOpening, EntryOpening, TotalOpening

# Trees that a demand may name, beside leaf kinds of `protocol.merkle`: of a batch ANSWER, CLAIM,
# ENTRY, TOTAL, BODY and INFLUENCE, of a publication TEXT and DOCUMENT, of a feature set FEATURE
# and BODY, which is its basis.
CONTENT_TREE = 8  # document << 32 | leaf of the document's own text tree
OUTPUT_TREE, PROMPT_TREE = 9, 10  # answer << 32 | leaf of its text
QUERY_TREE = 13  # answer << 32


@dataclass(frozen=True, slots=True)
class Demand:
    """`value` is the parameter `demand_bond`: of the batch's version, or in force for a shard."""

    function: ClassVar[str] = "demand"

    contract: str  # AttributionOracle, DatanetRegistry or FeatureRegistry
    subject: int
    tree: int
    index: int
    value: int


@dataclass(frozen=True, slots=True)
class ClaimUnanswered:
    """Slashes who did not answer in time; anyone may send it, the demander gets the reward."""

    function: ClassVar[str] = "claimUnanswered"

    contract: str
    subject: int
    tree: int
    index: int


@dataclass(frozen=True, slots=True)
class RefundDemand:
    """The bond of a demand whose subject was slashed for something else."""

    function: ClassVar[str] = "refundDemand"

    contract: str
    subject: int
    tree: int
    index: int


@dataclass(frozen=True, slots=True)
class AnswerDemand:
    """A leaf of a positional tree: all that a demand may name but for the classes below."""

    function: ClassVar[str] = "answerDemand"

    contract: str
    subject: int
    tree: int
    index: int
    leaf: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AnswerTextDemand:
    """A leaf of an answer's output or prompt; none where the text has no such leaf."""

    contract: ClassVar[str] = "AttributionOracle"
    function: ClassVar[str] = "answerTextDemand"

    batch: int
    tree: int
    index: int
    answer: AnswerOpening
    leaf: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AnswerQueryDemand:
    """The feature of an answer; nothing where it has none."""

    contract: ClassVar[str] = "AttributionOracle"
    function: ClassVar[str] = "answerQueryDemand"

    batch: int
    answer: AnswerOpening
    query: bytes


@dataclass(frozen=True, slots=True)
class AnswerEntryDemand:
    contract: ClassVar[str] = "AttributionOracle"
    function: ClassVar[str] = "answerEntryDemand"

    batch: int
    entry: EntryOpening


@dataclass(frozen=True, slots=True)
class AnswerTotalDemand:
    contract: ClassVar[str] = "AttributionOracle"
    function: ClassVar[str] = "answerTotalDemand"

    batch: int
    contributor: int
    total: TotalOpening


@dataclass(frozen=True, slots=True)
class AnswerContentDemand:
    """A leaf of what a contributor signed; none where his text has no such leaf."""

    contract: ClassVar[str] = "DatanetRegistry"
    function: ClassVar[str] = "answerContentDemand"

    publication: int
    index: int
    document: DocumentOpening
    leaf: bytes
    proof: tuple[bytes, ...]
