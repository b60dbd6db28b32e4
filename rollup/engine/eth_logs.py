"""eth_* methods about events: one search, or filters that are polled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio

from rollup.engine import logs
from rollup.engine.errors import INVALID_PARAMS, SERVER_ERROR, Failure
from rollup.engine.filters import Filters
from rollup.engine.formats import data, quantity
from rollup.engine.lookup import HEIGHT_BITS, Lookup

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class EthLogs:
    lookup: Lookup
    filters: Filters
    room: trio.CapacityLimiter

    def methods(self) -> dict[str, Method]:
        return {
            "eth_getLogs": self.search,
            "eth_newFilter": self.new_filter,
            "eth_newBlockFilter": lambda: self.filters.open("blocks"),
            "eth_newPendingTransactionFilter": self.new_pending,
            "eth_getFilterChanges": self.filters.changes,
            "eth_getFilterLogs": self.filter_logs,
            "eth_uninstallFilter": self.filters.close,
        }

    async def search(self, query: Any) -> Any:
        return await self._search(read_query(query), logs.read_filter(read_query(query)))

    async def _search(self, query: dict[str, Any], wanted: logs.Filter) -> Any:
        if query.get("blockHash") is not None:
            if query.get("fromBlock") is not None or query.get("toBlock") is not None:
                raise Failure(
                    INVALID_PARAMS, "invalid argument: blockHash excludes fromBlock and toBlock"
                )
            block = self.lookup.by_hash(data(query["blockHash"], 32, "block hash"))
            if block is None:
                raise Failure(SERVER_ERROR, "unknown block")
            return logs.in_block(block, wanted)
        head = self.lookup.chain.head.number
        first, last = (self._bound(query.get(key), head) for key in ("fromBlock", "toBlock"))
        return await trio.to_thread.run_sync(
            logs.search, self.lookup.chain, wanted, first, min(last, head), limiter=self.room
        )

    def new_filter(self, query: Any) -> str:
        """Its changes start now; `fromBlock` and `toBlock` count for eth_getFilterLogs alone."""
        value = read_query(query)
        for key in ("fromBlock", "toBlock"):
            self._bound(value.get(key), 0)
        return self.filters.open("logs", value)

    def new_pending(self, full: Any = False) -> str:
        """Hashes only, as most servers give them."""
        if full not in (False, None):
            raise Failure(INVALID_PARAMS, "invalid argument: only hashes are offered")
        return self.filters.open("pending")

    async def filter_logs(self, identity: Any) -> Any:
        polled = self.filters.find(identity)
        if polled.wanted is None:
            raise Failure(SERVER_ERROR, "filter not found")
        return await self._search(polled.query, polled.wanted)

    def _bound(self, tag: Any, head: int) -> int:
        if tag is None:
            return head
        number = self.lookup.number(tag)
        return quantity(tag, HEIGHT_BITS, "block number") if number is None else number


def read_query(query: Any) -> dict[str, Any]:
    if not isinstance(query, dict):
        raise Failure(INVALID_PARAMS, "invalid argument: filter must be an object")
    return query
