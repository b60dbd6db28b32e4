"""The L2 chain in the engine: its heads, and the few ways in which they move."""

from collections.abc import Callable
from typing import Final

import trio

from protocol.errors import Malformed, Refused, Reset, Temporary
from rollup.codec.config import RollupConfig
from rollup.codec.payload import PayloadAttributes, PayloadEnvelope
from rollup.codec.refs import L1BlockRef, L2BlockRef
from rollup.consolidation import difference
from rollup.derive.heads import Derived, Heads
from rollup.derive.needs import Attributes
from rollup.l2_blocks import ref_of
from rollup.ports import INVALID, VALID, Engine, Forkchoice, InvalidAttributes, PayloadStatus

BEHIND_MAX: Final = 32  # blocks that the safe head may move before the engine is told
LOOKBACK_MAX: Final = 1 << 16  # L1 blocks remembered for finality


class Moved(Temporary):
    """The head is not where the caller thought: look again."""


class Canonical:
    """One engine, one chain. Each operation leaves heads that the engine agreed to, whatever fails;
    all of them take turns, so that driver and sequencer may call at any time.

    All raise `Temporary`, and `Reset` when the engine lost blocks that it had.
    """

    def __init__(self, engine: Engine, config: RollupConfig) -> None:
        self.engine = engine
        self._config = config
        self._heads: Heads | None = None
        self._turn = trio.Lock()
        self._told: tuple[bytes, bytes, bytes] | None = None  # what the engine last agreed to
        self._untold = 0
        self.on_difference: Callable[[int, str], None] = lambda number, why: None

    @property
    def known(self) -> bool:
        """Whether the heads were found since the start or the last reset."""
        return self._heads is not None

    @property
    def heads(self) -> Heads:
        """Raises `Temporary` until they are known."""
        if self._heads is None:
            raise Temporary("the heads of the L2 are not known yet")
        return self._heads

    async def place(self, unsafe: L2BlockRef, safe: L2BlockRef, finalized: L2BlockRef) -> None:
        """Start from these heads: after a start, or a reset that leads back."""
        async with self._turn:
            self._told = None
            await self._move(unsafe, safe, finalized)
            alt_da = self._config.alt_da
            lookback = alt_da.challenge_window + alt_da.resolve_window + 1 if alt_da else 0
            self._heads = Heads(unsafe, safe, finalized, lookback=min(lookback, LOOKBACK_MAX))

    async def lose(self) -> None:
        """The heads are in doubt: nobody builds on them until they are placed again."""
        async with self._turn:
            self._heads = None

    async def append(self, envelope: PayloadEnvelope) -> str | None:
        """Take a block that follows the unsafe head; why the engine finds it invalid, or None."""
        async with self._turn:
            heads = self.heads
            if envelope.payload.parent_hash != heads.unsafe.hash:
                raise Moved("the block does not follow the head any more")
            try:
                ref = ref_of(envelope, self._config)
            except Malformed as error:
                return str(error)
            status = _judged(await self.engine.new_payload(envelope))
            if status.status == INVALID:
                return status.error or "invalid"
            await self._move(ref, heads.safe, heads.finalized)
            heads.extend_unsafe(ref)
            return None

    async def derive(self, derived: Attributes) -> str | None:
        """Make the derived block the next safe one; why it is invalid, or None.

        A block of the engine that is the same already is only called safe, and not executed again.
        """
        async with self._turn:
            heads, attributes = self.heads, derived.attributes
            parent = heads.safe
            if derived.parent.hash != parent.hash:
                raise Reset("derivation is not where the safe head is")
            if heads.unsafe.number > parent.number:
                found = await self.engine.payload(parent.number + 1)
                why = difference(self._config, parent.hash, attributes, found)
                if why is None:
                    self._derived(heads, ref_of(found, self._config), derived)
                    self._untold += 1
                    return None
                self.on_difference(parent.number + 1, why)
            return await self._build(heads, derived)

    async def begin(self, parent: L2BlockRef, attributes: PayloadAttributes) -> bytes:
        """Let the engine build on the unsafe head; the payload's id. Raises `InvalidAttributes`."""
        async with self._turn:
            heads = self.heads
            if heads.unsafe.hash != parent.hash:
                raise Moved("the head moved before a block was begun")
            return await self._begin(heads, attributes)

    async def seal(self, parent: L2BlockRef, payload_id: bytes) -> PayloadEnvelope:
        """What was built on `parent`; it is not in the chain yet."""
        async with self._turn:
            if self.heads.unsafe.hash != parent.hash:
                raise Moved("the head moved while a block was built")
            envelope = await self.engine.get_payload(payload_id)
        if envelope.payload.parent_hash != parent.hash:
            raise Malformed("the engine built on another block")
        return envelope

    async def finalize(self, candidate: Derived, canonical: L1BlockRef) -> None:
        """L1 is final where the candidate came from. `Reset` when that was another chain."""
        async with self._turn:
            self.heads.finalize(candidate, canonical)
            self._untold += 1

    async def tell(self, *, now: bool = False) -> None:
        """Tell the engine how far safe and finalized moved, if that is far enough, or `now`."""
        async with self._turn:
            heads = self.heads
            now = now or self._untold >= BEHIND_MAX
            if now and self._told != (heads.unsafe.hash, heads.safe.hash, heads.finalized.hash):
                await self._move(heads.unsafe, heads.safe, heads.finalized)

    def doubt(self) -> None:
        """The engine failed: ask it again at the next `tell` whether it still has the head."""
        self._told, self._untold = None, BEHIND_MAX

    # with the turn taken

    async def _build(self, heads: Heads, derived: Attributes) -> str | None:
        parent = heads.safe
        if heads.unsafe.hash != parent.hash:
            await self._move(parent, heads.safe, heads.finalized)
            heads.rewind_unsafe()
        try:
            payload_id = await self._begin(heads, derived.attributes)
        except InvalidAttributes as error:
            return str(error)
        envelope = await self.engine.get_payload(payload_id)
        status = _judged(await self.engine.new_payload(envelope))
        if status.status == INVALID:
            return status.error or "invalid"
        ref = ref_of(envelope, self._config)
        if ref.parent_hash != parent.hash:
            raise Malformed("the engine built on another block")
        await self._move(ref, ref, heads.finalized)
        self._derived(heads, ref, derived)
        return None

    async def _begin(self, heads: Heads, attributes: PayloadAttributes) -> bytes:
        hashes = heads.unsafe.hash, heads.safe.hash, heads.finalized.hash
        choice = await self.engine.forkchoice(*hashes, attributes)
        _followed(choice)
        if choice.payload_id is None:
            raise Temporary("the engine began no block")
        return choice.payload_id

    @staticmethod
    def _derived(heads: Heads, ref: L2BlockRef, derived: Attributes) -> None:
        heads.derive(ref, derived.derived_from)

    async def _move(self, unsafe: L2BlockRef, safe: L2BlockRef, finalized: L2BlockRef) -> None:
        hashes = unsafe.hash, safe.hash, finalized.hash
        _followed(await self.engine.forkchoice(*hashes))
        self._told, self._untold = hashes, 0


def _judged(status: PayloadStatus) -> PayloadStatus:
    if status.status not in (VALID, INVALID):
        raise Reset(f"the engine lacks what the block stands on: {status.status}")
    return status


def _followed(choice: Forkchoice) -> None:
    status = choice.status
    if status.status == INVALID:
        raise Refused(f"the engine finds its own head invalid: {status.error}")
    if status.status != VALID:
        raise Reset(f"the engine does not have the head any more: {status.status}")
