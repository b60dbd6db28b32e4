"""Block headers of either layer, and the rules of OP Stack for two of their fields."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from eth_hash.auto import keccak

from protocol.codec import require
from rollup.codec import hexadecimal, strict
from rollup.codec.strict import Encodable, Item

EXTRA_DATA_BYTES_MAX: Final = 100 * 1024  # as geth's SanityCheck: clique lists signers there
BLOOM_BYTES: Final = 256
FIELDS_MIN: Final = 15  # before London

# In the order of the RLP list: our name, its name in JSON, and its size: bytes (positive) or, for
# integers, bits (negative); 0 is a byte string of any size.
LAYOUT: Final[tuple[tuple[str, str, int], ...]] = (
    ("parent_hash", "parentHash", 32),
    ("uncles_hash", "sha3Uncles", 32),
    ("coinbase", "miner", 20),
    ("state_root", "stateRoot", 32),
    ("transactions_root", "transactionsRoot", 32),
    ("receipts_root", "receiptsRoot", 32),
    ("bloom", "logsBloom", BLOOM_BYTES),
    ("difficulty", "difficulty", -256),
    ("number", "number", -64),
    ("gas_limit", "gasLimit", -64),
    ("gas_used", "gasUsed", -64),
    ("timestamp", "timestamp", -64),
    ("extra_data", "extraData", 0),
    ("mix_hash", "mixHash", 32),
    ("nonce", "nonce", 8),
    ("base_fee", "baseFeePerGas", -256),
    ("withdrawals_root", "withdrawalsRoot", 32),
    ("blob_gas_used", "blobGasUsed", -64),
    ("excess_blob_gas", "excessBlobGas", -64),
    ("parent_beacon_block_root", "parentBeaconBlockRoot", 32),
    ("requests_hash", "requestsHash", 32),
)
OPTIONAL_KEYS: Final = frozenset(key for _, key, _ in LAYOUT[FIELDS_MIN:])

HOLOCENE_VERSION: Final = 0
JOVIAN_VERSION: Final = 1
HOLOCENE_BYTES: Final = 9
JOVIAN_BYTES: Final = 17
INITIAL_BASE_FEE: Final = 1_000_000_000  # EIP-1559, after a parent without a base fee


@dataclass(frozen=True, slots=True)
class Header:
    """A header up to Prague; the later fields are None before their fork, each only after the last.

    Times in seconds, fees in wei.  On an Isthmus L2 `withdrawals_root` is the storage root of the
    message passer, on a Jovian one `blob_gas_used` is the data-availability footprint.
    """

    parent_hash: bytes
    uncles_hash: bytes
    coinbase: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    bloom: bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    mix_hash: bytes
    nonce: bytes
    base_fee: int | None = None
    withdrawals_root: bytes | None = None
    blob_gas_used: int | None = None
    excess_blob_gas: int | None = None
    parent_beacon_block_root: bytes | None = None
    requests_hash: bytes | None = None

    def __post_init__(self) -> None:
        absent = False
        for name, _, size in LAYOUT:
            value = getattr(self, name)
            if value is None:
                absent = True
                continue
            require(not absent, f"{name} is there, but not the field before it")
            if size < 0:
                require(0 <= value < 1 << -size, f"{name} {value} is not a u{-size}")
            else:
                require(size in (0, len(value)), f"{name} has {len(value)} bytes, not {size}")
        require(len(self.extra_data) <= EXTRA_DATA_BYTES_MAX, "extra data is too long")

    def encode(self) -> bytes:
        values: list[Encodable] = []
        for name, _, _ in LAYOUT:
            value = getattr(self, name)
            if value is None:
                break
            values.append(value)
        return strict.encode(values)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The header that `data` is; `Malformed` else."""
        items = strict.as_list(strict.decode(data), name="header")
        require(FIELDS_MIN <= len(items) <= len(LAYOUT), f"header of {len(items)} fields")
        return cls(*[_read(item, *layout) for item, layout in zip(items, LAYOUT, strict=False)])

    @property
    def hash(self) -> bytes:
        return keccak(self.encode())

    def to_json(self) -> dict[str, Any]:
        """As `eth_getBlockByNumber` names the fields; `hash` comes with them."""
        out: dict[str, Any] = {}
        for name, key, size in LAYOUT:
            value = getattr(self, name)
            if value is not None:
                out[key] = hex(value) if size < 0 else hexadecimal.from_bytes(value)
        out["hash"] = hexadecimal.from_bytes(self.hash)
        return out

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """From the JSON of a block or header; its `hash`, if given, must be the header's."""
        table = hexadecimal.fields(value, "header")
        header = cls(**{name: _from_json(table, key, size) for name, key, size in LAYOUT})
        claimed = table.get("hash")
        if claimed is not None:
            require(hexadecimal.data(claimed, 32, "hash") == header.hash, "not the header's hash")
        return header


def _read(item: Item, name: str, _key: str, size: int) -> Any:
    if size < 0:
        return strict.as_uint(item, -size, name)
    return strict.as_bytes(item, size or None, name)


def _from_json(table: Mapping[str, Any], key: str, size: int) -> Any:
    value = table.get(key)
    if value is None and key in OPTIONAL_KEYS:
        return None
    if size < 0:
        return hexadecimal.quantity(value, -size, key)
    return hexadecimal.data(value, size or None, key)


class FeeRules(Protocol):
    """What a chain's configuration says about its base fee."""

    def is_active(self, fork: str, time: int) -> bool: ...

    def eip1559(self, time: int) -> tuple[int, int]:
        """Denominator and elasticity before Holocene, of a block at `time`."""
        ...


def encode_holocene_extra(denominator: int, elasticity: int) -> bytes:
    """extraData since Holocene: 0x00, u32 denominator, u32 elasticity."""
    return struct.pack(">BII", HOLOCENE_VERSION, denominator, elasticity)


def encode_jovian_extra(denominator: int, elasticity: int, min_base_fee: int) -> bytes:
    """extraData since Jovian: 0x01, u32 denominator, u32 elasticity, u64 wei."""
    return struct.pack(">BIIQ", JOVIAN_VERSION, denominator, elasticity, min_base_fee)


def decode_extra(extra: bytes) -> tuple[int, int, int | None]:
    """Denominator, elasticity and, since Jovian, the least base fee in wei.

    Both zero is well formed (attributes use it for "the chain's own"), a zero denominator alone is
    not.  (specs.optimism.io/protocol/holocene/exec-engine.html, jovian/exec-engine.html)
    """
    require(len(extra) in (HOLOCENE_BYTES, JOVIAN_BYTES), f"extra data has {len(extra)} bytes")
    version = HOLOCENE_VERSION if len(extra) == HOLOCENE_BYTES else JOVIAN_VERSION
    require(extra[0] == version, f"extra data of {len(extra)} bytes has version {extra[0]}")
    denominator, elasticity = struct.unpack(">II", extra[1:9])
    require(denominator != 0 or elasticity == 0, "extra data has a zero denominator")
    if version == HOLOCENE_VERSION:
        return denominator, elasticity, None
    return denominator, elasticity, int.from_bytes(extra[9:], "big")


def next_base_fee(parent: Header, config: FeeRules, timestamp: int) -> int:
    """The base fee in wei of the block at `timestamp` after `parent`.

    The parent's own extraData decides since Holocene; since Jovian its footprint counts as gas when
    that is more, and the fee has a floor.  `Malformed` when the parent's fields do not allow it.
    """
    if parent.base_fee is None:
        return INITIAL_BASE_FEE
    denominator, elasticity = config.eip1559(timestamp)
    floor, gas_used = 0, parent.gas_used
    if config.is_active("holocene", parent.timestamp):
        denominator, elasticity, min_base_fee = decode_extra(parent.extra_data)
        if config.is_active("jovian", parent.timestamp):
            floor = min_base_fee or 0
            gas_used = max(gas_used, parent.blob_gas_used or 0)
        else:
            require(min_base_fee is None, "extra data of Jovian in an earlier header")
    require(denominator > 0 and elasticity > 0, "denominator or elasticity is zero")
    target = parent.gas_limit // elasticity
    require(target > 0, "the gas limit is below the elasticity")
    return max(floor, _moved(parent.base_fee, gas_used, target, denominator))


def _moved(base_fee: int, gas_used: int, target: int, denominator: int) -> int:
    if gas_used == target:
        return base_fee
    if gas_used > target:
        return base_fee + max(base_fee * (gas_used - target) // target // denominator, 1)
    return base_fee - base_fee * (target - gas_used) // target // denominator
