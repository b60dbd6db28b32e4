"""Every refutation of an attribution batch, and the verdict that the contract gives on it."""

from protocol.court import NO_ROOT, Context, Kind
from protocol.refutation import Refutation, convicts
from protocol.refute_receipts import Forged, Repeated, Unfunded
from protocol.refute_spans import Contributor, Earlier, Echo, Gap, Longer, Mismatch, Omitted
from protocol.refute_sums import (
    Chain,
    Invented,
    MissingEntry,
    Numbering,
    Order,
    Owned,
    Paid,
    Remainder,
    Shape,
    Transition,
)

SPAN_REFUTATIONS = (Mismatch, Longer, Earlier, Omitted, Contributor, Echo)
SUM_REFUTATIONS = (
    *(Shape, Order, Owned, Paid, MissingEntry, Invented, Remainder, Numbering, Transition, Chain),
    *(Forged, Unfunded, Repeated),
)
CONTRACT: dict[type[Refutation], str] = {
    **dict.fromkeys(SPAN_REFUTATIONS, "SpanRefutations"),
    **dict.fromkeys(SUM_REFUTATIONS, "SumRefutations"),
}

__all__ = [
    "CONTRACT",
    "NO_ROOT",
    "SPAN_REFUTATIONS",
    "SUM_REFUTATIONS",
    "Chain",
    "Context",
    "Contributor",
    "Earlier",
    "Echo",
    "Forged",
    "Gap",
    "Invented",
    "Kind",
    "Longer",
    "Mismatch",
    "MissingEntry",
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
