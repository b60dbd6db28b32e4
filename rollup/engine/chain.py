"""The chain in memory: its heads, the building of blocks on any of its blocks, and who listens."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio
from eth_hash.auto import keccak

from protocol.errors import Refused
from rollup.codec.header import next_base_fee
from rollup.engine import building, execution
from rollup.engine.blocks import Blocks, Heads
from rollup.engine.building import MISSING_STATE, Ancestry, Assembly, Fields, Picker, Sealed
from rollup.engine.errors import CorruptStore
from rollup.engine.execution import Environment, Outcome, State
from rollup.engine.genesis import Genesis
from rollup.engine.kv import KeyValues, StateOverlay
from rollup.engine.transaction import Transaction
from rollup.engine.values import EMPTY_TRIE, Block, Header

__all__ = ["MISSING_STATE", "Built", "Chain"]

BUILD_SECONDS_MAX: Final = 1.5
SEALED_KEPT_MAX: Final = 8
SUBSCRIBER_BLOCKS_MAX: Final = 256
REORG_BLOCKS_MAX: Final = 100_000
STANDING_USES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Built:
    """A block on disk, with what the pool must learn: next nonces, and hashes to forget."""

    block: Block
    nonces: dict[bytes, int]
    dropped: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """What a new head did to the canonical chain: blocks that left it and that came, rising."""

    gone: tuple[Block, ...]
    come: tuple[Block, ...]


@dataclass(slots=True)
class Standing:
    """The state of a head with nothing to pay, and what its next block asks per gas (wei)."""

    head: bytes
    state: State
    base_fee: int
    uses_left: int = STANDING_USES_MAX  # each may leave an account in the state's memory


class Chain:
    """Writing (`build`, `insert`, `move`, `rollback`) belongs to whoever has the `turn`; reading is
    free for any thread, because blocks and trie nodes never change once written.

    `keep_states` says that states older than so many blocks may be gone (0: none is).

    `finality_depth` is for a chain without OP rules, whose blocks nobody else finalizes.
    Raises `CorruptStore` at start when the head, its state or the genesis do not fit.
    """

    def __init__(
        self,
        store: KeyValues,
        genesis: Genesis,
        *,
        finality_depth: int = 0,
        keep_states: int = 0,
    ) -> None:
        self.store = store
        self.turn = trio.Lock()
        self.keep_states = keep_states
        self.genesis = genesis
        self.rules = genesis.rules
        self.blocks = Blocks(store)
        self.finality_depth = finality_depth
        self.target = 0
        """The highest number that whoever drives us spoke of and we could not follow; 0: none."""
        self._sealed: OrderedDict[bytes, Sealed] = OrderedDict()
        self._standing: Standing | None = None
        self._listeners: list[trio.MemorySendChannel[Block]] = []
        heads = self.blocks.heads()
        if heads is None:
            first, nodes = first_block(store, genesis)
            self.blocks.start(first, nodes, genesis.digest)
            heads = Heads(first.hash, first.hash, first.hash)
        self._check_genesis()
        self.head, self.safe, self.finalized = (
            self._stored(h) for h in (heads.head, heads.safe, heads.finalized)
        )
        if not self.has_state(self.head.header):
            raise CorruptStore("the chain database lacks the state of its head")

    @property
    def optimism(self) -> bool:
        """Whether OP Stack's rules hold."""
        return self.rules.optimism

    # reading

    def state(self, header: Header) -> State:
        """The accounts after `header`, as its own block saw them; changes go nowhere."""
        return self._open(header, header.base_fee or 0)[0]

    def call_state(self, header: Header) -> State:
        """As `state`, with nothing to pay."""
        return self._open(header, 0)[0]

    @property
    def trie_nodes(self) -> StateOverlay:
        """Trie nodes and code by hash, KeyError for what is not there."""
        return StateOverlay(self.store)

    def has_state(self, header: Header) -> bool:
        root = header.state_root
        return root == EMPTY_TRIE or self.store.node(root) is not None

    def next_base_fee(self, header: Header) -> int:
        return next_base_fee(header, self.rules, header.timestamp + 1)

    def l1_cost(self, header: Header, raw: bytes, gas: int) -> int:
        """What OP Stack takes for a transaction beside gas at most, after `header`; in wei."""
        if not self.optimism:
            return 0
        state = self.state(header)
        return int(state.fees().l1_fee(raw) + state.operator_fee(gas))

    def standing(self) -> Standing:
        """What a new transaction is judged by. Kept while the head stays, as reading all of it anew
        takes longer than the judging; for the event loop alone, which changes nothing in it."""
        known = self._standing
        if known is None or known.head != self.head.hash or not known.uses_left:
            head = self.head
            state, base_fee = self.call_state(head.header), self.next_base_fee(head.header)
            known = self._standing = Standing(head.hash, state, base_fee)
        known.uses_left -= 1
        return known

    def simulate(self, header: Header, transaction: Transaction) -> Outcome:
        """What `transaction` would do right after `header`, for free, whatever its nonce."""
        state = self.call_state(header)
        if state.get_balance(transaction.sender) < transaction.value:
            raise Refused("insufficient funds for transfer")
        return execution.apply(state, transaction)

    def subscribe(self) -> "trio.MemoryReceiveChannel[Block]":
        """Each block that becomes canonical, in order.  Who falls behind is cut off: his channel
        ends."""
        send, receive = trio.open_memory_channel[Block](SUBSCRIBER_BLOCKS_MAX)
        self._listeners.append(send)
        return receive

    # building and writing

    def assemble(self, parent: Block, fields: Fields) -> Assembly:
        """A new block on any stored block.  Raises `Refused`."""
        ancestors = Ancestry(parent.hash, self._parent_of)
        return Assembly(self.store, self.rules, parent.header, fields, ancestors)

    def keep(self, sealed: Sealed) -> None:
        """Remember a block that was built here: it will come back to be stored."""
        self._sealed[sealed.block.hash] = sealed
        while len(self._sealed) > SEALED_KEPT_MAX:
            self._sealed.popitem(last=False)

    def kept(self, block_hash: bytes) -> Sealed | None:
        return self._sealed.get(block_hash)

    def insert(self, sealed: Sealed) -> None:
        """Store a block and its state, as head of nothing."""
        self.blocks.insert(sealed.block, sealed.nodes)
        self._sealed.pop(sealed.block.hash, None)

    def move(self, heads: Heads) -> Move:
        """Make stored blocks the heads, on disk before this returns; `adopt` them then.

        Raises `Refused` when safe or finalized is no ancestor of the head, and nothing is changed.
        """
        head = self._stored(heads.head)
        move = self._way(head)
        if move is None:
            raise Refused(f"more than {REORG_BLOCKS_MAX} blocks to reorganise")
        fork = head.number - len(move.come)
        come = {block.hash for block in move.come}
        for name, block_hash in (("safe", heads.safe), ("finalized", heads.finalized)):
            number = self.blocks.number_of(block_hash)
            if block_hash not in come and (number is None or number > fork):
                raise Refused(f"the {name} block is not on the chain of the head")
        old = Heads(self.head.hash, self.safe.hash, self.finalized.hash)
        if heads != old:
            self.blocks.move(heads, move.gone, move.come)
        return move

    def adopt(
        self,
        head: Block,
        safe: Block | None = None,
        finalized: Block | None = None,
        move: Move | None = None,
    ) -> None:
        """Show readers heads that are on disk; belongs to the event loop."""
        come = (head,) if head.header.parent_hash == self.head.hash else ()
        self.head = head
        if head.number >= self.target:
            self.target = 0
        if self.optimism:
            self.safe, self.finalized = safe or self.safe, finalized or self.finalized
        else:  # the depth alone decides
            self.safe = self.finalized = self._below(head)
        self._announce(come if move is None else move.come)

    def _announce(self, blocks: Sequence[Block]) -> None:
        for listener in tuple(self._listeners):
            try:
                for block in blocks:
                    listener.send_nowait(block)
            except (trio.WouldBlock, trio.BrokenResourceError):
                listener.close()
                self._listeners.remove(listener)

    # a chain without OP rules

    def build(self, timestamp: int, coinbase: bytes, picker: Picker) -> Built:
        """Execute and store the next block as head; runs in a worker thread. Raises `Refused`.

        Stops taking transactions after 1.5 s, so that blocks keep coming every 2 s although the
        interpreter is slower than the gas limit on the worst code.
        """
        parent = self.head
        if not timestamp < building.TIMESTAMP_MAX:
            raise Refused(f"block timestamp {timestamp} is out of range")
        fields = Fields(
            timestamp,
            coinbase,
            keccak(parent.hash + timestamp.to_bytes(8, "big")),
            bytes(32),
            parent.header.gas_limit,
            b"",
        )
        assembly = self.assemble(parent, fields)
        assembly.fill(picker, time.monotonic() + BUILD_SECONDS_MAX)
        nonces = assembly.nonces()
        sealed = assembly.seal()
        block = sealed.block
        safe = self._below(block)
        self.blocks.extend(block, sealed.nodes, Heads(block.hash, safe.hash, safe.hash))
        return Built(block, nonces, tuple(assembly.dropped))

    def rollback(self, number: int) -> Block:
        """Make block `number` the head again; what came after stays stored (to test reorgs only).

        Raises `Refused` below the finalized block, if blocks are finalized by depth.
        """
        block = self.blocks.block(number) if 0 <= number <= self.head.number else None
        if block is None:
            raise Refused(f"cannot roll back to block {number}, the head is {self.head.number}")
        if self.finality_depth and number < self.finalized.number:
            raise Refused(f"cannot roll back to block {number}, below a finalized one")
        safe, final = (
            each if each.number <= number else block for each in (self.safe, self.finalized)
        )
        self.move(Heads(block.hash, safe.hash, final.hash))
        return block

    def _below(self, head: Block) -> Block:
        if self.finality_depth == 0:
            return head
        first = self.genesis.number
        known = self.blocks.block(max(first, head.number - self.finality_depth))
        assert known is not None
        return known

    # parts

    def _open(self, header: Header, base_fee: int) -> tuple[State, StateOverlay]:
        environment = Environment(
            header.number,
            header.timestamp,
            header.coinbase,
            header.mix_hash,
            header.gas_limit,
            base_fee,
            Ancestry(header.parent_hash, self._parent_of),
        )
        return execution.open_state(self.store, header.state_root, self.rules, environment)

    def _parent_of(self, block_hash: bytes) -> bytes | None:
        header = self.blocks.header_of(block_hash)
        if header is None or header.number <= self.genesis.number:
            return None
        return header.parent_hash

    def _stored(self, block_hash: bytes) -> Block:
        block = self.blocks.by_hash(block_hash)
        if block is None:
            raise CorruptStore(
                f"the chain database lacks block {block_hash.hex()}; nothing was deleted"
            )
        return block

    def _way(self, head: Block) -> Move | None:
        """From the canonical chain as it is to `head`; None if it is too long."""
        come: list[Block] = []
        block = head
        while not self.blocks.is_canonical(block.hash):
            come.append(block)
            if len(come) > REORG_BLOCKS_MAX:
                return None
            block = self._stored(block.header.parent_hash)
        if self.head.number - block.number > REORG_BLOCKS_MAX:
            return None
        gone = tuple(
            self._stored(self.blocks.hash_of(number) or b"")
            for number in range(block.number + 1, self.head.number + 1)
        )
        return Move(gone, tuple(reversed(come)))

    def _check_genesis(self) -> None:
        digest, first_hash = self.blocks.genesis()
        if digest == self.genesis.digest:
            return
        first, _ = first_block(self.store, self.genesis)
        if first.hash != first_hash:
            raise CorruptStore(
                "the chain database began with another genesis "
                f"(the file says {first.hash.hex()}); nothing was deleted: use its own genesis "
                "file, or another directory"
            )


def first_block(store: KeyValues, genesis: Genesis) -> tuple[Block, dict[bytes, bytes]]:
    """The first block with its trie nodes and code."""
    root, passer, overlay = execution.genesis_state(store, genesis)
    header = genesis.header(root, passer)
    return Block(header, header.hash, (), (), (), len(header.encode())), overlay.added
