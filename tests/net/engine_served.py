"""A real chain behind a real listener, in the test's own loop."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio

from rollup.engine.chain import Chain
from rollup.engine.genesis import genesis, parse
from rollup.engine.kv import KeyValues
from rollup.engine.methods import Methods
from rollup.engine.server import Server, listen
from tests.net.engine_process import CHAIN_ID, INITCODE, RICH, START, transaction


@dataclass(frozen=True)
class Served:
    methods: Methods
    port: int
    client: httpx.AsyncClient

    async def call(self, method: str, *params: Any) -> Any:
        return await self.methods.answer(method, list(params))

    async def send(self, nonce: int, **fields: Any) -> str:
        if isinstance(to := fields.get("to"), str):
            fields["to"] = bytes.fromhex(to.removeprefix("0x"))
        raw = transaction(nonce, **fields)
        return str(await self.call("eth_sendRawTransaction", "0x" + raw.hex()))

    async def deploy(self, nonce: int) -> str:
        """The address of a contract that emits LOG1(topic 1) with the word 42 and returns it."""
        sent = await self.send(nonce, data=INITCODE)
        await self.build()
        return str((await self.call("eth_getTransactionReceipt", sent))["contractAddress"])

    async def build(self) -> Any:
        head = self.methods.lookup.chain.head
        return await self.call("openledger_buildBlock", hex(head.header.timestamp + 2))

    async def post(self, method: str, *params: Any, **headers: str) -> httpx.Response:
        """Over HTTP; underscores in the names of headers become dashes."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(f"http://127.0.0.1:{self.port}", json=body, headers=named)


@asynccontextmanager
async def served(
    directory: Path, *, origins: Sequence[str] = (), secret: bytes | None = None
) -> AsyncIterator[Served]:
    store = KeyValues(directory / "data")
    chain = Chain(store, parse(genesis(CHAIN_ID, {RICH.address: 10**24}, START)))
    methods = Methods(chain, allow_rollback=True)
    listener = await listen(0)
    try:
        async with (
            trio.open_nursery() as nursery,
            httpx.AsyncClient(trust_env=False) as client,
        ):
            server = Server(methods, origins=origins, jwt_secret=secret)
            nursery.start_soon(server.serve, listener)
            yield Served(methods, listener.socket.getsockname()[1], client)
            nursery.cancel_scope.cancel()
    finally:
        await listener.aclose()
        store.close()
