"""What the ledger keeps of each thing that the contracts know."""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Self

from protocol.attribution_events import FeaturesPublished
from protocol.batch import Header
from protocol.datanet import Shard
from protocol.errors import Malformed
from protocol.merkle import BODY, FEATURE, FEATURE_LEAF, Commitment
from protocol.sumtree import Node


class RoleBit(IntFlag):
    CURATOR = 1
    VALIDATOR = 2
    HOST = 4
    PROVER = 8
    SEQUENCER = 16


class Status(IntEnum):
    PENDING = 1
    FINAL = 2
    SLASHED = 3
    VOID = 4  # ended without guilt: with something before it, or by objection; its bond went back


LIVE = (Status.PENDING, Status.FINAL)


@dataclass(frozen=True, slots=True)
class NodeRecord:
    operator: bytes
    roles: RoleBit
    peer_id: bytes
    multiaddr: str
    since: int = 0  # when it was registered, or last took a role that it had not


@dataclass(frozen=True, slots=True)
class DatanetRecord:
    datanet: int
    curator: bytes
    name: str


@dataclass(frozen=True, slots=True)
class ShardRecord:
    datanet: int
    index: int
    shard: Shard
    curator: bytes
    deadline: int
    status: Status
    publication: int = 0  # what demands of its leaves name


@dataclass(frozen=True, slots=True)
class AdapterRecord:
    adapter: bytes  # sha256 of the weights
    base: bytes
    datanet: int
    shard_count: int
    weights_root: bytes
    weights_size: int
    config_hash: bytes
    manifest_hash: bytes
    host_bps: int
    name: str
    owner: bytes

    @property
    def weights(self) -> Commitment:
        return Commitment(BODY, self.weights_size, self.weights_root)


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """`parent` is the newest batch that was alive when this one was posted, 0 for none."""

    batch: int
    poster: bytes
    header: Header
    deadline: int
    version: int
    status: Status
    convicted_of: int = 0  # a `protocol.court.Kind`, once slashed
    posted_at: int = 0
    parent: int = 0
    allocated: int = 0  # wei, all that the chain of batches up to and with this one pays
    commitment: bytes = b""  # where the body lies in data availability; empty: at peers only

    @property
    def totals(self) -> Node:
        """Everybody's cumulative wei after it."""
        return Node(self.header.totals_root, self.allocated)


@dataclass(frozen=True, slots=True)
class FeatureSetRecord:
    """The features of all examples of one adapter, as they were published."""

    id: int
    adapter: bytes
    poster: bytes
    features: Commitment  # kind FEATURE
    example_count: int
    basis: Commitment  # kind BODY
    seed: bytes
    deadline: int
    version: int  # of the parameters in force when it was published
    status: Status
    posted_at: int = 0
    finalized_at: int = 0
    convicted_of: int = 0  # a `protocol.refute_features.FeatureKind`, once slashed

    @classmethod
    def of(cls, event: FeaturesPublished, version: int, now: int) -> Self:
        """As it is published; a set too large for any body has empty ones, which nobody finds."""
        try:
            features = Commitment(FEATURE, event.example_count * FEATURE_LEAF, event.features_root)
            basis = Commitment(BODY, event.basis_size, event.basis_root)
        except Malformed:
            features = Commitment(FEATURE, 0, event.features_root)
            basis = Commitment(BODY, 0, event.basis_root)
        return cls(
            event.id,
            event.adapter,
            event.poster,
            features,
            event.example_count,
            basis,
            event.seed,
            event.deadline,
            version,
            Status.PENDING,
            posted_at=now,
        )


@dataclass(frozen=True, slots=True)
class DemandRecord:
    """An open demand for a leaf: who asked, and when who is silent can be convicted."""

    by: bytes
    until: int
