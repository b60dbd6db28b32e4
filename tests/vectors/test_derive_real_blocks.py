"""Real blocks of OP Sepolia come out of the pipeline, byte for byte what their sequencer asked for.

Source: op-rs/kona, crates/proof/executor/testdata (MIT), see tests/vectors/op-stack/blocks.
"""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rollup.codec.batch import SingularBatch
from rollup.codec.config import Genesis, RollupConfig
from rollup.codec.l1_info import L1Info, l1_info_of
from rollup.codec.payload import PayloadAttributes
from rollup.codec.refs import BlockId, L1Block, L1BlockRef, L2BlockRef
from rollup.codec.span import SpanBatch, SpanBlock
from rollup.codec.system_config import (
    SystemConfig,
    encode_ecotone_scalar,
    encode_operator_fee,
)
from rollup.derive.needs import Attributes, NeedL1
from rollup.derive.pipeline import Pipeline
from tests.derive_world import channel, inbox, l1_child, l1_genesis, make_config, post

BLOCKS = sorted((Path(__file__).parent / "op-stack" / "blocks").glob("*.json.gz"))
OP_SEPOLIA = 11_155_420
BATCHES = ["singular", "span"]


def fields(path: Path) -> dict[str, Any]:
    found = json.loads(gzip.decompress(path.read_bytes()))["fixture"]["executing_payload"]
    assert isinstance(found, dict)
    return {**found, "withdrawals": []}  # kona leaves the empty list out


def world(
    wanted: PayloadAttributes,
) -> tuple[RollupConfig, SystemConfig, list[L1Block], L2BlockRef]:
    """What the block's first transaction says of its L1 origin, and the block below it."""
    config = make_config(l2_chain_id=OP_SEPOLIA, isthmus_time=None)  # they are of Holocene's time
    info: L1Info = l1_info_of(wanted.transactions[0], wanted.timestamp, config)
    before = l1_genesis()
    before = replace(before, ref=replace(before.ref, number=info.number - 1, time=info.time - 12))
    origin = L1Block(
        L1BlockRef(info.hash, info.number, before.ref.hash, info.time),
        info.base_fee,
        info.blob_base_fee,
        wanted.prev_randao,
        wanted.parent_beacon_block_root,
        (),
        (),
    )
    system_config = SystemConfig(
        info.batcher,
        bytes(32),
        encode_ecotone_scalar(info.base_fee_scalar, info.blob_base_fee_scalar),
        wanted.gas_limit,
        wanted.eip1559_params or bytes(8),
        encode_operator_fee(info.operator_fee_scalar, info.operator_fee_constant),
    )
    parent_time = wanted.timestamp - 2
    first = info.sequence_number == 0  # of its epoch; none of these has a deposit of a user
    parent_origin = before.ref.id if first else origin.ref.id
    sequence_number = 5 if first else info.sequence_number - 1
    safe = L2BlockRef(b"\x0a" * 32, 77, bytes(32), parent_time, parent_origin, sequence_number)
    genesis = Genesis(
        BlockId(bytes(32), 1), BlockId(bytes(32), 0), parent_time - 154, system_config
    )
    return replace(config, genesis=genesis), system_config, [before, origin], safe


@pytest.mark.parametrize("kind", BATCHES)
@pytest.mark.parametrize("path", BLOCKS, ids=lambda path: path.name.removesuffix(".json.gz"))
def test_a_real_block_is_derived(path: Path, kind: str) -> None:
    """Its transactions go through batch, channel and frame, the rest comes from L1."""
    wanted = PayloadAttributes.from_json(fields(path))
    config, system_config, (before, origin), safe = world(wanted)
    sent = wanted.transactions[1:]
    if kind == "span":
        batch = SpanBatch.from_blocks(
            [SpanBlock(wanted.timestamp, origin.ref.number, sent)],
            parent_hash=safe.hash,
            parent_epoch_number=safe.l1_origin.number,
            l1_origin_hash=origin.ref.hash,
            genesis_time=config.genesis.l2_time,
            chain_id=OP_SEPOLIA,
        ).encode()
    else:
        epoch = origin.ref
        batch = SingularBatch(safe.hash, epoch.number, epoch.hash, wanted.timestamp, sent).encode()
    posted = inbox(post(*channel([batch], b"a")).data, system_config.batcher)
    pipeline = Pipeline(config, before, system_config, safe)

    for block in (origin, l1_child(origin, 12, [posted])):
        assert isinstance(pipeline.step(safe), NeedL1)
        pipeline.add_l1(block)
    found = pipeline.step(safe)

    assert isinstance(found, Attributes)
    assert replace(found.attributes, no_tx_pool=False) == wanted  # it was executed, not derived
