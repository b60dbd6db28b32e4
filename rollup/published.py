"""The blocks that a sequencer let out: on disk before anybody sees them, until they are final."""

import json
from typing import Final

from protocol.errors import Malformed
from rollup.codec.hexadecimal import data, fields, from_bytes
from rollup.codec.payload import ExecutionPayload, PayloadEnvelope
from rollup.ports import Store

# sequenced/ number u64 -> the block as JSON
PREFIX: Final = b"sequenced/"
KEPT_MAX: Final = 4096  # blocks; the oldest give way, and L1 has them by then
PRUNED_AT_ONCE: Final = 64


class Published:
    """One block per height, so that after a crash the same block comes out again, and not another:
    two signed blocks of one height are the sequencer's capital offence."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._numbers = [_number(key) for key, _ in store.scan(PREFIX)]

    @property
    def last(self) -> int | None:
        """The greatest height that ever was kept and not forgotten."""
        return self._numbers[-1] if self._numbers else None

    def at(self, number: int) -> PayloadEnvelope | None:
        raw = self._store.get(_key(number))
        return None if raw is None else _decode(raw)

    def keep(self, envelope: PayloadEnvelope) -> None:
        """On disk when this returns. In place of another of the height, after which all above it
        have lost their parent: they are forgotten."""
        number = envelope.payload.block_number
        puts: dict[bytes, bytes | None] = {
            _key(above): None for above in self._numbers if above > number
        }
        puts[_key(number)] = _encode(envelope)
        self._store.write(puts, sync=True)
        self._numbers = [*(n for n in self._numbers if n < number), number]

    def forget(self, number: int) -> None:
        """What the engine found invalid: it never went out."""
        self._store.write({_key(number): None}, sync=True)
        self._numbers = [n for n in self._numbers if n != number]

    def prune(self, finalized: int) -> None:
        """Drop what is final, and what is too much."""
        bound = max(finalized, self._numbers[-1] - KEPT_MAX) if self._numbers else finalized
        old = [n for n in self._numbers[:-1] if n <= bound]
        if len(old) >= PRUNED_AT_ONCE:
            self._store.write({_key(number): None for number in old})
            self._numbers = self._numbers[len(old) :]


def _key(number: int) -> bytes:
    return PREFIX + number.to_bytes(8, "big")


def _number(key: bytes) -> int:
    return int.from_bytes(key[len(PREFIX) :], "big")


def _encode(envelope: PayloadEnvelope) -> bytes:
    root = envelope.parent_beacon_block_root
    value = {
        "payload": envelope.payload.to_json(),
        "root": None if root is None else from_bytes(root),
    }
    return json.dumps(value).encode()


def _decode(raw: bytes) -> PayloadEnvelope:
    try:
        found = fields(json.loads(raw), "stored block")
    except ValueError:
        raise Malformed("a stored block is no JSON") from None
    root = found.get("root")
    payload = ExecutionPayload.from_json(found.get("payload"))
    return PayloadEnvelope(payload, None if root is None else data(root, 32, "root"))
