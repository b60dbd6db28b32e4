"""Slow work beside the event loop: short jobs in threads, long ones in worker processes."""

import os
from collections.abc import Callable
from functools import partial
from typing import TypeVar, TypeVarTuple

import anyio.to_process
import trio
from anyio import BrokenWorkerProcess, CapacityLimiter

from protocol.errors import Temporary

THREADS_MAX = max(2, os.cpu_count() or 1)
PROCESSES_MAX = max(1, (os.cpu_count() or 1) - 1)

R = TypeVar("R")
Args = TypeVarTuple("Args")


class Compute:
    """`await compute(job, *args)` runs in a thread; `await compute.process(...)` in a process.

    Both raise what the job raises.  A cancelled thread runs on unseen and keeps its place until
    it ends; a cancelled process is killed.  A job for a process, its arguments and its result
    must be picklable.
    """

    def __init__(self, *, threads: int = THREADS_MAX, processes: int = PROCESSES_MAX) -> None:
        self._threads = trio.CapacityLimiter(threads)
        self._process_count = processes
        self._processes: CapacityLimiter | None = None  # anyio's can be made in a loop only

    async def __call__(self, job: Callable[[*Args], R], *args: *Args) -> R:
        return await trio.to_thread.run_sync(  # type: ignore[call-arg]  # old stubs by libp2p
            partial(job, *args), abandon_on_cancel=True, limiter=self._threads
        )

    async def process(self, job: Callable[[*Args], R], *args: *Args) -> R:
        """Run `job` in a process; `Temporary` if the process dies (out of memory, killed)."""
        if self._processes is None:
            self._processes = CapacityLimiter(self._process_count)
        try:
            return await anyio.to_process.run_sync(
                job, *args, cancellable=True, limiter=self._processes
            )
        except BrokenWorkerProcess as error:
            name = getattr(job, "__qualname__", repr(job))
            raise Temporary(f"the worker process for {name} died: {error}") from None
