"""What the contracts say has happened, as plain values; `contracts.bindings` decodes them.

Class and field names are those of the Solidity events; addresses and hashes are bytes, amounts are
wei. `contract` is there only where several contracts say the same thing.
"""

from dataclasses import dataclass

from protocol.attribution_events import (
    BatchData,
    BatchFinalized,
    BatchPosted,
    BatchSlashed,
    BatchVoided,
    BondReleased,
    DemandRefunded,
    DocumentTakenDown,
    FeaturesFinalized,
    FeaturesPublished,
    FeaturesSlashed,
    FeaturesVoided,
    Objected,
    OpeningAnswered,
    OpeningDemanded,
    SeedDrawn,
    SeedRequested,
)
from protocol.parameters import Parameters

__all__ = [  # beside all that stands below
    "BatchData",
    "BatchFinalized",
    "BatchPosted",
    "BatchSlashed",
    "BatchVoided",
    "BondReleased",
    "DemandRefunded",
    "DocumentTakenDown",
    "FeaturesFinalized",
    "FeaturesPublished",
    "FeaturesSlashed",
    "FeaturesVoided",
    "Objected",
    "OpeningAnswered",
    "OpeningDemanded",
    "SeedDrawn",
    "SeedRequested",
]

# ---------------------------------------------------------------- datanets


@dataclass(frozen=True, slots=True)
class DatanetCreated:
    datanet: int
    curator: bytes
    name: str


@dataclass(frozen=True, slots=True)
class ShardPublished:
    datanet: int
    index: int
    curator: bytes
    text_root: bytes
    document_root: bytes
    text_size: int
    document_count: int
    deadline: int
    publication: int  # the subject of demands


@dataclass(frozen=True, slots=True)
class ShardFinalized:
    datanet: int
    index: int


@dataclass(frozen=True, slots=True)
class ShardSlashed:
    datanet: int
    index: int
    challenger: bytes
    kind: int
    bond: int
    reward: int


@dataclass(frozen=True, slots=True)
class ShardVoided:
    """An earlier shard was slashed; the bond of this one went back."""

    datanet: int
    index: int


# ---------------------------------------------------------------- nodes


@dataclass(frozen=True, slots=True)
class NodeRegistered:
    operator: bytes
    roles: int
    bond: int
    peer_id: bytes
    endpoint: str


@dataclass(frozen=True, slots=True)
class NodeUpdated:
    operator: bytes
    roles: int
    peer_id: bytes
    endpoint: str


@dataclass(frozen=True, slots=True)
class NodeLeft:
    """From now on without roles; the bond stays until `releasable_at`."""

    operator: bytes
    releasable_at: int


@dataclass(frozen=True, slots=True)
class NodeReleased:
    operator: bytes
    bond: int


@dataclass(frozen=True, slots=True)
class NodeSlashed:
    operator: bytes
    challenger: bytes
    bond: int


@dataclass(frozen=True, slots=True)
class EquivocationRefuted:
    host: bytes
    challenger: bytes
    digest_a: bytes
    digest_b: bytes


# ---------------------------------------------------------------- models


@dataclass(frozen=True, slots=True)
class BaseRegistered:
    base: bytes
    owner: bytes
    name: str


@dataclass(frozen=True, slots=True)
class AdapterRegistered:
    adapter: bytes
    base: bytes
    owner: bytes
    datanet: int
    shard_count: int
    weights_root: bytes
    weights_size: int
    config_hash: bytes
    manifest_hash: bytes
    host_bps: int
    name: str


@dataclass(frozen=True, slots=True)
class FeesCollected:
    contract: str
    treasury: bytes
    amount: int


# ---------------------------------------------------------------- payments


@dataclass(frozen=True, slots=True)
class Deposited:
    payer: bytes
    host: bytes
    amount: int
    balance: int  # after it


@dataclass(frozen=True, slots=True)
class ThawStarted:
    """Replaces an earlier notice of the same pair."""

    payer: bytes
    host: bytes
    amount: int
    available_at: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    payer: bytes
    host: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class SignerSet:
    payer: bytes
    signer: bytes


@dataclass(frozen=True, slots=True)
class SignerDropped:
    payer: bytes
    signer: bytes
    until: int


@dataclass(frozen=True, slots=True)
class Redeemed:
    """`amount` is the sum of the five shares."""

    payer: bytes
    host: bytes
    adapter: bytes
    amount: int
    cumulative: int
    platform: int
    stakers: int
    contributors: int
    owner: int
    host_share: int


@dataclass(frozen=True, slots=True)
class EarnedClaimed:
    owner: bytes
    to: bytes
    amount: int


# ---------------------------------------------------------------- rewards


@dataclass(frozen=True, slots=True)
class ContributorRegistered:
    """`payout` also signs the contributions of this id, whatever happens to the payout later."""

    id: int
    payout: bytes


@dataclass(frozen=True, slots=True)
class PayoutMoved:
    id: int
    payout: bytes


@dataclass(frozen=True, slots=True)
class Funded:
    sender: bytes
    amount: int
    funded: int  # ever, after it


@dataclass(frozen=True, slots=True)
class RootSet:
    root: bytes
    allocated: int


@dataclass(frozen=True, slots=True)
class Claimed:
    id: int
    payout: bytes
    amount: int
    cumulative: int
    credited: bool  # the payee rejected it; it waits as a credit


@dataclass(frozen=True, slots=True)
class CreditClaimed:
    contract: str
    owner: bytes
    to: bytes
    amount: int


# ---------------------------------------------------------------- stake


@dataclass(frozen=True, slots=True)
class Staked:
    operator: bytes
    staker: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class UnbondStarted:
    operator: bytes
    amount: int
    available_at: int


@dataclass(frozen=True, slots=True)
class StakeWithdrawn:
    operator: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Locked:
    module: bytes
    operator: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Unlocked:
    module: bytes
    operator: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Slashed:
    """`amount` is the sum of the three parts; `module` is the contract that held the bond."""

    module: bytes
    operator: bytes
    challenger: bytes
    amount: int
    reward: int
    treasury: int
    burned: int


@dataclass(frozen=True, slots=True)
class Distributed:
    """A stakers' share came in; `to_treasury` is all of it when nobody stakes, else 0."""

    sender: bytes
    amount: int
    to_treasury: int


@dataclass(frozen=True, slots=True)
class RewardsClaimed:
    operator: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Burned:
    amount: int


# ---------------------------------------------------------------- parameters


@dataclass(frozen=True, slots=True)
class ParametersProposed:
    """Binds from `effective_at` on; the first version at once."""

    version: int
    effective_at: int
    values: Parameters


Event = (
    AdapterRegistered | BaseRegistered | BatchData | BatchFinalized | BatchPosted | BatchSlashed
    | BatchVoided | BondReleased | Burned | Claimed | ContributorRegistered | CreditClaimed
    | DatanetCreated | DemandRefunded | Deposited | Distributed | DocumentTakenDown | EarnedClaimed
    | EquivocationRefuted | FeaturesFinalized | FeaturesPublished | FeaturesSlashed
    | FeaturesVoided | FeesCollected | Funded | Locked | NodeLeft | NodeRegistered
    | NodeReleased | NodeSlashed | NodeUpdated | Objected | OpeningAnswered | OpeningDemanded
    | ParametersProposed | PayoutMoved | Redeemed | RewardsClaimed | RootSet | SeedDrawn
    | SeedRequested | ShardFinalized | ShardPublished | ShardSlashed | ShardVoided
    | SignerDropped | SignerSet | Slashed | StakeWithdrawn | Staked | ThawStarted
    | UnbondStarted | Unlocked | Withdrawn
)  # fmt: skip
