"""JSON-RPC over HTTP/1.1 on loopback: bounded in every direction, deaf to web pages."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import h11
import trio

from rollup.engine.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, Failure
from rollup.engine.methods import PARAMS_MAX, Methods

HOST: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 2 << 20
HEADER_BYTES_MAX: Final = 16 << 10
BATCH_MAX: Final = 128
ANSWER_BYTES_MAX: Final = 64 << 20
CONNECTIONS_MAX: Final = 256
READ_SECONDS_MAX: Final = 10.0
WRITE_SECONDS_MAX: Final = 30.0
ACCEPT_PAUSE_SECONDS: Final = 0.05
IDLE_SECONDS_MAX: Final = 75.0
DEPTH_MAX: Final = 32
STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
BRACKET: Final = re.compile(rb"[\[\]{}]")
CHUNK_BYTES: Final = 64 << 10
HOSTS_ALLOWED: Final = ("127.0.0.1", "localhost", "[::1]")


@dataclass
class Server:
    """Serves `methods` on one listener; a connection over the limit waits in the kernel's queue.

    A page in a browser on this machine must not drive the chain: the media type must be JSON,
    which a page cannot send across origins unasked, and the host must be a loopback name, which
    defeats DNS rebinding.
    """

    methods: Methods
    _room: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(CONNECTIONS_MAX))

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
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass
        except h11.RemoteProtocolError as error:
            with trio.move_on_after(1):
                await _refuse(stream, connection, error.error_status_hint)
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
        status = _status(request)
        body = b""
        with trio.fail_after(READ_SECONDS_MAX):
            while isinstance(event := await _event(stream, connection), h11.Data):
                body += event.data
                if len(body) > BODY_BYTES_MAX:
                    await _refuse(stream, connection, 413)
                    return False
        if isinstance(event, h11.ConnectionClosed):
            return False
        if status != 200:
            await _refuse(stream, connection, status)
            return connection.our_state is h11.DONE and connection.their_state is h11.DONE
        answer = await self.handle(body)
        await _reply(stream, connection, 200 if answer else 204, answer)
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def handle(self, body: bytes) -> bytes:
        """The answer to one JSON-RPC body, which may be a batch; empty if nothing was asked."""
        try:
            if _too_deep(body):
                raise ValueError("nested too deeply")
            value = json.loads(body)
        except (ValueError, RecursionError):
            return _encode(_error(None, Failure(PARSE_ERROR, "parse error")))
        if isinstance(value, dict):
            answer = await self._one(value)
            return b"" if answer is None else _encode(answer)
        if not isinstance(value, list) or not value or len(value) > BATCH_MAX:
            reason = f"a batch must hold 1 to {BATCH_MAX} calls"
            return _encode(_error(None, Failure(INVALID_REQUEST, reason)))
        answers: list[bytes] = []
        for call in value:
            answer = await self._one(call)
            if answer is not None:
                answers.append(_encode(answer))
            if sum(map(len, answers)) > ANSWER_BYTES_MAX:
                return _encode(_error(None, Failure(INVALID_REQUEST, "the answer is too large")))
        return b"[" + b",".join(answers) + b"]" if answers else b""

    async def _one(self, call: Any) -> dict[str, Any] | None:
        if not isinstance(call, dict) or not isinstance(call.get("method"), str):
            return _error(None, Failure(INVALID_REQUEST, "invalid request"))
        identity = call.get("id")
        if isinstance(identity, dict | list) or call.get("jsonrpc", "2.0") != "2.0":
            return _error(None, Failure(INVALID_REQUEST, "invalid request"))
        params = call.get("params")
        params = [] if params is None else params
        try:
            if not isinstance(params, list) or len(params) > PARAMS_MAX:
                raise Failure(INVALID_PARAMS, f"params must be a list of at most {PARAMS_MAX}")
            result = await self.methods.answer(call["method"], params)
        except Failure as failure:
            return _error(identity, failure) if "id" in call else None
        return {"jsonrpc": "2.0", "id": identity, "result": result} if "id" in call else None


async def listen(port: int) -> trio.SocketListener:
    """A loopback listener on `port` (0: any free one). Raises OSError if it is taken.

    trio sets SO_REUSEADDR but not SO_REUSEPORT, so a live listener on the port always refuses us.
    """
    (listener,) = await trio.open_tcp_listeners(port, host=HOST)
    return listener


def _too_deep(body: bytes) -> bool:
    """Whether brackets outside of strings nest deeper than any call does.

    py-evm raises the recursion limit for its own 1024 frames; the JSON scanner is C and overflows
    the stack, and with it the process, long before it reaches that limit.
    """
    depth = 0
    for mark in BRACKET.finditer(STRING.sub(b"", body)):
        depth += 1 if mark[0] in b"[{" else -1
        if depth > DEPTH_MAX:
            return True
    return False


def _status(request: h11.Request) -> int:
    headers: dict[bytes, bytes] = dict(request.headers)
    if request.method != b"POST":
        return 405
    if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
        return 415
    host = headers.get(b"host", b"").decode("latin-1")
    if (host if host.endswith("]") else host.rpartition(":")[0] or host) not in HOSTS_ALLOWED:
        return 403
    return 200


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


async def _send(stream: trio.SocketStream, payload: bytes | None) -> None:
    with trio.fail_after(WRITE_SECONDS_MAX):
        await stream.send_all(payload or b"")


def _error(identity: Any, failure: Failure) -> dict[str, Any]:
    error: dict[str, Any] = {"code": failure.code, "message": str(failure)}
    if failure.data is not None:
        error["data"] = failure.data
    return {"jsonrpc": "2.0", "id": identity, "error": error}


def _encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
