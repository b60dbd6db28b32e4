"""The chain in memory: its head, the building of the next block, and what a call would do."""

import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from eth.exceptions import StateRootNotFound
from eth_hash.auto import keccak
from trie.exceptions import MissingTraversalNode, MissingTrieNode

from protocol.errors import Refused
from rollup.engine.blocks import Blocks
from rollup.engine.errors import CorruptStore
from rollup.engine.execution import (
    NonceTooHigh,
    Outcome,
    State,
    apply,
    base_fee_after,
    check,
    genesis_state,
    open_state,
)
from rollup.engine.genesis import Genesis
from rollup.engine.kv import KeyValues, StateOverlay
from rollup.engine.mempool import Picker
from rollup.engine.transaction import Transaction
from rollup.engine.values import EMPTY_TRIE, Block, Header, Receipt, bloom, trie_root

BUILD_SECONDS_MAX: Final = 1.5
ANCESTORS_MAX: Final = 256
TIMESTAMP_MAX: Final = 2**63
MISSING_STATE: Final = (MissingTrieNode, MissingTraversalNode, StateRootNotFound)


@dataclass(frozen=True, slots=True)
class Built:
    """A block on disk, with what the pool must learn: next nonces, and hashes to forget."""

    block: Block
    nonces: dict[bytes, int]
    dropped: tuple[bytes, ...]


class Chain:
    """`build` and `rollback` belong to one caller at a time, `adopt` to the event loop; reading is
    free for any thread, because blocks and trie nodes never change once written.

    Raises `CorruptStore` at start when the head, its state or the genesis do not fit.
    """

    def __init__(self, store: KeyValues, genesis: Genesis) -> None:
        self._store = store
        self.genesis = genesis
        self.blocks = Blocks(store)
        first, nodes = _first_block(store, genesis)
        number = self.blocks.head()
        if number is None:
            self.blocks.commit(first, nodes)
            number = 0
        stored = self.blocks.header(0)
        if stored is None or stored.hash != first.hash:
            raise CorruptStore(
                "the chain database began with another genesis "
                f"(the file says {first.hash.hex()}); nothing was deleted: use its own genesis "
                "file, or another directory"
            )
        head = self.blocks.block(number)
        if head is None:
            raise CorruptStore(
                f"the chain database lacks its head block {number}; nothing was deleted"
            )
        self.head = head
        try:
            self.state(head.header).get_balance(genesis.coinbase)
        except MISSING_STATE as error:
            raise CorruptStore(
                f"the chain database lacks the state of its head: {error}"
            ) from error

    def state(self, header: Header) -> State:
        """The accounts after `header`, as its own block saw them; changes go nowhere."""
        return self._open(
            header, header.timestamp, header.coinbase, header.base_fee, header.number
        )[0]

    def build(self, timestamp: int, coinbase: bytes, picker: Picker) -> Built:
        """Execute and store the next block; runs in a worker thread. Raises `Refused`.

        Stops taking transactions after 1.5 s, so that blocks keep coming every 2 s although the
        interpreter is slower than the gas limit on the worst code.
        """
        parent = self.head
        if not parent.header.timestamp < timestamp < TIMESTAMP_MAX:
            raise Refused(
                f"block timestamp {timestamp} is not after its parent's {parent.header.timestamp}"
            )
        base_fee = base_fee_after(parent.header)
        state, overlay = self._open(
            parent.header, timestamp, coinbase, base_fee, parent.number + 1, parent.hash
        )
        included, receipts, dropped = _fill(state, picker, parent.header.gas_limit)
        root = state.make_state_root()
        state.persist()
        encoded = [r.encode(tx.type_id) for r, tx in zip(receipts, included, strict=True)]
        raws = [tx.raw for tx in included]
        header = Header(
            parent_hash=parent.hash,
            coinbase=coinbase,
            state_root=root,
            transactions_root=trie_root(raws),
            receipts_root=trie_root(encoded),
            bloom=bloom(tuple(log for r in receipts for log in r.logs)),
            number=parent.number + 1,
            gas_limit=parent.header.gas_limit,
            gas_used=receipts[-1].gas_used_cumulative if receipts else 0,
            timestamp=timestamp,
            mix_hash=keccak(parent.hash + timestamp.to_bytes(8, "big")),
            base_fee=base_fee,
        )
        block = _block(header, included, receipts)
        self.blocks.commit(block, overlay.added)
        return Built(block, {tx.sender: tx.nonce + 1 for tx in included}, tuple(dropped))

    def adopt(self, block: Block) -> None:
        """Make a stored block the head that readers see."""
        self.head = block

    def rollback(self, number: int) -> Block:
        """Forget all blocks after `number` and return the new head (tests of reorgs only)."""
        block = self.blocks.block(number) if 0 <= number <= self.head.number else None
        if block is None:
            raise Refused(f"cannot roll back to block {number}, the head is {self.head.number}")
        self.blocks.truncate(number, self.head.number)
        return block

    def simulate(self, header: Header, transaction: Transaction) -> Outcome:
        """What `transaction` would do right after `header`, for free, whatever its nonce."""
        state, _ = self._open(header, header.timestamp, header.coinbase, 0, header.number)
        if state.get_balance(transaction.sender) < transaction.value:
            raise Refused("insufficient funds for transfer")
        return apply(state, transaction)

    def _open(
        self,
        root_of: Header,
        timestamp: int,
        coinbase: bytes,
        base_fee: int,
        number: int,
        parent_hash: bytes | None = None,
    ) -> tuple[State, StateOverlay]:
        return open_state(
            self._store,
            root_of.state_root,
            chain_id=self.genesis.chain_id,
            number=number,
            timestamp=timestamp,
            coinbase=coinbase,
            mix_hash=keccak((parent_hash or root_of.parent_hash) + timestamp.to_bytes(8, "big")),
            gas_limit=root_of.gas_limit,
            base_fee=base_fee,
            ancestors=self._ancestors(number, parent_hash or root_of.parent_hash),
        )

    def _ancestors(self, number: int, parent_hash: bytes) -> Iterator[bytes]:
        for ancestor in range(number - 1, max(-1, number - 1 - ANCESTORS_MAX), -1):
            yield parent_hash
            header = self.blocks.header(ancestor)
            if header is None:
                return
            parent_hash = header.parent_hash


def _fill(
    state: State, picker: Picker, gas_limit: int
) -> tuple[list[Transaction], list[Receipt], list[bytes]]:
    included: list[Transaction] = []
    receipts: list[Receipt] = []
    dropped: list[bytes] = []
    gas_used = 0
    deadline = time.monotonic() + BUILD_SECONDS_MAX
    while (transaction := picker.peek()) is not None and time.monotonic() < deadline:
        if transaction.gas > gas_limit - gas_used:
            picker.skip_sender()
            continue
        outcome = _include(state, transaction)
        if isinstance(outcome, Outcome):
            gas_used += outcome.gas_used
            included.append(transaction)
            receipts.append(
                Receipt(outcome.status, outcome.gas_used, gas_used, outcome.logs, outcome.created)
            )
            picker.advance()
        else:
            if not isinstance(outcome, NonceTooHigh):
                dropped.append(transaction.hash)
            picker.skip_sender()
    return included, receipts, dropped


def _include(state: State, transaction: Transaction) -> Outcome | Exception:
    """Apply one transaction, or say why not with the state as before.

    An unforeseen exception of the interpreter drops this one transaction: ending the process
    would let anybody stop the chain by sending it again.
    """
    snapshot = state.snapshot()
    try:
        check(state, transaction)
        return apply(state, transaction)
    except Refused as refusal:
        state.revert(snapshot)
        return refusal
    except (*MISSING_STATE, CorruptStore):
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        state.revert(snapshot)
        return error


def _block(header: Header, included: list[Transaction], receipts: list[Receipt]) -> Block:
    encoded = header.encode()
    return Block(
        header,
        keccak(encoded),
        tuple(tx.raw for tx in included),
        tuple(tx.sender for tx in included),
        tuple(receipts),
        len(encoded) + sum(len(tx.raw) for tx in included),
    )


def _first_block(store: KeyValues, genesis: Genesis) -> tuple[Block, dict[bytes, bytes]]:
    root, overlay = genesis_state(store, genesis)
    header = Header(
        parent_hash=bytes(32),
        coinbase=genesis.coinbase,
        state_root=root,
        transactions_root=EMPTY_TRIE,
        receipts_root=EMPTY_TRIE,
        bloom=bytes(256),
        number=0,
        gas_limit=genesis.gas_limit,
        gas_used=0,
        timestamp=genesis.timestamp,
        mix_hash=bytes(32),
        base_fee=genesis.base_fee,
    )
    return _block(header, [], []), overlay.added
