"""openledger_* methods: the builder of a plain L1 asks for its next block, or takes some back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio

from rollup.engine import fees, formats
from rollup.engine.feed import Feed
from rollup.engine.formats import data, hexadecimal, quantity
from rollup.engine.lookup import HEIGHT_BITS, Lookup

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Building:
    """Execution runs in a worker thread: a block of 100 transfers takes about 0.3 s, and inside the
    event loop every other caller would wait that long. Building is serialised."""

    lookup: Lookup
    feed: Feed

    def methods(self, *, allow_rollback: bool) -> dict[str, Method]:
        methods: dict[str, Method] = {"openledger_buildBlock": self.build}
        if allow_rollback:
            methods["openledger_rollback"] = self.rollback
        return methods

    async def build(self, timestamp: Any, recipient: Any = None) -> Any:
        """openledger_buildBlock(timestamp, fee recipient or null): the new block, full."""
        chain, pool = self.lookup.chain, self.lookup.pool
        when = quantity(timestamp, HEIGHT_BITS, "timestamp")
        coinbase = chain.genesis.coinbase
        if recipient is not None:
            coinbase = data(recipient, 20, "fee recipient")
        async with chain.turn:
            picker = pool.picker(fees.next_base_fee(chain))
            with trio.CancelScope(shield=True):  # what is on disk must also become the head
                built = await trio.to_thread.run_sync(chain.build, when, coinbase, picker)
            chain.adopt(built.block)
            pool.settle(built.nonces, built.dropped)
            self.feed.advance()
        return formats.block(built.block, True, self.lookup.chain_id)

    async def rollback(self, number: Any) -> str:
        """openledger_rollback(number): forget later blocks, and do not pool their transactions."""
        chain = self.lookup.chain
        async with chain.turn:
            chain.adopt(chain.rollback(quantity(number, HEIGHT_BITS, "number")))
            self.feed.advance()
        return hexadecimal(chain.head.hash)
