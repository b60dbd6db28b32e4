"""The batcher: puts the L2's unsafe blocks on L1, or on a DA layer with the commitment on L1."""

from dataclasses import dataclass
from typing import Final, NoReturn

import trio

from protocol.errors import Malformed, Refused, Reset, Temporary
from rollup.batch_records import Record, Records
from rollup.channel_out import ChannelOut, ChannelPolicy, OutBlock, cut, encode_channel
from rollup.codec.commitment import COMMITMENT_VERSION
from rollup.codec.config import RollupConfig
from rollup.codec.frame import parse_frames
from rollup.codec.refs import L2BlockRef
from rollup.derive.heads import Heads
from rollup.driver import Driver
from rollup.l2_blocks import ref_of
from rollup.ports import (
    Clock,
    Compute,
    DataAvailability,
    Engine,
    FailOver,
    Inline,
    L1Sender,
    Outcome,
    Store,
)

POLL_SECONDS: Final = 1.0
RETRY_SECONDS_FIRST: Final = 1.0
RETRY_SECONDS_MAX: Final = 30.0
CHANNELS_MAX: Final = 8  # closed and not safe yet
LOADED_MAX: Final = 512  # blocks read in one step
LOST_AFTER: Final = 2  # L1 blocks derived beyond a channel that then has not become safe
PATIENCE_SECONDS: Final = 600.0  # with a DA layer that fails without asking for L1


@dataclass(slots=True)
class Tally:
    """For metrics; counts since the start."""

    channels: int = 0
    blocks: int = 0
    bytes: int = 0
    lost: int = 0  # channels whose blocks had to be posted again
    failovers: int = 0
    waiting: int = 0  # channels that are not safe yet
    problem: str | None = None


class Batcher:
    """Reads the driver's heads and the engine's blocks, intends transactions to the inbox.

    Durable are only closed channels: what was not closed is read again. They stay until their
    blocks are final, so that a reset which leads the safe head back posts nothing twice. `sender`
    must be the account that L1 calls the batcher.
    """

    def __init__(
        self,
        *,
        config: RollupConfig,
        driver: Driver,
        engine: Engine,
        sender: L1Sender,
        store: Store,
        clock: Clock,
        da: DataAvailability | None = None,
        policy: ChannelPolicy | None = None,
        compute: Compute | None = None,
        poll_seconds: float = POLL_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.tally = Tally()
        self._config, self._driver, self._engine = config, driver, engine
        self._sender, self._da, self._clock = sender, da, clock
        self._records = Records(store)
        self._policy = policy or ChannelPolicy()
        self._compute = compute or Inline()
        self._poll_seconds = poll_seconds
        self._patience_seconds = patience_seconds
        self._failing_since: float | None = None  # the DA layer
        self._open: ChannelOut | None = None

    async def run(self) -> NoReturn:
        """Until cancelled; whatever fails outside is tried again."""
        delay = RETRY_SECONDS_FIRST
        while True:
            try:
                await self.step()
                self.tally.problem, delay = None, RETRY_SECONDS_FIRST
                await self._clock.sleep(self._poll_seconds)
            except (Temporary, Malformed, Reset) as error:
                self.tally.problem = str(error)
                await trio.sleep(delay)
                delay = min(2 * delay, RETRY_SECONDS_MAX)

    async def step(self) -> None:
        """Go on with what is closed, then fill and close channels."""
        if not self._driver.chain.known:
            raise Temporary("waiting for the node to find its heads")
        heads = self._driver.chain.heads
        await self._settle(heads)
        for record in self._records.all():
            await self._post(record)
        await self._collect(heads)

    # what became of closed channels

    async def _settle(self, heads: Heads) -> None:
        records = self._records.all()
        final = [r for r in records if r.last.number <= heads.finalized.number]
        self._records.drop(final[:-1] if final == records else final)  # the last says where we are
        records = self._records.all()
        for at, record in enumerate(records):
            if not await self._holds(record):
                self._give_up(records[at:], None)
                break
            if record.last.number <= heads.safe.number:
                self._arrived(record)
            elif reason := self._failure(record) or self._loss(record):
                self._give_up(records[at:], reason)
                raise Temporary(reason)
        self.tally.waiting = sum(r.last.number > heads.safe.number for r in records)

    async def _holds(self, record: Record) -> bool:
        """Whether the channel's blocks are still those of the chain."""
        found = await self._engine.ref(record.last.number)
        return found is not None and found.hash == record.last.hash

    def _arrived(self, record: Record) -> None:
        """Its data have done their work; what is left tells where the next channel starts."""
        if record.frames:
            confirmed = record.confirmed or self._l1_number()
            self._records.change(record, frames=(), commitments=(), confirmed=confirmed)

    def _outcomes(self, record: Record) -> list[Outcome]:
        """Of the transactions that have ended."""
        found = []
        for key in record.keys:
            try:
                outcome = self._sender.result(key)
            except Refused:
                break  # not intended yet, nor what follows
            if outcome is not None:
                found.append(outcome)
        return found

    def _failure(self, record: Record) -> str | None:
        """Why a transaction of the channel can never be in a block; notes when all are in one."""
        if record.confirmed is not None:
            return None
        outcomes = self._outcomes(record)
        for outcome in outcomes:
            if not outcome.succeeded:
                return f"a batch transaction failed: {outcome.reason}"
        if record.count and len(outcomes) == record.count:
            self._records.change(record, confirmed=self._l1_number())
        return None

    def _loss(self, record: Record) -> str | None:
        processed = self._driver.l1_view.processed
        if record.confirmed is None or processed is None:
            return None
        if processed.number < record.confirmed + LOST_AFTER:
            return None
        return "L1 has a channel, but its blocks were not derived from it"

    def _l1_number(self) -> int:
        latest = self._driver.l1_view.latest
        if latest is None:
            raise Temporary("L1 was not seen yet")
        return latest.number

    def _give_up(self, records: list[Record], reason: str | None) -> None:
        """Forget channels: the chain has other blocks now, or, with a reason, they must go again.
        Whatever follows a gap is dropped by all who derive, so the later ones go along."""
        self._records.drop(records)
        self._open = None
        self.tally.lost += len(records) if reason else 0

    # to the DA layer and to L1

    async def _post(self, record: Record) -> None:
        """Intend what a channel needs; all that was intended before changes nothing."""
        if not record.frames or record.confirmed is not None:
            return
        if record.da:
            record = await self._put(record)
        version = bytes([COMMITMENT_VERSION])
        sent = [version + c for c in record.commitments] if record.da else record.frames
        for key, data in zip(record.keys, sent, strict=True):
            self._sender.intend(key, self._config.batch_inbox_address, data)

    async def _put(self, record: Record) -> Record:
        """All frames to the DA layer before any commitment goes to L1, so that a failover in
        between leaves nothing half posted."""
        assert self._da is not None
        while len(record.commitments) < len(record.frames):
            try:
                commitment = await self._da.put(record.frames[len(record.commitments)])
            except FailOver:
                return self._fail_over(record)
            except Temporary:
                if self._impatient():
                    return self._fail_over(record)
                raise
            self._failing_since = None
            record = self._records.change(record, commitments=(*record.commitments, commitment))
        return record

    def _impatient(self) -> bool:
        now = self._clock.now()
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since >= self._patience_seconds

    def _fail_over(self, record: Record) -> Record:
        """The same channel as calldata."""
        self.tally.failovers += 1
        channel = b"".join([f.data for raw in record.frames for f in parse_frames(raw)])
        frames = cut(record.channel_id, channel, self._policy.frame_bytes)
        return self._records.change(
            record, da=False, frames=frames, commitments=(), count=len(frames)
        )

    # filling

    async def _collect(self, heads: Heads) -> None:
        latest = self._driver.l1_view.latest
        if latest is None:
            return
        for _ in range(LOADED_MAX):
            if self.tally.waiting >= CHANNELS_MAX:
                return
            channel = await self._current(heads, latest.number)
            if channel is None:
                return
            if channel.full:
                await self._close(channel)
            elif channel.end.number < heads.unsafe.number:
                if not await self._load(channel):
                    return
            else:
                break
        if self._open is not None and self._open.is_due(latest.number):
            await self._close(self._open)

    async def _current(self, heads: Heads, l1_number: int) -> ChannelOut | None:
        """The open channel, or a new one after all that is posted or safe."""
        if self._open is not None:
            if self._open.end.number > heads.safe.number or not self._open.blocks:
                return self._open if await self._follows(self._open, heads) else None
            self._open = None  # somebody else posted these blocks
        parent = await self._posted(heads)
        if parent is not None:
            self._open = ChannelOut(self._config, self._policy, parent, l1_number)
        return self._open

    async def _follows(self, channel: ChannelOut, heads: Heads) -> bool:
        end = channel.end
        found = await self._engine.ref(end.number)
        if found is None or found.hash != end.hash:
            self._open = None
            return False
        return True

    async def _posted(self, heads: Heads) -> L2BlockRef | None:
        """The block after which the next channel starts. With no memory of an own channel only a
        node that has read all of L1 knows."""
        last = self._records.last
        if last is not None and last.last.number > heads.safe.number:
            return await self._engine.ref(last.last.hash)
        if last is None and not self._driver.caught_up:
            raise Temporary("waiting for the node to read L1 before anything is posted")
        return heads.safe

    async def _load(self, channel: ChannelOut) -> bool:
        """The next block into the channel; False when the chain went another way."""
        envelope = await self._engine.payload(channel.end.number + 1)
        ref = ref_of(envelope, self._config)
        if ref.parent_hash != channel.end.hash:
            self._open = None
            return False
        channel.add(OutBlock.of(ref, envelope))
        return True

    async def _close(self, channel: ChannelOut) -> None:
        blocks, end = tuple(channel.blocks), channel.end
        data = await self._compute(
            encode_channel, self._config, self._policy, channel.parent, blocks
        )
        channel_id = self._records.channel_id(channel.parent.id, end.id)
        frames = cut(channel_id, data, self._policy.frame_bytes)
        self._open = None
        da = self._da is not None
        record = self._records.add(channel_id, channel.parent.id, end.id, frames, da)
        self.tally.channels += 1
        self.tally.blocks += len(blocks)
        self.tally.bytes += len(data)
        self.tally.waiting += 1
        await self._post(record)
