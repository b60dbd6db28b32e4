"""Batches of real chains and of other implementations."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import Malformed
from rollup.codec import strict
from rollup.codec.batch import SingularBatch, decode_batch
from rollup.codec.channel import Channel, read_batches
from rollup.codec.compression import decompress
from rollup.codec.frame import parse_frames
from rollup.codec.refs import L1BlockRef
from rollup.codec.span import SpanBatch, SpanBlock
from rollup.codec.span_transaction import SpanTransaction

VECTORS = Path(__file__).parent / "op-stack" / "batches"
OPENED = L1BlockRef(bytes(32), 0, bytes(32), 0)
MAINNET = (1_686_789_347, 2, 10)  # genesis time, block time, chain id of OP Mainnet
HILDR_CHAIN = 697


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def channel_data(calldata: bytes) -> bytes:
    """What the frames of one batcher transaction carry, which must be a whole channel."""
    frames = parse_frames(calldata)
    channel = Channel(frames[0].channel_id, OPENED)
    for frame in frames:
        channel.add_frame(frame)
    return channel.data


def test_goerli_calldata_holds_six_singular_batches() -> None:
    vector = load("goerli_batcher_calldata")
    calldata, expect = bytes.fromhex(vector["calldata"]), vector["expect"]
    frames = parse_frames(calldata)
    batches = [decode_batch(raw) for raw in read_batches(channel_data(calldata))]

    assert len(frames) == expect["frames"]
    assert int.from_bytes(frames[0].channel_id, "big") == expect["channel_id_int"]
    assert len(frames[0].data) == expect["frame_bytes"]
    assert frames[0].is_last == expect["is_last"]
    assert all(isinstance(batch, SingularBatch) for batch in batches)
    assert len(batches) == expect["singular_batches"]
    assert sum(len(b.transactions) for b in batches) == expect["transactions"]
    assert [b.encode() for b in batches] == list(read_batches(channel_data(calldata)))


def test_a_mainnet_transaction_holds_a_span_batch() -> None:
    """Its zlib stream is flushed, not closed."""
    vector = load("mainnet_batcher_tx")
    raw, expect = bytes.fromhex(vector["transaction"]), vector["expect"]
    fields = strict.as_list(strict.decode(raw[1:]))
    calldata = strict.as_bytes(fields[7])
    (encoded,) = read_batches(channel_data(calldata))
    batch = decode_batch(encoded)
    assert isinstance(batch, SpanBatch)
    blocks = list(batch.expand(*MAINNET))

    assert strict.as_bytes(fields[5]) == bytes.fromhex(expect["to"][2:])
    assert len(calldata) == expect["calldata_bytes"]
    assert len(parse_frames(calldata)) == expect["frames"]
    assert strict.encode(encoded) == decompress(channel_data(calldata))
    assert batch.encode() == encoded
    assert respan(batch, blocks, MAINNET[0], MAINNET[2]) == batch


def test_a_raw_span_batch_decodes_and_encodes_to_itself() -> None:
    raw = b"\1" + bytes.fromhex(load("span_batch_raw")["raw"])

    assert SpanBatch.decode(raw).encode() == raw


@pytest.mark.parametrize("chain_id", [10, 420, 11_155_420])
def test_blocks_of_a_span_batch_make_the_same_batch(chain_id: int) -> None:
    """On any chain: only there the transactions are others."""
    batch = SpanBatch.decode(b"\1" + bytes.fromhex(load("span_batch_raw")["raw"]))
    blocks = list(batch.expand(1_686_068_903, 2, chain_id))

    assert respan(batch, blocks, 1_686_068_903, chain_id) == batch


@pytest.mark.parametrize("kind", ["acc", "dyn", "legacy", "unprotected"])
def test_transactions_come_out_of_a_span_batch_unchanged(kind: str) -> None:
    transactions = tuple(
        bytes.fromhex(raw) for raw in load(f"span_transactions_{kind}")["transactions"]
    )
    blocks = [
        SpanBlock(1000, 7, transactions[:10]),
        SpanBlock(1002, 7, ()),
        SpanBlock(1004, 8, transactions[10:]),
    ]
    batch = SpanBatch.from_blocks(
        blocks,
        parent_hash=bytes(32),
        parent_epoch_number=6,
        l1_origin_hash=bytes(32),
        genesis_time=900,
        chain_id=HILDR_CHAIN,
    )
    again = decode_batch(batch.encode())

    assert isinstance(again, SpanBatch)
    assert list(again.expand(900, 2, HILDR_CHAIN)) == blocks
    assert again.origin_bits == (True, False, True)
    for raw in transactions:
        parts = SpanTransaction.split(raw, HILDR_CHAIN)
        assert parts.protected == (kind != "unprotected")
        if parts.protected:
            with pytest.raises(Malformed):
                SpanTransaction.split(raw, 10)


def respan(
    batch: SpanBatch, blocks: list[SpanBlock], genesis_time: int, chain_id: int
) -> SpanBatch:
    return SpanBatch.from_blocks(
        blocks,
        parent_hash=batch.parent_check,
        parent_epoch_number=blocks[0].epoch_number - batch.origin_bits[0],
        l1_origin_hash=batch.l1_origin_check,
        genesis_time=genesis_time,
        chain_id=chain_id,
    )
