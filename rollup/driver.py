"""The rollup node's loop: L1 blocks in, the L2 chain in the engine out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NoReturn

import trio

from protocol.errors import Malformed, Refused, Reset, Temporary
from rollup.canonical import Canonical
from rollup.codec.config import RollupConfig
from rollup.codec.payload import PayloadEnvelope
from rollup.codec.refs import L1BlockRef, L2BlockRef
from rollup.derive.needs import (
    Attributes,
    Need,
    NeedBlobs,
    NeedData,
    NeedL1,
    NeedL2,
    NeedL2Block,
    NeedTime,
)
from rollup.derive.pipeline import Pipeline
from rollup.derive.start import NeedL1Ref, Start, StartSearch
from rollup.inputs import Inputs
from rollup.l2_blocks import ref_of, system_config_of
from rollup.ports import Blobs, Clock, DataAvailability, Engine, L1Source
from rollup.unsafe_blocks import UnsafeBlocks

POLL_SECONDS: Final = 1.0
RETRY_SECONDS_FIRST: Final = 0.5
RETRY_SECONDS_MAX: Final = 30.0
STEPS_MAX: Final = 64  # of derivation, before L1 and gossip are looked at again
UNSAFE_MAX: Final = 64  # blocks of gossip, likewise


@dataclass(frozen=True, slots=True)
class L1View:
    """What L1 says of itself; `processed` is the last block all of whose data were derived."""

    latest: L1BlockRef | None = None
    safe: L1BlockRef | None = None
    finalized: L1BlockRef | None = None
    current: L1BlockRef | None = None
    processed: L1BlockRef | None = None


@dataclass(slots=True)
class Watch:
    """What an operator may want to know, told as it happens; counts are since the start."""

    on_reset: Callable[[str], None] = lambda reason: None
    on_invalid: Callable[[L2BlockRef, str], None] = lambda parent, reason: None
    on_unsafe_invalid: Callable[[PayloadEnvelope, str], None] = lambda envelope, reason: None
    resets: int = 0
    derived: int = 0
    problem: str | None = None  # what stops the loop now


class Driver:
    """Keeps the engine's chain equal to what L1 says; blocks of gossip go ahead of that.

    `confirmations`: L1 blocks that derivation stays behind the newest.
    """

    def __init__(
        self,
        *,
        config: RollupConfig,
        l1: L1Source,
        engine: Engine,
        clock: Clock,
        da: DataAvailability | None = None,
        blobs: Blobs | None = None,
        confirmations: int = 0,
        poll_seconds: float = POLL_SECONDS,
        watch: Watch | None = None,
    ) -> None:
        self.config = config
        self.chain = Canonical(engine, config)
        self.l1_view = L1View()
        self.watch = watch or Watch()
        self._l1, self._engine, self._clock = l1, engine, clock
        self._blobs = blobs
        self._inputs = Inputs(config, l1, da) if da is not None and config.alt_da else None
        self._confirmations = confirmations
        self._poll_seconds = poll_seconds
        self._pipeline: Pipeline | None = None
        self._unsafe = UnsafeBlocks()
        self._polled = -math.inf
        self._finalized: tuple[int, int] | None = None  # up to where, after how many blocks
        self._reset_wanted: str | None = None
        self._wake = trio.Event()

    # what others use

    async def add_unsafe(self, envelope: PayloadEnvelope) -> bool:
        """A block of gossip whose signature was checked; whether it may be of use."""
        await trio.lowlevel.checkpoint()
        if not self.chain.known:
            return False
        kept = self._unsafe.add(envelope, self.chain.heads.unsafe)
        if kept:
            self.wake()
        return kept

    def request_reset(self, reason: str) -> None:
        """The sequencer found that L1 moved: search the start again."""
        self._reset_wanted = reason
        self.wake()

    def wake(self) -> None:
        self._wake.set()

    @property
    def caught_up(self) -> bool:
        """Whether all of L1 was derived that may be: what is safe now is all there is."""
        latest, processed = self.l1_view.latest, self.l1_view.processed
        if latest is None or processed is None or not self.chain.known:
            return False
        return processed.number >= latest.number - self._confirmations

    @property
    def missing(self) -> tuple[int, int] | None:
        """Heights (first, last) that gossip left out below what it brought."""
        return self._unsafe.gap(self.chain.heads.unsafe) if self.chain.known else None

    @property
    def queued(self) -> int:
        return len(self._unsafe)

    async def run(self) -> NoReturn:
        """Until cancelled. What the world fails at is a problem to show, not an end; `Refused`
        (another chain, an engine that cannot be right) ends it."""
        delay = RETRY_SECONDS_FIRST
        while True:
            self._wake = trio.Event()
            try:
                busy = await self.step()
                self.watch.problem = None
                delay = RETRY_SECONDS_FIRST
            except Reset as error:
                await self._lost(str(error))
                busy = False
            except (Temporary, Malformed) as error:
                self.watch.problem = str(error)
                self.chain.doubt()
                busy = False
            if self.watch.problem is not None:
                with trio.move_on_after(delay):
                    await self._wake.wait()
                delay = min(2 * delay, RETRY_SECONDS_MAX)
            elif not busy:
                with trio.move_on_after(self._poll_seconds):
                    await self._wake.wait()

    async def step(self) -> bool:
        """One round; whether there may be more to do at once."""
        if self._reset_wanted is not None:
            reason, self._reset_wanted = self._reset_wanted, None
            raise Reset(reason)
        busy = False
        if self._pipeline is not None:  # gossip goes on while L1 is not reached
            await self.chain.tell()
            busy = await self._take_unsafe()
        await self._look()
        if self._pipeline is None:
            self._pipeline = await self._start()
        await self.chain.tell()  # after a doubt: does the engine still have what it had?
        busy |= await self._derive(self._pipeline)
        await self._finalize()
        await self.chain.tell(now=not busy)
        return busy

    # the start

    async def _start(self) -> Pipeline:
        start = await self._search()
        origin = await self._l1.block(start.pipeline.l1_origin.hash)
        envelope = await self._engine.payload(start.pipeline.hash)
        system_config = system_config_of(envelope, self.config)
        await self.chain.place(start.unsafe, start.safe, start.finalized)
        if self._inputs is not None:
            self._inputs.restart(origin.ref)
        self._note(current=origin.ref, processed=None)
        return Pipeline(self.config, origin, system_config, start.safe)

    async def _search(self) -> Start:
        unsafe = await self._engine.ref("latest")
        genesis = await self._engine.ref(self.config.genesis.l2.hash)
        if unsafe is None:
            raise Temporary("the engine has no head")
        if genesis is None:
            raise Refused("the engine holds another chain: it lacks the genesis block")
        finalized = await self._engine.ref("finalized") or genesis
        safe = await self._engine.ref("safe") or finalized
        search = StartSearch(self.config, unsafe, safe, finalized)
        while not isinstance(question := search.step(), Start):
            if isinstance(question, NeedL1Ref):
                search.add(await self._l1.ref_by_number(question.number))
            else:
                search.add(await self._engine.ref(question.hash))
        return question

    async def _lost(self, reason: str) -> None:
        self.watch.problem = reason
        self.watch.resets += 1
        self.watch.on_reset(reason)
        self._pipeline = self._finalized = None
        self._polled = -math.inf
        self._note(current=None, processed=None)
        await self.chain.lose()

    # L1

    async def _look(self) -> None:
        """Ask L1 for its heads, now and then, and whether the block being read is still in it."""
        now = self._clock.now()
        if now - self._polled < self._poll_seconds:
            return
        latest = await self._l1.head("latest")
        if latest != self.l1_view.latest:
            safe, finalized = await self._label("safe"), await self._label("finalized")
            self._note(latest=latest, safe=safe, finalized=finalized)
            self.chain.doubt()  # an engine that came back without its newest blocks says nothing
            if self._pipeline is not None:
                await self._same_l1(self._pipeline.origin)
        self._polled = now

    async def _label(self, tag: str) -> L1BlockRef | None:
        """A young L1 has none, and its node says so in one of many ways."""
        try:
            return await self._l1.head(tag)
        except (Temporary, Refused):
            return None

    async def _same_l1(self, origin: L1BlockRef) -> None:
        found = await self._l1.ref_by_number(origin.number)
        if found is not None and found.hash != origin.hash:
            raise Reset(f"L1 has another block {origin.number} than was read")

    async def _finalize(self) -> None:
        if self.l1_view.finalized is None:
            return
        number: int | None = self.l1_view.finalized.number
        if self._inputs is not None:
            number = self._inputs.finalize(self.l1_view.finalized.number)
        if number is None or self._finalized == (number, self.watch.derived):
            return
        candidate = self.chain.heads.candidate(number)
        if candidate is not None:
            canonical = await self._l1.ref_by_number(candidate.l1.number)
            if canonical is None:
                return
            await self.chain.finalize(candidate, canonical)
        self._finalized = number, self.watch.derived

    # L2

    async def _take_unsafe(self) -> bool:
        for _ in range(UNSAFE_MAX):
            envelope = self._unsafe.take(self.chain.heads.unsafe)
            if envelope is None:
                return False
            reason = await self.chain.append(envelope)
            if reason is not None:
                self.watch.on_unsafe_invalid(envelope, reason)
        return True

    async def _derive(self, pipeline: Pipeline) -> bool:
        for _ in range(STEPS_MAX):
            need = pipeline.step(self.chain.heads.safe)
            if isinstance(need, NeedTime):
                need = await trio.to_thread.run_sync(pipeline.step, self.chain.heads.safe)
            if isinstance(need, Attributes):
                await self._apply(pipeline, need)
            elif not await self._answer(pipeline, need):
                return False
        return True

    async def _apply(self, pipeline: Pipeline, derived: Attributes) -> None:
        reason = await self.chain.derive(derived)
        if reason is not None:
            self.watch.on_invalid(derived.parent, reason)
            reason = await self.chain.derive(pipeline.reject(derived))
        if reason is not None:
            raise Refused(f"the engine finds a block of deposits alone invalid: {reason}")
        self.watch.derived += 1

    async def _answer(self, pipeline: Pipeline, need: NeedL1 | Need) -> bool:
        """Give the pipeline what it asks for; False when that is not there yet."""
        match need:
            case NeedL1():
                return await self._next_l1(pipeline, need)
            case NeedL2(number):
                pipeline.add_l2(number, await self._engine.ref(number))
            case NeedL2Block(number):
                envelope = await self._engine.payload(number)
                pipeline.add_l2_block(ref_of(envelope, self.config), envelope.payload.transactions)
            case NeedTime():
                await trio.lowlevel.checkpoint()
            case NeedData(commitment):
                if self._inputs is None:
                    raise Temporary("L1 names data of a DA layer, and none is configured")
                found = await self._inputs.read(commitment, pipeline.origin)
                if found is None:
                    return False
                pipeline.add_data(commitment, found.data)
            case NeedBlobs(block, hashes):
                if self._blobs is None:
                    raise Temporary("L1 has data in blobs, and no source of blobs is configured")
                pipeline.add_blobs(block, await self._blobs.blobs(block, hashes))
        return True

    async def _next_l1(self, pipeline: Pipeline, need: NeedL1) -> bool:
        self._note(current=pipeline.origin, processed=pipeline.origin)
        latest = self.l1_view.latest
        if latest is None or need.number > latest.number - self._confirmations:
            return False
        ref = await self._l1.ref_by_number(need.number)
        if ref is None:
            return False
        if ref.parent_hash != need.parent_hash:
            raise Reset(f"L1 block {need.number} does not follow the one that was read")
        block = await self._l1.block(ref.hash)
        if self._inputs is not None:
            self._inputs.enter(block)
        pipeline.add_l1(block)
        self._note(current=block.ref)
        return True

    def _note(self, **changes: L1BlockRef | None) -> None:
        self.l1_view = replace(self.l1_view, **changes)
