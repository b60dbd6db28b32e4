"""JSON-RPC over one WebSocket, with subscriptions (RFC 6455 by wsproto)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.events import Event as Frame
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from rollup.engine import jsonrpc
from rollup.engine.errors import INVALID_PARAMS, Failure
from rollup.engine.feed import Feed
from rollup.engine.subscriptions import Subscriptions

MESSAGE_BYTES_MAX: Final = 2 << 20
READ_SECONDS_MAX: Final = 10.0
PING_SECONDS: Final = 30.0
WRITE_SECONDS_MAX: Final = 30.0
LINGER_SECONDS: Final = 1.0
CHUNK_BYTES: Final = 64 << 10
NORMAL, TOO_LARGE, TRY_AGAIN_LATER = 1000, 1009, 1013


@dataclass(slots=True)
class WebSocket:
    """One client. Calls are answered one after another; notifications come between answers.

    A client that reads too slowly is disconnected: his events wait in a bounded queue, and a write
    that takes over 30 s ends him. A silent one is pinged, and ended when he stays silent.
    """

    stream: trio.SocketStream
    ask: jsonrpc.Answer
    feed: Feed
    message_bytes_max: int = MESSAGE_BYTES_MAX
    _wire: WSConnection = field(default_factory=lambda: WSConnection(ConnectionType.SERVER))
    _turn: trio.Lock = field(default_factory=trio.Lock)
    _subscriptions: Subscriptions = field(default_factory=Subscriptions)
    _message: bytearray = field(default_factory=bytearray)
    _began: float | None = None
    """When the first part of an unfinished message came."""

    async def run(
        self, headers: Sequence[tuple[bytes, bytes]], target: bytes, trailing: bytes
    ) -> None:
        """From the upgrade request on, until either side ends it."""
        try:
            self._wire.initiate_upgrade_connection(list(headers), target)
        except RemoteProtocolError as error:
            await self._reject(error)
            return
        for event in self._wire.events():
            assert isinstance(event, Request)
            await self._send(AcceptConnection())
        listening = self.feed.listen()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._notify, listening.events, nursery.cancel_scope)
                await self._receive(trailing)
                nursery.cancel_scope.cancel()
        finally:
            listening.close()

    async def answer(self, name: str, params: list[Any]) -> Any:
        """As the methods behind, with those two that need a connection."""
        if name == "eth_subscribe":
            if not 1 <= len(params) <= 2:
                raise Failure(INVALID_PARAMS, "invalid argument: eth_subscribe(kind, options)")
            return self._subscriptions.open(*params)
        if name == "eth_unsubscribe":
            return self._subscriptions.close(params[0] if params else None)
        return await self.ask(name, params)

    async def _receive(self, received: bytes) -> None:
        pinged = False
        while True:
            if received:
                pinged = False
                self._wire.receive_data(received)
                if not await self._take():
                    return
            deadline = PING_SECONDS
            if self._began is not None:
                deadline = self._began + READ_SECONDS_MAX - trio.current_time()
            received = b""
            with trio.move_on_after(max(deadline, 0)):
                received = bytes(await self.stream.receive_some(CHUNK_BYTES))
                if not received:
                    return
            if not received:
                if pinged or self._began is not None:
                    return
                pinged = True
                await self._send(Ping())

    async def _take(self) -> bool:
        """Handle what has arrived; False when the connection ends."""
        try:
            for event in self._wire.events():
                match event:
                    case TextMessage() | BytesMessage():
                        if not await self._part(event):
                            return False
                    case Ping():
                        await self._send(event.response())
                    case CloseConnection():
                        await self._send(event.response())
                        return False
        except RemoteProtocolError as error:
            if isinstance(error.event_hint, CloseConnection):
                await self._send(error.event_hint)
            return False
        return True

    async def _part(self, event: TextMessage | BytesMessage) -> bool:
        part = event.data
        self._message += part.encode() if isinstance(part, str) else part
        if len(self._message) > self.message_bytes_max:
            await self._send(CloseConnection(TOO_LARGE, "message too large"))
            with trio.move_on_after(LINGER_SECONDS):  # else a reset overtakes the reason
                while await self.stream.receive_some(CHUNK_BYTES):
                    pass
            return False
        if not event.message_finished:
            self._began = trio.current_time() if self._began is None else self._began
            return True
        body = bytes(self._message)
        self._message.clear()
        self._began = None
        answer = await jsonrpc.answer(self.answer, body)
        if answer:
            await self._send(TextMessage(answer.decode()))
        self._subscriptions.announce()
        return True

    async def _notify(
        self, events: trio.MemoryReceiveChannel[Any], scope: trio.CancelScope
    ) -> None:
        async for event in events:
            for message in self._subscriptions.messages(event):
                await self._send(TextMessage(message.decode()))
        await self._send(CloseConnection(TRY_AGAIN_LATER, "too slow: events were lost"))
        scope.cancel()

    async def _reject(self, error: RemoteProtocolError) -> None:
        status = (
            error.event_hint.status_code if isinstance(error.event_hint, RejectConnection) else 400
        )
        head = f"HTTP/1.1 {status} Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        with trio.fail_after(WRITE_SECONDS_MAX):
            await self.stream.send_all(head.encode())

    async def _send(self, frame: Frame) -> None:
        with trio.fail_after(WRITE_SECONDS_MAX):
            async with self._turn:
                try:
                    payload = self._wire.send(frame)
                except LocalProtocolError:  # it closes already
                    return
                await self.stream.send_all(payload)
