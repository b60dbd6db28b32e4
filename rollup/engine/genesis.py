"""The first block: who owns what, which code stands where, when the chain begins."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from protocol.errors import Malformed
from rollup.codec.header import Header
from rollup.engine.rules import Fork, Rules
from rollup.engine.values import BLOOM_BYTES, EMPTY_REQUESTS, EMPTY_TRIE, EMPTY_UNCLES

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

    rules: Rules
    timestamp: int
    gas_limit: int
    base_fee: int
    coinbase: bytes
    alloc: tuple[tuple[bytes, Account], ...]
    extra_data: bytes = b""
    mix_hash: bytes = bytes(32)
    nonce: bytes = bytes(8)
    difficulty: int = 0
    number: int = 0
    parent_hash: bytes = bytes(32)
    excess_blob_gas: int = 0
    blob_gas_used: int = 0

    @property
    def chain_id(self) -> int:
        return self.rules.chain_id

    @property
    def digest(self) -> bytes:
        """Of all that the first block comes from: equal digests, equal blocks."""
        return sha256(repr(self).encode()).digest()

    def header(self, state_root: bytes, message_passer_root: bytes) -> Header:
        """The first block's, as geth forms it; Isthmus puts the message passer's storage root in
        the place of the withdrawals'."""
        fork = self.rules.fork(self.timestamp)
        return Header(
            parent_hash=self.parent_hash,
            uncles_hash=EMPTY_UNCLES,
            coinbase=self.coinbase,
            state_root=state_root,
            transactions_root=EMPTY_TRIE,
            receipts_root=EMPTY_TRIE,
            bloom=bytes(BLOOM_BYTES),
            difficulty=self.difficulty,
            number=self.number,
            gas_limit=self.gas_limit,
            gas_used=0,
            timestamp=self.timestamp,
            extra_data=self.extra_data,
            mix_hash=self.mix_hash,
            nonce=self.nonce,
            base_fee=self.base_fee,
            withdrawals_root=message_passer_root if fork >= Fork.ISTHMUS else EMPTY_TRIE,
            blob_gas_used=self.blob_gas_used,
            excess_blob_gas=self.excess_blob_gas,
            parent_beacon_block_root=bytes(32),
            requests_hash=None if fork == Fork.HOLOCENE else EMPTY_REQUESTS,
        )


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
                _integer(fields.get("balance") or 0, 256),
                _integer(fields.get("nonce") or 0, 64),
                _bytes(fields.get("code") or "0x"),
                tuple(
                    sorted(
                        (_integer(k, 256), _integer(v, 256))
                        for k, v in (fields.get("storage") or {}).items()
                    )
                ),
            )
            for address, fields in value["alloc"].items()
        }
        if len(alloc) != len(value["alloc"]):
            raise ValueError("an address occurs twice")
        return Genesis(
            rules=Rules.of_genesis(value["config"]),
            timestamp=_integer(value["timestamp"], 64),
            gas_limit=_integer(value.get("gasLimit", GAS_LIMIT), 63),
            base_fee=_integer(value.get("baseFeePerGas") or BASE_FEE_INITIAL, 128),
            coinbase=_bytes(value.get("coinbase", "0x" + ZERO_ADDRESS.hex()), 20),
            alloc=tuple(sorted(alloc.items(), key=lambda item: item[0])),
            extra_data=_bytes(value.get("extraData") or "0x"),
            mix_hash=_bytes(value.get("mixHash") or "0x" + "00" * 32, 32),
            nonce=_integer(value.get("nonce") or 0, 64).to_bytes(8, "big"),
            difficulty=_integer(value.get("difficulty") or 0, 256),
            number=_integer(value.get("number") or 0, 64),
            parent_hash=_bytes(value.get("parentHash") or "0x" + "00" * 32, 32),
            excess_blob_gas=_integer(value.get("excessBlobGas") or 0, 64),
            blob_gas_used=_integer(value.get("blobGasUsed") or 0, 64),
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
