"""JSON-RPC over HTTP/1.1 on loopback: bounded in every direction, deaf to web pages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import h11
import trio

from rollup.engine import gate, jsonrpc
from rollup.engine.errors import METHOD_NOT_FOUND, Failure
from rollup.engine.gate import Gate
from rollup.engine.methods import Methods
from rollup.engine.websocket import WebSocket

HOST: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 2 << 20
ENGINE_BODY_BYTES_MAX: Final = 32 << 20
"""For the authenticated port: a payload holds a whole block."""
REFUSED_BODY_BYTES_MAX: Final = 64 << 10
"""What is read of a request that is not answered, to keep the connection for the next one."""
HEADER_BYTES_MAX: Final = 16 << 10
CONNECTIONS_MAX: Final = 256
SOCKETS_MAX: Final = 64
READ_SECONDS_MAX: Final = 10.0
WRITE_SECONDS_MAX: Final = 30.0
ACCEPT_PAUSE_SECONDS: Final = 0.05
IDLE_SECONDS_MAX: Final = 75.0
LINGER_SECONDS: Final = 1.0
CHUNK_BYTES: Final = 64 << 10
PRIVATE: Final = "openledger_"
"""Methods that drive the chain: hidden from whatever speaks with an origin, that is a browser."""


@dataclass
class Server:
    """Serves `methods` on one listener; a connection over the limit waits in the kernel's queue.

    With `jwt_secret` every request needs a token of that secret, and bodies may be larger; without,
    `origins` names the web pages that are let in besides the user's own browser extensions.
    """

    methods: Methods
    origins: Sequence[str] = ()
    jwt_secret: bytes | None = None
    body_bytes_max: int | None = None
    _room: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(CONNECTIONS_MAX))
    _sockets: trio.CapacityLimiter = field(
        default_factory=lambda: trio.CapacityLimiter(SOCKETS_MAX)
    )

    def __post_init__(self) -> None:
        self._gate = Gate(frozenset(self.origins), self.jwt_secret)
        usual = BODY_BYTES_MAX if self.jwt_secret is None else ENGINE_BODY_BYTES_MAX
        self._body_bytes_max = self.body_bytes_max or usual

    async def serve(self, listener: trio.SocketListener) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                await self._room.acquire()
                try:
                    stream = await listener.accept()
                except OSError:  # the peer is gone already, or descriptors are short for a moment
                    self._room.release()
                    await trio.sleep(ACCEPT_PAUSE_SECONDS)
                    continue
                nursery.start_soon(self._connection, stream)

    async def _connection(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES_MAX)
        try:
            while await self._exchange(stream, connection):
                connection.start_next_cycle()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass
        except* h11.RemoteProtocolError as group:
            status = _first(group).error_status_hint
            with trio.move_on_after(1):
                await _refuse(stream, connection, status)
        finally:
            self._room.release()
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await trio.aclose_forcefully(stream)

    async def _exchange(self, stream: trio.SocketStream, connection: h11.Connection) -> bool:
        """One request and its answer; False when the connection ends."""
        with trio.fail_after(IDLE_SECONDS_MAX):
            request = await _event(stream, connection)
        if not isinstance(request, h11.Request):
            return False
        status = self._gate.judge(request)
        body = bytearray()
        body_bytes_max = self._body_bytes_max if status == gate.CALL else REFUSED_BODY_BYTES_MAX
        with trio.fail_after(READ_SECONDS_MAX):
            while isinstance(event := await _event(stream, connection), h11.Data):
                body += event.data
                if len(body) > body_bytes_max:
                    await _refuse(stream, connection, 413 if status == gate.CALL else status)
                    await _linger(stream)
                    return False
        if isinstance(event, h11.ConnectionClosed):
            return False
        if status == gate.UPGRADE:
            await self._upgrade(stream, connection, request)
            return False
        extra = self._gate.headers(request, status)
        if status == gate.CALL:
            answer = await jsonrpc.answer(partial(self._ask, request), bytes(body))
            await _reply(stream, connection, 200 if answer else 204, answer, extra)
        elif status == gate.PREFLIGHT:
            await _reply(stream, connection, 204, b"", extra)
        else:
            await _refuse(stream, connection, status)
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _upgrade(
        self, stream: trio.SocketStream, connection: h11.Connection, request: h11.Request
    ) -> None:
        try:
            self._sockets.acquire_on_behalf_of_nowait(stream)
        except trio.WouldBlock:
            await _refuse(stream, connection, 503)
            return
        try:
            socket = WebSocket(
                stream, partial(self._ask, request), self.methods.feed, self._body_bytes_max
            )
            trailing, _ = connection.trailing_data
            await socket.run(request.headers.raw_items(), request.target, trailing)
        finally:
            self._sockets.release_on_behalf_of(stream)

    async def _ask(self, request: h11.Request, name: str, params: list[Any]) -> Any:
        if name.startswith(PRIVATE) and gate.origin(request) is not None:
            raise Failure(METHOD_NOT_FOUND, "not offered to browsers")
        return await self.methods.answer(name, params)


async def listen(port: int) -> trio.SocketListener:
    """A loopback listener on `port` (0: any free one). Raises OSError if it is taken.

    trio sets SO_REUSEADDR but not SO_REUSEPORT, so a live listener on the port always refuses us.
    """
    (listener,) = await trio.open_tcp_listeners(port, host=HOST)
    return listener


def _first(group: BaseExceptionGroup[Any]) -> Any:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _event(stream: trio.SocketStream, connection: h11.Connection) -> Any:
    while (event := connection.next_event()) is h11.NEED_DATA:
        if connection.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            await _send(stream, connection.send(go_on))
        connection.receive_data(await stream.receive_some(CHUNK_BYTES))
    return event


async def _reply(
    stream: trio.SocketStream,
    connection: h11.Connection,
    status: int,
    body: bytes,
    extra: Sequence[tuple[str, str]] = (),
) -> None:
    headers = [*extra, ("content-type", "application/json")] if body else [*extra]
    if status != 204:
        headers.append(("content-length", str(len(body))))
    head = connection.send(h11.Response(status_code=status, headers=headers))
    payload = connection.send(h11.Data(data=body)) if body else b""
    end = connection.send(h11.EndOfMessage())
    await _send(stream, (head or b"") + (payload or b"") + (end or b""))


async def _refuse(stream: trio.SocketStream, connection: h11.Connection, status: int) -> None:
    if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
        await _reply(stream, connection, status, b"", [("connection", "close")])


async def _linger(stream: trio.SocketStream) -> None:
    """Take what is still on its way, else a reset overtakes our answer."""
    with trio.move_on_after(LINGER_SECONDS):
        while await stream.receive_some(CHUNK_BYTES):
            pass


async def _send(stream: trio.SocketStream, payload: bytes | None) -> None:
    with trio.fail_after(WRITE_SECONDS_MAX):
        await stream.send_all(payload or b"")
