"""The deployment of all contracts: a pure list of transactions, and the loop that sends them.

Addresses follow from the deployer and his nonce, so every constructor argument is known before the
first transaction, and who deploys again after a crash goes on at his nonce.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from typing import Any

import rlp
from eth_hash.auto import keccak

from contracts import abi
from protocol.parameters import BPS, HOLDERS_MAX, INFLUENCES_CAP, OPEN, SPAN_CAP, Parameters

CONTRACTS = (
    "AccessManager",
    "Parameters",
    "StakeVault",
    "RewardPool",
    "NodeRegistry",
    "DatanetRegistry",
    "ModelRegistry",
    "InferenceEscrow",
    "AttributionOracle",
    "FeatureRegistry",
    "Takedowns",
    "SpanRefutations",
    "SumRefutations",
    "InfluenceRefutations",
)

# Who may call what: role, contract, its restricted functions, the contracts that hold the role.
# `Parameters.propose` stays with the administrator (role 0).
ROLES: tuple[tuple[int, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        1,
        "StakeVault",
        ("lock", "unlock", "slashLocked"),
        ("NodeRegistry", "DatanetRegistry", "AttributionOracle", "FeatureRegistry"),
    ),
    (2, "NodeRegistry", ("slash",), ("InferenceEscrow",)),
    (3, "RewardPool", ("setRoot",), ("AttributionOracle",)),
    (
        4,
        "AttributionOracle",
        ("convict",),
        ("SpanRefutations", "SumRefutations", "InfluenceRefutations"),
    ),
)
ADMIN_ROLE = 0

DAY = 86_400
Limits = Mapping[str, tuple[int, int]]  # lowest and highest of each parameter, for ever

LIMITS: Limits = {
    "span_min": (16, SPAN_CAP),
    "span_max": (64, SPAN_CAP),
    "holders_max": (1, HOLDERS_MAX),
    "span_weights": (0, BPS),
    "common_bps": (0, BPS),
    "platform_bps": (0, 3_000),
    "model_bps": (0, 5_000),
    "stakers_bps": (100, 5_000),
    "window": (3_600, 30 * DAY),
    "response": (600, 7 * DAY),
    "bond_min": (OPEN, 10**6 * OPEN),
    "bond_bps": (1_000, 5 * BPS),
    "demand_bond": (OPEN // 100, 100 * OPEN),
    "challenger_bps": (0, 5_000),
    "treasury_bps": (0, BPS),
    "unbonding": (DAY, 90 * DAY),
    "datanet_window": (3_600, 30 * DAY),
    "datanet_bond": (OPEN, 10**6 * OPEN),
    "model_fee": (0, 10**4 * OPEN),
    "datanet_fee": (0, 10**4 * OPEN),
    "influences_max": (1, INFLUENCES_CAP),
    "influence_sigma": (100, 1_000),
    "influence_bps": (0, BPS),
    "duplicate_bps": (5_000, BPS - 1),
}
# A test network runs the same story in seconds.
TEST_LIMITS: Limits = {
    **LIMITS,
    "window": (1, 30 * DAY),
    "response": (1, 7 * DAY),
    "bond_min": (1, 10**6 * OPEN),
    "demand_bond": (1, 100 * OPEN),
    "unbonding": (2, 90 * DAY),
    "datanet_window": (1, 30 * DAY),
    "datanet_bond": (1, 10**6 * OPEN),
}

Send = Callable[[bytes | None, bytes, int], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a deployment is made of.

    `admin` proposes parameters and grants roles. In production it is the timelock, and the deployer
    renounces his own power with the last step; a test network keeps its deployer as administrator.
    """

    deployer: bytes
    treasury: bytes
    admin: bytes
    parameters: Parameters = field(default_factory=Parameters)
    limits: Limits = field(default_factory=lambda: LIMITS)
    delay: int = 2 * DAY  # seconds between the proposal of parameters and their force
    nonce: int = 0  # the deployer's, before the first step


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of the deployer; without a receiver it creates the contract `what`."""

    what: str
    to: bytes | None
    data: bytes
    value: int = 0


def addresses(setup: Setup) -> dict[str, bytes]:
    """Where each contract will stand, by its name."""
    return {
        name: created(setup.deployer, setup.nonce + number) for number, name in enumerate(CONTRACTS)
    }


def steps(setup: Setup) -> list[Step]:
    """Every transaction, in the order of the deployer's nonces."""
    where = addresses(setup)
    known = _arguments(setup, where)
    creations = [Step(name, None, _creation(name, known)) for name in CONTRACTS]
    return [*creations, *_wiring(setup, where)]


async def execute(todo: Sequence[Step], send: Send) -> None:
    """Send the steps one after the other; `send(to, data, value)` returns when one is mined.

    After a crash go on with `steps(setup)[nonce - setup.nonce :]`, by the deployer's nonce.
    """
    for step in todo:
        await send(step.to, step.data, step.value)


def created(deployer: bytes, nonce: int) -> bytes:
    """The address of what `deployer` creates with its transaction number `nonce`."""
    encoded: bytes = rlp.encode([deployer, nonce])
    return keccak(encoded)[12:]


def _creation(name: str, known: Mapping[str, Any]) -> bytes:
    artifact = abi.artifact(name)
    values = [known[abi.snake(entry["name"])] for entry in artifact.constructor]
    return artifact.bytecode + abi.encode(artifact.constructor, values)


def _arguments(setup: Setup, where: Mapping[str, bytes]) -> dict[str, Any]:
    """Constructor arguments by the names that the contracts give them."""
    return {
        "initial_admin": setup.deployer,  # until the wiring is done
        "authority": where["AccessManager"],
        "parameters": where["Parameters"],
        "vault": where["StakeVault"],
        "pool": where["RewardPool"],
        "nodes": where["NodeRegistry"],
        "datanets": where["DatanetRegistry"],
        "models": where["ModelRegistry"],
        "corpora": where["ModelRegistry"],
        "escrow": where["InferenceEscrow"],
        "oracle": where["AttributionOracle"],
        "features": where["FeatureRegistry"],
        "takedowns": where["Takedowns"],
        "treasury": setup.treasury,
        "delay": setup.delay,
        "initial": setup.parameters,
        "lowest": _edge(setup, 0),
        "highest": _edge(setup, 1),
    }


def _edge(setup: Setup, side: int) -> tuple[Any, ...]:
    """One side of all limits, in the order of the contract's struct."""
    values = dict(zip(_NAMES, astuple(setup.parameters), strict=True))
    edge = {name: setup.limits[name][side] for name in _NAMES}
    return tuple(
        (edge[n],) * len(values[n]) if isinstance(values[n], tuple) else edge[n] for n in _NAMES
    )


def _wiring(setup: Setup, where: Mapping[str, bytes]) -> list[Step]:
    wires = list[Step]()

    def call(function: str, *values: Any) -> None:
        entry = abi.artifact("AccessManager").functions[function]
        data = abi.selector(entry) + abi.encode(entry["inputs"], values)
        wires.append(Step(function, where["AccessManager"], data))

    for role, contract, functions, holders in ROLES:
        entries = [abi.artifact(contract).functions[function] for function in functions]
        call("setTargetFunctionRole", where[contract], [abi.selector(e) for e in entries], role)
        for holder in holders:
            call("grantRole", role, where[holder], 0)
    if setup.admin != setup.deployer:
        call("grantRole", ADMIN_ROLE, setup.admin, 0)
        call("renounceRole", ADMIN_ROLE, setup.deployer)
    return wires


_NAMES = [item.name for item in fields(Parameters)]
