"""Gossipsub that names messages by their content everywhere, not by who wrote which of his.

libp2p's cache of recent messages and its check for equivocation go by sender and number, which
an unsigned message has not: the second one would count as a forgery of the first.
"""

from collections.abc import Callable
from typing import Any

from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.mcache import CacheEntry, MessageCache
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue

MessageId = Callable[[rpc_pb2.Message], bytes]


class ContentCache(MessageCache):
    """Recent messages by `message_id`, which is also what peers are told and ask for."""

    def __init__(self, window: int, history: int, message_id: MessageId) -> None:
        super().__init__(window, history)
        self._message_id = message_id

    def put(self, msg: rpc_pb2.Message) -> None:
        identity = self._message_id(msg)
        if identity not in self.msgs:
            self.msgs[identity] = msg
            self.history[0].append(CacheEntry(identity, msg.topicIDs))


class ContentRouter(GossipSub):
    """GossipSub over a `ContentCache`."""

    def __init__(self, window: int, history: int, message_id: MessageId, **options: Any) -> None:
        super().__init__(gossip_window=window, gossip_history=history, **options)
        self.mcache = ContentCache(window, history, message_id)

    def _check_equivocation(self, msg: rpc_pb2.Message) -> bool:
        return True  # what is two messages of one sender is for the validators to say


class LargeMessageQueue(RpcQueue):
    """Packs messages into RPCs of `packed_max` bytes; one message alone may be larger."""

    def __init__(self, *, max_size: int, packed_max: int, message_max: int) -> None:
        super().__init__(max_size, message_max)
        self._packed_max = packed_max

    def split_rpc(self, rpc: rpc_pb2.RPC) -> list[rpc_pb2.RPC]:
        limit, self.max_message_size = self.max_message_size, self._packed_max
        try:
            return super().split_rpc(rpc)
        finally:
            self.max_message_size = limit
