"""What a judge of refutations knows beside what it is shown, and the kinds of conviction."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

from protocol.batch import Header
from protocol.codec import require
from protocol.datanet import Shard
from protocol.merkle import Commitment
from protocol.parameters import Parameters
from protocol.signature import Domain
from protocol.sumtree import Node

NO_ROOT = Node(bytes(32), 0)  # the pool's root before the first final batch


class Kind(IntEnum):
    """What a batch was convicted of, as `BatchSlashed` says it."""

    MISMATCH = 1
    LONGER = 2
    EARLIER = 3
    OMITTED = 4
    CONTRIBUTOR = 5
    ECHO = 6
    ARITHMETIC = 7
    RECEIPT = 8
    WITHHELD = 9
    INFLUENCE = 10
    TAKEN_DOWN = 11


class ShardKind(IntEnum):
    """What a shard was convicted of, as `ShardSlashed` says it."""

    TEXT = 1
    ORDER = 2
    UNSIGNED = 3
    DUPLICATE = 4
    WITHHELD = 9


class FeaturesInForce(Protocol):
    """What a judge knows of an adapter's feature set."""

    @property
    def features(self) -> Commitment: ...

    @property
    def example_count(self) -> int: ...


class Context(Protocol):
    """The chain around one pending batch."""

    @property
    def parameters(self) -> Parameters:
        """Of the version the batch was posted under."""

    @property
    def old_totals(self) -> Node:
        """The totals of the batch below this one: (hash, wei), or NO_ROOT."""

    @property
    def escrow(self) -> Domain:
        """Where receipts are signed."""

    def corpus(self, adapter: bytes) -> Sequence[Shard]:
        """The final shards that the adapter is attributed to; none for an unknown one."""

    def redeemed(self, payer: bytes, host: bytes, adapter: bytes) -> int:
        """Wei that vouchers of the three have paid."""

    def earlier_header(self, batch: int) -> Header | None:
        """Of another batch, if it is final, or pending and posted before this one."""

    def features(self, adapter: bytes) -> FeaturesInForce | None:
        """The feature set that was in force for the adapter at `Header.as_of`."""

    def is_down(self, adapter: bytes, shard: int, document: int) -> bool:
        """Whether that document of the adapter's Datanet was taken down by `Header.as_of`."""

    def any_down(self, adapter: bytes) -> bool:
        """Whether any document of the adapter's Datanet was."""


class ShardContext(Protocol):
    """The chain around one pending shard."""

    @property
    def datanet(self) -> int: ...

    @property
    def index(self) -> int: ...

    @property
    def registry(self) -> Domain:
        """Where contributions are signed."""

    def shard(self, index: int) -> Shard | None:
        """Of the same Datanet."""

    def signer(self, contributor: int) -> bytes | None:
        """The address that signs for a contributor id, for ever the same."""


def shard_at(shards: Sequence[Shard], index: int) -> Shard:
    require(index < len(shards), f"shard {index} of {len(shards)}")
    return shards[index]
