"""The transactions that make, end and dispute batches and feature sets, as plain values."""

from dataclasses import dataclass
from typing import ClassVar

from protocol.batch import Header
from protocol.openings import DocumentOpening

# ---------------------------------------------------------------- batches


@dataclass(frozen=True, slots=True)
class PostBatch:
    """Locks the batch's bond of the sender's free stake.

    Refused (`Stale`) unless the batch gets the number, stands on the amounts, is judged by the
    parameters and is posted within `AS_OF_AGE_MAX` of the time that its body was composed for.
    """

    contract: ClassVar[str] = "AttributionOracle"
    function: ClassVar[str] = "post"

    expected: int
    version: int
    parent_root: bytes  # the totals of the newest live batch, zeros before the first
    header: Header
    data_commitment: bytes = b""  # where the body lies in data availability, at most 64 bytes


@dataclass(frozen=True, slots=True)
class FinalizeBatch:
    """Once its parent is final, its window has passed and nothing is demanded of it any more."""

    contract: ClassVar[str] = "AttributionOracle"
    function: ClassVar[str] = "finalize"

    id: int


@dataclass(frozen=True, slots=True)
class Object:
    """A validator of before the posting says that a batch, or a feature set, must not be final.

    When more than half of the validators' bonds have said so, it is voided, and nobody is slashed.
    """

    function: ClassVar[str] = "object"

    contract: str  # AttributionOracle or FeatureRegistry
    subject: int


@dataclass(frozen=True, slots=True)
class ReleaseBond:
    """The bond of what the validators objected to, `unbonding` seconds after its posting."""

    function: ClassVar[str] = "release"

    contract: str  # AttributionOracle or FeatureRegistry
    id: int


# ---------------------------------------------------------------- influence


@dataclass(frozen=True, slots=True)
class DrawSeed:
    """Names the block whose hash becomes the seed; again, soon after it, takes that hash."""

    contract: ClassVar[str] = "FeatureRegistry"
    function: ClassVar[str] = "draw"

    adapter: bytes


@dataclass(frozen=True, slots=True)
class PublishFeatures:
    """Locks `datanet_bond` of the sender's free stake; needs the adapter's seed."""

    contract: ClassVar[str] = "FeatureRegistry"
    function: ClassVar[str] = "publish"

    adapter: bytes
    features_root: bytes
    example_count: int
    basis_root: bytes
    basis_size: int


@dataclass(frozen=True, slots=True)
class FinalizeFeatures:
    contract: ClassVar[str] = "FeatureRegistry"
    function: ClassVar[str] = "finalize"

    id: int


@dataclass(frozen=True, slots=True)
class TakeDown:
    """By the Datanet's curator or the document's contributor: it is never paid for again."""

    contract: ClassVar[str] = "Takedowns"
    function: ClassVar[str] = "takeDown"

    datanet: int
    shard: int
    document: DocumentOpening
