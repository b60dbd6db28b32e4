"""What a batcher must not forget: the channels that it closed, from then until they are final."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from eth_hash.auto import keccak

from protocol.errors import Malformed
from rollup.codec.hexadecimal import data, data_list, fields, from_bytes
from rollup.codec.jsonint import integer
from rollup.codec.refs import BlockId
from rollup.ports import Store

# batches/next            -> order of the next channel, u64
# batches/channel/ order  -> a channel as JSON
NEXT: Final = b"batches/next"
PREFIX: Final = b"batches/channel/"
FRAMES_MAX: Final = 1 << 15
CHANNEL_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Record:
    """A closed channel: the blocks from the one after `parent` to `last`.

    `frames` is batcher data, one per L1 transaction; with `da` it goes to the DA layer instead, and
    `commitments` grows to as many before anything goes to L1. `confirmed` is an L1 block by which
    all transactions were in.
    """

    order: int
    channel_id: bytes
    parent: BlockId
    last: BlockId
    da: bool
    frames: tuple[bytes, ...]
    commitments: tuple[bytes, ...] = ()
    count: int = 0
    confirmed: int | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Of the intents, one per transaction."""
        return tuple([f"batch/{self.channel_id.hex()}/{at}" for at in range(self.count)])

    def encode(self) -> bytes:
        return json.dumps(
            {
                "id": from_bytes(self.channel_id),
                "parent": _block(self.parent),
                "last": _block(self.last),
                "da": self.da,
                "frames": list(map(from_bytes, self.frames)),
                "commitments": list(map(from_bytes, self.commitments)),
                "count": self.count,
                "confirmed": self.confirmed,
            }
        ).encode()

    @classmethod
    def decode(cls, order: int, raw: bytes) -> Self:
        try:
            found = fields(json.loads(raw), "stored channel")
        except ValueError:
            raise Malformed("a stored channel is no JSON") from None
        confirmed = found.get("confirmed")
        return cls(
            order,
            data(found.get("id"), CHANNEL_ID_BYTES, "id"),
            _block_id(found.get("parent")),
            _block_id(found.get("last")),
            found.get("da") is True,
            data_list(found.get("frames"), FRAMES_MAX, "frames"),
            data_list(found.get("commitments"), FRAMES_MAX, "commitments"),
            integer(found.get("count"), 16, "count"),
            None if confirmed is None else integer(confirmed, 64, "confirmed"),
        )


class Records:
    """In order of their blocks; every change is on disk when its method returns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = int.from_bytes(store.get(NEXT) or bytes(8), "big")
        self._by_order = {
            (order := int.from_bytes(key[len(PREFIX) :], "big")): Record.decode(order, raw)
            for key, raw in store.scan(PREFIX)
        }

    def all(self) -> list[Record]:
        return [record for _, record in sorted(self._by_order.items())]

    @property
    def last(self) -> Record | None:
        return self._by_order[max(self._by_order)] if self._by_order else None

    def channel_id(self, parent: BlockId, last: BlockId) -> bytes:
        """Of the next channel: never used before by this account with this store."""
        return keccak(parent.hash + last.hash + self._next.to_bytes(8, "big"))[:CHANNEL_ID_BYTES]

    def add(
        self, channel_id: bytes, parent: BlockId, last: BlockId, frames: tuple[bytes, ...], da: bool
    ) -> Record:
        record = Record(self._next, channel_id, parent, last, da, frames, count=len(frames))
        after = (self._next + 1).to_bytes(8, "big")
        self._store.write({NEXT: after, _key(record.order): record.encode()}, sync=True)
        self._next += 1
        self._by_order[record.order] = record
        return record

    def change(self, record: Record, **changes: Any) -> Record:
        changed = replace(record, **changes)
        self._store.write({_key(record.order): changed.encode()}, sync=True)
        self._by_order[record.order] = changed
        return changed

    def drop(self, records: list[Record]) -> None:
        if records:
            self._store.write({_key(record.order): None for record in records}, sync=True)
        for record in records:
            del self._by_order[record.order]


def _key(order: int) -> bytes:
    return PREFIX + order.to_bytes(8, "big")


def _block(block: BlockId) -> dict[str, Any]:
    return {"hash": from_bytes(block.hash), "number": block.number}


def _block_id(value: Any) -> BlockId:
    found: Mapping[str, Any] = fields(value, "block")
    return BlockId(data(found.get("hash"), 32, "hash"), integer(found.get("number"), 64, "number"))
