"""The first block: who owns what, which code stands where, when the chain begins."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protocol.errors import Malformed

GAS_LIMIT: Final = 15_000_000
BASE_FEE_INITIAL: Final = 10**9
GENESIS_BYTES_MAX: Final = 64 << 20
ZERO_ADDRESS: Final = bytes(20)


@dataclass(frozen=True, slots=True)
class Account:
    balance: int
    nonce: int
    code: bytes
    storage: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Genesis:
    """Amounts in wei, `timestamp` in Unix seconds; `coinbase` gets the tips unless a build names
    another recipient."""

    chain_id: int
    timestamp: int
    gas_limit: int
    base_fee: int
    coinbase: bytes
    alloc: tuple[tuple[bytes, Account], ...]


def genesis(
    chain_id: int, alloc: Mapping[bytes | str, int | Mapping[str, Any]], timestamp: int
) -> dict[str, Any]:
    """The JSON value of a genesis file.

    `alloc` maps an address (20 bytes or hex) to a balance in wei, or to a mapping with `balance`,
    `code` (bytes or hex), `nonce`, `storage` (int to int). Raises `Malformed`.
    """
    accounts = {}
    for address, account in alloc.items():
        fields: Mapping[str, Any] = {"balance": account} if isinstance(account, int) else account
        code = fields.get("code", b"")
        entry = {
            "balance": hex(fields.get("balance", 0)),
            "nonce": hex(fields.get("nonce", 0)),
            "code": code if isinstance(code, str) else "0x" + code.hex(),
            "storage": {hex(k): hex(v) for k, v in fields.get("storage", {}).items()},
        }
        key = address if isinstance(address, str) else "0x" + address.hex()
        accounts[key.lower()] = entry
    value = {
        "config": {"chainId": chain_id},
        "timestamp": hex(timestamp),
        "gasLimit": hex(GAS_LIMIT),
        "baseFeePerGas": hex(BASE_FEE_INITIAL),
        "coinbase": "0x" + ZERO_ADDRESS.hex(),
        "alloc": accounts,
    }
    parse(value)
    return value


def load(path: Path) -> Genesis:
    """Raises `Malformed` with the reason, also for a file that is absent or too large."""
    try:
        if path.stat().st_size > GENESIS_BYTES_MAX:
            raise Malformed(f"genesis file {path} is over {GENESIS_BYTES_MAX} bytes")
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Malformed(f"genesis file {path} cannot be read: {error}") from error
    return parse(value)


def parse(value: Any) -> Genesis:
    """Raises `Malformed`, naming what is wrong."""
    try:
        alloc = {
            _bytes(address, 20): Account(
                _integer(fields.get("balance", 0), 256),
                _integer(fields.get("nonce", 0), 64),
                _bytes(fields.get("code", "0x")),
                tuple(
                    sorted(
                        (_integer(k, 256), _integer(v, 256))
                        for k, v in fields.get("storage", {}).items()
                    )
                ),
            )
            for address, fields in value["alloc"].items()
        }
        if len(alloc) != len(value["alloc"]):
            raise ValueError("an address occurs twice")
        return Genesis(
            chain_id=_integer(value["config"]["chainId"], 63),
            timestamp=_integer(value["timestamp"], 64),
            gas_limit=_integer(value.get("gasLimit", GAS_LIMIT), 63),
            base_fee=_integer(value.get("baseFeePerGas", BASE_FEE_INITIAL), 128),
            coinbase=_bytes(value.get("coinbase", "0x" + ZERO_ADDRESS.hex()), 20),
            alloc=tuple(sorted(alloc.items(), key=lambda item: item[0])),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Malformed(f"genesis is malformed: {type(error).__name__}: {error}") from error


def _integer(value: Any, bits: int) -> int:
    result = int(value, 0) if isinstance(value, str) else value
    if not isinstance(result, int) or isinstance(result, bool) or not 0 <= result < 1 << bits:
        raise ValueError(f"{value!r} is not an unsigned integer of {bits} bits")
    return result


def _bytes(value: Any, size: int | None = None) -> bytes:
    data = bytes.fromhex(value.removeprefix("0x"))
    if size is not None and len(data) != size:
        raise ValueError(f"{value!r} is not {size} bytes of hex")
    return data
