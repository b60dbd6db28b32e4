"""The transactions that roles send, as plain values; `contracts.bindings` encodes them.

The fields are the arguments of the contract's function in their order; `value` is the wei sent
along. Refutations stand in `protocol.refute`.
"""

from dataclasses import dataclass
from typing import ClassVar

from protocol.attribution_calls import (
    DrawSeed,
    FinalizeBatch,
    FinalizeFeatures,
    Object,
    PostBatch,
    PublishFeatures,
    ReleaseBond,
    TakeDown,
)
from protocol.datanet import Shard
from protocol.demands import ClaimUnanswered, Demand, RefundDemand
from protocol.parameters import Parameters
from protocol.receipt import Receipt, Voucher
from protocol.sumtree import Node

__all__ = [  # beside all that stands below
    "ClaimUnanswered",
    "Demand",
    "DrawSeed",
    "FinalizeBatch",
    "FinalizeFeatures",
    "Object",
    "PostBatch",
    "PublishFeatures",
    "RefundDemand",
    "ReleaseBond",
    "TakeDown",
]

# ---------------------------------------------------------------- datanets


@dataclass(frozen=True, slots=True)
class CreateDatanet:
    """`value` is the parameter `datanet_fee`, exactly."""

    contract: ClassVar[str] = "DatanetRegistry"
    function: ClassVar[str] = "create"

    name: str
    value: int = Parameters().datanet_fee


@dataclass(frozen=True, slots=True)
class PublishShard:
    """Locks `datanet_bond` of the curator's free stake."""

    contract: ClassVar[str] = "DatanetRegistry"
    function: ClassVar[str] = "publish"

    datanet: int
    shard: Shard


@dataclass(frozen=True, slots=True)
class FinalizeShard:
    contract: ClassVar[str] = "DatanetRegistry"
    function: ClassVar[str] = "finalize"

    datanet: int
    index: int


@dataclass(frozen=True, slots=True)
class RegisterContributor:
    """`payout` receives the rewards and, for ever, is who signs the contributions."""

    contract: ClassVar[str] = "RewardPool"
    function: ClassVar[str] = "register"

    payout: bytes


@dataclass(frozen=True, slots=True)
class MovePayout:
    contract: ClassVar[str] = "RewardPool"
    function: ClassVar[str] = "movePayout"

    id: int
    payout: bytes


# ---------------------------------------------------------------- nodes and stake


@dataclass(frozen=True, slots=True)
class RegisterNode:
    """`value` is staked first; `bond_min` of free stake is then locked."""

    contract: ClassVar[str] = "NodeRegistry"
    function: ClassVar[str] = "register"

    roles: int
    peer_id: bytes
    endpoint: str
    value: int = 0


@dataclass(frozen=True, slots=True)
class UpdateNode:
    contract: ClassVar[str] = "NodeRegistry"
    function: ClassVar[str] = "update"

    roles: int
    peer_id: bytes
    endpoint: str


@dataclass(frozen=True, slots=True)
class LeaveNode:
    contract: ClassVar[str] = "NodeRegistry"
    function: ClassVar[str] = "leave"


@dataclass(frozen=True, slots=True)
class ReleaseNode:
    contract: ClassVar[str] = "NodeRegistry"
    function: ClassVar[str] = "release"

    operator: bytes


@dataclass(frozen=True, slots=True)
class Stake:
    contract: ClassVar[str] = "StakeVault"
    function: ClassVar[str] = "stake"

    operator: bytes
    value: int


@dataclass(frozen=True, slots=True)
class StartUnbond:
    contract: ClassVar[str] = "StakeVault"
    function: ClassVar[str] = "startUnbond"

    amount: int


@dataclass(frozen=True, slots=True)
class WithdrawStake:
    contract: ClassVar[str] = "StakeVault"
    function: ClassVar[str] = "withdraw"


@dataclass(frozen=True, slots=True)
class ClaimStakeRewards:
    """The sender's part of the stakers' share."""

    contract: ClassVar[str] = "StakeVault"
    function: ClassVar[str] = "claimRewards"


@dataclass(frozen=True, slots=True)
class FlushBurn:
    contract: ClassVar[str] = "StakeVault"
    function: ClassVar[str] = "flushBurn"


# ---------------------------------------------------------------- models


@dataclass(frozen=True, slots=True)
class RegisterBase:
    """`value` is the parameter `model_fee`, exactly."""

    contract: ClassVar[str] = "ModelRegistry"
    function: ClassVar[str] = "registerBase"

    base: bytes
    name: str
    value: int = Parameters().model_fee


@dataclass(frozen=True, slots=True)
class RegisterAdapter:
    """The sender owns it. `value` is the parameter `model_fee`, exactly."""

    contract: ClassVar[str] = "ModelRegistry"
    function: ClassVar[str] = "registerAdapter"

    adapter: bytes  # sha256 of the weights
    base: bytes
    datanet: int
    shard_count: int  # at least 1, all final
    weights_root: bytes
    weights_size: int
    config_hash: bytes
    manifest_hash: bytes
    host_bps: int  # the host's part of the model share
    name: str  # 1 to 64 of [a-z0-9._-]
    value: int = Parameters().model_fee


# ---------------------------------------------------------------- payments


@dataclass(frozen=True, slots=True)
class Deposit:
    contract: ClassVar[str] = "InferenceEscrow"
    function: ClassVar[str] = "deposit"

    host: bytes
    value: int


@dataclass(frozen=True, slots=True)
class Thaw:
    contract: ClassVar[str] = "InferenceEscrow"
    function: ClassVar[str] = "thaw"

    host: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class WithdrawDeposit:
    contract: ClassVar[str] = "InferenceEscrow"
    function: ClassVar[str] = "withdraw"

    host: bytes


@dataclass(frozen=True, slots=True)
class SetSigner:
    """`proof` is the hot key's signature of the EIP-712 struct Signer(address payer)."""

    contract: ClassVar[str] = "InferenceEscrow"
    function: ClassVar[str] = "setSigner"

    signer: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class DropSigner:
    contract: ClassVar[str] = "InferenceEscrow"
    function: ClassVar[str] = "dropSigner"

    signer: bytes


@dataclass(frozen=True, slots=True)
class SignedVoucher:
    payer: bytes
    host: bytes
    adapter: bytes
    cumulative: int
    signature: bytes  # 65 bytes, by the payer or his hot key

    @classmethod
    def of(cls, voucher: Voucher, signature: bytes) -> "SignedVoucher":
        return cls(voucher.payer, voucher.host, voucher.adapter, voucher.cumulative, signature)


@dataclass(frozen=True, slots=True)
class Redeem:
    contract: ClassVar[str] = "InferenceEscrow"
    function: ClassVar[str] = "redeem"

    vouchers: tuple[SignedVoucher, ...]


@dataclass(frozen=True, slots=True)
class ClaimEarned:
    """The sender's earnings of the escrow (host, adapter owner, treasury), paid to `to`."""

    contract: ClassVar[str] = "InferenceEscrow"
    function: ClassVar[str] = "claimEarned"

    to: bytes


@dataclass(frozen=True, slots=True)
class RefuteEquivocation:
    """Two receipts of one host over a common part of one voucher cost him his bond."""

    contract: ClassVar[str] = "InferenceEscrow"
    function: ClassVar[str] = "refuteEquivocation"

    a: Receipt
    sig_a: bytes
    b: Receipt
    sig_b: bytes


# ---------------------------------------------------------------- rewards


@dataclass(frozen=True, slots=True)
class RewardProof:
    """A contributor's cumulative amount under the pool's root; siblings bottom first."""

    id: int
    cumulative: int
    proof: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """Pays each contributor what the root says and he has not got yet; anyone may send it."""

    contract: ClassVar[str] = "RewardPool"
    function: ClassVar[str] = "claim"

    claims: tuple[RewardProof, ...]


@dataclass(frozen=True, slots=True)
class ClaimCredit:
    """The sender's credit in StakeVault, RewardPool or one of the contracts that take demands."""

    function: ClassVar[str] = "claimCredit"

    contract: str
    to: bytes


@dataclass(frozen=True, slots=True)
class CollectFees:
    """The treasury's registration fees in ModelRegistry or DatanetRegistry; anyone may send it."""

    function: ClassVar[str] = "collectFees"

    contract: str


@dataclass(frozen=True, slots=True)
class ProposeParameters:
    """For the holder of the contract's administrative role: binds after the contract's delay."""

    contract: ClassVar[str] = "Parameters"
    function: ClassVar[str] = "propose"

    values: Parameters
