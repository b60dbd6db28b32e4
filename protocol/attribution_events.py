"""What AttributionOracle, FeatureRegistry and Takedowns say has happened."""

from dataclasses import dataclass

from protocol.batch import Header

# ---------------------------------------------------------------- attribution


@dataclass(frozen=True, slots=True)
class BatchPosted:
    id: int
    poster: bytes
    header: Header
    deadline: int
    version: int  # of the parameters


@dataclass(frozen=True, slots=True)
class BatchData:
    """Where the body lies in data availability; empty if only peers have it."""

    id: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class BatchVoided:
    """Ended without guilt, the bond went back: `because` an earlier one ended, or itself, when
    the validators objected to it."""

    id: int
    because: int


@dataclass(frozen=True, slots=True)
class Objected:
    contract: str
    id: int  # of a batch or a feature set
    validator: bytes
    weight: int
    total: int  # of all validators at the posting


@dataclass(frozen=True, slots=True)
class BondReleased:
    """The poster of what the validators had objected to got his bond back."""

    contract: str
    id: int


@dataclass(frozen=True, slots=True)
class BatchSlashed:
    id: int
    challenger: bytes
    kind: int
    bond: int
    reward: int


@dataclass(frozen=True, slots=True)
class BatchFinalized:
    id: int
    totals_root: bytes
    allocated: int


@dataclass(frozen=True, slots=True)
class OpeningDemanded:
    contract: str
    subject: int  # batch id, or publication of a shard
    tree: int
    index: int
    by: bytes
    until: int


@dataclass(frozen=True, slots=True)
class OpeningAnswered:
    contract: str
    subject: int
    tree: int
    index: int
    by: bytes


@dataclass(frozen=True, slots=True)
class DemandRefunded:
    contract: str
    subject: int
    tree: int
    index: int
    by: bytes


# ---------------------------------------------------------------- influence


@dataclass(frozen=True, slots=True)
class SeedRequested:
    """The seed of the adapter's projection will come from the hash of that block."""

    adapter: bytes
    target: int


@dataclass(frozen=True, slots=True)
class SeedDrawn:
    adapter: bytes
    seed: bytes


@dataclass(frozen=True, slots=True)
class FeaturesPublished:
    id: int
    adapter: bytes
    poster: bytes
    features_root: bytes
    example_count: int
    basis_root: bytes
    basis_size: int
    seed: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class FeaturesFinalized:
    id: int
    adapter: bytes
    finalized_at: int


@dataclass(frozen=True, slots=True)
class FeaturesSlashed:
    id: int
    challenger: bytes
    kind: int
    bond: int
    reward: int


@dataclass(frozen=True, slots=True)
class FeaturesVoided:
    """The validators objected; the bond went back."""

    id: int


@dataclass(frozen=True, slots=True)
class DocumentTakenDown:
    datanet: int
    shard: int
    document: int
    at: int
