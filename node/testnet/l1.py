"""The L1 of a test network: `python -m node.testnet.l1 FOLDER --port N --seconds S`.

It is the embedded engine with the OP rules off, asked for a block every few seconds. A loopback
tool: `openledger_rollback` is on, so that a test can play a reorganisation.
"""

import argparse
import functools
import os
import sys
import time
from pathlib import Path

import trio

from contracts.rpc import Node, Rejected, connect
from node.execution import Endpoints, run_child_alone
from node.logs import configure
from node.shutdown import until_signal
from protocol.errors import Malformed, Temporary

FINALITY_DEPTH = 3  # blocks until one is final; Ethereum needs about 64 to 96
RETRY_SECONDS = 0.5


async def serve(folder: Path, port: int, seconds: float) -> None:
    """Run engine and clock until cancelled."""
    command = [sys.executable, "-m", "rollup.engine", "--data", str(folder / "engine")]
    command += ["--port", str(port), "--genesis", str(folder / "genesis.json")]
    command += ["--allow-rollback", "--finality-depth", str(FINALITY_DEPTH)]
    command += ["--parent-pid", str(os.getpid())]
    serving = trio.Event()

    def started(endpoints: Endpoints) -> None:
        serving.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_child_alone, command, folder / "engine", started)
        await serving.wait()
        async with connect(f"http://127.0.0.1:{port}") as rpc:
            await _slots(rpc, seconds)


async def _slots(rpc: Node, seconds: float) -> None:
    """A block at each multiple of `seconds`; a slot that fails is missed, as on Ethereum."""
    while True:
        now = time.time()
        due = (int(now / seconds) + 1) * seconds
        await trio.sleep(due - now)
        try:
            await rpc.call("openledger_buildBlock", hex(int(due)))
        except (Temporary, Malformed, Rejected) as error:
            print(f"no block at {int(due)}: {error}", file=sys.stderr, flush=True)
            await trio.sleep(RETRY_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds genesis.json; the chain goes there too")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="between two blocks")
    arguments = parser.parse_args()
    configure("info", "json")
    body = functools.partial(serve, arguments.folder, arguments.port, arguments.seconds)
    trio.run(until_signal, body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
