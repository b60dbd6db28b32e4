"""Channels on their way out: when they close, and that what comes out is what went in."""

from random import Random
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup.channel_out import ChannelOut, ChannelPolicy, OutBlock, cut, encode_channel
from rollup.codec.batch import SingularBatch, decode_batch
from rollup.codec.channel import Channel, read_batches
from rollup.codec.compression import compress
from rollup.codec.frame import parse_frames
from rollup.codec.refs import BlockId, L2BlockRef
from rollup.codec.span import SpanBatch
from tests.derive_world import L1_TIME, genesis_ref, l1_genesis, l2_transaction, make_config

CONFIG = make_config()
PARENT = genesis_ref(CONFIG)


def blocks(count: int, seed: int = 1, size: int = 60, per_block: int = 1) -> list[OutBlock]:
    """Consecutive blocks, a new origin every sixth."""
    random = Random(seed)
    found = []
    parent = PARENT
    for number in range(1, count + 1):
        origin = BlockId(bytes([number // 6]) * 32, CONFIG.genesis.l1.number + number // 6)
        ref = L2BlockRef(
            random.randbytes(32),
            number,
            parent.hash,
            L1_TIME + 2 * number,
            origin if origin.number != 100 else PARENT.l1_origin,
            number % 6,
        )
        sent = [l2_transaction(number, random.randbytes(size)) for _ in range(per_block)]
        found.append(OutBlock(ref, tuple(sent)))
        parent = ref
    return found


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 40),
    frame_bytes=st.integers(50, 3000),
    compression=st.sampled_from(["zlib", "brotli", "smaller"]),
    span=st.booleans(),
)
def test_what_comes_out_is_what_went_in(
    count: int, frame_bytes: int, compression: Literal["zlib", "brotli", "smaller"], span: bool
) -> None:
    policy = ChannelPolicy(frame_bytes=frame_bytes, compression=compression, span=span)
    sent = blocks(count)

    data = encode_channel(CONFIG, policy, PARENT, sent)
    channel = Channel(b"\x07" * 16, l1_genesis().ref)
    for raw in cut(b"\x07" * 16, data, frame_bytes):
        assert len(raw) <= frame_bytes
        for frame in parse_frames(raw):
            channel.add_frame(frame)

    assert channel.ready
    assert channel.data == data
    batches = [decode_batch(raw) for raw in read_batches(channel.data)]
    if span:
        (batch,) = batches
        assert isinstance(batch, SpanBatch)
        assert batch.matches_parent(PARENT.hash)
        assert batch.matches_l1_origin(sent[-1].ref.l1_origin.hash)
        told = [(b.timestamp, b.epoch_number, b.transactions) for b in batch.blocks(CONFIG)]
    else:
        singular = [batch for batch in batches if isinstance(batch, SingularBatch)]
        assert [b.parent_hash for b in singular] == [b.ref.parent_hash for b in sent]
        told = [(b.timestamp, b.epoch_number, b.transactions) for b in singular]
    assert told == [(b.ref.time, b.ref.l1_origin.number, b.transactions) for b in sent]


def test_the_smaller_of_both_streams_is_taken() -> None:
    sent = blocks(30)
    either = [
        encode_channel(CONFIG, ChannelPolicy(compression=name), PARENT, sent)
        for name in ("zlib", "brotli")
    ]

    smaller = encode_channel(CONFIG, ChannelPolicy(compression="smaller"), PARENT, sent)

    assert smaller == min(either, key=len)


def test_a_channel_is_full_near_its_target() -> None:
    """Estimated by zlib: a quarter off at most, for data that nothing compresses."""
    policy = ChannelPolicy(target_bytes=20_000)
    channel = ChannelOut(CONFIG, policy, PARENT, 100)
    for block in blocks(500, size=200):
        channel.add(block)
        if channel.full:
            break

    size = len(encode_channel(CONFIG, policy, PARENT, channel.blocks))
    assert 15_000 < size < 25_000


def test_many_empty_blocks_do_not_fill_a_channel_early() -> None:
    channel = ChannelOut(CONFIG, ChannelPolicy(), PARENT, 100)
    for block in blocks(1000, per_block=0):
        channel.add(block)

    assert not channel.full


def test_a_channel_is_due_by_its_age_or_by_the_window() -> None:
    policy = ChannelPolicy(duration=5, window_margin=20)
    channel = ChannelOut(CONFIG, policy, PARENT, 170)
    assert not channel.is_due(10_000)  # nothing in it
    channel.add(blocks(1)[0])

    window_ends = CONFIG.genesis.l1.number + CONFIG.seq_window_size
    assert window_ends == 200
    assert not channel.is_due(174)
    assert channel.is_due(175)  # five L1 blocks old
    assert ChannelPolicy(duration=1000).window_margin == 20
    late = ChannelOut(CONFIG, ChannelPolicy(duration=1000), PARENT, 170)
    late.add(blocks(1)[0])
    assert not late.is_due(179)
    assert late.is_due(180)  # twenty before the window's end


def test_blocks_must_be_a_chain() -> None:
    channel = ChannelOut(CONFIG, ChannelPolicy(), PARENT, 100)
    with pytest.raises(AssertionError):
        channel.add(blocks(2)[1])


def test_a_frame_never_holds_more_than_a_reader_takes() -> None:
    data = compress(Random(1).randbytes(1_200_000), "zlib")

    frames = [f for raw in cut(bytes(16), data, 10_000_000) for f in parse_frames(raw)]

    assert [len(f.data) for f in frames] == [1_000_000, len(data) - 1_000_000]
    assert [f.is_last for f in frames] == [False, True]
