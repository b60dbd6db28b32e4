"""SSZ of execution payloads, as they are gossiped; the withdrawals are always the empty list.

fixed = parent hash, 32 | fee recipient, 20 | state root, 32 | receipts root, 32 | bloom, 256
      | randao, 32 | number, gas limit, gas used, timestamp, u64 each | offset of extra data, u32
      | base fee, u256 | block hash, 32 | offset of transactions, u32
      | V2 and later: offset of withdrawals, u32
      | V3 and later: blob gas used, u64 | excess blob gas, u64
      | V4: withdrawals root, 32
whole = fixed | extra data | transactions: offset of each, u32, then each | withdrawals: nothing

Integers are little-endian.  https://specs.optimism.io/protocol/rollup-node-p2p.html#block-encoding;
V4 as op-node's op-service/eth/ssz.go.  Only the one canonical form is read.
"""

import struct
from itertools import pairwise
from typing import Any, Final

from protocol.codec import require
from rollup.codec.payload import TRANSACTIONS_MAX, ExecutionPayload

VERSIONS: Final = (1, 2, 3, 4)
OFFSET: Final = struct.Struct("<I")
START: Final = struct.Struct("<32s20s32s32s256s32sQQQQI32s32sI")
WITHDRAWALS: Final = struct.Struct("<I")
BLOBS: Final = struct.Struct("<QQ")
ROOT_BYTES: Final = 32
FIXED_BYTES: Final = {
    1: START.size,
    2: START.size + WITHDRAWALS.size,
    3: START.size + WITHDRAWALS.size + BLOBS.size,
    4: START.size + WITHDRAWALS.size + BLOBS.size + ROOT_BYTES,
}
EXTRA_DATA_BYTES_MAX: Final = 32


def encode_payload(payload: ExecutionPayload) -> bytes:
    """In the version that its fields say."""
    fixed = FIXED_BYTES[payload.version]
    transactions_at = fixed + len(payload.extra_data)
    body = _encode_list(payload.transactions)
    start = START.pack(
        payload.parent_hash,
        payload.fee_recipient,
        payload.state_root,
        payload.receipts_root,
        payload.logs_bloom,
        payload.prev_randao,
        payload.block_number,
        payload.gas_limit,
        payload.gas_used,
        payload.timestamp,
        fixed,
        payload.base_fee_per_gas.to_bytes(32, "little"),
        payload.block_hash,
        transactions_at,
    )
    if payload.version >= 2:
        start += WITHDRAWALS.pack(transactions_at + len(body))
    if payload.blob_gas_used is not None and payload.excess_blob_gas is not None:
        start += BLOBS.pack(payload.blob_gas_used, payload.excess_blob_gas)
    return start + (payload.withdrawals_root or b"") + payload.extra_data + body


def decode_payload(data: bytes, version: int) -> ExecutionPayload:
    """The payload of a block gossiped in `version`, 1 to 4."""
    assert version in VERSIONS
    fixed = FIXED_BYTES[version]
    require(len(data) >= fixed, f"payload of {len(data)} bytes")
    *values, extra_at, base_fee, block_hash, transactions_at = START.unpack_from(data)
    require(extra_at == fixed, f"extra data at {extra_at}")
    require(
        fixed <= transactions_at <= min(fixed + EXTRA_DATA_BYTES_MAX, len(data)),
        f"transactions at {transactions_at}",
    )
    if version >= 2:
        (withdrawals_at,) = WITHDRAWALS.unpack_from(data, START.size)
        require(withdrawals_at == len(data), "withdrawals must be the empty list on OP Stack")
    used, excess = None, None
    if version >= 3:
        used, excess = BLOBS.unpack_from(data, FIXED_BYTES[2])
    tail: list[Any] = [
        data[fixed:transactions_at],
        int.from_bytes(base_fee, "little"),
        block_hash,
        _decode_list(data[transactions_at:]),
        used,
        excess,
        data[FIXED_BYTES[3] : FIXED_BYTES[4]] if version >= 4 else None,
        version >= 2,
    ]
    return ExecutionPayload(*values, *tail)


def _encode_list(items: tuple[bytes, ...]) -> bytes:
    at = OFFSET.size * len(items)
    offsets = bytearray()
    for item in items:
        offsets += OFFSET.pack(at)
        at += len(item)
    return bytes(offsets) + b"".join(items)


def _decode_list(data: bytes) -> tuple[bytes, ...]:
    if not data:
        return ()
    require(len(data) >= OFFSET.size, "the first offset of a list is cut")
    (first,) = OFFSET.unpack_from(data)
    count, rest = divmod(first, OFFSET.size)
    require(rest == 0 and count > 0 and first <= len(data), f"list that starts at {first}")
    require(count <= TRANSACTIONS_MAX, f"list of {count} transactions")
    offsets = [*struct.unpack_from(f"<{count}I", data), len(data)]
    items = []
    for start, end in pairwise(offsets):
        require(start <= end, f"item from {start} to {end}")
        items.append(data[start:end])
    return tuple(items)
