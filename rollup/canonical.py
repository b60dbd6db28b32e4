"""The L2 chain in the engine: its heads, and the few ways in which they move."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from protocol.errors import Malformed, Refused, Reset, Temporary
from rollup.codec.config import RollupConfig
from rollup.codec.payload import PayloadAttributes, PayloadEnvelope
from rollup.codec.refs import L2BlockRef
from rollup.consolidation import difference
from rollup.derive.needs import Attributes
from rollup.ports import INVALID, VALID, Engine, Forkchoice, InvalidAttributes, PayloadStatus

BEHIND_MAX: Final = 32  # blocks that the safe head may move before the engine is told


@dataclass(frozen=True, slots=True)
class Heads:
    """`pending_safe` is ahead of `safe` within a span batch whose end is not derived yet."""

    unsafe: L2BlockRef
    pending_safe: L2BlockRef
    safe: L2BlockRef
    finalized: L2BlockRef


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
            await self._move(Heads(unsafe, safe, safe, finalized))

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
            status = _judged(await self.engine.new_payload(envelope))
            if status.status == INVALID:
                return status.error or "invalid"
            await self._move(_with_unsafe(heads, await self._ref(envelope)))
            return None

    async def derive(self, derived: Attributes) -> str | None:
        """Make the derived block the next safe one; why it is invalid, or None.

        A block of the engine that is the same already is only called safe, and not executed again.
        """
        async with self._turn:
            heads, attributes = self.heads, derived.attributes
            parent = heads.pending_safe
            if derived.parent.hash != parent.hash:
                raise Reset("derivation is not where the safe head is")
            if heads.unsafe.number > parent.number:
                found = await self.engine.payload(parent.number + 1)
                why = difference(self._config, parent.hash, attributes, found)
                if why is None:
                    self._call_safe(heads, await self._ref(found), derived.concluding)
                    return None
                self.on_difference(parent.number + 1, why)
            return await self._build(heads, derived)

    async def begin(self, parent: L2BlockRef, attributes: PayloadAttributes) -> bytes:
        """Let the engine build on the unsafe head; the payload's id. Raises `InvalidAttributes`."""
        async with self._turn:
            heads = self.heads
            if heads.unsafe.hash != parent.hash:
                raise Moved("the head moved before a block was begun")
            return await self._begin(heads, heads.unsafe, attributes)

    async def seal(self, parent: L2BlockRef, payload_id: bytes) -> PayloadEnvelope:
        """What was built on `parent`; it is not in the chain yet."""
        async with self._turn:
            if self.heads.unsafe.hash != parent.hash:
                raise Moved("the head moved while a block was built")
            envelope = await self.engine.get_payload(payload_id)
        if envelope.payload.parent_hash != parent.hash:
            raise Malformed("the engine built on another block")
        return envelope

    async def finalize(self, ref: L2BlockRef) -> None:
        """Never backwards, and never above the safe head."""
        async with self._turn:
            heads = self.heads
            if heads.finalized.number < ref.number <= heads.safe.number:
                self._heads = Heads(heads.unsafe, heads.pending_safe, heads.safe, ref)

    async def tell(self, *, now: bool = False) -> None:
        """Tell the engine how far safe and finalized moved, if that is far enough, or `now`."""
        async with self._turn:
            heads = self.heads
            if self._told != _hashes(heads) and (now or self._untold >= BEHIND_MAX):
                await self._move(heads)

    def doubt(self) -> None:
        """The engine failed: ask it again at the next `tell` whether it still has the head."""
        self._told, self._untold = None, BEHIND_MAX

    # with the turn taken

    async def _build(self, heads: Heads, derived: Attributes) -> str | None:
        parent = heads.pending_safe
        try:
            payload_id = await self._begin(heads, parent, derived.attributes)
        except InvalidAttributes as error:
            return str(error)
        envelope = await self.engine.get_payload(payload_id)
        status = _judged(await self.engine.new_payload(envelope))
        if status.status == INVALID:
            return status.error or "invalid"
        ref = await self._ref(envelope)
        if ref.parent_hash != parent.hash:
            raise Malformed("the engine built on another block")
        safe = ref if derived.concluding else heads.safe
        await self._move(Heads(ref, ref, safe, heads.finalized))
        return None

    async def _begin(
        self, heads: Heads, parent: L2BlockRef, attributes: PayloadAttributes
    ) -> bytes:
        choice = await self.engine.forkchoice(
            parent.hash, heads.safe.hash, heads.finalized.hash, attributes
        )
        _followed(choice)
        if parent.hash != heads.unsafe.hash:  # the engine is back at the parent: so are we
            self._told = None
            self._heads = Heads(parent, heads.pending_safe, heads.safe, heads.finalized)
        if choice.payload_id is None:
            raise Temporary("the engine began no block")
        return choice.payload_id

    def _call_safe(self, heads: Heads, ref: L2BlockRef, concluding: bool) -> None:
        safe = ref if concluding else heads.safe
        self._heads = Heads(heads.unsafe, ref, safe, heads.finalized)
        self._untold += 1

    async def _move(self, heads: Heads) -> None:
        hashes = _hashes(heads)
        _followed(await self.engine.forkchoice(*hashes))
        self._heads, self._told, self._untold = heads, hashes, 0

    async def _ref(self, envelope: PayloadEnvelope) -> L2BlockRef:
        ref = await self.engine.ref(envelope.payload.block_hash)
        if ref is None:
            raise Reset("the engine does not have the block that it just took")
        return ref


def _hashes(heads: Heads) -> tuple[bytes, bytes, bytes]:
    return heads.unsafe.hash, heads.safe.hash, heads.finalized.hash


def _with_unsafe(heads: Heads, unsafe: L2BlockRef) -> Heads:
    return Heads(unsafe, heads.pending_safe, heads.safe, heads.finalized)


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
