"""A small world to derive in: an L1, a sequencer that knows the truth, a batcher, an engine."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eth_hash.auto import keccak

from rollup.codec.batch import SingularBatch
from rollup.codec.channel import write_batches
from rollup.codec.compression import Algorithm, compress
from rollup.codec.config import Genesis, RollupConfig
from rollup.codec.deposit import TRANSACTION_DEPOSITED
from rollup.codec.frame import Frame, encode_frames
from rollup.codec.l1_info import l2_ref
from rollup.codec.payload import PayloadAttributes
from rollup.codec.refs import BlockId, L1Block, L1BlockRef, L1Log, L1Transaction, L2BlockRef
from rollup.codec.span import SpanBatch, SpanBlock
from rollup.codec.strict import encode
from rollup.codec.system_config import CONFIG_UPDATE, SystemConfig, encode_ecotone_scalar
from rollup.derive.attributes import build_attributes
from rollup.derive.l1_traversal import after
from rollup.derive.needs import (
    Attributes,
    NeedBlobs,
    NeedData,
    NeedL1,
    NeedL2,
    NeedL2Block,
    NeedTime,
)
from rollup.derive.pipeline import Pipeline
from rollup.derive.start import NeedL1Ref, Start, StartSearch

BATCHER, IMPOSTOR, USER = b"\xba" * 20, b"\x1f" * 20, b"\x05" * 20
INBOX, PORTAL, SYSTEM_CONFIG = b"\xff" * 20, b"\x9f" * 20, b"\x5c" * 20
L1_TIME, L2_CHAIN = 1_000_000, 9017
STEPS_MAX = 10_000


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 32)


def make_config(**changes: Any) -> RollupConfig:
    """Isthmus at genesis; the L1 genesis is block 100 and the L2 starts at its time."""
    system_config = SystemConfig(BATCHER, bytes(32), encode_ecotone_scalar(5, 7), 30_000_000)
    genesis = Genesis(
        BlockId(l1_genesis().ref.hash, 100), BlockId(b"\x62" * 32, 0), L1_TIME, system_config
    )
    forks = ("regolith", "canyon", "delta", "ecotone", "fjord", "granite", "holocene", "isthmus")
    config = RollupConfig(
        genesis=genesis,
        block_time=2,
        max_sequencer_drift=600,
        seq_window_size=100,
        channel_timeout=300,
        l1_chain_id=900,
        l2_chain_id=L2_CHAIN,
        batch_inbox_address=INBOX,
        deposit_contract_address=PORTAL,
        l1_system_config_address=SYSTEM_CONFIG,
        **{f"{fork}_time": 0 for fork in forks},
    )
    return replace(config, **changes)


def l1_genesis() -> L1Block:
    ref = L1BlockRef(keccak(b"L1 genesis"), 100, b"\x11" * 32, L1_TIME)
    return L1Block(ref, 10**9, 1, b"\x22" * 32, b"\x33" * 32, (), ())


def l1_child(
    parent: L1Block,
    step: int = 12,
    transactions: Sequence[L1Transaction] = (),
    logs: Sequence[L1Log] = (),
    salt: bytes = b"",
) -> L1Block:
    """The block after `parent`; its hash depends on all that is in it."""
    time = parent.ref.time + step
    seed = repr((parent.ref.hash, time, transactions, logs, salt)).encode()
    ref = L1BlockRef(keccak(seed), parent.ref.number + 1, parent.ref.hash, time)
    fee = 10**9 + ref.number
    return L1Block(
        ref, fee, 1, keccak(seed + b"r"), keccak(seed + b"b"), tuple(transactions), tuple(logs)
    )


def inbox(data: bytes, sender: bytes = BATCHER, to: bytes = INBOX) -> L1Transaction:
    return L1Transaction(keccak(sender + to + data), sender, to, data)


def deposit_log(index: int, data: bytes = b"", value: int = 7, address: bytes = PORTAL) -> L1Log:
    opaque = word(value) + word(value) + (100_000).to_bytes(8, "big") + b"\0" + data
    topics = (TRANSACTION_DEPOSITED, bytes(12) + USER, bytes(12) + USER, bytes(32))
    return L1Log(address, topics, word(32) + word(len(opaque)) + padded(opaque), index)


def config_log(index: int, kind: int, value: int) -> L1Log:
    data = word(32) + word(32) + word(value)
    return L1Log(SYSTEM_CONFIG, (CONFIG_UPDATE, bytes(32), word(kind)), data, index)


def l2_transaction(nonce: int, data: bytes = b"", legacy: bool = False) -> bytes:
    """Of the shape that a span batch holds; nobody checks the signature."""
    r, s = 1 + nonce, 2 + nonce
    if legacy:
        return encode([nonce, 3, 21_000, USER, 1, data, L2_CHAIN * 2 + 35, r, s])
    return b"\x02" + encode([L2_CHAIN, nonce, 1, 2, 21_000, USER, 1, data, [], 1, r, s])


def genesis_ref(config: RollupConfig) -> L2BlockRef:
    genesis = config.genesis
    return L2BlockRef(genesis.l2.hash, genesis.l2.number, bytes(32), genesis.l2_time, genesis.l1, 0)


def execute(config: RollupConfig, parent: L2BlockRef, attributes: PayloadAttributes) -> L2BlockRef:
    """The engine's block: its hash covers its parent and everything that it was asked for."""
    block_hash = keccak(parent.hash + repr(attributes).encode())
    first = attributes.transactions[0]
    number, time = parent.number + 1, attributes.timestamp
    return l2_ref(block_hash, number, parent.hash, time, first, config)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the true chain: where it stands, and what the sequencer put into it."""

    ref: L2BlockRef
    transactions: tuple[bytes, ...]
    system_config: SystemConfig


@dataclass(slots=True)
class Sequencer:
    """Builds the true chain on a known L1; block 0 is the genesis."""

    config: RollupConfig
    blocks: list[Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        genesis = Block(genesis_ref(self.config), (), self.config.genesis.system_config)
        self.blocks = self.blocks or [genesis]

    @property
    def head(self) -> L2BlockRef:
        return self.blocks[-1].ref

    def build(self, epoch: L1Block, transactions: Iterable[bytes] = ()) -> L2BlockRef:
        last = self.blocks[-1]
        sent = tuple(transactions)
        built = build_attributes(self.config, last.system_config, last.ref, epoch)
        whole = replace(built, transactions=(*built.transactions, *sent))
        moved = epoch.ref.number != last.ref.l1_origin.number
        system = after(self.config, last.system_config, epoch) if moved else last.system_config
        ref = execute(self.config, last.ref, whole)
        self.blocks.append(Block(ref, sent, system))
        return ref

    def singular(self, first: int, last: int) -> list[bytes]:
        """The blocks `first` to `last`, each as a batch of its own."""
        return [
            SingularBatch(
                block.ref.parent_hash,
                block.ref.l1_origin.number,
                block.ref.l1_origin.hash,
                block.ref.time,
                block.transactions,
            ).encode()
            for block in self.blocks[first : last + 1]
        ]

    def span(self, first: int, last: int) -> bytes:
        chosen = self.blocks[first : last + 1]
        parent = self.blocks[first - 1].ref
        return SpanBatch.from_blocks(
            [SpanBlock(b.ref.time, b.ref.l1_origin.number, b.transactions) for b in chosen],
            parent_hash=parent.hash,
            parent_epoch_number=parent.l1_origin.number,
            l1_origin_hash=chosen[-1].ref.l1_origin.hash,
            genesis_time=self.config.genesis.l2_time,
            chain_id=self.config.l2_chain_id,
        ).encode()


def channel(
    batches: Iterable[bytes], name: bytes, size: int = 10_000, algorithm: Algorithm = "brotli"
) -> list[Frame]:
    """The frames of a channel with these batches, `size` bytes of data each."""
    data = compress(write_batches(batches), algorithm)
    cuts = range(0, len(data), size)
    channel_id = keccak(name)[:16]
    return [
        Frame(channel_id, number, data[at : at + size], at + size >= len(data))
        for number, at in enumerate(cuts)
    ]


def post(*frames: Frame) -> L1Transaction:
    return inbox(encode_frames(frames))


@dataclass(slots=True)
class Node:
    """Drives a pipeline over a list of L1 blocks, the first of which is the L1 genesis."""

    config: RollupConfig
    l1: list[L1Block]
    chain: list[L2BlockRef] = field(default_factory=list)
    is_valid: Callable[[PayloadAttributes], bool] = lambda attributes: True
    data: Mapping[bytes, bytes | None] = field(default_factory=dict)
    blobs: Mapping[bytes, bytes] = field(default_factory=dict)
    derived: list[Attributes] = field(default_factory=list)
    systems: dict[bytes, SystemConfig] = field(default_factory=dict)
    bodies: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    asked: list[object] = field(default_factory=list)
    pipeline: Pipeline | None = None

    def __post_init__(self) -> None:
        if not self.chain:
            self.chain = [genesis_ref(self.config)]
        self.systems[self.chain[0].hash] = self.config.genesis.system_config

    @property
    def safe(self) -> L2BlockRef:
        return self.chain[-1]

    def block(self, number: int) -> L1Block | None:
        at = number - self.l1[0].ref.number
        return self.l1[at] if 0 <= at < len(self.l1) else None

    def start(self) -> None:
        """Sync start, as after a reset; the engine's chain is cut to what still fits L1."""
        search = StartSearch(self.config, self.safe, self.safe, self.chain[0])
        by_hash = {ref.hash: ref for ref in self.chain}
        while not isinstance(found := search.step(), Start):
            if isinstance(found, NeedL1Ref):
                block = self.block(found.number)
                search.add(block.ref if block else None)
            else:
                search.add(by_hash.get(found.hash))
        self.chain = self.chain[: found.safe.number - self.chain[0].number + 1]
        origin = self.block(found.pipeline.l1_origin.number)
        assert origin is not None
        system = self.systems[found.pipeline.hash]
        self.pipeline = Pipeline(self.config, origin, system, found.safe)

    def run(self) -> list[L2BlockRef]:
        """Derives until L1 has no more; raises what the pipeline raises."""
        if self.pipeline is None:
            self.start()
        pipeline = self.pipeline
        assert pipeline is not None
        for _ in range(STEPS_MAX):
            match pipeline.step(self.safe):
                case Attributes() as found:
                    self._apply(found)
                case NeedL1(number=number):
                    block = self.block(number)
                    if block is None:
                        return self.chain
                    pipeline.add_l1(block)
                case NeedL2(number=number) as need:
                    self.asked.append(need)
                    pipeline.add_l2(number, self.chain[number - self.chain[0].number])
                case NeedTime() as need:
                    self.asked.append(need)
                case NeedL2Block(number=number) as need:
                    self.asked.append(need)
                    ref = self.chain[number - self.chain[0].number]
                    pipeline.add_l2_block(ref, self.bodies[ref.hash])
                case NeedData(commitment=commitment) as need:
                    self.asked.append(need)
                    pipeline.add_data(commitment, self.data[commitment])
                case NeedBlobs(block=origin, hashes=hashes) as need:
                    self.asked.append(need)
                    pipeline.add_blobs(origin, [self.blobs[each] for each in hashes])
        raise AssertionError("the pipeline does not come to an end")

    def _apply(self, found: Attributes) -> None:
        assert self.pipeline is not None
        assert found == self.pipeline.step(self.safe), "the same question, another answer"
        if not self.is_valid(found.attributes):
            found = self.pipeline.reject(found)
            assert found == self.pipeline.step(self.safe)
        self.derived.append(found)
        ref = execute(self.config, found.parent, found.attributes)
        self.bodies[ref.hash] = found.attributes.transactions
        epoch = self.block(ref.l1_origin.number)
        assert epoch is not None
        system = self.systems[found.parent.hash]
        moved = ref.l1_origin != found.parent.l1_origin
        self.systems[ref.hash] = after(self.config, system, epoch) if moved else system
        self.chain.append(ref)


def truth_of(config: RollupConfig, count: int) -> Sequencer:
    """A chain of `count` blocks with one transaction each, all in the first epoch."""
    truth = Sequencer(config)
    for nonce in range(count):
        truth.build(l1_genesis(), [l2_transaction(nonce)])
    return truth


def refs(truth: Sequencer, count: int) -> list[L2BlockRef]:
    """The genesis and `count` blocks more."""
    return [block.ref for block in truth.blocks[: count + 1]]


def l1_of(*blocks: Sequence[L1Transaction], step: int = 12) -> list[L1Block]:
    """The L1 genesis and a block for each list of transactions."""
    chain = [l1_genesis()]
    for transactions in blocks:
        chain.append(l1_child(chain[-1], step, transactions))
    return chain
