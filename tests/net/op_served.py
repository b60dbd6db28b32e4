"""A small OP Stack chain behind its two listeners, in the test's own loop."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio

from rollup.codec.l1_info import DEPOSITOR, L1_BLOCK, L1Info
from rollup.engine.engine_api import EngineApi
from rollup.engine.methods import Methods
from rollup.engine.server import Server, listen
from tests.unit import optimism_world as world
from tests.unit.optimism_world import Node, deposit, node

SECRET = bytes(range(32))


def attributes_deposit(number: int, fork: str = "isthmus") -> bytes:
    """The L1 attributes of block `number`, as the world's genesis has them in its L1Block."""
    info = L1Info(
        *(fork, 100, world.START, world.BASE_FEE, b"\x11" * 32, number, b"\x22" * 20),
        blob_base_fee=world.BLOB_FEE,
        base_fee_scalar=world.BASE_SCALAR,
        blob_base_fee_scalar=world.BLOB_SCALAR,
        operator_fee_scalar=world.OPERATOR_SCALAR,
        operator_fee_constant=world.OPERATOR_CONSTANT,
        da_footprint_gas_scalar=400 if fork == "jovian" else 0,
    )
    return deposit(number, sender=DEPOSITOR, to=L1_BLOCK, data=info.encode())


@dataclass(frozen=True)
class OpServed:
    node: Node
    methods: Methods
    port: int
    engine_port: int
    client: httpx.AsyncClient

    async def call(self, method: str, *params: Any) -> Any:
        return await self.methods.answer(method, list(params))

    async def extend(self, *deposits: bytes, **changes: Any) -> Any:
        """A block with the L1 attributes, `deposits`, and what the pool holds."""
        number = self.node.chain.head.number + 1
        forced = (attributes_deposit(number, self.node.fork), *deposits)
        return await self.node.extend(transactions=["0x" + raw.hex() for raw in forced], **changes)


@asynccontextmanager
async def op_served(
    directory: Path, fork: str = "isthmus", *, origins: Sequence[str] = (), **accounts: Any
) -> AsyncIterator[OpServed]:
    listeners = [await listen(0) for _ in range(2)]
    public, private = listeners
    with node(directory / "data", fork, **accounts) as running:
        extra = EngineApi(running.forkchoice, running.chain.rules).methods()
        methods = Methods(running.chain, running.pool, building=False)
        both = Methods(running.chain, running.pool, building=False, extra=extra)
        running.forkchoice.listeners += (methods.feed.advance, both.feed.advance)
        try:
            async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as client:
                nursery.start_soon(Server(methods, origins=origins).serve, public)
                nursery.start_soon(Server(both, jwt_secret=SECRET).serve, private)
                ports = [one.socket.getsockname()[1] for one in listeners]
                yield OpServed(running, methods, *ports, client)
                nursery.cancel_scope.cancel()
        finally:
            for listener in listeners:
                await listener.aclose()
