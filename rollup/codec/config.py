"""A chain's constants: rollup.json as op-node has it, or a file of the superchain registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

from protocol.codec import require
from rollup.codec import hexadecimal
from rollup.codec.config_parts import AltDa, ChainOpConfig, Genesis, known
from rollup.codec.jsonint import integer

T = TypeVar("T")

# In order of activation: a later fork that is active implies the earlier ones.
FORKS: Final = (
    *("regolith", "canyon", "delta", "ecotone", "fjord", "granite"),
    *("holocene", "isthmus", "jovian", "karst", "interop"),
)
CHANNEL_TIMEOUT_GRANITE: Final = 50  # L1 blocks
CHANNEL_TIMEOUT_REGISTRY: Final = 300  # L1 blocks, of every chain in the superchain registry
MAX_SEQUENCER_DRIFT_FJORD: Final = 1800  # seconds

PECTRA_KEY: Final = "pectra_blob_schedule_time"  # no fork of the L2: a repair of one testnet
TIME_KEYS: Final = frozenset({*[f"{fork}_time" for fork in FORKS], PECTRA_KEY})
KEYS: Final = frozenset(
    {
        *("genesis", "block_time", "max_sequencer_drift", "seq_window_size", "channel_timeout"),
        *("l1_chain_id", "l2_chain_id", "batch_inbox_address", "deposit_contract_address"),
        *("l1_system_config_address", "protocol_versions_address", "alt_da", "chain_op_config"),
        *TIME_KEYS,
        # kona writes these too; none of them changes what this node derives
        *("granite_channel_timeout", "superchain_config_address", "interop_message_expiry_window"),
    }
)


@dataclass(frozen=True, slots=True)
class RollupConfig:
    """Everything that all nodes of one chain must have the same; times in seconds."""

    genesis: Genesis
    block_time: int
    max_sequencer_drift: int
    seq_window_size: int  # L1 blocks
    channel_timeout: int  # L1 blocks, before Granite
    l1_chain_id: int
    l2_chain_id: int
    batch_inbox_address: bytes
    deposit_contract_address: bytes
    l1_system_config_address: bytes
    protocol_versions_address: bytes = bytes(20)
    regolith_time: int | None = None
    canyon_time: int | None = None
    delta_time: int | None = None
    ecotone_time: int | None = None
    fjord_time: int | None = None
    granite_time: int | None = None
    holocene_time: int | None = None
    isthmus_time: int | None = None
    jovian_time: int | None = None
    karst_time: int | None = None
    interop_time: int | None = None
    pectra_blob_schedule_time: int | None = None
    alt_da: AltDa | None = None
    chain_op_config: ChainOpConfig | None = None

    def is_active(self, fork: str, time: int) -> bool:
        """Whether a block at `time` follows the rules of `fork`, one of FORKS."""
        for later in FORKS[FORKS.index(fork) :]:
            activation: int | None = getattr(self, f"{later}_time")
            if activation is not None and time >= activation:
                return True
        return False

    def is_activation(self, fork: str, time: int) -> bool:
        """Whether the L2 block at `time` is the first that follows `fork`; never the genesis."""
        before = time - self.block_time
        return self.is_active(fork, time) and before >= 0 and not self.is_active(fork, before)

    def channel_timeout_at(self, time: int) -> int:
        """L1 blocks within which a channel must close, at the `time` of its L1 origin."""
        if self.is_active("granite", time):
            return CHANNEL_TIMEOUT_GRANITE
        return self.channel_timeout

    def max_drift(self, time: int) -> int:
        """Seconds that an L2 block may be ahead of its L1 origin, at the `time` of that origin."""
        if self.is_active("fjord", time):
            return MAX_SEQUENCER_DRIFT_FJORD
        return self.max_sequencer_drift

    def eip1559(self, time: int) -> tuple[int, int]:
        """Denominator and elasticity of the base fee, before Holocene or where its are zero."""
        fees = self.chain_op_config or ChainOpConfig()
        if fees.denominator_canyon is not None and self.is_active("canyon", time):
            return fees.denominator_canyon, fees.elasticity
        return fees.denominator, fees.elasticity

    def block_time_at(self, number: int) -> int:
        """The time of L2 block `number`."""
        return self.genesis.l2_time + (number - self.genesis.l2.number) * self.block_time

    @classmethod
    def parse(cls, value: Any) -> Self:
        """From the value of a rollup.json; `Malformed` where op-node would not start."""
        table = hexadecimal.fields(value, "rollup.json")
        known(table, KEYS, "rollup.json")
        config = cls(
            genesis=Genesis.from_json(table.get("genesis")),
            block_time=integer(table.get("block_time"), 64, "block_time"),
            max_sequencer_drift=integer(table.get("max_sequencer_drift", 0), 64, "drift"),
            seq_window_size=integer(table.get("seq_window_size"), 64, "seq_window_size"),
            channel_timeout=integer(table.get("channel_timeout"), 64, "channel_timeout"),
            l1_chain_id=integer(table.get("l1_chain_id"), 256, "l1_chain_id"),
            l2_chain_id=integer(table.get("l2_chain_id"), 256, "l2_chain_id"),
            batch_inbox_address=_address(table, "batch_inbox_address"),
            deposit_contract_address=_address(table, "deposit_contract_address"),
            l1_system_config_address=_address(table, "l1_system_config_address"),
            protocol_versions_address=_address(
                {"protocol_versions_address": "0x" + "00" * 20, **table},
                "protocol_versions_address",
            ),
            alt_da=_optional(AltDa.from_json, table.get("alt_da")),
            chain_op_config=_optional(ChainOpConfig.from_json, table.get("chain_op_config")),
            **_times(table),
        )
        config.check()
        return config

    @classmethod
    def from_superchain(cls, value: Any, l1_chain_id: int) -> Self:
        """From the table of a superchain registry file; the L1 is told by the file's folder."""
        table = hexadecimal.fields(value, "registry file")
        addresses = hexadecimal.fields(table.get("addresses"), "addresses")
        forks = hexadecimal.fields(table.get("hardforks", {}), "hardforks")
        known({name for name in forks if name.endswith("_time")}, TIME_KEYS, "hardforks")
        config = cls(
            genesis=Genesis.from_json(table.get("genesis")),
            block_time=integer(table.get("block_time"), 64, "block_time"),
            max_sequencer_drift=integer(table.get("max_sequencer_drift"), 64, "drift"),
            seq_window_size=integer(table.get("seq_window_size"), 64, "seq_window_size"),
            channel_timeout=CHANNEL_TIMEOUT_REGISTRY,
            l1_chain_id=integer(l1_chain_id, 256, "l1_chain_id"),
            l2_chain_id=integer(table.get("chain_id"), 256, "chain_id"),
            batch_inbox_address=_address(table, "batch_inbox_addr"),
            deposit_contract_address=_address(addresses, "OptimismPortalProxy"),
            l1_system_config_address=_address(addresses, "SystemConfigProxy"),
            alt_da=_optional(AltDa.from_json, table.get("alt_da")),
            chain_op_config=_optional(ChainOpConfig.from_json, table.get("optimism")),
            **{"regolith_time": 0, **_times(forks)},
        )
        config.check()
        return config

    def check(self) -> None:
        """The rules by which op-node refuses a configuration (rollup/types.go, Check)."""
        require(self.block_time > 0, "block_time is zero")
        require(self.channel_timeout > 0, "channel_timeout is zero")
        require(self.seq_window_size >= 2, "seq_window_size is below 2")
        is_fjord = self.is_active("fjord", self.genesis.l2_time)
        require(self.max_sequencer_drift > 0 or is_fjord, "max_sequencer_drift is zero")
        require(any(self.genesis.l1.hash), "the genesis hash of L1 is zero")
        require(any(self.genesis.l2.hash), "the genesis hash of L2 is zero")
        require(self.genesis.l1.hash != self.genesis.l2.hash, "one genesis hash for both layers")
        require(self.genesis.l2_time > 0, "l2_time is zero")
        require(any(self.genesis.system_config.batcher), "the batcher's address is zero")
        require(any(self.genesis.system_config.scalar), "the scalar is zero")
        require(self.genesis.system_config.gas_limit > 0, "the gas limit is zero")
        require(any(self.batch_inbox_address), "batch_inbox_address is zero")
        require(any(self.deposit_contract_address), "deposit_contract_address is zero")
        require(0 < self.l1_chain_id != self.l2_chain_id > 0, "chain ids are zero or the same")
        self._check_forks()

    def _check_forks(self) -> None:
        times = [getattr(self, f"{fork}_time") for fork in FORKS]
        # kona leaves the first out, and interop may be tried without what comes before it
        for before, after, fork in zip(times[1:-2], times[2:-1], FORKS[2:-1], strict=True):
            require(after is None or before is not None, f"{fork} without the fork before it")
            require(after is None or before <= after, f"{fork} before the fork before it")

    def to_json(self) -> dict[str, Any]:
        """As op-node writes it, in its order."""
        forks = {fork: getattr(self, f"{fork}_time") for fork in FORKS}
        scheduled = {fork: forks[fork] is not None for fork in ("holocene", "isthmus", "jovian")}
        out: dict[str, Any] = {
            "genesis": self.genesis.to_json(**scheduled),
            "block_time": self.block_time,
            "max_sequencer_drift": self.max_sequencer_drift,
            "seq_window_size": self.seq_window_size,
            "channel_timeout": self.channel_timeout,
            "l1_chain_id": self.l1_chain_id,
            "l2_chain_id": self.l2_chain_id,
            **{f"{fork}_time": time for fork, time in forks.items() if time is not None},
            "batch_inbox_address": hexadecimal.from_bytes(self.batch_inbox_address),
            "deposit_contract_address": hexadecimal.from_bytes(self.deposit_contract_address),
            "l1_system_config_address": hexadecimal.from_bytes(self.l1_system_config_address),
            "protocol_versions_address": hexadecimal.from_bytes(self.protocol_versions_address),
        }
        if self.alt_da is not None:
            out["alt_da"] = self.alt_da.to_json()
        if self.chain_op_config is not None:
            out["chain_op_config"] = self.chain_op_config.to_json()
        if self.pectra_blob_schedule_time is not None:
            out["pectra_blob_schedule_time"] = self.pectra_blob_schedule_time
        return out


def _address(table: Mapping[str, Any], key: str) -> bytes:
    return hexadecimal.data(table.get(key), 20, key)


def _optional(read: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else read(value)


def _times(table: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: table[name] for name in TIME_KEYS if table.get(name) is not None}
    return {name: integer(time, 64, name) for name, time in found.items()}
