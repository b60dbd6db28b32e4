"""Channels: frames in order, streams that are whole, cut, corrupt, too long or too large."""

import tracemalloc
import zlib
from hashlib import sha256

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from rollup.codec.channel import FRAME_SIZE_OVERHEAD, Channel, read_batches, write_batches
from rollup.codec.compression import (
    MAX_RLP_BYTES,
    PIECE_BYTES,
    Algorithm,
    compress,
    decompress,
    inflate,
)
from rollup.codec.frame import Frame
from rollup.codec.refs import L1BlockRef
from rollup.codec.strict import encode
from tests.rollup_batches import flipped

ID = bytes(range(16))
OPENED = L1BlockRef(bytes(32), 100, bytes(32), 1200)
ALGORITHMS: tuple[Algorithm, ...] = ("zlib", "brotli")
algorithms = st.sampled_from(ALGORITHMS)
batch_lists = st.lists(st.binary(max_size=100), min_size=1, max_size=8)


def until_broken(data: bytes, limit: int = MAX_RLP_BYTES) -> tuple[list[bytes], bool]:
    """The batches that come, and whether an error came after them."""
    found = []
    try:
        for batch in read_batches(data, limit):
            found.append(batch)
    except Malformed:
        return found, True
    return found, False


@given(batch_lists, algorithms)
def test_batches_come_out_of_a_channel_as_they_went_in(
    batches: list[bytes], algorithm: Algorithm
) -> None:
    assert list(read_batches(compress(write_batches(batches), algorithm))) == batches


@given(batch_lists, algorithms, st.data())
def test_a_cut_channel_gives_the_batches_before_the_cut(
    batches: list[bytes], algorithm: Algorithm, data: st.DataObject
) -> None:
    wire = compress(write_batches(batches), algorithm)
    found, _ = until_broken(wire[: data.draw(st.integers(0, len(wire)))])

    assert found == batches[: len(found)]


@given(batch_lists, algorithms, st.data())
def test_a_corrupt_channel_ends_or_is_malformed(
    batches: list[bytes], algorithm: Algorithm, data: st.DataObject
) -> None:
    until_broken(flipped(compress(write_batches(batches), algorithm), data))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_channel_or_malformed(wire: bytes) -> None:
    until_broken(wire)
    until_broken(b"\x78\x9c" + wire)
    until_broken(b"\1" + wire)


@given(batch_lists, st.binary(max_size=20))
def test_what_follows_the_end_of_a_stream_is_ignored(batches: list[bytes], tail: bytes) -> None:
    for algorithm in ALGORITHMS:
        wire = compress(write_batches(batches), algorithm)
        assert until_broken(wire + tail) == (batches, False)


@given(batch_lists)
def test_batches_before_a_wrong_checksum_count(batches: list[bytes]) -> None:
    wire = compress(write_batches(batches), "zlib")
    wrong = wire[:-1] + bytes((wire[-1] ^ 1,))

    assert until_broken(wrong) == (batches, True)


@given(batch_lists, st.integers(0, 5000))
def test_batches_before_corrupt_bytes_count(batches: list[bytes], more: int) -> None:
    batches = [*batches, b"\1" * more]
    deflate = zlib.compressobj()
    wire = deflate.compress(write_batches(batches)) + deflate.flush(zlib.Z_SYNC_FLUSH)

    assert until_broken(wire) == (batches, False)  # batchers flush, and never close
    assert until_broken(wire + b"\xff" * 9) == (batches, True)  # block of the reserved type

    squeeze = brotli.Compressor(quality=3)
    wire = b"\1" + squeeze.process(write_batches(batches)) + squeeze.flush()

    assert until_broken(wire) == (batches, False)
    assert until_broken(wire + b"\xff" * 9) == (batches, True)


def test_an_error_takes_no_more_than_its_byte_with_it() -> None:
    """The same far inside a stream, where it is read in large pieces; nothing comes twice."""
    batches = [sha256(bytes((i % 251, i // 251))).digest() for i in range(800)]
    deflate = zlib.compressobj(level=0)
    wire = deflate.compress(write_batches(batches)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    assert len(wire) > 5 * PIECE_BYTES
    assert until_broken(wire + b"\xff" * 9) == (batches, True)

    squeeze = brotli.Compressor(quality=1)
    wire = b"\1" + squeeze.process(write_batches(batches)) + squeeze.flush()
    assert len(wire) > 5 * PIECE_BYTES
    assert until_broken(wire + b"\xff" * 9) == (batches, True)


@pytest.mark.parametrize(
    ("head", "count"),
    [
        ("c0", 0),
        ("8100", 0),
        ("b80141", 0),
        ("b837" + "41" * 55, 0),
        ("b90038" + "41" * 56, 0),
        ("b8", 0),
        ("b900", 0),
        ("82aa", 0),
        ("05c0", 1),
    ],
)
def test_what_is_no_rlp_string_ends_a_channel(head: str, count: int) -> None:
    wire = compress(encode(b"first") + bytes.fromhex(head), "zlib")
    found, broken = until_broken(wire)

    assert broken
    assert found == [b"first", b"\5"][: 1 + count]


@pytest.mark.parametrize("wire", ["", "00", "02", "79", "8f00", "7f00", "0b"])
def test_an_unknown_compression_is_malformed(wire: str) -> None:
    with pytest.raises(Malformed):
        list(read_batches(bytes.fromhex(wire)))


def test_brotli_came_with_fjord() -> None:
    wire = compress(write_batches([b"batch"]), "brotli")

    assert decompress(wire) == encode(b"batch")
    with pytest.raises(Malformed):
        decompress(wire, brotli_allowed=False)


@given(batch_lists, algorithms, st.data())
def test_batches_count_as_far_as_the_limit_goes(
    batches: list[bytes], algorithm: Algorithm, data: st.DataObject
) -> None:
    plain = write_batches(batches)
    limit = data.draw(st.integers(1, len(plain)))
    wire = compress(plain, algorithm)
    found, broken = until_broken(wire, limit)

    assert decompress(wire, limit) == plain[:limit]
    assert found == batches[: len(found)]
    assert broken == (len(write_batches(found)) != limit)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_bomb_takes_no_more_memory_than_its_bound(algorithm: Algorithm) -> None:
    size, limit = 300_000_000, 5_000_000
    if algorithm == "zlib":
        bomb = zlib.compress(bytes(size), 1)
    else:
        bomb = b"\1" + brotli.compress(bytes(size), quality=1)
    tracemalloc.start()
    seen = sum(len(piece) for piece in inflate(bomb, limit))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert seen == limit
    assert peak < 20_000_000


def test_a_batch_that_says_more_than_the_limit_is_refused_at_its_head() -> None:
    head = b"\xba" + (1_000_000).to_bytes(3, "big")
    pieces = compress(head + bytes(100), "zlib")

    assert until_broken(pieces, 1_000_003) == ([], True)
    exact = compress(encode(bytes(1_000_000)), "zlib")
    assert until_broken(exact, 1_000_004) == ([bytes(1_000_000)], False)
    assert until_broken(exact, 1_000_003) == ([], True)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=6))
def test_frames_make_a_channel_in_their_order(parts: list[bytes]) -> None:
    channel = Channel(ID, OPENED)
    for number, part in enumerate(parts):
        assert not channel.ready
        channel.add_frame(Frame(ID, number, part, number == len(parts) - 1))

    assert channel.ready
    assert channel.data == b"".join(parts)
    assert channel.size == len(channel.data) + FRAME_SIZE_OVERHEAD * len(parts)


@pytest.mark.parametrize(
    "wrong",
    [
        Frame(ID, 0, b"again", False),
        Frame(ID, 2, b"ahead", False),
        Frame(ID, 2, b"end ahead", True),
        Frame(bytes(16), 1, b"of another channel", False),
    ],
)
def test_a_frame_out_of_order_leaves_the_channel_as_it_is(wrong: Frame) -> None:
    channel = Channel(ID, OPENED)
    channel.add_frame(Frame(ID, 0, b"a", False))

    with pytest.raises(Malformed):
        channel.add_frame(wrong)
    channel.add_frame(Frame(ID, 1, b"b", True))
    assert channel.data == b"ab"
    with pytest.raises(Malformed):
        channel.add_frame(Frame(ID, 2, b"c", False))


def test_a_channel_times_out_after_its_last_block() -> None:
    channel = Channel(ID, OPENED)

    assert not channel.timed_out(150, 50)
    assert channel.timed_out(151, 50)


def test_a_channel_is_oversized_past_the_bound_of_its_plain_data() -> None:
    channel = Channel(ID, OPENED)
    full, over = divmod(MAX_RLP_BYTES, 1_000_000 + FRAME_SIZE_OVERHEAD)
    for number in range(full):
        channel.add_frame(Frame(ID, number, bytes(1_000_000), False))
    channel.add_frame(Frame(ID, full, bytes(over - FRAME_SIZE_OVERHEAD), False))

    assert channel.size == MAX_RLP_BYTES
    assert not channel.oversized
    channel.add_frame(Frame(ID, full + 1, b"", True))
    assert channel.oversized
