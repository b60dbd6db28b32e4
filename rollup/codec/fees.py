"""What a transaction pays besides its gas: for its data on L1, and to the operator.

specs.optimism.io/protocol/exec-engine.html, fjord/exec-engine.html, isthmus/exec-engine.html.
All fees in wei, all divisions round down.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from rollup.codec.deposit import DEPOSIT_TYPE

MILLION: Final = 10**6

# Fjord: a linear regression from FastLZ sizes to what a transaction takes on L1, in 1e-6 bytes.
INTERCEPT: Final = -42_585_600
COEFFICIENT: Final = 836_500
SIZE_MIN: Final = 100 * MILLION

ZERO_BYTE_GAS, BYTE_GAS = 4, 16
UNSIGNED_BYTES: Final = 68  # before Regolith: what was added for a signature
JOVIAN_OPERATOR_FACTOR: Final = 100

HASH_FACTOR: Final = 2_654_435_769
DISTANCE_MAX: Final = 8191
MATCH_MAX: Final = 262
LITERALS_MAX: Final = 32
TAIL_BYTES: Final = 13  # FastLZ looks for no match within the last 13
REMEMBERED_MAX, REMEMBERED_BYTES_MAX = 8192, 1024  # sizes, each of at most so many bytes


def fjord_l1_fee(
    transaction: bytes,
    base_fee: int,
    blob_base_fee: int,
    base_fee_scalar: int,
    blob_base_fee_scalar: int,
) -> int:
    """Since Fjord: the fee for a signed transaction's bytes; fees in wei, scalars in 1e-6."""
    per_byte = _per_byte(base_fee, blob_base_fee, base_fee_scalar, blob_base_fee_scalar)
    return fjord_size(flz_length(transaction)) * per_byte // MILLION**2


def ecotone_l1_fee(
    transaction: bytes,
    base_fee: int,
    blob_base_fee: int,
    base_fee_scalar: int,
    blob_base_fee_scalar: int,
) -> int:
    """From the second block of Ecotone until Fjord."""
    per_byte = _per_byte(base_fee, blob_base_fee, base_fee_scalar, blob_base_fee_scalar)
    return calldata_gas(transaction) * per_byte // (BYTE_GAS * MILLION)


def bedrock_l1_fee(
    transaction: bytes, base_fee: int, overhead: int, scalar: int, *, regolith: bool = True
) -> int:
    """Until the first block of Ecotone."""
    unsigned = 0 if regolith else UNSIGNED_BYTES * BYTE_GAS
    return (calldata_gas(transaction) + unsigned + overhead) * base_fee * scalar // MILLION


def operator_fee(gas: int, scalar: int, constant: int, *, jovian: bool) -> int:
    """Since Isthmus, for so much gas (the limit when it is charged, the use when it is settled)."""
    if jovian:
        return gas * scalar * JOVIAN_OPERATOR_FACTOR + constant
    return gas * scalar // MILLION + constant


def da_footprint(transactions: Iterable[bytes], gas_scalar: int) -> int:
    """Since Jovian, a block's `blob_gas_used`: at most its gas limit; deposits count nothing."""
    sizes = [da_size(raw) for raw in transactions if raw[:1] != bytes([DEPOSIT_TYPE])]
    return sum(sizes) * gas_scalar


def da_size(transaction: bytes) -> int:
    """The bytes that a transaction is estimated to take on L1."""
    return fjord_size(flz_length(transaction)) // MILLION


def fjord_size(compressed: int) -> int:
    """The same in 1e-6 bytes, from the size that FastLZ gives."""
    return max(SIZE_MIN, INTERCEPT + COEFFICIENT * compressed)


def calldata_gas(data: bytes) -> int:
    """What the bytes would cost as calldata on L1 (EIP-2028)."""
    zeros = data.count(0)
    return zeros * ZERO_BYTE_GAS + (len(data) - zeros) * BYTE_GAS


def _per_byte(
    base_fee: int, blob_base_fee: int, base_fee_scalar: int, blob_base_fee_scalar: int
) -> int:
    return BYTE_GAS * base_fee * base_fee_scalar + blob_base_fee * blob_base_fee_scalar


def flz_length(data: bytes) -> int:
    """The size of `data` when compressed by FastLZ level 1, which it only simulates.

    After solady's LibZip, as op-geth's FlzCompressLen; linear in the size of `data`. Remembered:
    the pool, the block and its import all ask for the same transactions.
    """
    return _remembered(data) if len(data) <= REMEMBERED_BYTES_MAX else _flz_length(data)


def _flz_length(data: bytes) -> int:
    limit = len(data) - TAIL_BYTES
    size = anchor = 0
    at = 2
    last_seen: dict[int, int] = {}  # by the hash of three bytes: the place << 24 | the bytes
    seen = last_seen.get
    unseen = _three(data, 0) if at < limit else 0
    while at < limit:
        three = _three(data, at)
        while True:  # to the first place from `at` on whose bytes were seen not long ago
            slot = (HASH_FACTOR * three & 0xFFFFFFFF) >> 19
            found = seen(slot, unseen)
            last_seen[slot] = at << 24 | three
            if found & 0xFFFFFF == three and at - (found >> 24) <= DISTANCE_MAX:
                break
            at += 1
            if at >= limit:
                break
            three = three >> 8 | data[at + 2] << 16
        if at + 1 >= limit:  # as op-geth, for which the last place is none
            break
        length = _matching(data, (found >> 24) + 3, at + 3, limit + 9)
        size += _literals(at - anchor) + _match(length)
        at += length
        for anchor in (at + 1, at + 2):
            three = _three(data, anchor - 1)
            last_seen[(HASH_FACTOR * three & 0xFFFFFFFF) >> 19] = anchor - 1 << 24 | three
        at = anchor
    return size + _literals(len(data) - anchor)


def _three(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8 | data[at + 2] << 16


_remembered = lru_cache(REMEMBERED_MAX)(_flz_length)


def _matching(data: bytes, earlier: int, at: int, end: int) -> int:
    """How far two places agree before `end`, counting the byte that ends it (as FastLZ does)."""
    for length in range(1, end - at + 1):
        if data[earlier + length - 1] != data[at + length - 1]:
            return length
    return end - at


def _literals(count: int) -> int:
    runs, rest = divmod(count, LITERALS_MAX)
    return (LITERALS_MAX + 1) * runs + (rest + 1 if rest else 0)


def _match(length: int) -> int:
    runs, rest = divmod(length - 1, MATCH_MAX)
    return 3 * runs + (3 if rest >= 6 else 2)
