"""The engine as a process: `python -m rollup.engine --data DIR --port N --genesis FILE`.

It prints one line of JSON when it serves, `{"port": N, "engine_port": M or null}`, and stops in
order on SIGTERM, SIGINT, or when the process named by `--parent-pid` is gone. Exit codes: 0 stopped
as asked, 2 wrong arguments or genesis file, 3 a port is taken, 4 the store is corrupt or of another
chain (nothing is deleted), 5 the data directory is in use.

The parent is watched by a pidfd instead of PR_SET_PDEATHSIG: that signal fires when the parent's
*thread* ends, and trio starts child processes from a thread that ends ten seconds later.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Final

import trio

from protocol.errors import Malformed
from rollup.engine.chain import Chain
from rollup.engine.engine_api import EngineApi
from rollup.engine.errors import (
    EXIT_LOCKED,
    EXIT_PORT,
    EXIT_STORE,
    EXIT_USAGE,
    CorruptStore,
    StoreLocked,
)
from rollup.engine.forkchoice import Forkchoice
from rollup.engine.forward import Sequencer
from rollup.engine.genesis import Genesis, load
from rollup.engine.jwt import load_secret
from rollup.engine.kv import KeyValues
from rollup.engine.mempool import Mempool
from rollup.engine.methods import Methods
from rollup.engine.pruning import Pruning
from rollup.engine.server import Server, listen

PARENT_POLL_SECONDS: Final = 1.0


def main() -> int:
    arguments = _arguments()
    try:
        genesis = load(arguments.genesis)
        _check(arguments)
    except Malformed as error:
        return _fail(EXIT_USAGE, str(error))
    try:
        return trio.run(_engine, arguments, genesis)
    except StoreLocked as error:
        return _fail(EXIT_LOCKED, str(error))
    except (CorruptStore, Malformed) as error:
        return _fail(EXIT_STORE, str(error))


async def _engine(arguments: argparse.Namespace, genesis: Genesis) -> int:
    try:
        public = await listen(arguments.port)
        engine = None if arguments.engine_port is None else await listen(arguments.engine_port)
    except OSError as error:
        return _fail(EXIT_PORT, f"{_ports(arguments)} on loopback is taken or forbidden: {error}")
    store = KeyValues(arguments.data)
    corrupt: CorruptStore | None = None
    try:
        chain = Chain(
            store,
            genesis,
            finality_depth=arguments.finality_depth,
            keep_states=arguments.keep_states,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_signal, nursery.cancel_scope)
            if arguments.parent_pid is not None:
                nursery.start_soon(_until_parent_ends, arguments.parent_pid, nursery.cancel_scope)
            if chain.keep_states:
                nursery.start_soon(Pruning(chain, chain.keep_states).run)
            _serve(arguments, chain, nursery, public, engine)
            ports = {
                "port": _port(public),
                "engine_port": None if engine is None else _port(engine),
            }
            print(json.dumps(ports), flush=True)
    except* CorruptStore as group:
        corrupt = _first(group)
    finally:
        store.close()
    return 0 if corrupt is None else _fail(EXIT_STORE, str(corrupt))


def _serve(
    arguments: argparse.Namespace,
    chain: Chain,
    nursery: trio.Nursery,
    public: trio.SocketListener,
    engine: trio.SocketListener | None,
) -> None:
    """The public methods on one port; on the other those and the Engine API, behind the token."""
    pool = Mempool()
    forkchoice = Forkchoice(chain, pool)
    sequencer = None if arguments.sequencer_url is None else Sequencer(arguments.sequencer_url)
    methods = Methods(
        chain,
        pool,
        allow_rollback=arguments.allow_rollback,
        building=not chain.optimism,
        sequencer=sequencer,
    )
    nursery.start_soon(Server(methods, origins=arguments.origins).serve, public)
    if engine is None:
        return
    extra = EngineApi(forkchoice, chain.rules).methods()
    both = Methods(chain, pool, building=False, extra=extra, sequencer=sequencer)
    forkchoice.listeners += (methods.feed.advance, both.feed.advance)
    nursery.start_soon(forkchoice.run)
    nursery.start_soon(Server(both, jwt_secret=load_secret(arguments.jwt)).serve, engine)


def _port(listener: trio.SocketListener) -> int:
    return int(listener.socket.getsockname()[1])


def _ports(arguments: argparse.Namespace) -> str:
    if arguments.engine_port is None:
        return f"port {arguments.port}"
    return f"port {arguments.port} or {arguments.engine_port}"


def _first(group: BaseExceptionGroup[CorruptStore]) -> CorruptStore:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, CorruptStore)
    return error


async def _until_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _until_parent_ends(pid: int, scope: trio.CancelScope) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        scope.cancel()
        return
    except (AttributeError, OSError):  # an old kernel, or none of Linux
        while _alive(pid):  # noqa: ASYNC110 - there is nothing to wait on
            await trio.sleep(PARENT_POLL_SECONDS)
    else:
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)
    scope.cancel()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check(arguments: argparse.Namespace) -> None:
    """Raises `Malformed` for what would only be found after the start."""
    if arguments.engine_port is not None:
        if arguments.jwt is None:
            raise Malformed("--engine-port needs --jwt: whoever calls that port moves the chain")
        load_secret(arguments.jwt)
    if arguments.sequencer_url is not None:
        Sequencer(arguments.sequencer_url)
    if arguments.keep_states < 0 or arguments.finality_depth < 0:
        raise Malformed("--keep-states and --finality-depth are numbers of blocks, 0 or more")


def _origins(value: str) -> tuple[str, ...]:
    return tuple(origin for origin in value.split(",") if origin)


def _fail(code: int, message: str) -> int:
    print(f"openledger engine: {message}", file=sys.stderr)
    return code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rollup.engine", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory of the chain database")
    parser.add_argument("--port", type=int, required=True, help="loopback port, 0 for any free one")
    parser.add_argument("--genesis", type=Path, required=True, help="genesis file (JSON)")
    parser.add_argument("--engine-port", type=int, help="loopback port of the Engine API")
    parser.add_argument("--jwt", type=Path, help="file with the secret of the Engine API's tokens")
    parser.add_argument("--sequencer-url", help="where eth_sendRawTransaction is handed on to")
    parser.add_argument(
        "--origins", type=_origins, default=(), help="web pages that may ask, with commas between"
    )
    parser.add_argument(
        "--finality-depth",
        type=int,
        default=0,
        help="without OP rules: a block is final with this many blocks on it",
    )
    parser.add_argument(
        "--keep-states",
        type=int,
        default=0,
        help="drop states older than so many blocks before the head; 0 keeps all of them",
    )
    parser.add_argument("--parent-pid", type=int, help="stop when this process has ended")
    parser.add_argument(
        "--allow-rollback",
        action="store_true",
        help="offer openledger_rollback(number), which drops later blocks: to test reorgs",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
