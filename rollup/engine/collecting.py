"""Witnesses gathered: what executing a block, or one transaction of it, reads of the state."""

from collections.abc import Callable, Mapping

from protocol.errors import Refused
from rollup.codec.header import Header, decode_extra
from rollup.codec.payload import PayloadAttributes
from rollup.engine.building import Assembly
from rollup.engine.chain import Chain
from rollup.engine.kv import Reads
from rollup.engine.rules import Fork, Rules
from rollup.engine.statetrie import Items
from rollup.engine.values import Block
from rollup.engine.witness import (
    BlockStep,
    TransactionResult,
    TransactionStep,
    begin,
    execute,
    transact,
)

HeaderOf = Callable[[bytes], Header | None]


class Recorder:
    """Reads that remember what was asked for; `seen` is the witness.

    `over` lies over what is below: nodes that the transactions before have made.
    """

    def __init__(
        self, below: Reads, header_of: HeaderOf, over: Mapping[bytes, bytes] | None = None
    ) -> None:
        self._below = below
        self._header_of = header_of
        self._over = over or {}
        self.split_nodes: dict[bytes, Items] = {}  # its own: what is shared was not asked for here
        self.seen: dict[bytes, bytes] = {}

    def node(self, name: bytes) -> bytes | None:
        value = self._over.get(name)
        if value is None:
            value = self._below.node(name)
        if value is not None:
            self.seen[name] = value
        return value

    def parent_of(self, block_hash: bytes) -> bytes | None:
        header = self._header_of(block_hash)
        if header is None or header.number == 0:
            return None
        self.seen[block_hash] = header.encode()
        return header.parent_hash


def collect_witness(chain: Chain, block: Block) -> tuple[BlockStep, dict[bytes, bytes]]:
    """The block as a step, and the preimages that `witness.reexecute` needs for it.

    Raises `Refused` when the state before the block is not kept.
    """
    step = step_of(chain, block)
    return step, collect_block(step, chain.rules, chain.store, chain.blocks.header_of)


def collect_transaction_witness(
    chain: Chain, block: Block, index: int
) -> tuple[TransactionStep, dict[bytes, bytes]]:
    """The same for one transaction of the block; index -1 is the system calls before the first."""
    step, header_of = step_of(chain, block), chain.blocks.header_of
    return collect_transaction(step, index, chain.rules, chain.store, header_of)


def collect_block(
    step: BlockStep, rules: Rules, reads: Reads, header_of: HeaderOf
) -> dict[bytes, bytes]:
    recorder = Recorder(reads, header_of)
    execute(step, rules, recorder, recorder.parent_of)
    return recorder.seen


def collect_transaction(
    step: BlockStep, index: int, rules: Rules, reads: Reads, header_of: HeaderOf
) -> tuple[TransactionStep, dict[bytes, bytes]]:
    """Executes what comes before, then the one transaction on a state of its own."""
    raws = step.attributes.transactions
    if not -1 <= index < len(raws):
        raise Refused(f"a block of {len(raws)} transactions has no number {index}")
    plain = Recorder(reads, header_of)
    assembly = begin(step, rules, plain, plain.parent_of)
    made: Mapping[bytes, bytes] = {}
    root, raw = step.parent.state_root, b""
    if index >= 0:
        assembly.force(raws[:index])
        root, made = assembly.pause()
        raw = raws[index]
    small = _small(step, assembly, root, raw)
    recorder = Recorder(reads, header_of, made)
    result: TransactionResult = transact(small, rules, recorder, recorder.parent_of)
    assert result.gas_used <= small.gas_limit
    return small, recorder.seen


def step_of(chain: Chain, block: Block) -> BlockStep:
    """Raises `Refused` when the parent or its state is not kept."""
    header = block.header
    parent = chain.blocks.header_of(header.parent_hash)
    if parent is None or not chain.has_state(parent):
        raise Refused("the state before the block is not kept")
    params, floor = None, None
    if chain.rules.fork(header.timestamp) != Fork.PRAGUE:
        params = header.extra_data[1:9]
        _, _, floor = decode_extra(header.extra_data)
    attributes = PayloadAttributes(
        header.timestamp,
        header.mix_hash,
        header.coinbase,
        header.parent_beacon_block_root or bytes(32),
        block.transactions,
        True,
        header.gas_limit,
        params,
        floor,
    )
    return BlockStep(parent, attributes)


def _small(step: BlockStep, assembly: Assembly, root: bytes, raw: bytes) -> TransactionStep:
    return TransactionStep(
        root=root,
        transaction=raw,
        gas_used=assembly.gas_used,
        number=step.parent.number + 1,
        timestamp=step.attributes.timestamp,
        coinbase=step.attributes.fee_recipient,
        mix_hash=step.attributes.prev_randao,
        gas_limit=step.attributes.gas_limit,
        base_fee=assembly.base_fee,
        parent_hash=step.parent.hash,
        beacon_root=step.attributes.parent_beacon_block_root,
    )
