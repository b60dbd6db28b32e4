"""Transactions as JSON-RPC tells them, back into the bytes that their block's root commits to."""

from collections.abc import Mapping
from typing import Any, Final

from coincurve import PublicKey
from eth_hash.auto import keccak

from protocol.codec import require
from protocol.errors import Malformed
from rollup.codec import strict
from rollup.codec.hexadecimal import data, data_list, fields, quantity
from rollup.codec.strict import Encodable

ACCESS_LIST_MAX: Final = 1 << 16
AUTHORIZATIONS_MAX: Final = 1 << 12
BLOBS_MAX: Final = 128
LEGACY, ACCESS_LIST, DYNAMIC_FEE, BLOB, SET_CODE, DEPOSIT = 0, 1, 2, 3, 4, 0x7E
PROTECTED: Final = 35  # the least v of a legacy signature that names its chain (EIP-155)

Json = Mapping[str, Any]


def encode(transaction: Json) -> bytes:
    """The EIP-2718 encoding. `Malformed` for JSON that is no transaction of a known type."""
    kind = type_of(transaction)
    if kind == DEPOSIT:
        return bytes([kind]) + strict.encode(_deposit(transaction))
    body = strict.encode([*_unsigned(transaction, kind), *_signature(transaction, kind)])
    return body if kind == LEGACY else bytes([kind]) + body


def recover(transaction: Json) -> bytes:
    """Who signed it: 20 bytes. `Malformed` when nobody can have."""
    kind = type_of(transaction)
    require(kind != DEPOSIT, "a deposit has no signature")
    parts = _unsigned(transaction, kind)
    v = _uint(transaction, "v", 256) if kind == LEGACY else _parity(transaction)
    if kind == LEGACY and v >= PROTECTED:
        parts += [(v - PROTECTED) // 2, 0, 0]
        v = (v - PROTECTED) % 2
    elif kind == LEGACY:
        v -= 27
    require(v in (0, 1), "a signature's parity is 0 or 1")
    body = strict.encode(parts)
    digest = keccak(body if kind == LEGACY else bytes([kind]) + body)
    r, s = (_uint(transaction, name, 256).to_bytes(32, "big") for name in ("r", "s"))
    try:
        key = PublicKey.from_signature_and_message(r + s + bytes([v]), digest, hasher=None)
    except Exception as error:  # coincurve raises a bare Exception for what is no signature
        raise Malformed(f"no signature: {error}") from None
    return keccak(key.format(compressed=False)[1:])[12:]


def type_of(transaction: Json) -> int:
    return quantity(transaction.get("type", "0x0"), 8, "type")


def to(transaction: Json) -> bytes:
    """20 bytes, or none for a creation."""
    found = transaction.get("to")
    return b"" if found is None else data(found, 20, "to")


def blob_hashes(transaction: Json) -> tuple[bytes, ...]:
    found = transaction.get("blobVersionedHashes")
    return () if found is None else data_list(found, BLOBS_MAX, "blobVersionedHashes")


def _unsigned(transaction: Json, kind: int) -> list[Encodable]:
    fees = ("maxPriorityFeePerGas", "maxFeePerGas") if kind >= DYNAMIC_FEE else ("gasPrice",)
    require(kind in (LEGACY, ACCESS_LIST, DYNAMIC_FEE, BLOB, SET_CODE), f"type {kind} is unknown")
    parts: list[Encodable] = [] if kind == LEGACY else [_uint(transaction, "chainId", 256)]
    parts += [_uint(transaction, name, 256) for name in ("nonce", *fees, "gas")]
    parts += [to(transaction), _uint(transaction, "value", 256)]
    parts.append(data(transaction.get("input"), name="input"))
    if kind != LEGACY:
        parts.append(_access_list(transaction))
    if kind == BLOB:
        parts += [_uint(transaction, "maxFeePerBlobGas", 256), blob_hashes(transaction)]
    if kind == SET_CODE:
        parts.append(_authorizations(transaction))
    return parts


def _signature(transaction: Json, kind: int) -> list[Encodable]:
    v = _uint(transaction, "v", 256) if kind == LEGACY else _parity(transaction)
    return [v, _uint(transaction, "r", 256), _uint(transaction, "s", 256)]


def _parity(transaction: Json) -> int:
    name = "yParity" if transaction.get("yParity") is not None else "v"
    return _uint(transaction, name, 8)


def _access_list(transaction: Json) -> Encodable:
    entries = [fields(entry, "accessList") for entry in _list(transaction, "accessList")]
    return [
        [
            data(entry.get("address"), 20, "address"),
            data_list(entry.get("storageKeys"), ACCESS_LIST_MAX, "storageKeys"),
        ]
        for entry in entries
    ]


def _authorizations(transaction: Json) -> Encodable:
    entries = [fields(e, "authorizationList") for e in _list(transaction, "authorizationList")]
    require(len(entries) <= AUTHORIZATIONS_MAX, "too many authorizations")
    return [
        [
            _uint(entry, "chainId", 256),
            data(entry.get("address"), 20, "address"),
            _uint(entry, "nonce", 64),
            _parity(entry),
            _uint(entry, "r", 256),
            _uint(entry, "s", 256),
        ]
        for entry in entries
    ]


def _deposit(transaction: Json) -> Encodable:
    mint = transaction.get("mint")
    return [
        data(transaction.get("sourceHash"), 32, "sourceHash"),
        data(transaction.get("from"), 20, "from"),
        to(transaction),
        0 if mint is None else quantity(mint, 256, "mint"),
        _uint(transaction, "value", 256),
        _uint(transaction, "gas", 64),
        1 if transaction.get("isSystemTx") else 0,
        data(transaction.get("input"), name="input"),
    ]


def _uint(found: Json, name: str, bits: int) -> int:
    return quantity(found.get(name), bits, name)


def _list(found: Json, name: str) -> list[Any]:
    value = found.get(name) or []
    require(isinstance(value, list) and len(value) <= ACCESS_LIST_MAX, f"{name} is no short list")
    assert isinstance(value, list)
    return value
