"""Filters that are polled: logs, new blocks, pending transactions (eth_newFilter and the rest)."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from rollup.engine import logs
from rollup.engine.errors import LIMIT_EXCEEDED, SERVER_ERROR, Failure
from rollup.engine.feed import Feed
from rollup.engine.formats import hexadecimal

FILTERS_MAX: Final = 1_024
FILTER_SECONDS_MAX: Final = 300.0
"""A filter that nobody polls for as long is dropped (geth: 5 minutes)."""
IDENTITY_BYTES: Final = 16
RANGE_KEYS: Final = ("fromBlock", "toBlock", "blockHash")
CRITERIA_MAX: Final = 256
"""Addresses and topics that one filter may hold on to."""


@dataclass(slots=True)
class Polled:
    """`query` is None for one that only counts blocks or transactions."""

    kind: str
    cursor: int
    asked: float
    wanted: logs.Filter | None = None
    query: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Filters:
    """At most `FILTERS_MAX`, each a cursor into the feed: an idle one costs no memory.

    Identities are random, so that one client cannot poll another's by counting.
    """

    feed: Feed
    clock: Callable[[], float] = trio.current_time
    _filters: dict[str, Polled] = field(default_factory=dict)

    def open(self, kind: str, query: dict[str, Any] | None = None) -> str:
        """Start one of kind "logs", "blocks" or "pending". Raises `Failure`."""
        wanted = logs.read_filter(query) if query is not None else None
        if wanted is not None and wanted.criteria > CRITERIA_MAX:
            raise Failure(LIMIT_EXCEEDED, f"a filter over {CRITERIA_MAX} addresses and topics")
        self._expire()
        if len(self._filters) >= FILTERS_MAX:
            raise Failure(LIMIT_EXCEEDED, f"more than {FILTERS_MAX} filters")
        self.feed.advance()
        cursor = self.feed.arrivals.end if kind == "pending" else self.feed.steps.end
        identity = hexadecimal(os.urandom(IDENTITY_BYTES))
        query = {key: value for key, value in (query or {}).items() if key in RANGE_KEYS}
        self._filters[identity] = Polled(kind, cursor, self.clock(), wanted, query)
        return identity

    def close(self, identity: Any) -> bool:
        return self._filters.pop(identity, None) is not None if _named(identity) else False

    def find(self, identity: Any) -> Polled:
        """Raises `Failure` in geth's words, which make clients open a new one."""
        self._expire()
        found = self._filters.get(identity) if _named(identity) else None
        if found is None:
            raise Failure(SERVER_ERROR, "filter not found")
        found.asked = self.clock()
        return found

    def changes(self, identity: Any) -> list[Any]:
        """What is new since the last call; logs of removed blocks carry `removed: true`."""
        polled = self.find(identity)
        self.feed.advance()
        if polled.kind == "pending":
            hashes = self.feed.arrivals.since(polled.cursor)
            polled.cursor = self.feed.arrivals.end
            if hashes is None:
                raise self._lost(identity)
            return [hexadecimal(h) for h in hashes]
        steps = self.feed.steps.since(polled.cursor)
        if steps is None:
            raise self._lost(identity)
        out: list[Any] = []
        for step in steps:
            if len(out) > logs.LOGS_MAX:
                break  # the next call goes on here
            polled.cursor += 1
            if polled.wanted is not None:
                out += logs.in_block(step.block, polled.wanted, removed=step.removed)
            elif not step.removed:
                out.append(hexadecimal(step.block.hash))
        return out

    def _lost(self, identity: str) -> Failure:
        self.close(identity)
        return Failure(SERVER_ERROR, "filter not found")

    def _expire(self) -> None:
        before = self.clock() - FILTER_SECONDS_MAX
        for identity in [i for i, polled in self._filters.items() if polled.asked < before]:
            del self._filters[identity]


def _named(identity: Any) -> bool:
    return isinstance(identity, str)
