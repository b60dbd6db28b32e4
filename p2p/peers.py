"""The Peers port: one request, one answer, on a stream of its own, with a bound on everything."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol

from p2p.guard import close, reset
from p2p.host import Host
from p2p.limits import Buckets, Rate
from p2p.score import Offence
from p2p.standing import Standing
from p2p.stream import open_stream, read_exactly, read_frame, write_frame
from protocol.errors import Malformed, Refused, Temporary

REQUEST_BYTES_MAX = 64 * 1024  # unless `serve` says otherwise
ANSWER_BYTES_MAX = 2 * 1024 * 1024
REASON_BYTES_MAX = 512
READ_SECONDS = 10.0  # a request has arrived whole by then, or its stream is reaped
HANDLE_SECONDS = 30.0
WRITE_SECONDS = 20.0
CONCURRENT_PER_PEER_MAX = 16  # requests of one peer being answered
CONCURRENT_MAX = 128
REQUEST_RATE = Rate(per_second=50.0, burst=200.0)  # of one peer; unregistered ones share one
OK, REFUSED, BUSY = 0, 1, 2  # answer = status u8 ++ frame; the frame of a failure is its reason

Answerer = Callable[[bytes, bytes], Awaitable[bytes]]
log = logging.getLogger(__name__)


class Busy(Temporary):
    """The peer is there and honest, and has no time for us now."""


@dataclass(frozen=True, slots=True)
class _Service:
    answer: Answerer
    request_max: int


class Peers:
    """Requests to others and answers to them; `allowed` says who is registered on chain."""

    def __init__(self, standing: Standing, allowed: Callable[[bytes], bool]) -> None:
        self._standing = standing
        self._allowed = allowed
        self._services: dict[str, _Service] = {}
        self._buckets = Buckets(REQUEST_RATE)
        self._active: Counter[bytes] = Counter()
        self._host: Host | None = None
        self.reach: Callable[[bytes], Awaitable[None]] | None = None  # dials one peer

    def attach(self, host: Host) -> None:
        """From here on requests travel."""
        self._host = host
        for protocol in self._services:
            self._listen(host, protocol)

    def serve(
        self, protocol: str, answer: Answerer, *, request_max: int = REQUEST_BYTES_MAX
    ) -> None:
        """Answer `protocol` with `await answer(peer id, request)`.

        `Refused` and `Temporary` raised there reach the peer as such, `Malformed` lowers his score.
        """
        self._services[protocol] = _Service(answer, request_max)
        if self._host is not None:
            self._listen(self._host, protocol)

    def connected(self) -> list[bytes]:
        """Ids of the peers with an open connection, in byte order."""
        if self._host is None:
            return []
        network = self._host.network
        return sorted(
            bytes(peer.to_bytes())
            for peer, connections in network.connections.items()
            if any(not connection.is_closed for connection in connections)
        )

    async def request(
        self, peer_id: bytes, protocol: str, payload: bytes, *, answer_max: int, deadline: float
    ) -> bytes:
        """The answer of `peer_id` within `deadline` seconds and `answer_max` bytes.

        `Temporary` if he is away, slow or busy (`Busy`); `Refused` with his reason if he declines;
        `Malformed`, and a lower score, if his answer breaks the format.
        """
        if self._host is None:
            raise Temporary("the network is not up yet")
        if peer_id == self._host.peer:
            if protocol not in self._services:
                raise Refused(f"this node does not serve {protocol}")
            return await self._services[protocol].answer(peer_id, payload)
        with trio.move_on_after(deadline):
            if self.reach is not None and peer_id not in self.connected():
                await self.reach(peer_id)
            return await self._exchange(
                self._host, peer_id, protocol, payload, answer_max, deadline
            )
        raise Temporary(f"no answer within {deadline:g} s")

    async def _exchange(
        self,
        host: Host,
        peer: bytes,
        protocol: str,
        payload: bytes,
        answer_max: int,
        seconds: float,
    ) -> bytes:
        async with open_stream(host.host, peer, [protocol], seconds) as stream:
            await write_frame(stream, payload)
            try:
                status = (await read_exactly(stream, 1))[0]
                limit = answer_max if status == OK else REASON_BYTES_MAX
                answer = await read_frame(stream, limit)
                if status not in (OK, REFUSED, BUSY):
                    raise Malformed(f"an answer of status {status}")
            except Malformed:
                self._standing.blame(peer, Offence.BAD_ANSWER)
                raise
        if status == OK:
            return answer
        reason = answer.decode(errors="replace")
        raise Refused(reason) if status == REFUSED else Busy(reason)

    def _listen(self, host: Host, protocol: str) -> None:
        answer = partial(self._answer, self._services[protocol])
        host.host.set_stream_handler(TProtocol(protocol), answer)

    async def _answer(self, service: _Service, stream: INetStream) -> None:
        peer = bytes(stream.muxed_conn.peer_id.to_bytes())
        known = self._allowed(peer)
        if not self._buckets.take(peer if known else b"", trio.current_time()):
            if known:
                self._standing.blame(peer, Offence.FLOOD)
            await self._reply(stream, BUSY, b"too many requests")
            return
        if self._active[peer] >= CONCURRENT_PER_PEER_MAX or self._active.total() >= CONCURRENT_MAX:
            await self._reply(stream, BUSY, b"too many requests at a time")
            return
        self._active[peer] += 1
        try:
            await self._reply(stream, *await self._handle(service, peer, stream))
        finally:
            self._active[peer] -= 1
            if not self._active[peer]:
                del self._active[peer]

    async def _handle(
        self, service: _Service, peer: bytes, stream: INetStream
    ) -> tuple[int, bytes]:
        try:
            with trio.fail_after(READ_SECONDS):
                request = await read_frame(stream, service.request_max)
            with trio.fail_after(HANDLE_SECONDS):
                return OK, await service.answer(peer, request)
        except Malformed as error:
            self._standing.blame(peer, Offence.MALFORMED)
            return REFUSED, str(error).encode()
        except Refused as error:
            return REFUSED, str(error).encode()
        except Temporary as error:
            return BUSY, str(error).encode()
        except trio.TooSlowError:
            self._standing.count("request_too_slow")
            return BUSY, b"too slow"
        except Exception as error:
            # A stranger must not be able to end the node by finding a bug in an answer.
            self._standing.count(f"bug:answer:{type(error).__name__}")
            log.exception("an answer raised")
            return BUSY, b"internal error"

    async def _reply(self, stream: INetStream, status: int, body: bytes) -> None:
        """Best effort: who does not read his answer loses it."""
        if status != OK:
            body = body[:REASON_BYTES_MAX]
        with trio.move_on_after(WRITE_SECONDS):
            try:
                await stream.write(bytes([status]) + len(body).to_bytes(4, "big") + body)
                await close(stream)
                return
            except Exception as error:
                log.debug("an answer was not taken: %r", error)
        await reset(stream)
