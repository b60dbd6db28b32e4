"""Framed reads and writes on one libp2p stream, and the one place where its errors become ours."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID

from p2p.guard import reset
from protocol.errors import Malformed, NodeError, Temporary

SIZE_BYTES = 4  # a frame = size u32 ++ bytes
READ_BYTES = 64 * 1024


@asynccontextmanager
async def open_stream(
    host: IHost, peer: bytes, protocols: Sequence[str], seconds: float
) -> AsyncIterator[INetStream]:
    """A stream to `peer` that lives at most `seconds`; every failure is `Temporary`."""
    stream = None
    try:
        with trio.fail_after(seconds):
            stream = await host.new_stream(ID(peer), [TProtocol(name) for name in protocols])
            yield stream
            await stream.close()
    except BaseException as error:
        if stream is not None:
            with trio.CancelScope(shield=True):
                await reset(stream)
        if isinstance(error, trio.TooSlowError):
            raise Temporary(f"the peer did not answer within {seconds:g} s") from error
        if isinstance(error, NodeError) or not isinstance(error, Exception):
            raise
        # libp2p raises some twenty unrelated classes for one fact: the peer is not there.
        raise Temporary(f"the stream failed: {error!r}") from error


async def read_exactly(stream: INetStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            piece = await stream.read(min(size - len(data), READ_BYTES))
        except Exception as error:  # see open_stream
            raise Temporary(f"the stream failed: {error!r}") from error
        if not piece:
            raise Temporary(f"the stream ended after {len(data)} of {size} bytes")
        data += piece
    return bytes(data)


async def read_to_end(stream: INetStream, limit: int) -> bytes:
    """All until the other side closes; `Malformed` as soon as it is more than `limit` bytes."""
    data = bytearray()
    while True:
        try:
            piece = await stream.read(READ_BYTES)
        except StreamEOF:
            return bytes(data)
        except Exception as error:  # see open_stream
            raise Temporary(f"the stream failed: {error!r}") from error
        if not piece:
            return bytes(data)
        data += piece
        if len(data) > limit:
            raise Malformed(f"an answer over {limit} bytes")


async def read_frame(stream: INetStream, limit: int) -> bytes:
    """`Malformed` if the frame announces more than `limit` bytes; nothing is allocated before."""
    size = int.from_bytes(await read_exactly(stream, SIZE_BYTES), "big")
    if size > limit:
        raise Malformed(f"a frame of {size} bytes, limit is {limit}")
    return await read_exactly(stream, size)


async def write_frame(stream: INetStream, data: bytes) -> None:
    await stream.write(len(data).to_bytes(SIZE_BYTES, "big") + data)
