"""Blocks by number between OP Stack nodes, to fill the gaps of gossip; payloads stay opaque.

/opstack/req/payload_by_number/<chain id>/0, one stream per request:
request = number u64 LE, then the asker closes his side
answer  = code u8 ++ version u32 LE ++ snappy frames of the payload; without the rest if code > 0
Source: op-node's p2p/sync.go.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, cast

import cramjam
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.stream.net_stream import NetStream

from p2p.block_topics import BLOCK_BYTES_MAX
from p2p.guard import close, reset
from p2p.host import Host
from p2p.limits import Buckets, Rate
from p2p.peers import READ_SECONDS, WRITE_SECONDS, Busy
from p2p.score import Offence
from p2p.standing import Standing
from p2p.stream import open_stream, read_exactly, read_to_end
from protocol.errors import Malformed, NodeError, Refused, Temporary

FOUND, NOT_FOUND, INVALID, FAILED = 0, 1, 2, 3
NUMBER_BYTES: Final = 8
HEAD_BYTES: Final = 5
REQUEST_RATE: Final = Rate(per_second=4.0, burst=15.0)  # of one peer, as op-node grants it
TOTAL_RATE: Final = Rate(per_second=20.0, burst=40.0)
ASK_SECONDS: Final = 20.0
STREAM_IDENTIFIER: Final = b"\xff\x06\x00\x00sNaPpY"

Serve = Callable[[int], Awaitable[tuple[int, bytes] | None]]
log = logging.getLogger(__name__)


def protocol_name(chain_id: int) -> str:
    return f"/opstack/req/payload_by_number/{chain_id}/0"


def encode_answer(version: int, payload: bytes) -> bytes:
    frames = bytes(cramjam.snappy.compress(payload))
    return bytes([FOUND]) + version.to_bytes(4, "little") + frames


def decode_answer(data: bytes) -> tuple[int, bytes]:
    """Version and payload. `Refused` if the peer has no such block, `Busy`, `Malformed`."""
    code = data[0] if data else INVALID + 2
    if code == NOT_FOUND:
        raise Refused("the peer does not have this block")
    if code == INVALID:
        raise Refused("the peer says that there is no such number")
    if code == FAILED:
        raise Busy("the peer could not serve the block")
    if code != FOUND or len(data) < HEAD_BYTES:
        raise Malformed("an answer of no known form")
    return int.from_bytes(data[1:HEAD_BYTES], "little"), _unframed(data[HEAD_BYTES:])


class Payloads:
    """Answers with what `serve(number)` gives, (version, payload) or None, and asks peers.

    A version is 0 for a payload alone, 1 for one behind its parent beacon block root.
    """

    def __init__(self, chain_id: int, serve: Serve, standing: Standing) -> None:
        self.protocol = protocol_name(chain_id)
        self._serve = serve
        self._standing = standing
        self._buckets, self._total = Buckets(REQUEST_RATE), Buckets(TOTAL_RATE)
        self._host: Host | None = None

    def attach(self, host: Host) -> None:
        self._host = host
        host.host.set_stream_handler(TProtocol(self.protocol), self._answer)

    async def request(self, peer: bytes, number: int) -> tuple[int, bytes]:
        """Version and payload that `peer` gives for a number; the caller checks what it says.

        `Temporary` if he is away or slow, `Refused` if he has it not, `Malformed`, and a lower
        score, if his answer breaks the format.
        """
        if self._host is None:
            raise Temporary("the network is not up yet")
        async with open_stream(self._host.host, peer, [self.protocol], ASK_SECONDS) as stream:
            await stream.write(number.to_bytes(NUMBER_BYTES, "little"))
            await cast(NetStream, stream).close_write()
            data = await read_to_end(stream, BLOCK_BYTES_MAX)
            try:
                return decode_answer(data)
            except Malformed:
                self._standing.blame(peer, Offence.BAD_ANSWER)
                raise

    async def _answer(self, stream: INetStream) -> None:
        peer, now = bytes(stream.muxed_conn.peer_id.to_bytes()), trio.current_time()
        if self._buckets.take(peer, now) and self._total.take(b"", now):
            answer = await self._found(stream)
        else:
            self._standing.count("payload:over_rate")
            answer = bytes([FAILED])
        with trio.move_on_after(WRITE_SECONDS):
            try:
                await stream.write(answer)
                await close(stream)
                return
            except Exception as error:  # the peer is gone: libp2p has many classes for it
                log.debug("an answer was not taken: %r", error)
        await reset(stream)

    async def _found(self, stream: INetStream) -> bytes:
        try:
            with trio.fail_after(READ_SECONDS):
                number = int.from_bytes(await read_exactly(stream, NUMBER_BYTES), "little")
            with trio.fail_after(ASK_SECONDS):
                found = await self._serve(number)
        except Refused:
            return bytes([INVALID])
        except (NodeError, trio.TooSlowError):
            return bytes([FAILED])
        self._standing.count("payload:missing" if found is None else "payload:served")
        return bytes([NOT_FOUND]) if found is None else encode_answer(*found)


def _unframed(frames: bytes) -> bytes:
    """Snappy's framing undone chunk by chunk (at most 64 KiB each), so that a bomb is noticed."""
    if not frames.startswith(STREAM_IDENTIFIER):
        raise Malformed("no snappy stream")
    out, at = bytearray(), len(STREAM_IDENTIFIER)
    while at < len(frames):
        end = at + 4 + int.from_bytes(frames[at + 1 : at + 4], "little")
        try:
            out += cramjam.snappy.decompress(STREAM_IDENTIFIER + frames[at:end])
        except cramjam.DecompressionError as error:
            raise Malformed(f"a broken snappy stream: {error}") from None
        if end > len(frames) or len(out) > BLOCK_BYTES_MAX:
            raise Malformed("a snappy stream that is cut or over its limit")
        at = end
    return bytes(out)
