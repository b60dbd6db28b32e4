"""Compression of channels: a zlib stream, or since Fjord the byte 0x01 and a brotli stream.

Decompression streams and stops at its bound, so that no bomb takes more memory than that.

https://specs.optimism.io/protocol/fjord/derivation.html#brotli-channel-compression
"""

import zlib
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import brotli

from protocol.codec import require
from protocol.errors import Malformed

MAX_RLP_BYTES: Final = 100_000_000  # of decompressed data per channel, since Fjord
MAX_RLP_BYTES_BEDROCK: Final = 10_000_000
PIECE_BYTES: Final = 4096  # of input at once; deflate makes at most 1032 times as much of it
OUTPUT_BYTES: Final = 1 << 20  # of brotli's output at once, where a piece knows no such bound
BROTLI_VERSION: Final = 1
BROTLI_QUALITY: Final = 10  # as op-batcher's default algorithm, brotli-10
ZLIB_LEVEL: Final = 9

Algorithm: TypeAlias = Literal["zlib", "brotli"]


def compress(data: bytes, algorithm: Algorithm = "brotli") -> bytes:
    """What `decompress` reads."""
    if algorithm == "zlib":
        return zlib.compress(data, ZLIB_LEVEL)
    stream: bytes = brotli.compress(data, quality=BROTLI_QUALITY)
    return bytes((BROTLI_VERSION,)) + stream


def decompress(data: bytes, limit: int = MAX_RLP_BYTES, brotli_allowed: bool = True) -> bytes:
    """The first `limit` bytes of a channel; `Malformed` if its stream is corrupt before those."""
    return b"".join(inflate(data, limit, brotli_allowed))


def inflate(
    data: bytes, limit: int = MAX_RLP_BYTES, brotli_allowed: bool = True
) -> Iterator[bytes]:
    """The decompressed bytes of a channel, piece by piece.

    What lies beyond `limit` is as if it were not there, and so is what follows the end of the
    stream.  A stream need not have an end: batchers flush, and cut what closes it (see the mainnet
    transaction in tests/vectors).  Where it is corrupt, what was readable before comes first and
    then `Malformed`: op-node reads lazily too, and keeps the batches that were whole
    (derive/channel.go, BatchReader).  To the byte of compressed input; clients differ there.
    """
    require(bool(data), "empty channel")
    if data[0] & 0x0F in (8, 15):  # 15 goes on to fail in zlib, as it does in op-node
        pieces = _inflate_zlib(data)
    else:
        require(data[0] == BROTLI_VERSION, f"channel of compression {data[0]}")
        require(brotli_allowed, "brotli before Fjord")
        pieces = _inflate_brotli(data[1:])
    left = limit
    for piece in pieces:
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def _inflate_zlib(data: bytes) -> Iterator[bytes]:
    stream = zlib.decompressobj()
    for at in range(0, len(data), PIECE_BYTES):
        before, piece = stream.copy(), data[at : at + PIECE_BYTES]
        try:
            output = stream.decompress(piece)
        except zlib.error:
            break
        yield output
        if stream.eof:
            return
    else:
        return
    for byte in piece:  # an error takes the whole output of its piece with it: again, smaller
        try:
            output = before.decompress(bytes((byte,)))
        except zlib.error as error:
            raise Malformed(f"zlib stream: {error}") from None
        yield output


def _inflate_brotli(data: bytes) -> Iterator[bytes]:
    done, careful_from = 0, len(data)
    for _ in range(2):  # the second time byte by byte near the error, as above
        start = seen = 0
        try:
            for at, output in _feed(data, careful_from):
                start = at
                seen += len(output)
                if seen > done:
                    yield output[done - seen :]
                    done = seen
            return
        except brotli.error:
            careful_from = start
    raise Malformed("broken brotli stream")


def _feed(data: bytes, careful_from: int) -> Iterator[tuple[int, bytes]]:
    """Where a piece of input starts, and some of its output."""
    stream = brotli.Decompressor()
    at = 0
    while at < len(data):
        size = PIECE_BYTES if at < careful_from else 1
        yield at, stream.process(data[at : at + size], output_buffer_limit=OUTPUT_BYTES)
        while not stream.is_finished() and not stream.can_accept_more_data():
            yield at, stream.process(b"", output_buffer_limit=OUTPUT_BYTES)
        if stream.is_finished():
            return
        at += size
