"""What happened to the chain lately, as steps that filters and subscriptions follow."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import trio

from rollup.engine.lookup import Lookup
from rollup.engine.values import Block

STEPS_KEPT_MAX: Final = 256
PENDING_KEPT_MAX: Final = 4_096
QUEUE_MAX: Final = 512

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """A block that joined the canonical chain, or left it (`removed`)."""

    block: Block
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """A transaction that entered the pool, by its hash."""

    hash: bytes


Event = Step | Arrived


class Recent(Generic[T]):
    """The last `limit` items of an endless sequence, numbered from 0."""

    def __init__(self, limit: int) -> None:
        self._items: deque[T] = deque(maxlen=limit)
        self.end = 0

    def append(self, item: T) -> None:
        self._items.append(item)
        self.end += 1

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def since(self, cursor: int) -> list[T] | None:
        """Items from number `cursor` on; None if some of them are forgotten."""
        wanted = self.end - cursor
        if wanted > len(self._items):
            return None
        return [self._items[i] for i in range(len(self._items) - wanted, len(self._items))]


@dataclass(slots=True)
class Feed:
    """Follows the head by parent hashes, so that a reorg becomes removals and then additions.

    `advance` is cheap and idempotent: whoever needs the present calls it. A reorg deeper than what
    is kept, or a jump (a sync), shows its last blocks only; whoever had a cursor before it is told
    that his cursor is gone.
    """

    lookup: Lookup
    steps: Recent[Step] = field(default_factory=lambda: Recent(STEPS_KEPT_MAX))
    arrivals: Recent[bytes] = field(default_factory=lambda: Recent(PENDING_KEPT_MAX))
    _tip: Block = field(init=False)
    _listeners: set[trio.MemorySendChannel[Event]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._tip = self.lookup.chain.head

    def advance(self) -> None:
        """Take the chain's present head into account."""
        head = self.lookup.chain.head
        if head.hash == self._tip.hash:
            return
        removed, added = self._way(self._tip, head)
        self._tip = head
        for step in [Step(b, removed=True) for b in removed] + [Step(b) for b in added]:
            self.steps.append(step)
            self._tell(step)

    def _way(self, old: Block, new: Block) -> tuple[list[Block], list[Block]]:
        """Blocks to remove (last first) and to add (first first) from head `old` to head `new`.

        An ancestor that nobody knows, or one beyond what is kept, ends the way: the filters'
        cursors before it are lost anyway.
        """
        removed: list[Block] = []
        added: list[Block] = []
        left: Block | None = old
        right: Block | None = new
        while left is not None and right is not None and left.hash != right.hash:
            if len(removed) + len(added) >= STEPS_KEPT_MAX:
                break
            if right.number >= left.number:
                added.append(right)
                right = self._parent(right)
            else:
                removed.append(left)
                left = self._parent(left)
        return removed, added[::-1]

    def _parent(self, block: Block) -> Block | None:
        """From the store, or from what was told lately: a rollback deletes blocks."""
        parent = self.lookup.by_hash(block.header.parent_hash)
        if parent is None:
            told = (
                step.block for step in self.steps if step.block.hash == block.header.parent_hash
            )
            parent = next(told, None)
        return parent

    def arrive(self, transaction_hash: bytes) -> None:
        """A transaction entered the pool."""
        self.arrivals.append(transaction_hash)
        self._tell(Arrived(transaction_hash))

    def listen(self) -> "Listening":
        """A bounded channel of events; it ends when its reader falls behind by `QUEUE_MAX`."""
        send, receive = trio.open_memory_channel[Event](QUEUE_MAX)
        self._listeners.add(send)
        return Listening(self, send, receive)

    def forget(self, send: trio.MemorySendChannel[Event]) -> None:
        self._listeners.discard(send)
        send.close()

    def _tell(self, event: Event) -> None:
        for listener in list(self._listeners):
            try:
                listener.send_nowait(event)
            except (trio.WouldBlock, trio.BrokenResourceError):
                self.forget(listener)


@dataclass(frozen=True, slots=True)
class Listening:
    """One listener's end of the feed."""

    feed: Feed
    send: trio.MemorySendChannel[Event]
    events: trio.MemoryReceiveChannel[Event]

    def close(self) -> None:
        self.feed.forget(self.send)
        self.events.close()
