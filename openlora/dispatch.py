"""Runs an engine beside the event loop: each caller gets the events of its answer in a channel."""

import threading
from collections import deque
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
    """`run()` must be running for answers to come; one per engine.

    It may be cancelled and run again: the answers that it left are gone on with.
    """

    def __init__(self, engine: "Engine", compute: Compute) -> None:
        self.engine, self._compute = engine, compute
        self._outboxes: dict[int, trio.MemorySendChannel[Event]] = {}
        self._happened = deque[tuple[int, Event]]()
        self._stepping = threading.Lock()
        self._wake = trio.Event()

    async def run(self) -> None:
        """Step the engine whenever there is work; never returns."""
        while True:
            self._wake = trio.Event()
            while self._stepping.locked() or self.engine.busy or self._happened:
                await self._compute(self._step)
                while self._happened:
                    ticket, event = self._happened.popleft()
                    if ticket in self._outboxes:
                        self._outboxes[ticket].send_nowait(event)
            await self._wake.wait()

    def _step(self) -> None:
        """In a worker, which goes on when `run` is cancelled: what happens then is not lost."""
        with self._stepping:
            self._happened.extend(self.engine.step())

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
