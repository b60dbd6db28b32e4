"""What can be wrong with an adapter's feature set.  Twin of `contracts/src/FeatureRegistry.sol`.

Each class has the fields of the Solidity function `function`, in order; `proves`
is its verdict.  It may raise `Malformed` where the function reverts over an opening.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Protocol

from protocol.court import FeaturesInForce, shard_at
from protocol.datanet import Shard
from protocol.errors import Malformed
from protocol.features import NO_EXAMPLE, FeatureRow, dot, near, norm2, well_formed
from protocol.openings import NONE, DocumentOpening, FeatureOpening
from protocol.parameters import Parameters


class FeatureKind(IntEnum):
    """What a feature set was convicted of, as `FeaturesSlashed` says it."""

    ROW = 1
    ORDER = 2
    DUPLICATE = 3
    WITHHELD = 9


class FeatureContext(Protocol):
    """The chain around one pending feature set."""

    @property
    def parameters(self) -> Parameters:
        """Of the version the set was published under."""

    @property
    def shards(self) -> Sequence[Shard]:
        """The final shards that the set's adapter is attributed to."""


@dataclass(frozen=True, slots=True)
class FeatureRefutation:
    """What every refutation of a feature set has."""

    KIND: ClassVar[FeatureKind]
    contract: ClassVar[str] = "FeatureRegistry"
    function: ClassVar[str]

    id: int

    def proves(self, features: FeaturesInForce, context: FeatureContext) -> bool:
        raise NotImplementedError


def convicts_features(
    refutation: FeatureRefutation, features: FeaturesInForce, context: FeatureContext
) -> bool:
    """The contract's verdict: True where it slashes, False where it reverts."""
    try:
        return refutation.proves(features, context)
    except Malformed:
        return False


@dataclass(frozen=True, slots=True)
class FeatureRowWrong(FeatureRefutation):
    """The row is of no document, or not of what the document says, or its feature is none."""

    KIND: ClassVar[FeatureKind] = FeatureKind.ROW
    function: ClassVar[str] = "refuteRow"

    row: FeatureOpening
    document: DocumentOpening  # ignored where there is no such document, or the row lies by itself

    def proves(self, features: FeaturesInForce, context: FeatureContext) -> bool:
        row, shards = self.row.opened(features.features), context.shards
        if row.duplicate_of != NO_EXAMPLE and row.duplicate_of >= self.row.index:
            return True
        if row.shard >= len(shards) or row.document >= shards[row.shard].document_count:
            return True
        if not well_formed(row.phi):
            return True
        if self.document.index != row.document:
            return False
        named = self.document.opened(shard_at(shards, row.shard))
        return (named.contributor, named.content_root) != (row.contributor, row.content_root)


@dataclass(frozen=True, slots=True)
class FeatureOrder(FeatureRefutation):
    """Two neighbouring rows that are not of successive documents, or a wrong first or last one."""

    KIND: ClassVar[FeatureKind] = FeatureKind.ORDER
    function: ClassVar[str] = "refuteOrder"

    first: FeatureOpening  # NO_FEATURE to show the very first row alone
    second: FeatureOpening  # NO_FEATURE to show the very last row alone

    def proves(self, features: FeaturesInForce, context: FeatureContext) -> bool:
        if self.first.index == NONE:
            if self.second.index:
                return False
            row = self.second.opened(features.features)
            return (row.shard, row.document) != (0, 0)
        one = self.first.opened(features.features)
        expected = _successor(one, context.shards)
        if self.second.index == NONE:
            return self.first.index + 1 == features.example_count and expected is not None
        if self.second.index != self.first.index + 1:
            return False
        two = self.second.opened(features.features)
        return expected != (two.shard, two.document)


def _successor(row: FeatureRow, shards: Sequence[Shard]) -> tuple[int, int] | None:
    """The document after a row's, or None after the last."""
    if row.shard < len(shards) and row.document + 1 < shards[row.shard].document_count:
        return row.shard, row.document + 1
    return (row.shard + 1, 0) if row.shard + 1 < len(shards) else None


@dataclass(frozen=True, slots=True)
class FeatureDuplicate(FeatureRefutation):
    """Row `second` is near the earlier row `first` and does not say so; or it is not, and does."""

    KIND: ClassVar[FeatureKind] = FeatureKind.DUPLICATE
    function: ClassVar[str] = "refuteDuplicate"

    first: FeatureOpening
    second: FeatureOpening

    def proves(self, features: FeaturesInForce, context: FeatureContext) -> bool:
        i, j = self.first.index, self.second.index
        if i >= j:
            return False
        one, two = (opening.opened(features.features) for opening in (self.first, self.second))
        product = dot(one.phi, two.phi)
        if near(product, norm2(one.phi), norm2(two.phi), context.parameters):
            return two.duplicate_of > i  # NO_EXAMPLE is greater than any
        return two.duplicate_of == i
