"""Subscriptions by WebSocket on the RPC's own port: heads, logs, pending, reorgs, slow readers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)
from web3 import AsyncWeb3, WebSocketProvider

from rollup.engine import feed, websocket
from rollup.engine.subscriptions import SUBSCRIPTIONS_MAX, Subscriptions
from tests.net.engine_process import engine
from tests.net.engine_served import Served, served

PATIENCE = 30


@asynccontextmanager
async def connected(one: Served, **options: Any) -> AsyncIterator[WebSocketConnection]:
    """The stream is ours: the library leaves it open when the other side ends it."""
    with trio.fail_after(PATIENCE):
        async with (
            await trio.open_tcp_stream("127.0.0.1", one.port) as stream,
            trio.open_nursery() as nursery,
        ):
            host = f"127.0.0.1:{one.port}"
            socket = await wrap_client_stream(nursery, stream, host, "/", **options)
            yield socket
            nursery.cancel_scope.cancel()


async def ask(socket: WebSocketConnection, method: str, *params: Any) -> Any:
    request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    await socket.send_message(json.dumps(request))
    answer = json.loads(await socket.get_message())
    assert answer["id"] == 7, answer
    return answer.get("result", answer.get("error"))


async def told(socket: WebSocketConnection, identity: str) -> Any:
    message = json.loads(await socket.get_message())
    assert message["method"] == "eth_subscription"
    assert message["params"]["subscription"] == identity
    return message["params"]["result"]


async def _until_closed(socket: WebSocketConnection) -> None:
    while True:
        await socket.get_message()


async def test_heads_logs_and_pending_come_as_they_happen(tmp_path: Path) -> None:
    """Each with the identity that eth_subscribe gave; nothing after eth_unsubscribe."""
    async with served(tmp_path) as one, connected(one) as socket:
        contract = await one.deploy(0)
        heads = await ask(socket, "eth_subscribe", "newHeads")
        logs = await ask(socket, "eth_subscribe", "logs", {"address": contract})
        others = await ask(socket, "eth_subscribe", "logs", {"topics": ["0x" + "22" * 32]})
        pending = await ask(socket, "eth_subscribe", "newPendingTransactions")

        sent = await one.send(1, to=contract)
        assert await told(socket, pending) == sent
        block = await one.build()
        head, log = await told(socket, heads), await told(socket, logs)
        assert await ask(socket, "eth_unsubscribe", heads) is True
        assert (await ask(socket, "eth_unsubscribe", heads))["code"] == -32000
        assert await ask(socket, "eth_blockNumber") == "0x2"
        await one.build()
        assert await ask(socket, "eth_unsubscribe", others) is True

    assert (head["hash"], head["parentHash"]) == (block["hash"], block["parentHash"])
    assert (log["transactionHash"], log["removed"]) == (sent, False)


async def test_a_reorg_takes_logs_back(tmp_path: Path) -> None:
    """The same log with `removed: true`, then the logs of the new chain."""
    async with served(tmp_path) as one, connected(one) as socket:
        logs = await ask(socket, "eth_subscribe", "logs")
        contract = await one.deploy(0)
        await one.send(1, to=contract)
        await one.build()
        first = await told(socket, logs)

        await one.call("openledger_rollback", "0x1")
        gone = await told(socket, logs)
        await one.send(1, to=contract, maxFeePerGas=5 * 10**9)
        await one.build()
        again = await told(socket, logs)

    assert gone == first | {"removed": True}
    assert again["removed"] is False
    assert again["transactionHash"] != first["transactionHash"]


async def test_a_reader_that_falls_behind_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His queue is bounded; others go on."""
    monkeypatch.setattr(feed, "QUEUE_MAX", 4)
    async with served(tmp_path) as one, connected(one) as socket:
        await ask(socket, "eth_subscribe", "newPendingTransactions")
        for number in range(6):  # faster than any task of his can run
            one.methods.feed.arrive(bytes([number]) * 32)

        with pytest.raises(ConnectionClosed) as closed:
            await _until_closed(socket)
        assert closed.value.reason is not None
        assert closed.value.reason.code == websocket.TRY_AGAIN_LATER
        async with connected(one) as other:
            assert await ask(other, "eth_chainId") == "0x7a69"


async def test_calls_and_subscriptions_are_bounded(tmp_path: Path) -> None:
    """As over HTTP: too large, too deep, too many, unknown, and a wrong number of parameters."""
    async with served(tmp_path) as one, connected(one) as socket:
        for _ in range(SUBSCRIPTIONS_MAX):
            await ask(socket, "eth_subscribe", "newHeads")
        codes = [
            (await ask(socket, "eth_subscribe", *params))["code"]
            for params in (["newHeads"], ["other"], [], ["logs", 7], [{}], ["logs", {"topics": 1}])
        ]
        await socket.send_message("[" * 100)
        deep = json.loads(await socket.get_message())["error"]["code"]
        await socket.send_message("x" * (websocket.MESSAGE_BYTES_MAX + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.get_message()

    assert codes == [-32005, -32602, -32602, -32602, -32602, -32602]
    assert deep == -32700
    assert closed.value.reason is not None
    assert closed.value.reason.code == websocket.TOO_LARGE


def test_nothing_comes_before_its_subscription_is_known() -> None:
    """An event between the call and its answer would carry an identity that nobody knows."""
    subscriptions, event = Subscriptions(), feed.Arrived(bytes(32))
    subscriptions.open("newPendingTransactions")

    assert list(subscriptions.messages(event)) == []
    subscriptions.announce()
    assert len(list(subscriptions.messages(event))) == 1


async def test_over_http_nothing_is_subscribed(tmp_path: Path) -> None:
    """There is nobody to tell."""
    async with served(tmp_path) as one:
        answer = (await one.post("eth_subscribe", "newHeads")).json()

    assert answer["error"]["code"] == -32601


async def test_a_page_cannot_open_a_socket(tmp_path: Path) -> None:
    """Browsers ask no server before they open one, so the origin must be known."""
    async with served(tmp_path, origins=["https://app.example"]) as one:
        for origin, allowed in (
            ("https://evil.example", False),
            ("https://app.example.evil.example", False),
            ("null", False),
            ("https://app.example", True),
            ("chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn", True),
        ):
            headers = [("Origin", origin)]
            if allowed:
                async with connected(one, extra_headers=headers) as socket:
                    assert await ask(socket, "eth_chainId") == "0x7a69"
                    drive = await ask(socket, "openledger_buildBlock", "0x7fffffff")
                    assert drive["code"] == -32601
            else:
                with pytest.RaisesGroup(ConnectionRejected) as refused:
                    async with connected(one, extra_headers=headers):
                        pass
                (rejection,) = refused.value.exceptions
                assert isinstance(rejection, ConnectionRejected)
                assert rejection.status_code == 403


@pytest.mark.parametrize(
    "raw",
    [b"\xff" * 64, b"\x81\xff" + b"\xff" * 8, b"\x81\x05hello", b"\x88\x7f" + b"\x00" * 70],
)
async def test_broken_frames_end_that_connection_only(tmp_path: Path, raw: bytes) -> None:
    """Reserved bits, lengths over any bound, unmasked frames, a long control frame."""
    async with served(tmp_path) as one:
        stream = await trio.open_tcp_stream("127.0.0.1", one.port)
        async with stream:
            await stream.send_all(
                b"GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n"
                b"connection: upgrade\r\nsec-websocket-version: 13\r\n"
                b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + raw
            )
            received = b""
            with trio.fail_after(PATIENCE):
                async for part in stream:
                    received += part

        assert received.startswith(b"HTTP/1.1 101")
        assert (await one.post("eth_chainId")).json()["result"] == "0x7a69"


@pytest.mark.parametrize(
    "header", [b"sec-websocket-version: 8", b"x: y", b"sec-websocket-key: short"]
)
async def test_a_broken_handshake_is_refused(tmp_path: Path, header: bytes) -> None:
    async with served(tmp_path) as one:
        stream = await trio.open_tcp_stream("127.0.0.1", one.port)
        async with stream:
            await stream.send_all(
                b"GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n"
                b"connection: upgrade\r\n" + header + b"\r\n\r\n"
            )
            with trio.fail_after(PATIENCE):
                answer = await stream.receive_some(100)

    assert answer.startswith(b"HTTP/1.1 4")


def test_web3_py_hears_new_heads(tmp_path: Path) -> None:
    """Its own persistent provider, unchanged."""

    async def first_head(port: int) -> Any:
        async with AsyncWeb3(WebSocketProvider(f"ws://127.0.0.1:{port}")) as w3:
            identity = await w3.eth.subscribe("newHeads")
            await asyncio.to_thread(running.build)
            async for message in w3.socket.process_subscriptions():
                assert message["subscription"] == identity
                return message["result"]
        return None

    with engine(tmp_path) as running:
        head = asyncio.run(asyncio.wait_for(first_head(running.port), PATIENCE))

    assert head["number"] == 1
