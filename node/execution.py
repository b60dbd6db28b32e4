"""The embedded execution engine as a child of the sequencer's node, and what drives it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from config.settings import Settings
from config.shapes import split_host_port
from contracts.rpc import Node, Rejected, number
from node.exits import Occupied, WrongSettings
from node.store import CorruptStore
from protocol.errors import Temporary

START_SECONDS = 60.0
STOP_SECONDS = 8.0
LINE_BYTES_MAX = 65_536
EXIT_PORT, EXIT_STORE, EXIT_LOCKED = 3, 4, 5


async def run_engine(settings: Settings, started: Callable[[], None]) -> None:
    """Run the engine until cancelled.  `Temporary` when it dies, a `Fault` when it cannot start."""
    genesis = settings.sequencer.genesis or settings.data_dir / "genesis.json"
    if not genesis.is_file():
        raise WrongSettings(f"sequencer.genesis: no file {genesis}; write one or set the key")
    _, port = split_host_port(settings.sequencer.rpc_listen)
    data = settings.data_dir / "engine"
    command = [sys.executable, "-m", "rollup.engine", "--data", str(data), "--port", str(port)]
    command += ["--genesis", str(genesis), "--parent-pid", str(os.getpid())]
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        with trio.move_on_after(START_SECONDS):
            line = await process.stdout.receive_some(LINE_BYTES_MAX)
            if line and "port" in json.loads(line):
                started()
        code = await process.wait()
        said = (await process.stderr.receive_some(LINE_BYTES_MAX)).decode(errors="replace")
        raise _told(code, said.strip().splitlines()[-1] if said.strip() else "", data)
    finally:
        await _stop(process)


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


@dataclass(frozen=True)
class EngineBuilder:
    """The `Builder` port over the engine's own method."""

    rpc: Node

    async def build(self, timestamp: int) -> int:
        try:
            block = await self.rpc.call("openledger_buildBlock", hex(timestamp))
        except Rejected as error:
            raise Temporary(f"the engine built no block at {timestamp}: {error}") from None
        return number(block["number"])
