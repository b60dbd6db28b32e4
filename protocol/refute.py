"""Every refutation of an attribution batch, and the verdict that the contract gives on it."""

from protocol.court import NO_ROOT, Context, Kind
from protocol.openings import (
    NO_ANSWER,
    NO_CLAIM,
    NO_DOCUMENT,
    NO_ENTRY,
    NO_FEATURE,
    NO_INFLUENCE,
    NO_TEXT,
    NONE,
)
from protocol.refutation import Refutation, convicts
from protocol.refute_influences import (
    InfluenceEnd,
    InfluenceEntry,
    InfluenceInvented,
    InfluenceWrong,
    Missing,
    Query,
    Score,
)
from protocol.refute_receipts import Forged, Repeated, Unfunded
from protocol.refute_spans import (
    Contributor,
    Earlier,
    Echo,
    Gap,
    Longer,
    Mismatch,
    Omitted,
    TakenDown,
)
from protocol.refute_sums import (
    Chain,
    EntryWrong,
    Invented,
    Numbering,
    Order,
    Owned,
    Paid,
    Remainder,
    Shape,
    Transition,
)

REFUTATIONS: tuple[type[Refutation], ...] = (
    *(Mismatch, Longer, Earlier, Omitted, Contributor, Echo, TakenDown),
    *(Shape, Order, Owned, Paid, EntryWrong, Invented, Remainder, Numbering, Transition, Chain),
    *(Query, Score, Missing, InfluenceWrong, InfluenceEnd, InfluenceEntry, InfluenceInvented),
    *(Forged, Unfunded, Repeated),
)

__all__ = [
    "NONE",
    "NO_ANSWER",
    "NO_CLAIM",
    "NO_DOCUMENT",
    "NO_ENTRY",
    "NO_FEATURE",
    "NO_INFLUENCE",
    "NO_ROOT",
    "NO_TEXT",
    "REFUTATIONS",
    "Chain",
    "Context",
    "Contributor",
    "Earlier",
    "Echo",
    "EntryWrong",
    "Forged",
    "Gap",
    "InfluenceEnd",
    "InfluenceEntry",
    "InfluenceInvented",
    "InfluenceWrong",
    "Invented",
    "Kind",
    "Longer",
    "Mismatch",
    "Missing",
    "Numbering",
    "Omitted",
    "Order",
    "Owned",
    "Paid",
    "Query",
    "Refutation",
    "Remainder",
    "Repeated",
    "Score",
    "Shape",
    "TakenDown",
    "Transition",
    "Unfunded",
    "convicts",
]
