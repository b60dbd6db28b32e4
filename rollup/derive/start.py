"""Sync start: how far L2 and L1 must be read again after a start or an L1 reorg, without I/O.

Source: op-node, rollup/sync/start.go (FindL2Heads) and derive/pipeline.go (initialReset).
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from protocol.errors import Refused, Reset
from rollup.codec.config import RollupConfig
from rollup.codec.refs import L1BlockRef, L2BlockRef

REORG_WINDOWS_MAX: Final = 5  # sequencing windows; a deeper reorg is not believed


@dataclass(frozen=True, slots=True)
class NeedL1Ref:
    """L1's canonical block of this number; answer with None when L1 is not that far."""

    number: int


@dataclass(frozen=True, slots=True)
class NeedL2Ref:
    """The L2 block with this hash; answer with None when the engine does not have it."""

    hash: bytes


@dataclass(frozen=True, slots=True)
class Start:
    """Heads that fit L1, and the L2 block from whose L1 origin the pipeline must read.

    The pipeline starts with the L1 block `pipeline.l1_origin` and the system configuration of the
    L2 block `pipeline`.
    """

    unsafe: L2BlockRef
    safe: L2BlockRef
    finalized: L2BlockRef
    pipeline: L2BlockRef


Question = NeedL1Ref | NeedL2Ref
Answer = L1BlockRef | L2BlockRef | None


def lookback(config: RollupConfig) -> int:
    """L1 blocks that must be seen to hold before a safe head is believed."""
    if config.alt_da is None:
        return config.seq_window_size
    windows = config.alt_da.challenge_window + config.alt_da.resolve_window
    return max(config.seq_window_size, windows)


class StartSearch:
    """`step` says what is missing, `add` answers it, until `step` gives the `Start`.

    Raises `Reset` when L1 moved during the search: begin again; `Refused` when the engine is of
    another chain, or L1 contradicts a finalised block.
    """

    def __init__(
        self,
        config: RollupConfig,
        unsafe: L2BlockRef,
        safe: L2BlockRef,
        finalized: L2BlockRef,
    ) -> None:
        self._walk = _search(config, unsafe, safe, finalized)
        self._next: Question | Start
        self._advance(None)

    def step(self) -> Question | Start:
        return self._next

    def add(self, answer: Answer) -> None:
        """The answer to what `step` gave last."""
        self._advance(answer)

    def _advance(self, answer: Answer) -> None:
        try:
            self._next = self._walk.send(answer)
        except StopIteration as end:
            self._next = end.value


def _search(
    config: RollupConfig, unsafe: L2BlockRef, safe: L2BlockRef, finalized: L2BlockRef
) -> Generator[Question, Answer, Start]:
    # an engine that lost blocks which it had called so: what is left is the best there is
    if unsafe.number < safe.number:
        safe = unsafe
    if unsafe.number < finalized.number:
        finalized = unsafe
    new_unsafe: L2BlockRef | None = unsafe
    confirmed: L2BlockRef | None = None  # the highest block of a row whose origins are canonical
    l1: L1BlockRef | None = None
    ready = False
    block = unsafe
    while True:
        if l1 is None or l1.number != block.l1_origin.number:
            l1 = yield from _l1(block.l1_origin.number)
        _check_genesis(config, block, l1)
        if block.number == finalized.number and block.hash != finalized.hash:
            raise Refused(f"the engine's chain lacks its own finalised block {finalized.number}")
        new_unsafe = new_unsafe or block
        if l1 is not None and l1.hash == block.l1_origin.hash:
            confirmed = confirmed or block
        elif l1 is not None:  # else L1 is not that far, and the block is plausible
            new_unsafe = confirmed = None
        _check_depth(config, unsafe, new_unsafe)
        if confirmed is not None and block.number <= safe.number and block.sequence_number == 0:
            ready = block.l1_origin.number + lookback(config) < confirmed.l1_origin.number
        if block.number == finalized.number:
            if new_unsafe is None:
                raise Refused(f"L1 contradicts the finalised L2 block {finalized.number}")
            found = block
            break
        parent = yield from _l2(block.parent_hash)
        _check_parent(parent, block)
        block = parent
        if ready:
            found = block
            break
    assert new_unsafe is not None
    pipeline = yield from _pipeline_start(config, found)
    return Start(new_unsafe, found, finalized, pipeline)


def _pipeline_start(
    config: RollupConfig, safe: L2BlockRef
) -> Generator[Question, Answer, L2BlockRef]:
    """The last block whose origin lies a whole channel timeout before that of `safe`."""
    block, l1 = safe, None
    genesis = config.genesis
    while block.number > genesis.l2.number and block.l1_origin.number > genesis.l1.number:
        if l1 is None or l1.number != block.l1_origin.number:
            l1 = yield from _l1(block.l1_origin.number)
        if l1 is None or l1.hash != block.l1_origin.hash:
            raise Reset(f"L1 block {block.l1_origin.number} went away during the search")
        timeout = config.channel_timeout_at(l1.time)
        if block.l1_origin.number + timeout <= safe.l1_origin.number:
            break
        block = yield from _l2(block.parent_hash)
    return block


def _l1(number: int) -> Generator[Question, Answer, L1BlockRef | None]:
    answer = yield NeedL1Ref(number)
    if answer is not None and not isinstance(answer, L1BlockRef):
        raise TypeError("an L1 block was asked for")
    return answer


def _l2(block_hash: bytes) -> Generator[Question, Answer, L2BlockRef]:
    answer = yield NeedL2Ref(block_hash)
    if answer is None:
        raise Refused(f"the engine lacks L2 block {block_hash.hex()} that its own chain names")
    if not isinstance(answer, L2BlockRef):
        raise TypeError("an L2 block was asked for")
    return answer


def _check_genesis(config: RollupConfig, block: L2BlockRef, l1: L1BlockRef | None) -> None:
    genesis = config.genesis
    if block.number != genesis.l2.number:
        return
    if block.hash != genesis.l2.hash:
        raise Refused(f"the engine's genesis is {block.hash.hex()}, not {genesis.l2.hash.hex()}")
    if l1 is not None and l1.hash != genesis.l1.hash:
        raise Refused(f"L1 block {l1.number} is not the one that the L2 starts from")


def _check_depth(config: RollupConfig, before: L2BlockRef, now: L2BlockRef | None) -> None:
    if now is None:
        return
    depth = before.l1_origin.number - now.l1_origin.number
    if depth > REORG_WINDOWS_MAX * lookback(config):
        raise Refused(f"an L1 reorg of {depth} blocks: too deep to be believed")


def _check_parent(parent: L2BlockRef, block: L2BlockRef) -> None:
    """An engine that breaks these gives us blocks of no rollup chain."""
    same = parent.l1_origin == block.l1_origin
    number = parent.l1_origin.number + (not same)
    sequence = parent.sequence_number + 1 if same else 0
    if block.l1_origin.number != number or block.sequence_number != sequence:
        raise Refused(f"L2 block {block.number} does not follow the origin of its parent")
