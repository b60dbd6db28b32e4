"""The table of JSON-RPC methods, and the answer to one call."""

import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import trio
from eth_hash.auto import keccak

from protocol.errors import Refused
from rollup.engine.chain import MISSING_STATE, Chain
from rollup.engine.debug import Debug
from rollup.engine.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    SERVER_ERROR,
    CorruptStore,
    Failure,
)
from rollup.engine.eth_accounts import EthAccounts
from rollup.engine.eth_blocks import EthBlocks
from rollup.engine.eth_calls import EthCalls
from rollup.engine.eth_logs import EthLogs
from rollup.engine.eth_transactions import EthTransactions
from rollup.engine.feed import Feed
from rollup.engine.filters import Filters
from rollup.engine.formats import data, hexadecimal
from rollup.engine.forward import Sequencer
from rollup.engine.lookup import Lookup
from rollup.engine.mempool import Mempool
from rollup.engine.openledger import Building
from rollup.engine.txpool import TxPool

CLIENT: Final = "OpenLedger/v0.1.0/py-evm"
SIMULATIONS_MAX: Final = 4
WRITING: Final = ("engine_", "openledger_")

Method = Callable[..., Any]


class Methods:
    """Answers one call at a time through `answer`.

    Execution runs in worker threads beside the event loop, calls at most four at once. A process
    more would halve the milliseconds that others wait, but needs the database twice, and this
    already is a process of its own. `extra` are methods of others (the Engine API's).
    """

    def __init__(
        self,
        chain: Chain,
        pool: Mempool | None = None,
        *,
        allow_rollback: bool = False,
        building: bool = True,
        sequencer: Sequencer | None = None,
        extra: Mapping[str, Method] | None = None,
    ) -> None:
        self.lookup = Lookup(chain, Mempool() if pool is None else pool)
        self.feed = Feed(self.lookup)
        room = trio.CapacityLimiter(SIMULATIONS_MAX)
        transactions = EthTransactions(self.lookup, self.feed, sequencer)
        self._methods: dict[str, Method] = {
            **_about(chain),
            "rpc_modules": self._modules,
            **EthBlocks(self.lookup, room).methods(),
            **EthAccounts(self.lookup, room).methods(),
            **EthCalls(self.lookup, room).methods(),
            **EthLogs(self.lookup, Filters(self.feed), room).methods(),
            **transactions.methods(),
            **TxPool(self.lookup).methods(),
            **Debug(self.lookup, transactions.raw_by_hash).methods(),
            **(extra or {}),
        }
        if building:
            self._methods |= Building(self.lookup, self.feed).methods(allow_rollback=allow_rollback)

    async def answer(self, name: str, params: list[Any]) -> Any:
        """The result of one call. Raises `Failure`; `CorruptStore` ends the process.

        An exception nobody foresaw is answered as an internal error and printed: it comes from the
        interpreter or from a parameter, both of which a stranger chooses, and the state on disk
        only ever changes by whole blocks.
        """
        method = self._methods.get(name)
        if method is None:
            raise Failure(
                METHOD_NOT_FOUND, f"the method {name[:64]} does not exist/is not available"
            )
        try:
            _bind(method, params)
            result = method(*params)
            return await result if isinstance(result, Awaitable) else result
        except (Failure, CorruptStore):
            raise
        except Refused as refusal:
            raise Failure(SERVER_ERROR, str(refusal)) from refusal
        except MISSING_STATE as error:
            if self.lookup.chain.keep_states and not name.startswith(WRITING):
                # pruned while the call ran
                raise Failure(SERVER_ERROR, "missing trie node: this state is not kept") from error
            raise CorruptStore(f"the chain database lacks a part of its state: {error}") from error
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise Failure(INTERNAL_ERROR, f"internal error: {type(error).__name__}") from error

    def _modules(self) -> dict[str, str]:
        return dict.fromkeys(sorted({name.partition("_")[0] for name in self._methods}), "1.0")


def _about(chain: Chain) -> dict[str, Method]:
    """What every client asks first. No peers: blocks come from the driver, who syncs."""
    started = chain.head.number
    return {
        "web3_clientVersion": lambda: CLIENT,
        "web3_sha3": lambda value: hexadecimal(keccak(data(value))),
        "net_version": lambda: str(chain.genesis.chain_id),
        "net_listening": lambda: True,
        "net_peerCount": lambda: "0x0",
        "eth_chainId": lambda: hex(chain.genesis.chain_id),
        "eth_syncing": lambda: _syncing(chain, started),
    }


def _syncing(chain: Chain, started: int) -> Any:
    """Whether a later block is known of, whose parents the driver has not brought yet."""
    if chain.target <= chain.head.number:
        return False
    heights = (started, chain.head.number, chain.target)
    return dict(
        zip(("startingBlock", "currentBlock", "highestBlock"), map(hex, heights), strict=True)
    )


def _bind(method: Method, params: list[Any]) -> None:
    """Refuse a wrong number of parameters before the call, so that a TypeError inside is a bug."""
    code = method.__code__
    own = 1 if hasattr(method, "__self__") else 0
    most = code.co_argcount - own
    least = most - len(method.__defaults__ or ())
    if not least <= len(params) <= most:
        raise Failure(INVALID_PARAMS, f"wrong number of parameters: {len(params)}")
