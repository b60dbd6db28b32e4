"""What one WebSocket client has subscribed to, and what each event means to him."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from rollup.engine import formats, jsonrpc, logs
from rollup.engine.errors import INVALID_PARAMS, LIMIT_EXCEEDED, SERVER_ERROR, Failure
from rollup.engine.feed import Arrived, Event
from rollup.engine.filters import CRITERIA_MAX
from rollup.engine.formats import hexadecimal

SUBSCRIPTIONS_MAX: Final = 32
IDENTITY_BYTES: Final = 16
KINDS: Final = ("newHeads", "logs", "newPendingTransactions")


@dataclass(slots=True)
class Subscription:
    """Silent until it is `live`, that is until its client has been told its identity."""

    kind: str
    wanted: logs.Filter
    live: bool = False


@dataclass(slots=True)
class Subscriptions:
    _open: dict[str, Subscription] = field(default_factory=dict)

    def open(self, kind: Any, options: Any = None) -> str:
        """eth_subscribe: its identity. Raises `Failure`."""
        if kind not in KINDS:
            raise Failure(INVALID_PARAMS, f"no such subscription: offered are {', '.join(KINDS)}")
        if kind == "newPendingTransactions" and options not in (None, False):
            raise Failure(INVALID_PARAMS, "invalid argument: only hashes are offered")
        query = options if kind == "logs" and options is not None else {}
        if not isinstance(query, dict):
            raise Failure(INVALID_PARAMS, "invalid argument: filter must be an object")
        wanted = logs.read_filter(query)
        if wanted.criteria > CRITERIA_MAX or len(self._open) >= SUBSCRIPTIONS_MAX:
            raise Failure(
                LIMIT_EXCEEDED,
                f"over {SUBSCRIPTIONS_MAX} subscriptions, or {CRITERIA_MAX} addresses and topics",
            )
        identity = hexadecimal(os.urandom(IDENTITY_BYTES))
        self._open[identity] = Subscription(kind, wanted)
        return identity

    def close(self, identity: Any) -> bool:
        """eth_unsubscribe. Raises `Failure`."""
        if not isinstance(identity, str) or self._open.pop(identity, None) is None:
            raise Failure(SERVER_ERROR, "subscription not found")
        return True

    def announce(self) -> None:
        """Identities given so far have reached the client."""
        for subscription in self._open.values():
            subscription.live = True

    def messages(self, event: Event) -> Iterator[bytes]:
        for identity, subscription in list(self._open.items()):
            for result in _results(subscription, event) if subscription.live else ():
                yield jsonrpc.encode(
                    {
                        "jsonrpc": "2.0",
                        "method": "eth_subscription",
                        "params": {"subscription": identity, "result": result},
                    }
                )


def _results(subscription: Subscription, event: Event) -> list[Any]:
    if isinstance(event, Arrived):
        pending = subscription.kind == "newPendingTransactions"
        return [hexadecimal(event.hash)] if pending else []
    if subscription.kind == "logs":
        return list(logs.in_block(event.block, subscription.wanted, removed=event.removed))
    heads = subscription.kind == "newHeads" and not event.removed
    return [formats.header(event.block)] if heads else []
