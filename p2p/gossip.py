"""The Gossip port: typed messages out and in, each checked before it is believed or forwarded."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2

from p2p.guard import GuardedPubsub
from p2p.limits import Buckets, Rate
from p2p.recent import Recent
from p2p.score import Offence
from p2p.standing import Standing
from protocol.envelope import EPOCH_SECONDS, Envelope, Signer, content_id, seal, topic_name
from protocol.errors import Malformed, Temporary
from protocol.messages import Message

CHANNEL_MAX = 4096  # messages waiting for one consumer; when it is behind, the newest waits
MISSED_MAX = 4096  # ids that a consumer was too slow for; range sync hands them over later
EPOCHS_APART_MAX = 2  # how far the epoch of a message may be from ours
SEEN_MAX = 65536  # content ids remembered
SENDER_RATE = Rate(per_second=100.0, burst=1024.0)  # accepted messages of one operator


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


@dataclass(frozen=True, slots=True)
class _Consumer:
    channel: trio.MemorySendChannel[Any]
    missed: OrderedDict[bytes, None]


class Gossip:
    """All topics of one node. A node hears its own messages too: its roles may need each other's.

    `registered(address)` says whether an operator is on chain with stake. A channel that is full
    drops the newest message, counted in `standing`; `redeliver`, which range sync calls, hands it
    over once there is room, as long as it is among the recent ones. So delivery is at least once
    and in no order, and a restart repeats what peers still hold.
    """

    def __init__(
        self,
        kinds: Iterable[type[Any]],
        signer: Signer,
        chain_id: int,
        fork_digest: bytes,
        registered: Callable[[bytes], bool],
        standing: Standing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kinds = {topic_name(chain_id, fork_digest, kind.TOPIC): kind for kind in kinds}
        self._topics = {kind: topic for topic, kind in self._kinds.items()}
        self._signer = signer
        self._chain_id = chain_id
        self._registered = registered
        self._standing = standing
        self._clock = clock
        self._consumers: dict[str, list[_Consumer]] = {}
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
        """A channel of `CHANNEL_MAX` messages; closing it ends the subscription.

        It begins with the recent ones: a role may start long after range sync has brought them.
        """
        send, receive = trio.open_memory_channel[Received[M]](CHANNEL_MAX)
        topic = self._topics[kind]
        known = reversed(self.recent.ids(topic, 0))
        consumer = _Consumer(send, OrderedDict.fromkeys(known))
        self._consumers.setdefault(topic, []).append(consumer)
        self._catch_up(topic, consumer)
        return receive

    async def publish(self, message: Message) -> None:
        """Sign and spread. `Temporary` while our own operator is not registered."""
        if not self._registered(self._signer.address):
            raise Temporary("our operator is not registered yet, nobody would forward it")
        topic = self._topics[type(message)]
        self._sequence = max(self._sequence + 1, time.time_ns())
        envelope = seal(
            self._signer, self._chain_id, topic, self.epoch, self._sequence, message.encode()
        )
        data = envelope.encode()
        identity = content_id(topic, data)
        self._remember(topic, identity, envelope, data)
        self._deliver(topic, identity, Received(message, self._signer.address))
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
        self._deliver(topic, identity, Received(message, envelope.sender))
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

    def _deliver(self, topic: str, identity: bytes, received: Received[Any]) -> None:
        consumers = self._consumers.get(topic, [])
        for consumer in list(consumers):
            try:
                consumer.channel.send_nowait(received)
            except trio.WouldBlock:
                self._standing.count("consumer_behind")
                consumer.missed[identity] = None
                if len(consumer.missed) > MISSED_MAX:
                    consumer.missed.popitem(last=False)
            except trio.BrokenResourceError:
                consumers.remove(consumer)

    def redeliver(self) -> None:
        """Offer the consumers again what they were too slow for."""
        for topic, consumers in self._consumers.items():
            for consumer in list(consumers):
                self._catch_up(topic, consumer)

    def _catch_up(self, topic: str, consumer: _Consumer) -> None:
        while consumer.missed:
            identity = next(iter(consumer.missed))
            data = self.recent.get(topic, identity)
            if data is not None:
                envelope = Envelope.decode(data)
                message = self._kinds[topic].decode(envelope.payload)
                try:
                    consumer.channel.send_nowait(Received(message, envelope.sender))
                except (trio.WouldBlock, trio.BrokenResourceError):
                    return
            del consumer.missed[identity]
