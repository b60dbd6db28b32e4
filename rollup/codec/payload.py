"""What the Engine API carries: attributes of a block to build, and a block that was built.

JSON as in the Engine API (Cancun, Prague) with the fields that OP Stack adds, see
https://specs.optimism.io/protocol/exec-engine.html and op-node's op-service/eth/types.go.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Self

from eth_hash.auto import keccak

from protocol.codec import require
from protocol.errors import Malformed
from rollup.codec import hexadecimal
from rollup.codec.header import Header
from rollup.codec.hexadecimal import data, data_list, fields, from_bytes, quantity
from rollup.codec.trie import EMPTY_ROOT, trie_root

TRANSACTIONS_MAX: Final = 1 << 20  # MAX_TRANSACTIONS_PER_PAYLOAD of the consensus specs
EXTRA_DATA_BYTES_MAX: Final = 32
EMPTY_UNCLES_HASH: Final = keccak(b"\xc0")
EMPTY_REQUESTS_HASH: Final = sha256(b"").digest()  # EIP-7685


@dataclass(frozen=True, slots=True)
class PayloadAttributes:
    """PayloadAttributesV3 of OP Stack: `transactions` come first in the block, in this order.

    Withdrawals are always the empty list.  `eip1559_params` is denominator and elasticity, 4 bytes
    each, None before Holocene; `min_base_fee` in wei, None before Jovian.
    """

    timestamp: int  # seconds
    prev_randao: bytes  # 32
    fee_recipient: bytes  # 20
    parent_beacon_block_root: bytes  # 32
    transactions: tuple[bytes, ...]
    no_tx_pool: bool
    gas_limit: int
    eip1559_params: bytes | None  # 8
    min_base_fee: int | None = None

    def __post_init__(self) -> None:
        _check_size(32, self.prev_randao, self.parent_beacon_block_root)
        _check_size(20, self.fee_recipient)
        _check_size(8, bytes(8) if self.eip1559_params is None else self.eip1559_params)
        _check_uint(64, self.timestamp, self.gas_limit, self.min_base_fee or 0)

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "timestamp": hex(self.timestamp),
            "prevRandao": from_bytes(self.prev_randao),
            "suggestedFeeRecipient": from_bytes(self.fee_recipient),
            "withdrawals": [],
            "parentBeaconBlockRoot": from_bytes(self.parent_beacon_block_root),
            "transactions": [from_bytes(raw) for raw in self.transactions],
            "noTxPool": self.no_tx_pool,
            "gasLimit": hex(self.gas_limit),
        }
        if self.eip1559_params is not None:
            out["eip1559Params"] = from_bytes(self.eip1559_params)
        if self.min_base_fee is not None:
            out["minBaseFee"] = self.min_base_fee  # a JSON number: op-node has *uint64 here
        return out

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """`Malformed` unless all that OP Stack asks for is there."""
        found = fields(value, "payloadAttributes")
        _no_withdrawals(found.get("withdrawals"))
        no_tx_pool = found.get("noTxPool") or False  # absent: may take from the pool
        if not isinstance(no_tx_pool, bool):
            raise Malformed("noTxPool is not a boolean")
        params, fee = found.get("eip1559Params"), found.get("minBaseFee")
        return cls(
            quantity(found.get("timestamp"), name="timestamp"),
            data(found.get("prevRandao"), 32, "prevRandao"),
            data(found.get("suggestedFeeRecipient"), 20, "suggestedFeeRecipient"),
            data(found.get("parentBeaconBlockRoot"), 32, "parentBeaconBlockRoot"),
            data_list(found.get("transactions") or [], TRANSACTIONS_MAX, "transactions"),
            no_tx_pool,
            quantity(found.get("gasLimit"), name="gasLimit"),
            None if params is None else data(params, 8, "eip1559Params"),
            None if fee is None else _fee(fee),
        )


@dataclass(frozen=True, slots=True)
class ExecutionPayload:
    """A block as the Engine API carries it; withdrawals, where a fork has them, are the empty list.

    Before Ecotone both blob fields are None, before Isthmus `withdrawals_root` is; before Canyon
    `has_withdrawals` is False.
    """

    parent_hash: bytes
    fee_recipient: bytes
    state_root: bytes
    receipts_root: bytes
    logs_bloom: bytes  # 256
    prev_randao: bytes
    block_number: int
    gas_limit: int
    gas_used: int
    timestamp: int  # seconds
    extra_data: bytes
    base_fee_per_gas: int  # wei
    block_hash: bytes
    transactions: tuple[bytes, ...]
    blob_gas_used: int | None = 0
    excess_blob_gas: int | None = 0
    withdrawals_root: bytes | None = None
    has_withdrawals: bool = True

    def __post_init__(self) -> None:
        hashes = (self.parent_hash, self.state_root, self.receipts_root, self.prev_randao)
        root = self.block_hash if self.withdrawals_root is None else self.withdrawals_root
        _check_size(32, *hashes, self.block_hash, root)
        _check_size(20, self.fee_recipient)
        _check_size(256, self.logs_bloom)
        _check_uint(64, self.block_number, self.gas_limit, self.gas_used, self.timestamp)
        _check_uint(64, self.blob_gas_used or 0, self.excess_blob_gas or 0)
        _check_uint(256, self.base_fee_per_gas)
        require(len(self.extra_data) <= EXTRA_DATA_BYTES_MAX, "extraData is too long")
        require((self.blob_gas_used is None) == (self.excess_blob_gas is None), "one blob field")
        require(self.has_withdrawals or self.blob_gas_used is None, "blobs without withdrawals")
        require(
            self.withdrawals_root is None or self.blob_gas_used is not None,
            "a withdrawals root without blob fields",
        )

    def to_json(self) -> dict[str, Any]:
        """ExecutionPayloadV1, V2, V3, or V4 of OP Stack, by the fields that are there."""
        out: dict[str, Any] = {
            "parentHash": from_bytes(self.parent_hash),
            "feeRecipient": from_bytes(self.fee_recipient),
            "stateRoot": from_bytes(self.state_root),
            "receiptsRoot": from_bytes(self.receipts_root),
            "logsBloom": from_bytes(self.logs_bloom),
            "prevRandao": from_bytes(self.prev_randao),
            "blockNumber": hex(self.block_number),
            "gasLimit": hex(self.gas_limit),
            "gasUsed": hex(self.gas_used),
            "timestamp": hex(self.timestamp),
            "extraData": from_bytes(self.extra_data),
            "baseFeePerGas": hex(self.base_fee_per_gas),
            "blockHash": from_bytes(self.block_hash),
            "transactions": [from_bytes(raw) for raw in self.transactions],
        }
        if self.has_withdrawals:
            out["withdrawals"] = []
        if self.blob_gas_used is not None and self.excess_blob_gas is not None:
            out["blobGasUsed"] = hex(self.blob_gas_used)
            out["excessBlobGas"] = hex(self.excess_blob_gas)
        if self.withdrawals_root is not None:
            out["withdrawalsRoot"] = from_bytes(self.withdrawals_root)
        return out

    @classmethod
    def from_json(cls, value: Any) -> Self:
        found = fields(value, "executionPayload")
        if found.get("withdrawals") is not None:
            _no_withdrawals(found["withdrawals"])
        used, excess = found.get("blobGasUsed"), found.get("excessBlobGas")
        root = found.get("withdrawalsRoot")
        return cls(
            data(found.get("parentHash"), 32, "parentHash"),
            data(found.get("feeRecipient"), 20, "feeRecipient"),
            data(found.get("stateRoot"), 32, "stateRoot"),
            data(found.get("receiptsRoot"), 32, "receiptsRoot"),
            data(found.get("logsBloom"), 256, "logsBloom"),
            data(found.get("prevRandao"), 32, "prevRandao"),
            quantity(found.get("blockNumber"), name="blockNumber"),
            quantity(found.get("gasLimit"), name="gasLimit"),
            quantity(found.get("gasUsed"), name="gasUsed"),
            quantity(found.get("timestamp"), name="timestamp"),
            data(found.get("extraData"), name="extraData"),
            quantity(found.get("baseFeePerGas"), 256, "baseFeePerGas"),
            data(found.get("blockHash"), 32, "blockHash"),
            data_list(found.get("transactions"), TRANSACTIONS_MAX, "transactions"),
            None if used is None else quantity(used, name="blobGasUsed"),
            None if excess is None else quantity(excess, name="excessBlobGas"),
            None if root is None else data(root, 32, "withdrawalsRoot"),
            found.get("withdrawals") is not None,
        )

    @property
    def version(self) -> int:
        """1 Bedrock, 2 Canyon, 3 Ecotone, 4 Isthmus, by the fields that are there."""
        if self.withdrawals_root is not None:
            return 4
        if self.blob_gas_used is not None:
            return 3
        return 2 if self.has_withdrawals else 1

    def header(self, parent_beacon_block_root: bytes | None) -> Header:
        """The header of the L2 block that this is; the root is None before Ecotone."""
        return Header(
            self.parent_hash,
            EMPTY_UNCLES_HASH,
            self.fee_recipient,
            self.state_root,
            trie_root(self.transactions),
            self.receipts_root,
            self.logs_bloom,
            0,
            self.block_number,
            self.gas_limit,
            self.gas_used,
            self.timestamp,
            self.extra_data,
            self.prev_randao,
            bytes(8),
            self.base_fee_per_gas,
            self.withdrawals_root or (EMPTY_ROOT if self.has_withdrawals else None),
            self.blob_gas_used,
            self.excess_blob_gas,
            parent_beacon_block_root,
            None if self.withdrawals_root is None else EMPTY_REQUESTS_HASH,
        )

    def compute_hash(self, parent_beacon_block_root: bytes | None) -> bytes:
        """The hash of `header`: what `block_hash` must be."""
        return self.header(parent_beacon_block_root).hash

    @classmethod
    def from_header(cls, header: Header, transactions: tuple[bytes, ...]) -> Self:
        """The payload of an L2 block; its fork follows from the fields of the header."""
        return cls(
            header.parent_hash,
            header.coinbase,
            header.state_root,
            header.receipts_root,
            header.bloom,
            header.mix_hash,
            header.number,
            header.gas_limit,
            header.gas_used,
            header.timestamp,
            header.extra_data,
            header.base_fee or 0,
            header.hash,
            transactions,
            header.blob_gas_used,
            header.excess_blob_gas,
            None if header.requests_hash is None else header.withdrawals_root,
            header.withdrawals_root is not None,
        )


@dataclass(frozen=True, slots=True)
class PayloadEnvelope:
    """A block with what its hash needs beside the payload; the root is None before Ecotone."""

    payload: ExecutionPayload
    parent_beacon_block_root: bytes | None

    def hash_fits(self) -> bool:
        """Whether the block has the hash that it claims."""
        found = self.payload.compute_hash(self.parent_beacon_block_root)
        return found == self.payload.block_hash


def _check_size(size: int, *values: bytes) -> None:
    for value in values:
        require(len(value) == size, f"{len(value)} bytes in a payload, not {size}")


def _check_uint(bits: int, *values: int) -> None:
    for value in values:
        require(0 <= value < 1 << bits, f"{value} in a payload is no u{bits}")


def _no_withdrawals(value: Any) -> None:
    require(value == [], "withdrawals must be the empty list on OP Stack")


def _fee(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        require(0 <= value < 1 << 64, "minBaseFee is no u64")
        return value
    return hexadecimal.quantity(value, name="minBaseFee")
