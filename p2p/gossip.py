"""The Gossip port: typed messages out and in, each checked before it is believed or forwarded."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2

from p2p.guard import GuardedPubsub
from p2p.limits import Buckets, Rate
from p2p.recent import Recent
from p2p.score import Offence
from p2p.standing import Standing
from protocol.envelope import EPOCH_SECONDS, Envelope, Sealer, content_id, topic_name
from protocol.errors import Malformed, Temporary

CHANNEL_MAX = 4096  # messages waiting for one consumer; when it is behind, the newest is dropped
EPOCHS_APART_MAX = 2  # how far the epoch of a message may be from ours
SEEN_MAX = 65536  # content ids remembered
SENDER_RATE = Rate(per_second=100.0, burst=1024.0)  # accepted messages of one operator


class Message(Protocol):
    """What can be gossiped: a value with a topic and one canonical byte form."""

    TOPIC: ClassVar[str]

    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, data: bytes) -> Self: ...


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Received(Generic[M]):
    """A message that was checked, and the operator (20 bytes) who signed it."""

    message: M
    sender: bytes


class Verdict(Enum):
    NEW = "delivered"
    KNOWN = "seen before"
    REFUSED = "dropped"


class Gossip:
    """All topics of one node. A node hears its own messages too: its roles may need each other's.

    `registered(address)` says whether an operator is on chain with stake. A channel that is full
    loses the newest message, counted in `standing`; it stays in `recent`, but only a restart or a
    consumer that asks there sees it again, so consumers must keep up.
    """

    def __init__(
        self,
        kinds: Iterable[type[Any]],
        sealer: Sealer,
        chain_id: int,
        fork_digest: bytes,
        registered: Callable[[bytes], bool],
        standing: Standing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kinds = {topic_name(chain_id, fork_digest, kind.TOPIC): kind for kind in kinds}
        self._topics = {kind: topic for topic, kind in self._kinds.items()}
        self._sealer = sealer
        self._chain_id = chain_id
        self._registered = registered
        self._standing = standing
        self._clock = clock
        self._channels: dict[str, list[trio.MemorySendChannel[Any]]] = {}
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._senders = Buckets(SENDER_RATE)
        self._sequence = time.time_ns()
        self._pubsub: GuardedPubsub | None = None
        self.recent = Recent()

    @property
    def topics(self) -> list[str]:
        return sorted(self._kinds)

    @property
    def epoch(self) -> int:
        return int(self._clock()) // EPOCH_SECONDS

    async def join(self, pubsub: GuardedPubsub) -> None:
        """Enter every topic of this node; before that, publishing is local."""
        self._pubsub = pubsub
        for topic in self.topics:
            pubsub.set_topic_validator(topic, self._validate, False)
            await pubsub.subscribe(topic)

    def subscribe(self, kind: type[M]) -> trio.MemoryReceiveChannel[Received[M]]:
        """A channel of `CHANNEL_MAX` messages, from now on; closing it ends the subscription."""
        send, receive = trio.open_memory_channel[Received[M]](CHANNEL_MAX)
        self._channels.setdefault(self._topics[kind], []).append(send)
        return receive

    async def publish(self, message: Message) -> None:
        """Sign and spread. `Temporary` while our own operator is not registered."""
        if not self._registered(self._sealer.address):
            raise Temporary("our operator is not registered yet, nobody would forward it")
        topic = self._topics[type(message)]
        self._sequence = max(self._sequence + 1, time.time_ns())
        envelope = self._sealer.seal(topic, self.epoch, self._sequence, message.encode())
        data = envelope.encode()
        self._remember(topic, content_id(topic, data), envelope, data)
        self._deliver(topic, Received(message, self._sealer.address))
        if self._pubsub is not None:
            await self._pubsub.publish(topic, data)

    def accept(self, peer: bytes, topic: str, data: bytes) -> Verdict:
        """Check what `peer` handed us, deliver it if it is new; never raises for bad bytes."""
        kind = self._kinds.get(topic)
        if kind is None:
            return Verdict.REFUSED
        identity = content_id(topic, data)
        if identity in self._seen:
            return Verdict.KNOWN
        try:
            envelope = Envelope.decode(data)
            offence = self._offence(envelope)
            if offence is None:
                envelope.verify(self._chain_id, topic)
                if not self._senders.take(envelope.sender, trio.current_time()):
                    self._standing.count("sender_over_rate")
                    return Verdict.REFUSED
                message = kind.decode(envelope.payload)
        except Malformed:
            offence = Offence.MALFORMED
        if offence is not None:
            self._standing.blame(peer, offence)
            return Verdict.REFUSED
        self._remember(topic, identity, envelope, data)
        self._deliver(topic, Received(message, envelope.sender))
        return Verdict.NEW

    def knows(self, identity: bytes) -> bool:
        return identity in self._seen

    def _offence(self, envelope: Envelope) -> Offence | None:
        """The checks that cost nothing, before the signature."""
        if abs(envelope.epoch - self.epoch) > EPOCHS_APART_MAX:
            return Offence.STALE
        return None if self._registered(envelope.sender) else Offence.UNREGISTERED

    def _validate(self, forwarder: ID, message: rpc_pb2.Message) -> bool:
        """libp2p's hook. One topic per message, or one envelope could be replayed on others."""
        if self._pubsub is not None and forwarder == self._pubsub.my_id:
            return True
        peer = bytes(forwarder.to_bytes())
        if len(message.topicIDs) != 1:
            self._standing.blame(peer, Offence.MALFORMED)
            return False
        return self.accept(peer, message.topicIDs[0], message.data) is not Verdict.REFUSED

    def _remember(self, topic: str, identity: bytes, envelope: Envelope, data: bytes) -> None:
        self._seen[identity] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        self.recent.add(topic, identity, envelope.epoch, data)

    def _deliver(self, topic: str, received: Received[Any]) -> None:
        channels = self._channels.get(topic, [])
        for channel in list(channels):
            try:
                channel.send_nowait(received)
            except trio.WouldBlock:
                self._standing.count("consumer_behind")
            except trio.BrokenResourceError:
                channels.remove(channel)
