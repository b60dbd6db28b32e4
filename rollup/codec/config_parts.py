"""The tables within a chain's configuration: its genesis, its data layer, its fees."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from protocol.codec import require
from rollup.codec import hexadecimal
from rollup.codec.jsonint import integer
from rollup.codec.refs import BlockId
from rollup.codec.system_config import SystemConfig

KECCAK_COMMITMENT: Final = "KeccakCommitment"
GENERIC_COMMITMENT: Final = "GenericCommitment"

GENESIS_KEYS: Final = frozenset({"l1", "l2", "l2_time", "system_config"})
ALT_DA_KEYS: Final = frozenset(
    {
        *("da_challenge_contract_address", "da_challenge_address", "da_commitment_type"),
        *("da_challenge_window", "da_resolve_window"),
    }
)
# In rollup.json (of op-geth's JSON) and in the superchain registry's TOML.
FEE_KEYS: Final = (
    ("eip1559Elasticity", "eip1559_elasticity"),
    ("eip1559Denominator", "eip1559_denominator"),
    ("eip1559DenominatorCanyon", "eip1559_denominator_canyon"),
)


@dataclass(frozen=True, slots=True)
class Genesis:
    """Where the L2 starts: after L1 block `l1`, with block `l2` at `l2_time` seconds."""

    l1: BlockId
    l2: BlockId
    l2_time: int
    system_config: SystemConfig

    @classmethod
    def from_json(cls, value: Any) -> Self:
        table = hexadecimal.fields(value, "genesis")
        known(table, GENESIS_KEYS, "genesis")
        return cls(
            _id(table.get("l1"), "genesis.l1"),
            _id(table.get("l2"), "genesis.l2"),
            integer(table.get("l2_time"), 64, "l2_time"),
            SystemConfig.from_json(table.get("system_config")),
        )

    def to_json(self, *, holocene: bool, isthmus: bool, jovian: bool) -> dict[str, Any]:
        """The flags tell which forks the chain has scheduled at any time."""
        system_config = self.system_config.to_json(
            holocene=holocene, isthmus=isthmus, jovian=jovian
        )
        return {
            "l1": _id_json(self.l1),
            "l2": _id_json(self.l2),
            "l2_time": self.l2_time,
            "system_config": system_config,
        }


@dataclass(frozen=True, slots=True)
class AltDa:
    """Data outside of L1; windows in L1 blocks, the address is zero for generic commitments."""

    challenge_address: bytes
    commitment_type: str
    challenge_window: int
    resolve_window: int

    @classmethod
    def from_json(cls, value: Any) -> Self:
        table = hexadecimal.fields(value, "alt_da")
        known(table, ALT_DA_KEYS, "alt_da")
        address = table.get("da_challenge_contract_address", table.get("da_challenge_address"))
        config = cls(
            bytes(20) if address is None else hexadecimal.data(address, 20, "da_challenge"),
            table.get("da_commitment_type", KECCAK_COMMITMENT),
            integer(table.get("da_challenge_window"), 64, "da_challenge_window"),
            integer(table.get("da_resolve_window"), 64, "da_resolve_window"),
        )
        is_keccak = config.commitment_type == KECCAK_COMMITMENT
        require(is_keccak or config.commitment_type == GENERIC_COMMITMENT, "da_commitment_type")
        require(is_keccak == any(config.challenge_address), "da_challenge_contract_address")
        return config

    def to_json(self) -> dict[str, Any]:
        return {
            "da_challenge_contract_address": hexadecimal.from_bytes(self.challenge_address),
            "da_commitment_type": self.commitment_type,
            "da_challenge_window": self.challenge_window,
            "da_resolve_window": self.resolve_window,
        }


@dataclass(frozen=True, slots=True)
class ChainOpConfig:
    """The base fee's parameters before Holocene, and where Holocene's are zero."""

    elasticity: int = 6
    denominator: int = 50
    denominator_canyon: int | None = 250

    @classmethod
    def from_json(cls, value: Any) -> Self:
        table = hexadecimal.fields(value, "chain_op_config")
        known(table, frozenset([key for pair in FEE_KEYS for key in pair]), "chain_op_config")
        elasticity, denominator, canyon = [table.get(a, table.get(b)) for a, b in FEE_KEYS]
        config = cls(
            integer(elasticity, 64, "eip1559Elasticity"),
            integer(denominator, 64, "eip1559Denominator"),
            None if canyon is None else integer(canyon, 64, "eip1559DenominatorCanyon"),
        )
        require(config.elasticity > 0 and config.denominator > 0, "a fee parameter is zero")
        require(config.denominator_canyon != 0, "eip1559DenominatorCanyon is zero")
        return config

    def to_json(self) -> dict[str, Any]:
        out = {"eip1559Elasticity": self.elasticity, "eip1559Denominator": self.denominator}
        if self.denominator_canyon is not None:
            out["eip1559DenominatorCanyon"] = self.denominator_canyon
        return out


def known(keys: Iterable[Any], expected: frozenset[str], name: str) -> None:
    """op-node refuses a key that it does not know: it might be a rule of the chain."""
    unknown = set(keys) - expected
    require(not unknown, f"unknown in {name}: {sorted(map(str, unknown))[:3]}")


def _id(value: Any, name: str) -> BlockId:
    table = hexadecimal.fields(value, name)
    known(table, frozenset({"hash", "number"}), name)
    number = integer(table.get("number"), 64, name)
    return BlockId(hexadecimal.data(table.get("hash"), 32, name), number)


def _id_json(block: BlockId) -> dict[str, Any]:
    return {"hash": hexadecimal.from_bytes(block.hash), "number": block.number}
