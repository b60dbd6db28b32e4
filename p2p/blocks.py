"""Unsafe L2 blocks by gossip: opaque bytes in and out, checked by whom the node names."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import trio

from p2p.block_topics import BLOCK_BYTES_MAX, block_topics
from p2p.guard import GuardedPubsub
from p2p.limits import Buckets, Rate
from p2p.score import Offence
from p2p.standing import Standing
from protocol.errors import Refused

CHANNEL_MAX: Final = 256  # blocks waiting for one consumer; when it is behind, the newest is lost
CHECKS_MAX: Final = 16  # checks at a time
CHECKS_PER_PEER_MAX: Final = 4
BLOCK_RATE: Final = Rate(per_second=10.0, burst=64.0)  # new messages of one forwarder
BYTE_RATE: Final = Rate(per_second=4.0 * 1024**2, burst=64.0 * 1024**2)


class Ruling(Enum):
    """What a check says of a message, and what becomes of its forwarder."""

    ACCEPT = "deliver and forward it"
    IGNORE = "drop it, nobody is to blame"
    STALE = "drop it, an honest peer may have a wrong clock"
    REJECT = "drop it, no honest peer forwards it"


@dataclass(frozen=True, slots=True)
class Checked:
    """A ruling, and for `ACCEPT` what the consumers get."""

    ruling: Ruling
    value: Any = None
    reason: str = ""


Check = Callable[[int, bytes], Awaitable[Checked]]  # version 0 to 3, the message as it came


class BlockGossip:
    """The four topics of one chain. Delivery is best effort: derivation repairs what was lost.

    `check` must not raise for any bytes, and marks what it has accepted as seen itself.
    """

    def __init__(self, chain_id: int, check: Check, standing: Standing) -> None:
        self.topics = block_topics(chain_id)
        self._check = check
        self._standing = standing
        self._consumers: list[trio.MemorySendChannel[Any]] = []
        self._blocks, self._bytes = Buckets(BLOCK_RATE), Buckets(BYTE_RATE)
        self._checking: Counter[bytes] = Counter()
        self._pubsub: GuardedPubsub | None = None

    async def join(self, pubsub: GuardedPubsub) -> None:
        """Enter the topics; before that, publishing reaches nobody."""
        self._pubsub = pubsub
        for version, topic in enumerate(self.topics):
            pubsub.unsigned[topic] = self._acceptor(version)
            await pubsub.subscribe(topic)

    def subscribe(self) -> "trio.MemoryReceiveChannel[Any]":
        """A channel of what `check` gave with `ACCEPT`; closing it ends the subscription."""
        send, receive = trio.open_memory_channel[Any](CHANNEL_MAX)
        self._consumers.append(send)
        return receive

    async def publish(self, version: int, data: bytes) -> None:
        """Spread a signed block of our own, as encoded and compressed for its topic."""
        if len(data) > BLOCK_BYTES_MAX:
            raise Refused(f"a block of {len(data)} bytes, limit is {BLOCK_BYTES_MAX}")
        if self._pubsub is not None:
            await self._pubsub.publish_unsigned(self.topics[version], data)

    def peers(self) -> int:
        """How many peers listen to the newest topic."""
        known = {} if self._pubsub is None else self._pubsub.peer_topics
        return len(known.get(self.topics[-1], ()))

    def _acceptor(self, version: int) -> Callable[[bytes, bytes], Awaitable[bool]]:
        async def accept(peer: bytes, data: bytes) -> bool:
            return await self.accept(peer, version, data)

        return accept

    async def accept(self, peer: bytes, version: int, data: bytes) -> bool:
        """Whether to forward what `peer` handed us; delivers it if so."""
        now = trio.current_time()
        if len(data) > BLOCK_BYTES_MAX:
            self._standing.blame(peer, Offence.MALFORMED)
            return False
        if not (self._blocks.take(peer, now) and self._bytes.take(peer, now, len(data))):
            self._standing.blame(peer, Offence.FLOOD)
            return False
        if self._checking[peer] >= CHECKS_PER_PEER_MAX or self._checking.total() >= CHECKS_MAX:
            self._standing.count("block:busy")
            return False
        self._checking[peer] += 1
        try:
            checked = await self._check(version, data)
        finally:
            self._checking[peer] -= 1
            if not self._checking[peer]:
                del self._checking[peer]
        self._standing.count(f"block:{checked.ruling.name.lower()}")
        match checked.ruling:
            case Ruling.ACCEPT:
                self._deliver(checked.value)
            case Ruling.STALE:
                self._standing.blame(peer, Offence.STALE)
            case Ruling.REJECT:
                self._standing.blame(peer, Offence.MALFORMED)
        return checked.ruling is Ruling.ACCEPT

    def _deliver(self, value: Any) -> None:
        for consumer in list(self._consumers):
            try:
                consumer.send_nowait(value)
            except trio.WouldBlock:
                self._standing.count("block:consumer_behind")
            except trio.BrokenResourceError:
                self._consumers.remove(consumer)
