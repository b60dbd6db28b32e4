"""The embedded execution engine as a child of the sequencer's node, and what drives it."""

import logging
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio
from pydantic_core import from_json

from config.settings import Settings
from config.shapes import split_host_port
from contracts.rpc import Node, Rejected, number
from node.exits import Occupied, WrongSettings
from node.store import CorruptStore
from protocol.errors import Malformed, Temporary

STOP_SECONDS = 8.0
DRAIN_SECONDS = 1.0  # after its end: a child of the child may hold the pipe
LINES_KEPT = 20
LINE_BYTES_MAX = 65_536
EXIT_PORT, EXIT_STORE, EXIT_LOCKED = 3, 4, 5

log = logging.getLogger(__name__)


async def run_engine(settings: Settings, started: Callable[[], None]) -> None:
    """Run the engine until cancelled.  `Temporary` when it dies, a `Fault` when it cannot start."""
    genesis = settings.sequencer.genesis or settings.data_dir / "genesis.json"
    if not genesis.is_file():
        raise WrongSettings(f"sequencer.genesis: no file {genesis}; write one or set the key")
    _, port = split_host_port(settings.sequencer.rpc_listen)
    data = settings.data_dir / "engine"
    command = [sys.executable, "-m", "rollup.engine", "--data", str(data), "--port", str(port)]
    command += ["--genesis", str(genesis), "--parent-pid", str(os.getpid())]
    await run_child(command, data, started)


async def run_child(command: Sequence[str], data: Path, started: Callable[[], None]) -> None:
    """Run `command` as an engine over the store `data`; `started` is called when it serves.

    What it prints is read to its very end: a child that waits for a full pipe makes no blocks.
    """
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    reading = trio.CancelScope(shield=True)  # also while it stops
    said = Tail()

    def printed(line: bytes) -> None:
        if _serves(line):
            started()

    async def read() -> None:
        with reading:
            async with trio.open_nursery() as inner:
                inner.start_soon(_drain, process.stdout, Tail(printed))
                inner.start_soon(_drain, process.stderr, said)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        try:
            code = await process.wait()
        finally:
            await _stop(process)
            reading.deadline = trio.current_time() + DRAIN_SECONDS
    lines = [line.decode(errors="replace") for line in said.lines if line.strip()]
    for line in lines:
        log.warning("engine: %s", line)
    raise _told(code, lines[-1].strip() if lines else "", data)


@dataclass(slots=True)
class Tail:
    """The last lines of a stream that comes in any pieces."""

    complete: Callable[[bytes], None] = lambda line: None
    lines: deque[bytes] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    rest: bytes = b""

    def feed(self, data: bytes) -> None:
        *whole, rest = (self.rest + data).split(b"\n")
        self.rest = rest[:LINE_BYTES_MAX]
        for line in whole:
            self.lines.append(line[:LINE_BYTES_MAX])
            self.complete(line)

    def end(self) -> None:
        if self.rest:
            self.feed(b"\n")


async def _drain(stream: trio.abc.ReceiveStream | None, tail: Tail) -> None:
    assert stream is not None
    async with stream:
        async for data in stream:
            tail.feed(data)
    tail.end()


def _serves(line: bytes) -> bool:
    try:
        said = from_json(line)
    except ValueError:
        return False
    return isinstance(said, dict) and "port" in said


def _told(code: int, said: str, data: Path) -> Exception:
    if code == EXIT_PORT:
        return Occupied(f"sequencer.rpc_listen: {said}")
    if code == EXIT_LOCKED:
        return Occupied(f"engine store {data}: {said}")
    if code == EXIT_STORE:
        return CorruptStore(f"engine store {data}: {said}")
    return Temporary(f"the execution engine ended with code {code}: {said}")


async def _stop(process: trio.Process) -> None:
    if process.returncode is None:
        process.terminate()
        deadline = trio.current_time() + STOP_SECONDS
        with trio.CancelScope(deadline=deadline, shield=True):
            await process.wait()
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


@dataclass(frozen=True)
class EngineBuilder:
    """The `Builder` port over the engine's own method."""

    rpc: Node

    async def build(self, timestamp: int) -> int:
        try:
            block = await self.rpc.call("openledger_buildBlock", hex(timestamp))
            if not isinstance(block, dict):
                raise Malformed("the engine answered with no block")
            return number(block.get("number"))
        except (Rejected, Malformed) as error:
            raise Temporary(f"the engine built no block at {timestamp}: {error}") from None
