"""The JSON-RPC methods, each a function of the chain, the pool and its parameters."""

import contextlib
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from eth_hash.auto import keccak

from protocol.errors import Refused
from rollup.engine import fees, formats, logs, simulation
from rollup.engine.chain import MISSING_STATE, Chain
from rollup.engine.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    SERVER_ERROR,
    CorruptStore,
    Failure,
)
from rollup.engine.execution import NonceTooHigh, base_fee_after, check
from rollup.engine.formats import data, hexadecimal, quantity
from rollup.engine.mempool import Mempool
from rollup.engine.values import Block, Header

CLIENT: Final = "OpenLedger/v0.1.0/py-evm"
SIMULATIONS_MAX: Final = 4
PARAMS_MAX: Final = 8

Method = Callable[..., Any]


class Methods:
    """Answers one call at a time through `answer`.

    Execution runs in worker threads: a block of 100 transfers takes about 0.3 s, and inside the
    event loop every other caller would wait that long; beside it, they share the interpreter and
    wait some milliseconds. A process more would halve that again but needs the database twice, and
    this already is a process of its own. Building is serialised; calls are limited to four.
    """

    def __init__(self, chain: Chain, *, allow_rollback: bool = False) -> None:
        self._chain = chain
        self._pool = Mempool()
        self._building = trio.Lock()
        self._simulations = trio.CapacityLimiter(SIMULATIONS_MAX)
        self._methods: dict[str, Method] = {
            "web3_clientVersion": lambda: CLIENT,
            "web3_sha3": lambda value: hexadecimal(keccak(data(value))),
            "net_version": lambda: str(chain.genesis.chain_id),
            "net_listening": lambda: True,
            "net_peerCount": lambda: "0x0",
            "eth_chainId": lambda: hex(chain.genesis.chain_id),
            "eth_syncing": lambda: False,
            "eth_accounts": list,
            "eth_blockNumber": lambda: hex(chain.head.number),
            "eth_gasPrice": lambda: hex(base_fee_after(chain.head.header) + fees.TIP_SUGGESTED),
            "eth_maxPriorityFeePerGas": lambda: hex(fees.TIP_SUGGESTED),
            "eth_blobBaseFee": lambda: "0x1",
            "eth_feeHistory": self._fee_history,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBlockTransactionCountByNumber": self._transaction_count,
            "eth_getBlockReceipts": self._block_receipts,
            "eth_getBalance": self._balance,
            "eth_getCode": self._code,
            "eth_getStorageAt": self._storage,
            "eth_getTransactionCount": self._nonce,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_getLogs": self._logs,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionByBlockNumberAndIndex": self._transaction_at,
            "eth_getTransactionReceipt": self._receipt,
            "eth_sendRawTransaction": self._send,
            "txpool_status": lambda: {"pending": hex(len(self._pool)), "queued": "0x0"},
            "openledger_buildBlock": self._build,
        }
        if allow_rollback:
            self._methods["openledger_rollback"] = self._rollback

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
            raise CorruptStore(f"the chain database lacks a part of its state: {error}") from error
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise Failure(INTERNAL_ERROR, f"internal error: {type(error).__name__}") from error

    # blocks

    def _block_by_number(self, tag: Any, full: Any = False) -> Any:
        number = self._number(tag)
        block = None if number is None else self._chain.blocks.block(number)
        return None if block is None else formats.block(block, full is True, self._chain_id)

    def _block_by_hash(self, value: Any, full: Any = False) -> Any:
        block = self._by_hash(data(value, 32, "block hash"))
        return None if block is None else formats.block(block, full is True, self._chain_id)

    def _transaction_count(self, tag: Any) -> Any:
        number = self._number(tag)
        block = None if number is None else self._chain.blocks.block(number)
        return None if block is None else hex(len(block.transactions))

    def _block_receipts(self, tag: Any) -> Any:
        is_hash = isinstance(tag, str) and len(tag) == 66
        number = None if is_hash else self._number(tag)
        if is_hash:
            block = self._by_hash(data(tag, 32, "block hash"))
        else:
            block = None if number is None else self._chain.blocks.block(number)
        return None if block is None else formats.receipts(block, self._chain_id)

    async def _fee_history(self, count: Any, newest: Any, percentiles: Any = None) -> Any:
        wanted = fees.read_percentiles(percentiles)
        number = self._known(newest).number
        length = quantity(count, 32, "block count")
        return await self._in_thread(fees.history, self._chain, length, number, wanted)

    # accounts

    def _balance(self, address: Any, tag: Any = "latest") -> str:
        return hex(self._state(tag).get_balance(data(address, 20, "address")))

    def _code(self, address: Any, tag: Any = "latest") -> str:
        return hexadecimal(self._state(tag).get_code(data(address, 20, "address")))

    def _storage(self, address: Any, slot: Any, tag: Any = "latest") -> str:
        where = data(address, 20, "address")
        value: int = self._state(tag).get_storage(where, quantity(slot, name="slot"))
        return hexadecimal(value.to_bytes(32, "big"))

    def _nonce(self, address: Any, tag: Any = "latest") -> str:
        sender = data(address, 20, "address")
        nonce: int = self._state(tag).get_nonce(sender)
        return hex(self._pool.next_nonce(sender, nonce) if tag == "pending" else nonce)

    # calls

    async def _call(self, call: Any, tag: Any = "latest", overrides: Any = None) -> str:
        if overrides:
            raise Failure(INVALID_PARAMS, "state overrides are not supported")
        header = self._known(tag)
        transaction = simulation.read_call(call, header.gas_limit)
        return str(await self._in_thread(simulation.call, self._chain, header, transaction))

    async def _estimate(self, call: Any, tag: Any = "latest", overrides: Any = None) -> str:
        if overrides:
            raise Failure(INVALID_PARAMS, "state overrides are not supported")
        header = self._known(tag)
        transaction = simulation.read_call(call, header.gas_limit)
        return str(await self._in_thread(simulation.estimate, self._chain, header, transaction))

    async def _logs(self, query: Any) -> Any:
        if not isinstance(query, dict):
            raise Failure(INVALID_PARAMS, "invalid argument: filter must be an object")
        wanted = logs.read_filter(query)
        if query.get("blockHash") is not None:
            block = self._by_hash(data(query["blockHash"], 32, "block hash"))
            if block is None:
                raise Failure(SERVER_ERROR, "unknown block")
            return logs.in_block(block, wanted)
        head = self._chain.head.number
        first, last = (self._bound(query.get(key), head) for key in ("fromBlock", "toBlock"))
        return await self._in_thread(logs.search, self._chain, wanted, first, min(last, head))

    # transactions

    def _transaction(self, value: Any) -> Any:
        wanted = data(value, 32, "transaction hash")
        waiting = self._pool.get(wanted)
        place = self._chain.blocks.place(wanted)
        if place is not None and place.block.number <= self._chain.head.number:
            tx = formats.transactions(place.block, self._chain_id)[place.index]
            return formats.transaction(tx, self._chain_id, place.block, place.index)
        return None if waiting is None else formats.transaction(waiting, self._chain_id)

    def _transaction_at(self, tag: Any, index: Any) -> Any:
        number, n = self._number(tag), quantity(index, 32, "index")
        block = None if number is None else self._chain.blocks.block(number)
        if block is None or n >= len(block.transactions):
            return None
        tx = formats.transactions(block, self._chain_id)[n]
        return formats.transaction(tx, self._chain_id, block, n)

    def _receipt(self, value: Any) -> Any:
        place = self._chain.blocks.place(data(value, 32, "transaction hash"))
        if place is None or place.block.number > self._chain.head.number:
            return None
        return formats.receipts(place.block, self._chain_id)[place.index]

    def _send(self, value: Any) -> str:
        transaction = formats.raw_transaction(value, self._chain_id)
        head = self._chain.head.header
        if transaction.gas > head.gas_limit:
            raise Refused(f"exceeds block gas limit: {transaction.gas} of {head.gas_limit}")
        state = self._chain.state(head)
        with contextlib.suppress(NonceTooHigh):  # it may wait for its predecessors
            check(state, transaction)
        others = self._pool.spent(transaction.sender)
        others.pop(transaction.nonce, None)
        balance, total = state.get_balance(transaction.sender), sum(others.values())
        if balance < total + transaction.cost_max:
            raise Refused(
                "insufficient funds for gas * price + value: balance "
                f"{balance}, queued cost {total}, tx cost {transaction.cost_max}"
            )
        self._pool.add(transaction, state.get_nonce(transaction.sender))
        return hexadecimal(transaction.hash)

    # building

    async def _build(self, timestamp: Any, recipient: Any = None) -> Any:
        """openledger_buildBlock(timestamp, fee recipient or null): the new block, full."""
        when = quantity(timestamp, 63, "timestamp")
        coinbase = self._chain.genesis.coinbase
        if recipient is not None:
            coinbase = data(recipient, 20, "fee recipient")
        async with self._building:
            picker = self._pool.picker(base_fee_after(self._chain.head.header))
            with trio.CancelScope(shield=True):  # what is on disk must also become the head
                built = await trio.to_thread.run_sync(self._chain.build, when, coinbase, picker)
            self._chain.adopt(built.block)
            self._pool.settle(built.nonces, built.dropped)
        return formats.block(built.block, True, self._chain_id)

    async def _rollback(self, number: Any) -> str:
        """openledger_rollback(number): forget later blocks, and do not pool their transactions."""
        async with self._building:
            self._chain.adopt(self._chain.rollback(quantity(number, 63, "number")))
        return hexadecimal(self._chain.head.hash)

    # what the parameters mean

    @property
    def _chain_id(self) -> int:
        return self._chain.genesis.chain_id

    def _number(self, tag: Any) -> int | None:
        """A block number that exists, None for one beyond the head. One builder and no reorgs, so
        safe and finalized are the latest; no pending block exists, so that is the latest too."""
        head = self._chain.head.number
        if tag in ("latest", "pending", "safe", "finalized"):
            return head
        number = 0 if tag == "earliest" else quantity(tag, 63, "block number")
        return number if number <= head else None

    def _known(self, tag: Any) -> Header:
        if isinstance(tag, dict):  # EIP-1898
            if "blockHash" in tag:
                block = self._by_hash(data(tag["blockHash"], 32, "block hash"))
                number = None if block is None else block.number
            else:
                number = self._number(tag.get("blockNumber"))
        else:
            number = self._number(tag)
        header = None if number is None else self._chain.blocks.header(number)
        if header is None:
            raise Failure(SERVER_ERROR, "header not found")
        return header

    def _state(self, tag: Any) -> Any:
        return self._chain.state(self._known(tag))

    def _by_hash(self, block_hash: bytes) -> Block | None:
        number = self._chain.blocks.number_of(block_hash)
        if number is None or number > self._chain.head.number:
            return None
        return self._chain.blocks.block(number)

    def _bound(self, tag: Any, head: int) -> int:
        if tag is None:
            return head
        number = self._number(tag)
        return quantity(tag, 63, "block number") if number is None else number

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await trio.to_thread.run_sync(function, *args, limiter=self._simulations)


def _bind(method: Method, params: list[Any]) -> None:
    """Refuse a wrong number of parameters before the call, so that a TypeError inside is a bug."""
    code = method.__code__
    own = 1 if hasattr(method, "__self__") else 0
    most = code.co_argcount - own
    least = most - len(method.__defaults__ or ())
    if not least <= len(params) <= most:
        raise Failure(INVALID_PARAMS, f"wrong number of parameters: {len(params)}")
