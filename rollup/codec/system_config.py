"""The chain's parameters that its owner sets on L1, and the events that change them.

specs.optimism.io/protocol/system-config.html; the strictness is that of op-node's
rollup/derive/system_config.go: an update that is not well formed changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final, Self

from eth_hash.auto import keccak

from protocol.codec import require
from protocol.errors import Malformed
from rollup.codec import hexadecimal
from rollup.codec.jsonint import integer
from rollup.codec.refs import L1Block, L1Log
from rollup.codec.words import WORD, WordReader

CONFIG_UPDATE: Final = keccak(b"ConfigUpdate(uint256,uint8,bytes)")
VERSION_0: Final = bytes(32)

SCALAR_BEDROCK, SCALAR_ECOTONE = 0, 1  # first byte of `scalar`
BASE_FEE_SCALAR_MAX: Final = (1 << 32) - 1

JSON_KEYS: Final = frozenset(
    {
        *("batcherAddr", "batcherAddress", "overhead", "scalar", "gasLimit", "eip1559Params"),
        *("operatorFeeParams", "minBaseFee", "daFootprintGasScalar"),
        # kona writes these, null for "not set"
        *("eip1559Denominator", "eip1559Elasticity", "operatorFeeScalar", "operatorFeeConstant"),
        *("baseFeeScalar", "blobBaseFeeScalar"),
    }
)


class Update(IntEnum):
    """What an event changes, by its number on L1."""

    BATCHER = 0
    FEE_SCALARS = 1
    GAS_LIMIT = 2
    UNSAFE_BLOCK_SIGNER = 3
    EIP_1559_PARAMS = 4
    OPERATOR_FEE_PARAMS = 5
    MIN_BASE_FEE = 6
    DA_FOOTPRINT_GAS_SCALAR = 7


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """What L1 says of the chain at one L1 block.

    `scalar` holds, since Ecotone, a version byte and the two scalars; `eip1559_params` is u32
    denominator and u32 elasticity, zero for the chain's own; `operator_fee_params` ends in u32
    scalar and u64 constant; `min_base_fee` is in wei.  `unsafe_block_signer` is what the events
    said last: None before the first, and no part of derivation.
    """

    batcher: bytes  # 20
    overhead: bytes  # 32
    scalar: bytes  # 32
    gas_limit: int
    eip1559_params: bytes = bytes(8)
    operator_fee_params: bytes = bytes(32)
    unsafe_block_signer: bytes | None = None
    min_base_fee: int = 0
    da_footprint_gas_scalar: int = 0  # 0 stands for 400, see l1_info.py

    @property
    def operator_fee_scalar(self) -> int:
        return int.from_bytes(self.operator_fee_params[20:24], "big")

    @property
    def operator_fee_constant(self) -> int:
        return int.from_bytes(self.operator_fee_params[24:], "big")

    def ecotone_scalars(self) -> tuple[int, int]:
        """Base fee scalar and blob base fee scalar; `Malformed` for a version nobody knows."""
        if self.scalar[0] == SCALAR_BEDROCK and any(self.scalar[1:28]):
            return BASE_FEE_SCALAR_MAX, 0  # the specification asks for the most it can be
        check_ecotone_scalar(self.scalar)
        return int.from_bytes(self.scalar[28:], "big"), int.from_bytes(self.scalar[24:28], "big")

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """As in rollup.json's `genesis.system_config`, or in a superchain registry file."""
        table = hexadecimal.fields(value, "system_config")
        unknown = set(table) - JSON_KEYS
        require(not unknown, f"unknown in system_config: {sorted(map(str, unknown))[:3]}")
        batcher = table.get("batcherAddr", table.get("batcherAddress"))
        return cls(
            hexadecimal.data(batcher, 20, "batcherAddr"),
            hexadecimal.data(table.get("overhead"), 32, "overhead"),
            hexadecimal.data(table.get("scalar"), 32, "scalar"),
            integer(table.get("gasLimit"), 64, "gasLimit"),
            _eip1559_params(table),
            _operator_fee_params(table),
            None,
            integer(table.get("minBaseFee") or 0, 64, "minBaseFee"),
            integer(table.get("daFootprintGasScalar") or 0, 16, "daFootprintGasScalar"),
        )

    def to_json(self, *, holocene: bool, isthmus: bool, jovian: bool) -> dict[str, Any]:
        """For rollup.json; the keys of a fork come with it, since op-node refuses unknown ones."""
        out: dict[str, Any] = {
            "batcherAddr": hexadecimal.from_bytes(self.batcher),
            "overhead": hexadecimal.from_bytes(self.overhead),
            "scalar": hexadecimal.from_bytes(self.scalar),
            "gasLimit": self.gas_limit,
        }
        if holocene or any(self.eip1559_params):
            out["eip1559Params"] = hexadecimal.from_bytes(self.eip1559_params)
        if isthmus or any(self.operator_fee_params):
            out["operatorFeeParams"] = hexadecimal.from_bytes(self.operator_fee_params)
        if jovian or self.min_base_fee:
            out["minBaseFee"] = self.min_base_fee
        if jovian or self.da_footprint_gas_scalar:
            out["daFootprintGasScalar"] = self.da_footprint_gas_scalar
        return out


def _eip1559_params(table: Mapping[str, Any]) -> bytes:
    if table.get("eip1559Params") is not None:
        return hexadecimal.data(table["eip1559Params"], 8, "eip1559Params")
    denominator = integer(table.get("eip1559Denominator") or 0, 32, "eip1559Denominator")
    elasticity = integer(table.get("eip1559Elasticity") or 0, 32, "eip1559Elasticity")
    return denominator.to_bytes(4, "big") + elasticity.to_bytes(4, "big")


def _operator_fee_params(table: Mapping[str, Any]) -> bytes:
    if table.get("operatorFeeParams") is not None:
        return hexadecimal.data(table["operatorFeeParams"], 32, "operatorFeeParams")
    scalar = integer(table.get("operatorFeeScalar") or 0, 32, "operatorFeeScalar")
    constant = integer(table.get("operatorFeeConstant") or 0, 64, "operatorFeeConstant")
    return encode_operator_fee(scalar, constant)


def check_ecotone_scalar(scalar: bytes) -> None:
    """`Malformed` unless the 32 bytes are a scalar of version 0 or 1 with zero padding."""
    require(scalar[0] in (SCALAR_BEDROCK, SCALAR_ECOTONE), f"scalar of version {scalar[0]}")
    padding = scalar[1:28] if scalar[0] == SCALAR_BEDROCK else scalar[1:24]
    require(not any(padding), "scalar with padding that is not zero")


def encode_ecotone_scalar(base_fee_scalar: int, blob_base_fee_scalar: int) -> bytes:
    """The 32 bytes of version 1."""
    scalars = blob_base_fee_scalar.to_bytes(4, "big") + base_fee_scalar.to_bytes(4, "big")
    return bytes([SCALAR_ECOTONE]) + bytes(23) + scalars


def encode_operator_fee(scalar: int, constant: int) -> bytes:
    """The 32 bytes of the operator fee's parameters."""
    return bytes(20) + scalar.to_bytes(4, "big") + constant.to_bytes(8, "big")


def updated(
    config: SystemConfig, block: L1Block, system_config_address: bytes, *, ecotone: bool = True
) -> SystemConfig:
    """`config` after the events of one L1 block; malformed ones change nothing."""
    for log in block.logs:
        if log.address != system_config_address or log.topics[:1] != (CONFIG_UPDATE,):
            continue
        try:
            config = apply_update(config, log, ecotone=ecotone)
        except Malformed:
            continue  # as op-node: each update stands or falls alone
    return config


def apply_update(config: SystemConfig, log: L1Log, *, ecotone: bool = True) -> SystemConfig:
    """`config` after one ConfigUpdate event; `Malformed` when it is none that we know.

    `ecotone`: whether that fork is active at the time of the L1 block (not of the L2 block).
    """
    require(len(log.topics) == 3, f"ConfigUpdate with {len(log.topics)} topics")
    identity, version, kind = log.topics
    require(identity == CONFIG_UPDATE, "not a ConfigUpdate")
    require(version == VERSION_0, "ConfigUpdate of an unknown version")
    words = WordReader(log.data)
    match int.from_bytes(kind, "big"):
        case Update.BATCHER:
            return replace(config, batcher=_one(words, 160).to_bytes(20, "big"))
        case Update.FEE_SCALARS:
            return _fee_scalars(config, words, ecotone)
        case Update.GAS_LIMIT:
            return replace(config, gas_limit=_one(words, 64))
        case Update.UNSAFE_BLOCK_SIGNER:
            return _signer(config, words)
        case Update.EIP_1559_PARAMS:
            params = _one(words, 256).to_bytes(32, "big")[24:]
            denominator, elasticity = params[:4], params[4:]
            require(any(denominator) or not any(elasticity), "a zero denominator alone")
            return replace(config, eip1559_params=params)
        case Update.OPERATOR_FEE_PARAMS:
            return replace(config, operator_fee_params=_one(words, 256).to_bytes(32, "big"))
        case Update.MIN_BASE_FEE:
            return replace(config, min_base_fee=_one(words, 64))
        case Update.DA_FOOTPRINT_GAS_SCALAR:
            return replace(config, da_footprint_gas_scalar=_one(words, 16))
    raise Malformed("ConfigUpdate of an unknown type")


def _opened(words: WordReader, size: int) -> None:
    require(words.word_uint(64) == WORD, "ConfigUpdate: the pointer is not 32")
    require(words.word_uint(64) == size, f"ConfigUpdate: the length is not {size}")


def _one(words: WordReader, bits: int) -> int:
    _opened(words, WORD)
    value = words.word_uint(bits)
    words.end()
    return value


def _fee_scalars(config: SystemConfig, words: WordReader, ecotone: bool) -> SystemConfig:
    _opened(words, 2 * WORD)
    overhead, scalar = words.word(), words.word()
    words.end()
    if not ecotone:
        return replace(config, overhead=overhead, scalar=scalar)
    try:
        check_ecotone_scalar(scalar)
    except Malformed:
        return config  # a well-formed event with a useless value: not an error in op-node
    return replace(config, overhead=bytes(32), scalar=scalar)


def _signer(config: SystemConfig, words: WordReader) -> SystemConfig:
    try:
        signer = _one(words, 160).to_bytes(20, "big")
    except Malformed:
        return config  # op-node does not read these at all in derivation
    return replace(config, unsafe_block_signer=signer)
