"""Intents on disk: what shall be sent, what was signed for it, and how it ended."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from eth_hash.auto import keccak

from contracts.signing import Call, Fees

# outbox/ address /
#   chain            -> hash of block 0, so that a store never pays on another chain
#   next             -> order number of the next intent, u64
#   open/ order u64  -> an intent that has not ended
#   key/  key        -> order, digest of the call, outcome or null
#   raw/  nonce u64  -> the signed transaction that ended with this nonce (the last ones)
RAWS_KEPT: Final = 256


class Store(Protocol):
    """A durable ordered map; a write is atomic, and on disk before it returns when `sync`."""

    def get(self, key: bytes) -> bytes | None: ...

    def scan(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]: ...

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class Done:
    """In a block and confirmed; `status` 1, or 0 with the `reason` as far as it can be found."""

    transaction: bytes
    block: int
    status: int
    gas_used: int
    contract: bytes = b""
    """The created contract, if the call created one."""
    reason: str | None = None

    @property
    def succeeded(self) -> bool:
        return self.status == 1


@dataclass(frozen=True, slots=True)
class Unsent:
    """Refused by the contract in a simulation: no transaction, no nonce, no gas."""

    reason: str

    @property
    def succeeded(self) -> bool:
        return False

    @property
    def transaction(self) -> bytes | None:
        return None

    @property
    def gas_used(self) -> int | None:
        return None


Outcome = Done | Unsent


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction; all attempts of an intent share its nonce. `at`: Unix seconds."""

    raw: bytes
    fees: Fees
    at: float

    @property
    def hash(self) -> bytes:
        return keccak(self.raw)


@dataclass(frozen=True, slots=True)
class Intent:
    """Waiting while it has no nonce, in flight when it has one and at least one attempt."""

    key: str
    order: int
    call: Call
    made_at: float
    gas: int = 0
    nonce: int | None = None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """For metrics and for `openledger status`: counts since start, seconds, and what is wrong."""

    waiting: int
    in_flight: int
    done: int
    unsent: int
    replaced: int
    oldest_seconds: float
    problem: str | None


class Intents:
    """The intents of one account. Every write is one synced batch."""

    def __init__(self, store: Store, address: bytes) -> None:
        self._store = store
        self._prefix = b"outbox/" + address + b"/"

    def chain(self) -> bytes | None:
        return self._store.get(self._prefix + b"chain")

    def bind(self, genesis: bytes) -> None:
        self._write({b"chain": genesis})

    def open(self) -> list[Intent]:
        """All that have not ended, in order."""
        pairs = self._store.scan(self._prefix + b"open/")
        return [_decode(value) for _, value in sorted(pairs)]

    def find(self, key: str) -> tuple[bytes, Outcome | None] | None:
        """The digest of the call under `key` and its outcome so far."""
        value = self._store.get(self._prefix + b"key/" + key.encode())
        if value is None:
            return None
        fields = json.loads(value)
        return bytes.fromhex(fields["call"]), _decode_outcome(fields["outcome"])

    def add(self, key: str, call: Call, now: float) -> Intent:
        order = int.from_bytes(self._store.get(self._prefix + b"next") or b"", "big")
        intent = Intent(key, order, call, now)
        self._write(
            {
                b"next": _u64(order + 1),
                b"open/" + _u64(order): _encode(intent),
                b"key/" + key.encode(): _encode_key(intent, None),
            }
        )
        return intent

    def update(self, intent: Intent) -> None:
        self._write({b"open/" + _u64(intent.order): _encode(intent)})

    def settle(self, intent: Intent, outcome: Outcome) -> None:
        puts: dict[bytes, bytes | None] = {
            b"open/" + _u64(intent.order): None,
            b"key/" + intent.key.encode(): _encode_key(intent, outcome),
        }
        if intent.nonce is not None and isinstance(outcome, Done):
            raws = {attempt.hash: attempt.raw for attempt in intent.attempts}
            puts[b"raw/" + _u64(intent.nonce)] = raws[outcome.transaction]
            if intent.nonce >= RAWS_KEPT:
                puts[b"raw/" + _u64(intent.nonce - RAWS_KEPT)] = None
        self._write(puts)

    def raw(self, nonce: int) -> bytes | None:
        """The transaction that ended with this nonce, in case a deep reorg drops it."""
        return self._store.get(self._prefix + b"raw/" + _u64(nonce))

    def _write(self, puts: Mapping[bytes, bytes | None]) -> None:
        self._store.write({self._prefix + key: value for key, value in puts.items()}, sync=True)


def _encode(intent: Intent) -> bytes:
    return _json(
        {
            "key": intent.key,
            "order": intent.order,
            "to": intent.call.to.hex(),
            "data": intent.call.data.hex(),
            "value": intent.call.value,
            "call_gas": intent.call.gas,
            "made_at": intent.made_at,
            "gas": intent.gas,
            "nonce": intent.nonce,
            "attempts": [
                [attempt.raw.hex(), attempt.fees.limit, attempt.fees.tip, attempt.at]
                for attempt in intent.attempts
            ],
        }
    )


def _decode(value: bytes) -> Intent:
    fields = json.loads(value)
    return Intent(
        fields["key"],
        fields["order"],
        Call(
            bytes.fromhex(fields["to"]),
            bytes.fromhex(fields["data"]),
            fields["value"],
            fields["call_gas"],
        ),
        fields["made_at"],
        fields["gas"],
        fields["nonce"],
        tuple(
            Attempt(bytes.fromhex(raw), Fees(limit, tip), at)
            for raw, limit, tip, at in fields["attempts"]
        ),
    )


def _encode_key(intent: Intent, outcome: Outcome | None) -> bytes:
    ended: dict[str, Any] | None = None
    if isinstance(outcome, Unsent):
        ended = {"reason": outcome.reason}
    elif outcome is not None:
        ended = {
            "transaction": outcome.transaction.hex(),
            "block": outcome.block,
            "status": outcome.status,
            "gas_used": outcome.gas_used,
            "contract": outcome.contract.hex(),
            "reason": outcome.reason,
        }
    call = intent.call.digest.hex()
    return _json({"order": intent.order, "call": call, "outcome": ended})


def _decode_outcome(fields: dict[str, Any] | None) -> Outcome | None:
    if fields is None:
        return None
    if "transaction" not in fields:
        return Unsent(fields["reason"])
    return Done(
        bytes.fromhex(fields["transaction"]),
        fields["block"],
        fields["status"],
        fields["gas_used"],
        bytes.fromhex(fields["contract"]),
        fields["reason"],
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")
