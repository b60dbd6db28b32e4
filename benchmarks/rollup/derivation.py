"""From the channel that a batcher would post back to the blocks: the pipeline, then an engine."""

import time
from typing import Any

from eth_hash.auto import keccak

from benchmarks.rollup.chain import BATCHER, INBOX, Sequencer
from benchmarks.rollup.peers import Engine
from rollup.channel_out import ChannelPolicy, OutBlock, cut, encode_channel
from rollup.codec.refs import L1Block, L1Transaction
from rollup.derive.needs import Attributes, NeedL1, NeedTime
from rollup.derive.pipeline import Pipeline

DEPOSIT = 0x7E


def posted(sequencer: Sequencer) -> tuple[list[L1Block], int]:
    """L1 with all blocks in one channel, in the first L1 block after them; its bytes."""
    told = [
        OutBlock(ref, tuple(raw for raw in payload.transactions if raw[0] != DEPOSIT))
        for ref, payload in sequencer.blocks
    ]
    policy = ChannelPolicy()
    data = encode_channel(sequencer.config, policy, sequencer.genesis, told)
    frames = cut(keccak(data)[:16], data, policy.frame_bytes)
    sent = tuple(L1Transaction(keccak(each), BATCHER, INBOX, each) for each in frames)
    last = sequencer.parent.l1_origin.number + 1
    chain = list(sequencer.l1[: last + 1])
    at = chain[last]
    chain[last] = L1Block(
        *(at.ref, at.base_fee, at.blob_base_fee, at.mix_hash, at.parent_beacon_root, sent, ())
    )
    return chain, len(data)


class Reader:
    """A pipeline over that L1."""

    def __init__(self, sequencer: Sequencer, chain: list[L1Block]) -> None:
        self.config = sequencer.config
        self._chain = chain
        self.safe = sequencer.genesis
        self._pipeline = Pipeline(self.config, chain[0], sequencer.system_config, self.safe)

    def next(self) -> Attributes:
        while True:
            found = self._pipeline.step(self.safe)
            if isinstance(found, Attributes):
                return found
            if isinstance(found, NeedTime):
                continue
            assert isinstance(found, NeedL1), found
            self._pipeline.add_l1(self._chain[found.number])


def pipeline_alone(sequencer: Sequencer) -> list[dict[str, Any]]:
    """Blocks per second when execution costs nothing."""
    began = time.perf_counter()
    chain, size = posted(sequencer)
    encoded = time.perf_counter()
    reader = Reader(sequencer, chain)
    for ref, payload in sequencer.blocks:
        found = reader.next()
        assert found.attributes.transactions == payload.transactions, ref.number
        reader.safe = ref
    ended = time.perf_counter()
    blocks, transactions = len(sequencer.blocks), sequencer.transactions
    return [
        _figure("derivation without execution", blocks / (ended - encoded), "blocks/s"),
        _figure("encoding the channel", transactions / (encoded - began), "transactions/s"),
        _figure("channel per transaction", size / transactions, "bytes on L1"),
    ]


def derive(sequencer: Sequencer, follower: Engine) -> list[dict[str, Any]]:
    """Blocks per second on an engine that knows only the genesis; every hash must come out."""
    reader = Reader(sequencer, posted(sequencer)[0])
    before, began = follower.cpu(), time.perf_counter()
    for ref, _ in sequencer.blocks:
        follower.block([], reader.next().attributes)
        assert follower.head == ref.hash, f"block {ref.number} came out otherwise"
        reader.safe = ref
    seconds, cpu = time.perf_counter() - began, follower.cpu() - before
    blocks, transactions = len(sequencer.blocks), sequencer.transactions
    return [
        _figure("derivation with execution", blocks / seconds, "blocks/s"),
        _figure("derivation with execution", transactions / seconds, "transactions/s"),
        _figure("execution of derived blocks", transactions / cpu, "transactions/CPU-s"),
    ]


def _figure(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 1), "unit": unit}
