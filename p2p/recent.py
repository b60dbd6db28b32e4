"""The last envelopes of each topic, kept for the peers that missed them."""

from collections import OrderedDict

ENVELOPES_MAX = 2048  # per topic
BYTES_MAX = 16 * 1024 * 1024  # per topic


class Recent:
    """Encoded envelopes in their order of arrival; over the bounds the oldest goes first.

    In memory: after a restart a node asks its peers, who have the same.
    """

    def __init__(self, envelopes_max: int = ENVELOPES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._envelopes_max = envelopes_max
        self._bytes_max = bytes_max
        self._topics: dict[str, OrderedDict[bytes, tuple[int, bytes]]] = {}
        self._sizes: dict[str, int] = {}

    def add(self, topic: str, identity: bytes, epoch: int, data: bytes) -> None:
        """Keep one envelope; `identity` is its content id."""
        kept = self._topics.setdefault(topic, OrderedDict())
        if identity in kept:
            return
        kept[identity] = (epoch, data)
        self._sizes[topic] = self._sizes.get(topic, 0) + len(data)
        while len(kept) > self._envelopes_max or self._sizes[topic] > self._bytes_max:
            _, (_, gone) = kept.popitem(last=False)
            self._sizes[topic] -= len(gone)

    def ids(self, topic: str, since: int) -> list[bytes]:
        """Content ids of epoch `since` and later, the newest arrivals first."""
        kept = self._topics.get(topic)
        if kept is None:
            return []
        return [identity for identity, (epoch, _) in reversed(kept.items()) if epoch >= since]

    def get(self, topic: str, identity: bytes) -> bytes | None:
        kept = self._topics.get(topic)
        found = None if kept is None else kept.get(identity)
        return None if found is None else found[1]
