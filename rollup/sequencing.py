"""The sequencer: one L2 block per slot, on the unsafe head, each let out only once per height."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NoReturn

import trio

from protocol.errors import Malformed, Reset, Temporary
from rollup.codec.config import FORKS, RollupConfig
from rollup.codec.payload import PayloadAttributes, PayloadEnvelope
from rollup.codec.refs import L1Block, L1BlockRef, L2BlockRef
from rollup.codec.system_config import SystemConfig
from rollup.derive.attributes import build_attributes
from rollup.driver import Driver
from rollup.l2_blocks import ref_of, system_config_of
from rollup.ports import Clock, Engine, InvalidAttributes, L1Source, Publish, Store
from rollup.published import Published

CONFIRMATIONS: Final = 4  # L1 blocks that an origin stays behind the newest
BUILD_SECONDS: Final = 0.9  # before its time a block is begun; our engine fills for one second
POLL_SECONDS: Final = 0.25
RETRY_SECONDS_FIRST: Final = 0.25
RETRY_SECONDS_MAX: Final = 8.0
ORIGIN_SECONDS_MAX: Final = 4.0  # that a block waits for L1 when it can do without
ORIGIN_PAUSE_SECONDS: Final = 10.0  # in which the last origin serves after L1 was not reached


def choose_origin(
    config: RollupConfig, parent: L2BlockRef, current: L1BlockRef, following: L1BlockRef | None
) -> L1BlockRef | None:
    """The L1 origin of the block after `parent`: `following` as soon as that is not from the
    future. None when it must move and cannot (op-node, `L1OriginSelector`)."""
    time = parent.time + config.block_time
    if following is not None and time >= following.time:
        return following
    if following is None and is_drifted(config, current, time):
        return None
    return current


def is_drifted(config: RollupConfig, origin: L1BlockRef, time: int) -> bool:
    """Whether a block at `time` is so far ahead of its origin that only deposits may be in it."""
    return time > origin.time + config.max_drift(origin.time)


@dataclass(slots=True)
class Tally:
    """For metrics; counts since the start."""

    built: int = 0
    restored: int = 0  # blocks that the engine had lost, let out again as they were
    problem: str | None = None


class Sequencing:
    """Builds through the driver's engine. `publish` gets each block once it is on disk and in the
    chain; after a crash perhaps the same block again, never another of its height on one L1 chain.

    `build_seconds`: how long before its time a block is begun.
    """

    def __init__(
        self,
        *,
        config: RollupConfig,
        driver: Driver,
        engine: Engine,
        l1: L1Source,
        clock: Clock,
        store: Store,
        publish: Publish,
        confirmations: int = CONFIRMATIONS,
        build_seconds: float = BUILD_SECONDS,
        on_block: Callable[[PayloadEnvelope], None] = lambda envelope: None,
    ) -> None:
        self.tally = Tally()
        self._config, self._driver, self._engine, self._l1 = config, driver, engine, l1
        self._clock = clock
        self._published = Published(store)
        self._publish = publish
        self._confirmations = confirmations
        self._build_seconds = min(build_seconds, config.block_time)
        self._on_block = on_block
        self._ready = False
        self._bare = False  # the next block without the pool: the last one came out invalid
        self._epoch: L1Block | None = None  # the origin of the last block
        self._l1_pause = -math.inf  # until then L1 is not asked for an origin
        self._system_config: tuple[bytes, SystemConfig] = (b"", config.genesis.system_config)

    async def run(self) -> NoReturn:
        """Until cancelled; whatever fails outside is tried again."""
        delay = RETRY_SECONDS_FIRST
        while True:
            try:
                await self.step()
                self.tally.problem, delay = None, RETRY_SECONDS_FIRST
                continue
            except Reset as error:
                self._driver.request_reset(str(error))
                self.tally.problem = str(error)
            except (Temporary, Malformed) as error:
                self._driver.chain.doubt()  # perhaps the engine lost its head
                self._driver.wake()
                self.tally.problem = str(error)
            await trio.sleep(delay)
            delay = min(2 * delay, RETRY_SECONDS_MAX)

    async def step(self) -> None:
        """One block, or a wait."""
        chain = self._driver.chain
        if chain.known and await self._restore(chain.heads.unsafe):
            return
        if not chain.known or not self._may_build(chain.heads.unsafe):
            await self._clock.sleep(POLL_SECONDS)
            return
        parent = chain.heads.unsafe
        time = parent.time + self._config.block_time
        await self._until(time - self._build_seconds)
        attributes = await self._attributes(parent)
        payload_id = await self._begin(parent, attributes)
        await self._until(time)
        await self._let_out(parent, await self._driver.chain.seal(parent, payload_id))

    # before a block

    def _may_build(self, head: L2BlockRef) -> bool:
        """After the start, not before the chain is what L1 or our own memory says."""
        last = self._published.last
        complete = last is not None and head.number >= last
        self._ready = self._ready or complete or self._driver.caught_up
        return self._ready

    async def _restore(self, parent: L2BlockRef) -> bool:
        """Put back the block after `parent` that was let out before, unless L1 took its ground."""
        number = parent.number + 1
        envelope = self._published.at(number)
        if envelope is None:
            last = self._published.last
            if last is not None and last >= number and not self._driver.caught_up:
                raise Temporary(f"waiting for L1 to give back block {number}")
            return False
        if envelope.payload.parent_hash != parent.hash:
            return False  # the chain below was replaced by what L1 says
        if not await self._stands(envelope):
            return False
        reason = await self._driver.chain.append(envelope)
        if reason is not None:
            self._published.forget(number)
            return False
        self.tally.restored += 1
        self._publish(envelope)
        return True

    async def _stands(self, envelope: PayloadEnvelope) -> bool:
        """Whether the L1 origin of a block is still in L1."""
        ref = ref_of(envelope, self._config)
        found = await self._l1.ref_by_number(ref.l1_origin.number)
        if found is None:
            raise Temporary(f"L1 does not have block {ref.l1_origin.number} yet")
        return found.hash == ref.l1_origin.hash

    async def _attributes(self, parent: L2BlockRef) -> PayloadAttributes:
        epoch = await self._next_epoch(parent)
        system_config = await self._system_config_of(parent)
        attributes = build_attributes(self._config, system_config, parent, epoch)
        closed = (
            self._bare
            or is_drifted(self._config, epoch.ref, attributes.timestamp)
            or any(self._config.is_activation(fork, attributes.timestamp) for fork in FORKS)
        )
        return replace(attributes, no_tx_pool=closed)

    async def _next_epoch(self, parent: L2BlockRef) -> L1Block:
        """The L1 origin of the next block. While L1 is not reached, the last one goes on, and
        blocks do not wait for each call to fail."""
        time, last = parent.time + self._config.block_time, self._epoch
        may_stay = (
            last is not None
            and last.ref.hash == parent.l1_origin.hash
            and not is_drifted(self._config, last.ref, time)
        )
        if last is not None and may_stay and self._clock.now() < self._l1_pause:
            return last
        try:
            with trio.fail_after(ORIGIN_SECONDS_MAX if may_stay else math.inf):
                origin = await self._origin(parent)
                if last is None or last.ref.hash != origin.hash:
                    self._epoch = last = await self._l1.block(origin.hash)
                return last
        except (Temporary, trio.TooSlowError):
            if last is None or not may_stay:
                raise
            self._l1_pause = self._clock.now() + ORIGIN_PAUSE_SECONDS
            return last

    async def _origin(self, parent: L2BlockRef) -> L1BlockRef:
        number = parent.l1_origin.number
        current = await self._l1.ref_by_number(number)
        if current is None:
            raise Temporary(f"L1 does not have block {number} of our own origin")
        if current.hash != parent.l1_origin.hash:
            raise Reset(f"L1 block {number}, the origin of the head, was replaced")
        following = await self._l1.ref_by_number(number + 1)
        if following is not None and following.parent_hash != current.hash:
            raise Reset(f"L1 block {number + 1} does not follow the origin of the head")
        time = parent.time + self._config.block_time
        if following is not None and not is_drifted(self._config, current, time):
            latest = self._driver.l1_view.latest
            newest = following.number if latest is None else latest.number
            if following.number > newest - self._confirmations:
                following = None  # not confirmed yet; past the drift that matters no more
        chosen = choose_origin(self._config, parent, current, following)
        if chosen is None:
            raise Temporary(f"L1 stands still at block {number}: no block may be built on it")
        return chosen

    async def _system_config_of(self, block: L2BlockRef) -> SystemConfig:
        if self._system_config[0] != block.hash:
            envelope = await self._engine.payload(block.hash)
            found = system_config_of(envelope, self._config)
            self._system_config = block.hash, found
        return self._system_config[1]

    # the block

    async def _begin(self, parent: L2BlockRef, attributes: PayloadAttributes) -> bytes:
        try:
            return await self._driver.chain.begin(parent, attributes)
        except InvalidAttributes as error:
            raise Temporary(f"the engine cannot build: {error}") from error

    async def _let_out(self, parent: L2BlockRef, envelope: PayloadEnvelope) -> None:
        """On disk, into the chain, to the others: in this order, whatever ends us between."""
        payload = envelope.payload
        if (payload.block_number, payload.timestamp) != (
            parent.number + 1,
            parent.time + self._config.block_time,
        ):
            raise Malformed("the engine built a block of another height or time")
        self._published.keep(envelope)
        reason = await self._driver.chain.append(envelope)
        if reason is not None:
            self._published.forget(payload.block_number)
            self._bare = True
            raise Temporary(f"the engine finds its own block invalid: {reason}")
        self._bare = False
        self.tally.built += 1
        self._publish(envelope)
        self._published.prune(self._driver.chain.heads.finalized.number)
        self._on_block(envelope)
        self._driver.wake()

    async def _until(self, time: float) -> None:
        now = self._clock.now()
        if now < time:
            await self._clock.sleep(time - now)
