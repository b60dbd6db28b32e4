"""Runs an engine beside the event loop: each caller gets the events of its answer in a channel."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from openlora.request import Event, Request

if TYPE_CHECKING:
    from openlora.engine import Engine

# Runs a function where it does not stall the loop; the `compute` port.
Compute = Callable[..., Awaitable[Any]]


class Dispatch:
    """`run()` must be running for answers to come; one per engine."""

    def __init__(self, engine: "Engine", compute: Compute) -> None:
        self.engine, self._compute = engine, compute
        self._outboxes: dict[int, trio.MemorySendChannel[Event]] = {}
        self._wake = trio.Event()

    async def run(self) -> None:
        """Step the engine whenever there is work; never returns."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self.engine.busy:
                for ticket, event in await self._compute(self.engine.step):
                    if ticket in self._outboxes:
                        self._outboxes[ticket].send_nowait(event)

    async def load(self, adapter: bytes, path: Path) -> None:
        """`Engine.load`, beside the loop."""
        await self._compute(self.engine.load, adapter, path)

    @asynccontextmanager
    async def answer(self, request: Request) -> AsyncIterator["trio.MemoryReceiveChannel[Event]"]:
        """The events of one answer, the last of them `Finished` or `Failed`.

        Leaving the block early cancels the answer.  Raises what `Engine.submit` raises.
        """
        # At most one delta a token, and the end: a send never waits, a slow reader loses nothing.
        send, receive = trio.open_memory_channel[Event](request.sampling.max_tokens + 2)
        ticket = self.engine.submit(request)
        self._outboxes[ticket] = send
        self._wake.set()
        try:
            yield receive
        finally:
            del self._outboxes[ticket]
            self.engine.cancel(ticket)
            self._wake.set()
