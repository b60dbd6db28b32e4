"""A rollup in one process: L1, engines, DA and gossip in memory, with the real codec between them.

What a node would have on disk survives `Killed`, which strikes before or after any effect.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

import trio
from eth_hash.auto import keccak

from protocol.errors import Refused, Temporary
from rollup.batcher import Batcher
from rollup.channel_out import ChannelPolicy
from rollup.codec.batch import decode_batch
from rollup.codec.channel import read_batches
from rollup.codec.config import RollupConfig
from rollup.codec.frame import Frame, parse_frames
from rollup.codec.header import encode_holocene_extra
from rollup.codec.output import output_root
from rollup.codec.payload import ExecutionPayload, PayloadAttributes, PayloadEnvelope
from rollup.codec.refs import BlockId, L1Block, L1BlockRef, L1Log, L2BlockRef
from rollup.codec.span import SpanBatch
from rollup.driver import Driver
from rollup.l2_blocks import ref_of
from rollup.ports import (
    INVALID,
    SYNCING,
    VALID,
    FailOver,
    Forkchoice,
    InvalidAttributes,
    PayloadStatus,
    Which,
)
from rollup.sequencing import Sequencing
from tests.derive_world import (
    L1_TIME,
    deposit_log,
    inbox,
    l1_child,
    l1_genesis,
    l2_transaction,
    make_config,
)

L1_SECONDS = 12
FINALITY = 8  # L1 blocks
CONFIRMATIONS = 2  # of an L1 transaction, until its sender is told
POISON = b"poison"  # a transaction with these bytes makes its block invalid
GAS_LIMIT = 30_000_000


class Killed(Exception):
    """The process is gone; no `NodeError`, so nobody but the world catches it."""


@dataclass
class Life:
    """One run of a node: how many effects it may still have before it is killed."""

    left: int | None = None

    def effect(self) -> None:
        if self.left is not None:
            if self.left <= 0:
                raise Killed
            self.left -= 1


@dataclass
class Clock:
    def now(self) -> float:
        return L1_TIME + trio.current_time()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


@dataclass
class DictStore:
    """A node's disk; `life` is that of whoever writes now."""

    life: Life = field(default_factory=Life)
    records: dict[bytes, bytes] = field(default_factory=dict)

    def get(self, key: bytes) -> bytes | None:
        return self.records.get(key)

    def scan(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        return [(k, v) for k, v in sorted(self.records.items()) if k.startswith(prefix)]

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        self.life.effect()
        for key, value in puts.items():
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value
        self.life.effect()


# ---------------------------------------------------------------- L1


@dataclass
class SimL1:
    """The canonical chain, whatever was replaced, and the transactions that wait."""

    blocks: list[L1Block] = field(default_factory=lambda: [l1_genesis()])
    waiting: list[bytes] = field(default_factory=list)  # data to the inbox, in order
    deposits: int = 0
    is_down: bool = False

    def __post_init__(self) -> None:
        self._by_hash = {self.blocks[0].ref.hash: self.blocks[0]}

    @property
    def tip(self) -> L1Block:
        return self.blocks[-1]

    def mine(self, salt: bytes = b"", *, empty: bool = False) -> L1Block:
        logs: list[L1Log] = [deposit_log(n, value=7 + n) for n in range(self.deposits)]
        self.deposits = 0
        sent = [] if empty else [inbox(data) for data in self.waiting]
        block = l1_child(self.tip, L1_SECONDS, sent, logs, salt)
        if not empty:
            self.waiting = []
        self.blocks.append(block)
        self._by_hash[block.ref.hash] = block
        return block

    def reorg(self, depth: int, salt: bytes) -> None:
        """The last `depth` blocks make way for one more; their transactions wait again."""
        depth = min(depth, len(self.blocks) - 1)
        gone = self.blocks[len(self.blocks) - depth :]
        del self.blocks[len(self.blocks) - depth :]
        returned = [tx.data for block in gone for tx in block.transactions]
        self.waiting = [*returned, *self.waiting]
        for number in range(depth):
            self.mine(salt, empty=number % 2 == 0)

    def data(self) -> list[tuple[int, bytes]]:
        """What lies in the inbox, with the numbers of the blocks."""
        return [(b.ref.number, tx.data) for b in self.blocks for tx in b.transactions]

    # an L1Source

    async def head(self, tag: str) -> L1BlockRef:
        await self._up()
        back = {"latest": 0, "safe": 2, "finalized": FINALITY}[tag]
        return self.blocks[max(0, len(self.blocks) - 1 - back)].ref

    async def ref_by_number(self, number: int) -> L1BlockRef | None:
        await self._up()
        index = number - self.blocks[0].ref.number
        return self.blocks[index].ref if 0 <= index < len(self.blocks) else None

    async def block(self, block_hash: bytes) -> L1Block:
        await self._up()
        found = self._by_hash.get(block_hash)
        if found is None:
            raise Temporary("L1 does not have the block")
        return found

    async def _up(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise Temporary("L1 is down")


@dataclass(frozen=True)
class Outcome:
    succeeded: bool = True
    transaction: bytes | None = None
    reason: str | None = None


@dataclass
class SimSender:
    """As the outbox: what was intended is on disk, sent once, and told when confirmed."""

    l1: SimL1
    life: Life = field(default_factory=Life)
    intents: dict[str, bytes] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def intend(
        self, key: str, to: bytes, data: bytes, value: int = 0, gas: int | None = None
    ) -> None:
        self.life.effect()
        if self.intents.setdefault(key, data) != data:
            raise Refused(f"intent {key} exists with another call")
        if data not in self.l1.waiting and data not in [d for _, d in self.l1.data()]:
            self.l1.waiting.append(data)
        self.life.effect()

    def result(self, key: str) -> Outcome | None:
        if key not in self.intents:
            raise Refused(f"there is no intent {key}")
        deep = self.l1.tip.ref.number - CONFIRMATIONS
        if any(n <= deep and d == self.intents[key] for n, d in self.l1.data()):
            self.done.add(key)
        return Outcome() if key in self.done else None


@dataclass
class SimDa:
    """A DA layer that keeps everything; `mode` is how it answers."""

    mode: str = "up"
    kept: dict[bytes, bytes] = field(default_factory=dict)

    async def put(self, data: bytes) -> bytes:
        await self._up()
        if self.mode == "full":
            raise FailOver("use L1")
        commitment = b"\0" + keccak(data)
        self.kept[commitment] = data
        return commitment

    async def get(self, commitment: bytes, l1_inclusion: int | None = None) -> bytes:
        await self._up()
        return self.kept[commitment]

    async def _up(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.mode == "down":
            raise Temporary("the DA layer is down")


# ---------------------------------------------------------------- the engine


def make_genesis() -> PayloadEnvelope:
    return _envelope(
        bytes(32), 0, L1_TIME, keccak(b"genesis"), (), GAS_LIMIT, bytes(9), (bytes(32),) * 2
    )


def world_config(**changes: Any) -> RollupConfig:
    """E's little chain, with the genesis block of these engines."""
    config = make_config(seq_window_size=40, **changes)
    l2 = BlockId(make_genesis().payload.block_hash, 0)
    return replace(config, genesis=replace(config.genesis, l2=l2))


def _envelope(
    parent_hash: bytes,
    number: int,
    time: int,
    state: bytes,
    transactions: tuple[bytes, ...],
    gas_limit: int,
    extra: bytes,
    roots: tuple[bytes, bytes],
    recipient: bytes = bytes(20),
) -> PayloadEnvelope:
    randao, beacon = roots
    payload = ExecutionPayload(
        parent_hash=parent_hash,
        fee_recipient=recipient,
        state_root=state,
        receipts_root=keccak(b"receipts" + state),
        logs_bloom=bytes(256),
        prev_randao=randao,
        block_number=number,
        gas_limit=gas_limit,
        gas_used=21_000 * len(transactions),
        timestamp=time,
        extra_data=extra,
        base_fee_per_gas=7,
        block_hash=bytes(32),
        transactions=transactions,
        withdrawals_root=keccak(b"withdrawals" + state),
    )
    return PayloadEnvelope(replace(payload, block_hash=payload.compute_hash(beacon)), beacon)


@dataclass
class SimEngine:
    """Executes by hashing: equal inputs give equal states. Blocks and labels survive a crash of
    the node; `crash` of the engine itself loses the newest blocks."""

    config: RollupConfig
    pool: Callable[[], list[bytes]] = list
    life: Life = field(default_factory=Life)
    is_down: bool = False

    def __post_init__(self) -> None:
        genesis = make_genesis()
        self.head = self.safe = self.finalized = genesis.payload.block_hash
        self.blocks = {self.head: genesis}
        self.builds: dict[bytes, PayloadEnvelope] = {}
        self._refs: dict[bytes, L2BlockRef] = {}
        self.executed = 0

    def crash(self, lost: int) -> None:
        """Power off: the last `lost` blocks were not on disk, nor what was being built."""
        for _ in range(lost):
            envelope = self.blocks[self.head]
            if envelope.payload.block_number == 0 or self.head == self.finalized:
                break
            del self.blocks[self.head]
            if self.safe == self.head:
                self.safe = envelope.payload.parent_hash
            self.head = envelope.payload.parent_hash
        alive = set(self._chain())
        self.blocks = {h: e for h, e in self.blocks.items() if h in alive}
        self.builds.clear()

    async def forkchoice(
        self,
        head: bytes,
        safe: bytes,
        finalized: bytes,
        attributes: PayloadAttributes | None = None,
    ) -> Forkchoice:
        await self._up()
        if not {head, safe, finalized} <= self.blocks.keys():
            return Forkchoice(PayloadStatus(SYNCING))
        self.life.effect()
        self.head, self.safe, self.finalized = head, safe, finalized
        self.life.effect()
        payload_id = None
        if attributes is not None:
            envelope = self._build(self.blocks[head], attributes)
            payload_id = envelope.payload.block_hash[:8]
            self.builds[payload_id] = envelope
        return Forkchoice(PayloadStatus(VALID, head), payload_id)

    async def get_payload(self, payload_id: bytes) -> PayloadEnvelope:
        await self._up()
        if payload_id not in self.builds:
            raise Temporary("unknown payload")
        return self.builds[payload_id]

    async def new_payload(self, envelope: PayloadEnvelope) -> PayloadStatus:
        await self._up()
        payload = envelope.payload
        if payload.block_hash in self.blocks:
            return PayloadStatus(VALID, payload.block_hash)
        parent = self.blocks.get(payload.parent_hash)
        if parent is None:
            return PayloadStatus(SYNCING)
        poisoned = any(POISON in raw for raw in payload.transactions)
        state = _state(parent.payload.state_root, payload.transactions)
        if poisoned or state != payload.state_root or not envelope.hash_fits():
            return PayloadStatus(INVALID, payload.parent_hash, "bad block")
        self.life.effect()
        self.blocks[payload.block_hash] = envelope
        self.executed += 1
        self.life.effect()
        return PayloadStatus(VALID, payload.block_hash)

    async def ref(self, which: Which) -> L2BlockRef | None:
        await self._up()
        found = self._find(which)
        if found is None:
            return None
        block_hash = found.payload.block_hash
        if block_hash not in self._refs:
            self._refs[block_hash] = ref_of(found, self.config)
        return self._refs[block_hash]

    async def payload(self, which: Which) -> PayloadEnvelope:
        await self._up()
        found = self._find(which)
        if found is None:
            raise Temporary(f"the engine has no block {which!r}")
        return found

    async def output_root(self, number: int) -> bytes:
        found = (await self.payload(number)).payload
        assert found.withdrawals_root is not None
        return output_root(found.state_root, found.withdrawals_root, found.block_hash)

    def hashes(self) -> list[bytes]:
        """Of the canonical chain, from the genesis."""
        return list(self._chain())[::-1]

    def _build(self, parent: PayloadEnvelope, wanted: PayloadAttributes) -> PayloadEnvelope:
        if any(POISON in raw for raw in wanted.transactions):
            raise InvalidAttributes("a forced transaction cannot be executed")
        sent = (*wanted.transactions, *([] if wanted.no_tx_pool else self.pool()))
        params = wanted.eip1559_params
        assert params is not None
        pair = int.from_bytes(params[:4], "big"), int.from_bytes(params[4:], "big")
        return _envelope(
            parent.payload.block_hash,
            parent.payload.block_number + 1,
            wanted.timestamp,
            _state(parent.payload.state_root, sent),
            sent,
            wanted.gas_limit,
            encode_holocene_extra(*(pair if pair[0] else self.config.eip1559(wanted.timestamp))),
            (wanted.prev_randao, wanted.parent_beacon_block_root),
            wanted.fee_recipient,
        )

    def _find(self, which: Which) -> PayloadEnvelope | None:
        if isinstance(which, bytes):
            return self.blocks.get(which)
        if isinstance(which, str):
            labels = {"latest": self.head, "safe": self.safe, "finalized": self.finalized}
            return self.blocks[labels[which]]
        for block_hash in self._chain():
            envelope = self.blocks[block_hash]
            if envelope.payload.block_number <= which:
                return envelope if envelope.payload.block_number == which else None
        return None

    def _chain(self) -> Iterable[bytes]:
        at: bytes | None = self.head
        while at in self.blocks:
            assert at is not None
            yield at
            at = self.blocks[at].payload.parent_hash

    async def _up(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise Temporary("the engine is down")


def _state(before: bytes, transactions: Iterable[bytes]) -> bytes:
    return keccak(before + b"".join([keccak(raw) for raw in transactions]))


# ---------------------------------------------------------------- nodes


@dataclass
class Node:
    """What lasts of a node, and the loop that starts it again whenever it was killed."""

    world: "World"
    sequences: bool = False
    policy: ChannelPolicy = field(default_factory=ChannelPolicy)
    deaths: int = 0

    def __post_init__(self) -> None:
        self.life = Life()
        self.engine = SimEngine(self.world.config, self.world.draw_pool)
        self.store = DictStore()
        self.sender = SimSender(self.world.l1)
        self.driver: Driver | None = None
        self.batcher: Batcher | None = None
        self.sequencing: Sequencing | None = None

    async def run(self) -> None:
        while True:
            self.life = Life(self.world.draw_life(self))
            self.engine.life = self.store.life = self.sender.life = self.life
            try:
                await self._live()
            except* Killed:
                self.deaths += 1
            self.driver = None
            await trio.sleep(self.world.random.uniform(0.0, 8.0))

    async def _live(self) -> None:
        world, clock = self.world, Clock()
        config, l1, engine = world.config, world.l1, self.engine
        async with trio.open_nursery() as nursery:
            driver = Driver(config=config, l1=l1, engine=engine, clock=clock, da=world.da)
            self.driver = driver
            nursery.start_soon(driver.run)
            if not self.sequences:
                return
            self.sequencing = Sequencing(
                config=config,
                driver=driver,
                engine=engine,
                l1=l1,
                clock=clock,
                store=self.store,
                publish=partial(world.publish, self),
                confirmations=1,
            )
            self.batcher = Batcher(
                config=config,
                driver=driver,
                engine=engine,
                sender=self.sender,
                store=self.store,
                clock=clock,
                da=world.da,
                policy=self.policy,
            )
            nursery.start_soon(self.sequencing.run)
            nursery.start_soon(self.batcher.run)

    @property
    def heads(self) -> Any:
        assert self.driver is not None
        return self.driver.chain.heads


@dataclass
class World:
    random: Random
    config: RollupConfig = field(default_factory=world_config)
    da: SimDa | None = None
    loss: float = 0.0
    kills: int = 0  # of each node
    trouble: float = 0.0  # seconds until which nodes are killed

    def __post_init__(self) -> None:
        self.l1 = SimL1()
        self.nodes: list[Node] = []
        self.published: dict[int, list[PayloadEnvelope]] = {}
        self._nonce = 0
        self._nursery: trio.Nursery | None = None

    def node(self, **settings: Any) -> Node:
        self.nodes.append(Node(self, **settings))
        return self.nodes[-1]

    def draw_pool(self) -> list[bytes]:
        """Never the same twice: who builds a height again builds another block."""
        self._nonce += 1
        filler = self.random.randbytes(self.random.choice((0, 40, 400)))
        return [l2_transaction(self._nonce, filler)]

    def draw_life(self, node: Node) -> int | None:
        if node.deaths < self.kills and trio.current_time() < self.trouble:
            return self.random.choice((self.random.randrange(20), self.random.randrange(300)))
        return None

    def posted(self) -> list[tuple[int, int]]:
        """Heights (first, last) of each batch that lies whole in L1's inbox, in L1's order."""
        channels: dict[bytes, list[Frame]] = {}
        found = []
        for _, data in self.l1.data():
            if data[:1] == b"\1":
                assert self.da is not None
                data = self.da.kept[data[1:]]
            for frame in parse_frames(data):
                frames = channels.setdefault(frame.channel_id, [])
                frames.append(frame)
                if frame.is_last and [f.number for f in frames] == list(range(len(frames))):
                    found += self._heights(b"".join([f.data for f in frames]))
        return found

    def _heights(self, data: bytes) -> list[tuple[int, int]]:
        spans = []
        for raw in read_batches(data):
            batch = decode_batch(raw)
            assert isinstance(batch, SpanBatch)
            first = batch.relative_time // self.config.block_time
            spans.append((first, first + batch.block_count - 1))
        return spans

    def publish(self, sender: Node, envelope: PayloadEnvelope) -> None:
        sender.life.effect()
        told = self.published.setdefault(envelope.payload.block_number, [])
        if envelope.payload.block_hash not in [e.payload.block_hash for e in told]:
            told.append(envelope)
        assert self._nursery is not None
        for node in self.nodes:
            if node is not sender and self.random.random() >= self.loss:
                self._nursery.start_soon(self._deliver, node, envelope)
        sender.life.effect()

    async def _deliver(self, node: Node, envelope: PayloadEnvelope) -> None:
        await trio.sleep(self.random.uniform(0, 3))
        if node.driver is not None:
            await node.driver.add_unsafe(envelope)

    async def run(self, seconds: float, *events: Callable[[], Any]) -> None:
        """L1 blocks as time goes; each event happens at a drawn moment of the first half."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._mine)
            for node in self.nodes:
                nursery.start_soon(node.run)
            for event in events:
                nursery.start_soon(self._later, self.random.uniform(0, seconds / 2), event)
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()

    def start(self, task: Callable[[], Any]) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(task)

    async def _mine(self) -> None:
        while True:
            await trio.sleep(L1_SECONDS - trio.current_time() % L1_SECONDS)
            behind = int(L1_TIME + trio.current_time()) - self.l1.tip.ref.time
            if behind >= L1_SECONDS:  # a reorg may have mined ahead of the clock
                self.l1.deposits = self.random.choice((0, 0, 1, 3))
                self.l1.mine()

    async def _later(self, seconds: float, event: Callable[[], Any]) -> None:
        await trio.sleep(seconds)
        event()
