"""Every refutation of an attribution batch, and the verdict that the contract gives on it."""

from protocol.court import NO_ROOT, Context, Kind
from protocol.openings import (
    NO_ANSWER,
    NO_CLAIM,
    NO_DOCUMENT,
    NO_ENTRY,
    NO_TEXT,
    NONE,
)
from protocol.refutation import Refutation, convicts
from protocol.refute_receipts import Forged, Repeated, Unfunded
from protocol.refute_spans import Contributor, Earlier, Echo, Gap, Longer, Mismatch, Omitted
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
    *(Mismatch, Longer, Earlier, Omitted, Contributor, Echo),
    *(Shape, Order, Owned, Paid, EntryWrong, Invented, Remainder, Numbering, Transition, Chain),
    *(Forged, Unfunded, Repeated),
)

__all__ = [
    "NONE",
    "NO_ANSWER",
    "NO_CLAIM",
    "NO_DOCUMENT",
    "NO_ENTRY",
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
    "Invented",
    "Kind",
    "Longer",
    "Mismatch",
    "Numbering",
    "Omitted",
    "Order",
    "Owned",
    "Paid",
    "Refutation",
    "Remainder",
    "Repeated",
    "Shape",
    "Transition",
    "Unfunded",
    "convicts",
]
