"""Transactions handed on to the sequencer, by a node that only derives."""

import json
import ssl
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import h11
import trio

from protocol.errors import Malformed
from rollup.engine.errors import SERVER_ERROR, Failure

DEADLINE_SECONDS: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 << 10
HEADER_BYTES_MAX: Final = 16 << 10
MESSAGE_CHARS_MAX: Final = 1_000
DATA_CHARS_MAX: Final = 4_096
FORWARDS_MAX: Final = 64
CHUNK_BYTES: Final = 16 << 10
PORTS: Final = {"http": 80, "https": 443}
UNREACHABLE: Final = "the sequencer did not take the transaction"


@dataclass(frozen=True, slots=True)
class Sequencer:
    """A JSON-RPC endpoint at `url`, http or https. One connection per call: they are rare."""

    url: str
    _room: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(FORWARDS_MAX))

    def __post_init__(self) -> None:
        """Raises `Malformed`."""
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
        except ValueError as error:
            raise Malformed(f"sequencer URL {self.url!r}: {error}") from error
        if not usable or not self.url.isascii() or not self.url.isprintable() or parts.username:
            raise Malformed(f"sequencer URL {self.url!r} is not http(s)://host[:port][/path]")

    async def send(self, raw: str) -> Any:
        """The result of eth_sendRawTransaction there. Raises its error as a `Failure`."""
        if self._room.available_tokens < 1:
            raise Failure(SERVER_ERROR, f"{UNREACHABLE}: {FORWARDS_MAX} others are on their way")
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw]}
        try:
            async with self._room:
                with trio.fail_after(DEADLINE_SECONDS):
                    answer = await self._post(json.dumps(request).encode())
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, ssl.SSLError) as error:
            raise Failure(SERVER_ERROR, f"{UNREACHABLE}: {type(error).__name__}") from error
        except h11.RemoteProtocolError as error:
            raise Failure(SERVER_ERROR, f"{UNREACHABLE}: no HTTP there") from error
        return _result(answer)

    async def _post(self, body: bytes) -> bytes:
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        opened = trio.open_tcp_stream if parts.scheme == "http" else trio.open_ssl_over_tcp_stream
        stream: Any = await opened(host, port)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = [
            ("host", parts.netloc),
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADER_BYTES_MAX)
        try:
            request = connection.send(h11.Request(method="POST", target=path, headers=headers))
            payload = connection.send(h11.Data(data=body))
            await stream.send_all((request or b"") + (payload or b""))
            connection.send(h11.EndOfMessage())
            return await _answer(stream, connection)
        finally:
            await trio.aclose_forcefully(stream)


async def _answer(stream: Any, connection: h11.Connection) -> bytes:
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(CHUNK_BYTES))
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > ANSWER_BYTES_MAX:
                raise Failure(SERVER_ERROR, f"{UNREACHABLE}: its answer is too long")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return body


def _result(answer: bytes) -> Any:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        raise _failure(value["error"])
    result = value.get("result") if isinstance(value, dict) else None
    if not isinstance(result, str) or len(result) != 66:
        raise Failure(SERVER_ERROR, f"{UNREACHABLE}: its answer is no JSON-RPC")
    return result


def _failure(error: dict[str, Any]) -> Failure:
    code, message, data = error.get("code"), error.get("message"), error.get("data")
    return Failure(
        code if isinstance(code, int) and abs(code) < 1 << 31 else SERVER_ERROR,
        str(message)[:MESSAGE_CHARS_MAX],
        data[:DATA_CHARS_MAX] if isinstance(data, str) else None,
    )
