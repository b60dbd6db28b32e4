"""Blocks that gossip brought before their turn: bounded, in order of height."""

from collections.abc import Iterator
from typing import Final

from rollup.codec.payload import PayloadEnvelope
from rollup.codec.refs import L2BlockRef

BLOCKS_MAX: Final = 512
BYTES_MAX: Final = 64 << 20
AHEAD_MAX: Final = 4096  # blocks above the head; beyond that derivation is the way
OVERHEAD: Final = 1024  # bytes that a block takes beside its transactions


class UnsafeBlocks:
    """At most `BLOCKS_MAX` blocks and `BYTES_MAX` bytes; the highest ones give way.

    Several blocks may have one height: only the chain tells which of them goes on from the head.
    """

    def __init__(self) -> None:
        self._by_hash: dict[bytes, PayloadEnvelope] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._by_hash)

    def add(self, envelope: PayloadEnvelope, head: L2BlockRef) -> bool:
        """Keep the block if it can ever follow the head; whether it was kept."""
        payload = envelope.payload
        if not head.number < payload.block_number <= head.number + AHEAD_MAX:
            return False
        if payload.block_hash in self._by_hash:
            return False
        self._by_hash[payload.block_hash] = envelope
        self._bytes += _size(envelope)
        while len(self._by_hash) > BLOCKS_MAX or self._bytes > BYTES_MAX:
            self._drop(max(self, key=lambda e: e.payload.block_number))
        return payload.block_hash in self._by_hash

    def take(self, head: L2BlockRef) -> PayloadEnvelope | None:
        """The block that follows the head, taken out; whatever can no longer follow is dropped."""
        for envelope in [e for e in self if e.payload.block_number <= head.number]:
            self._drop(envelope)
        following = [e for e in self if e.payload.block_number == head.number + 1]
        for envelope in following:
            if envelope.payload.parent_hash == head.hash:
                self._drop(envelope)
                return envelope
        return None

    def gap(self, head: L2BlockRef) -> tuple[int, int] | None:
        """The heights (first, last) that are missing between the head and the lowest block kept."""
        lowest = min((e.payload.block_number for e in self), default=0)
        return (head.number + 1, lowest - 1) if lowest > head.number + 1 else None

    def __iter__(self) -> Iterator[PayloadEnvelope]:
        return iter(self._by_hash.values())

    def _drop(self, envelope: PayloadEnvelope) -> None:
        del self._by_hash[envelope.payload.block_hash]
        self._bytes -= _size(envelope)


def _size(envelope: PayloadEnvelope) -> int:
    return OVERHEAD + sum(map(len, envelope.payload.transactions))
