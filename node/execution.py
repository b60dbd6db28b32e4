"""The embedded execution engine as a child of the node."""

import logging
import os
import secrets
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
from node.exits import Occupied, WrongSettings
from node.store import CorruptStore
from protocol.errors import Temporary

STOP_SECONDS = 8.0
DRAIN_SECONDS = 1.0  # after its end: a child of the child may hold the pipe
GONE_SECONDS, AGAIN_SECONDS = 15.0, 1.0  # for the engine of a killed node to end
LINES_KEPT = 20
LINE_BYTES_MAX = 65_536
EXIT_PORT, EXIT_STORE, EXIT_LOCKED = 3, 4, 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where an engine serves: JSON-RPC for everybody, the Engine API for its own node."""

    port: int
    engine_port: int | None


Started = Callable[[Endpoints], None]


async def run_engine(settings: Settings, jwt: Path, started: Started) -> None:
    """Run the L2's engine until cancelled.  `Temporary` when it dies, a `Fault` when it cannot
    start."""
    table = settings.rollup
    assert table is not None
    if not table.genesis.is_file():
        raise WrongSettings(f"rollup.genesis: no file {table.genesis}; write one or set the key")
    _, port = split_host_port(table.rpc_listen)
    data = settings.data_dir / "engine"
    command = [sys.executable, "-m", "rollup.engine", "--data", str(data), "--port", str(port)]
    command += ["--genesis", str(table.genesis), "--parent-pid", str(os.getpid())]
    command += ["--engine-port", "0", "--jwt", str(jwt)]
    if table.sequencer_url is not None:
        command += ["--sequencer-url", table.sequencer_url]
    if table.states_kept is not None:
        command += ["--keep-states", str(table.states_kept)]
    if table.rpc_origins:
        command += ["--origins", ",".join(table.rpc_origins)]
    await run_child_alone(command, data, started)


async def run_child_alone(command: Sequence[str], data: Path, started: Started) -> None:
    """As `run_child`; the engine of a node that was killed may take a moment to go, and holds port
    and store until then."""
    deadline = trio.current_time() + GONE_SECONDS
    while True:
        try:
            await run_child(command, data, started)
        except Occupied:
            if trio.current_time() > deadline:
                raise
        await trio.sleep(AGAIN_SECONDS)


def engine_secret(settings: Settings) -> Path:
    """The file that both sides of the Engine API read: the operator's, or one made here once."""
    table = settings.rollup
    assert table is not None
    if table.jwt_file is not None:
        return table.jwt_file
    file = settings.data_dir / "jwt.hex"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32) + "\n")
        draft.replace(file)
    return file


async def run_child(command: Sequence[str], data: Path, started: Started) -> None:
    """Run `command` as an engine over the store `data`; `started` is called when it serves.

    What it prints is read to its very end: a child that waits for a full pipe makes no blocks.
    """
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    reading = trio.CancelScope(shield=True)  # also while it stops
    said = Tail(lambda line: log.warning("engine: %s", line.decode(errors="replace")))

    def printed(line: bytes) -> None:
        if (endpoints := _serves(line)) is not None:
            started(endpoints)

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


def _serves(line: bytes) -> Endpoints | None:
    try:
        said = from_json(line)
    except ValueError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("port"), int):
        return None
    return Endpoints(said["port"], said.get("engine_port"))


def _told(code: int, said: str, data: Path) -> Exception:
    if code == EXIT_PORT:
        return Occupied(f"rollup.rpc_listen: {said}")
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
