"""The stage of the money tests: who takes part, one adapter registered, nothing paid yet."""

from typing import Any

from protocol import calls
from protocol.batch import Header
from protocol.datanet import Shard
from protocol.parameters import Parameters
from protocol.signature import address_of
from tests.evm.embedded import DEPLOYER, TREASURY, Chain, key

RULES = Parameters()
KEYS = {address_of(key(name)): key(name) for name in ("ann", "bob", "cat", "dan")}
PEOPLE = list(KEYS)  # each may pay, host, stake, post and curate
CONTRIBUTORS = {0: TREASURY, **{n: bytes([0xC0 + n]) * 20 for n in range(1, 5)}}
ADAPTER, BASE, HOST_BPS = b"\xad" * 32, b"\xba" * 32, 3_333
OWNER = b"\x0a" * 20
HOLDERS = (
    "StakeVault",
    "RewardPool",
    "InferenceEscrow",
    "ModelRegistry",
    "NodeRegistry",
    "DatanetRegistry",
    "AttributionOracle",
    "FeatureRegistry",
    "Parameters",
)
WITHHELD_TREE = 3  # answers: a demand for a leaf that nobody can open
_CHAINS: list[Chain] = []


def prepared() -> Chain:
    """One Datanet with a final shard and one adapter; built once, every story starts from there."""
    if not _CHAINS:
        chain = Chain(RULES)
        for who in (*PEOPLE, OWNER):
            chain.give(who)
        for number in range(1, 5):
            chain.send(calls.RegisterContributor(CONTRIBUTORS[number]), DEPLOYER)
        chain.send(calls.Stake(OWNER, value=RULES.datanet_bond), OWNER)
        chain.send(calls.CreateDatanet("first"), OWNER)
        chain.send(calls.PublishShard(1, Shard(bytes(32), bytes(32), 100, 1)), OWNER)
        chain.warp(RULES.datanet_window)
        chain.send(calls.FinalizeShard(1, 0), OWNER)
        chain.send(calls.StartUnbond(RULES.datanet_bond), OWNER)
        chain.warp(RULES.unbonding)
        chain.send(calls.WithdrawStake(), OWNER)
        chain.send(calls.RegisterBase(BASE, "base"), OWNER)
        registration = calls.RegisterAdapter(
            *(ADAPTER, BASE, 1, 1, bytes(32), 1, bytes(32), bytes(32), HOST_BPS, "adapter")
        )
        chain.send(registration, OWNER)
        _CHAINS.append(chain)
    return _CHAINS[0]


def header(totals_root: bytes, total: int, as_of: int) -> Header:
    return Header(*(b"\x01" * 32,) * 4, totals_root, b"\x02" * 32, 1, total, 1, 0, 0, as_of)


def least_bond(pending: int) -> int:
    """Wei behind a batch while so many pend: from the ninth on each doubles it."""
    return RULES.bond_min << max(0, pending - 7)


def demand_call(batch: int, bond: int) -> Any:
    return calls.Demand("AttributionOracle", batch, WITHHELD_TREE, 0, value=bond)


def claim_unanswered(batch: int) -> Any:
    return calls.ClaimUnanswered("AttributionOracle", batch, WITHHELD_TREE, 0)
