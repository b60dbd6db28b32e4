"""Old states dropped: mark what kept states reach, then sweep the rest, in short steps.

Nodes are shared between states by their hash, so nothing can be dropped with its block. A run marks
every node and code under the kept roots (in LevelDB, as keys beside the nodes, so that memory does
not grow with the state), takes away the roots of the dropped states, so that nobody opens one of
them any more, and then goes through all nodes and marks in the order of hashes.

Safe at any death: what is deleted is reachable from no kept root; marks of a dead run are cleared
by the next. Safe beside writers: every step runs in the writers' turn, and what blocks bring while
a run lasts is gathered in `fresh` and spared. Readers of a dropped state see a node missing.
"""

from collections.abc import Iterator
from typing import Final

import trio

from rollup.engine.accounts import EMPTY_CODE, Account
from rollup.engine.chain import Chain
from rollup.engine.errors import CorruptStore
from rollup.engine.kv import STATE_PREFIX, KeyValues
from rollup.engine.statetrie import BRANCH_ITEMS, EMPTY_ROOT, HASH_ITEM, payload, split

# p hash -> nothing: a mark
# q      -> number u64: blocks before it had their states dropped
MARK_PREFIX: Final = b"p"
PRUNED_KEY: Final = b"q"
STEP_NODES: Final = 500
PERIOD_BLOCKS_MIN: Final = 64
FRESH_MAX: Final = 1_000_000
HEIGHT_MAX: Final = 2**63
STATE_END: Final = bytes([STATE_PREFIX[0] + 1])
MARK_END: Final = bytes([MARK_PREFIX[0] + 1])


class Pruning:
    """Keeps the states of the last `keep` blocks, and of everything since the finalized block."""

    def __init__(self, chain: Chain, keep: int) -> None:
        self._chain = chain
        self._keep = keep
        self._period = max(keep, PERIOD_BLOCKS_MIN)

    async def run(self) -> None:
        """Until cancelled.  Raises `CorruptStore` when a kept state is not whole."""
        last = self._chain.head.number
        while True:
            heard = self._chain.subscribe()
            async with heard:
                async for block in heard:
                    if block.number >= last + self._period:
                        last = block.number
                        await self.once()

    async def once(self) -> None:
        """One whole run; what a step may not do in its turn waits for the next step."""
        chain = self._chain
        async with chain.turn:
            fresh = chain.blocks.fresh = set()
            low = min(chain.head.number - self._keep, chain.finalized.number, chain.safe.number)
        steps = prune(chain.store, chain, max(low, 0), fresh)
        try:
            while len(fresh) < FRESH_MAX:
                async with chain.turn:
                    with trio.CancelScope(shield=True):  # a thread that writes is waited for
                        if not await trio.to_thread.run_sync(_advance, steps):
                            break
        finally:
            chain.blocks.fresh = None


def _advance(steps: Iterator[None]) -> bool:
    return next(steps, steps) is not steps


def prune(store: KeyValues, chain: Chain, low: int, fresh: set[bytes]) -> Iterator[None]:
    """Keep the states of all stored blocks from number `low` on; each step is a short one.

    Nodes that come into `fresh` between two steps are spared.
    """
    kept = [root for root in _roots(chain, low, HEIGHT_MAX) if store.node(root) is not None]
    yield from _clear_marks(store)
    yield from _mark(store, kept)
    yield from _drop_roots(store, chain, low, fresh)
    yield from _sweep(store, fresh)
    yield from _clear_marks(store)


def _roots(chain: Chain, first: int, stop: int) -> Iterator[bytes]:
    for _, block_hash in chain.blocks.siblings(first, stop - 1):
        header = chain.blocks.header_of(block_hash)
        if header is not None and header.state_root != EMPTY_ROOT:
            yield header.state_root


def _mark(store: KeyValues, roots: list[bytes]) -> Iterator[None]:
    """Depth first, so that the stack is as small as the tries are deep; what is marked has all
    that is below it marked, or on the stack."""
    marks: dict[bytes, bytes | None] = {}
    stack = [(root, True) for root in roots]
    while stack:
        name, accounts = stack.pop()
        key = MARK_PREFIX + name
        if key in marks or store.get(key) is not None:
            continue
        marks[key] = b""
        node = store.node(name)
        if node is None:
            raise CorruptStore(f"a kept state lacks node {name.hex()}; nothing was deleted")
        stack += _below(store, node, accounts, marks)
        if len(marks) >= STEP_NODES:
            store.write(marks, sync=False)
            marks = {}
            yield
    store.write(marks, sync=False)
    yield


def _below(
    store: KeyValues, node: bytes, accounts: bool, marks: dict[bytes, bytes | None]
) -> list[tuple[bytes, bool]]:
    """The nodes that a node refers to; the code of an account is marked at once."""
    items = split(node)
    if len(items) == BRANCH_ITEMS:
        return [(item[1:], accounts) for item in items[:-1] if item[0] == HASH_ITEM]
    is_leaf = payload(items[0])[0] & 0x20
    if not is_leaf:
        return [(items[1][1:], accounts)] if items[1][0] == HASH_ITEM else []
    if not accounts:
        return []
    account = Account.decode(payload(items[1]))
    if account.code_hash != EMPTY_CODE:
        marks[MARK_PREFIX + account.code_hash] = b""
    return [] if account.storage_root == EMPTY_ROOT else [(account.storage_root, False)]


def _drop_roots(store: KeyValues, chain: Chain, low: int, fresh: set[bytes]) -> Iterator[None]:
    """Before anything below them goes; those of earlier runs are gone already."""
    gone: dict[bytes, bytes | None] = {}
    start = int.from_bytes(store.get(PRUNED_KEY) or b"", "big")
    for seen, root in enumerate(_roots(chain, start, low), 1):
        if root not in fresh and store.get(MARK_PREFIX + root) is None:
            gone[STATE_PREFIX + root] = None
        if seen % STEP_NODES == 0:
            store.write(gone, sync=False)
            gone = {}
            yield
    gone[PRUNED_KEY] = max(start, low).to_bytes(8, "big")
    store.write(gone)  # synced: no state is open when its nodes begin to go
    yield


def _sweep(store: KeyValues, fresh: set[bytes]) -> Iterator[None]:
    marks = store.keys(MARK_PREFIX, MARK_END)
    mark = next(marks, None)
    gone: dict[bytes, bytes | None] = {}
    for seen, key in enumerate(store.keys(STATE_PREFIX, STATE_END), 1):
        name = key[1:]
        while mark is not None and mark[1:] < name:
            mark = next(marks, None)
        if (mark is None or mark[1:] != name) and name not in fresh:
            gone[key] = None
        if seen % STEP_NODES == 0:
            store.write(gone, sync=False)
            gone = {}
            yield
    store.write(gone, sync=False)
    yield


def _clear_marks(store: KeyValues) -> Iterator[None]:
    gone: dict[bytes, bytes | None] = {}
    for key in store.keys(MARK_PREFIX, MARK_END):
        gone[key] = None
        if len(gone) >= STEP_NODES:
            store.write(gone, sync=False)
            gone = {}
            yield
    store.write(gone, sync=False)
    yield
