"""The HTTP server answers probes, bounds its clients, and ends in order."""

import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from config.settings import Http, Settings
from node.exits import Occupied
from node.http import health, limits, server
from node.metrics import Metrics
from node.status import fetch, render
from node.supervisor import State

SETTINGS = Http(listen="127.0.0.1:0", body_bytes_max=1024, requests_max=2)
RETRYING = State("host", "retrying", restarts=2, error="rpc down")


async def length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def broken(request: Request) -> Response:
    raise ZeroDivisionError


@asynccontextmanager
async def serving(
    *,
    reasons: Sequence[str] = (),
    extra: Sequence[Route] = (),
    metrics: Metrics | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    metrics = metrics or Metrics()
    report = health.Report(
        not_alive=tuple,
        not_ready=lambda: reasons,
        not_earning=lambda: ("no adapter is registered with you",),
        status=lambda: {
            "network": "devnet",
            "chain": {"head": 9},
            "duties": health.duty_rows([RETRYING]),
        },
    )
    routes = [
        *health.routes(report, metrics),
        Route("/length", length, methods=["POST"]),
        Route("/broken", broken),
        *extra,
    ]
    app = server.application(routes, SETTINGS, metrics)
    async with trio.open_nursery() as nursery:
        url = await nursery.start(server.serve, app, server.listen(SETTINGS))
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            yield client
        nursery.cancel_scope.cancel()


async def test_probes_and_status() -> None:
    async with serving() as client:
        assert (await client.get("/health")).json() == {"alive": True, "reasons": []}
        assert (await client.get("/ready")).status_code == 200
        status = (await client.get("/status")).json()
        scrape = await client.get("/metrics")

    assert status["ready"] is True
    assert status["not_earning"] == ["no adapter is registered with you"]
    assert scrape.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'openledger_http_requests_total{code="200",method="GET"} 3.0' in scrape.text
    assert "openledger_ready 1.0" in scrape.text


async def test_not_ready_says_why() -> None:
    async with serving(reasons=["no peers"]) as client:
        ready = await client.get("/ready")
        status = (await client.get("/status")).json()

    assert ready.status_code == 503
    assert ready.json() == {"ready": False, "reasons": ["no peers"]}
    assert status["not_earning"][0] == "no peers"


async def test_the_status_command_reads_what_the_node_says() -> None:
    async with serving(reasons=health.not_running([RETRYING])) as client:
        port = client.base_url.port
        settings = Settings(
            network="devnet",
            data_dir=Path("/nowhere"),
            roles=("host",),
            http=Http(listen=f"0.0.0.0:{port}"),
        )
        report = await trio.to_thread.run_sync(fetch, settings)

    text = render(report)
    assert "network: devnet\nready: False\nchain: head 9\n" in text
    assert re.search(r"duty host: retrying for \d+ s, 2 restarts \(rpc down\)", text)
    assert "not earning: host is retrying: rpc down\nnot earning: no adapter" in text


async def test_a_body_at_the_limit_passes_and_one_byte_more_does_not() -> None:
    async def pieces(size: int) -> AsyncIterator[bytes]:
        for _ in range(size):
            yield b"x"

    async with serving() as client:
        assert (await client.post("/length", content=b"x" * 1024)).text == "1024"
        assert (await client.post("/length", content=pieces(1024))).text == "1024"
        declared = await client.post("/length", content=b"x" * 1025)
        chunked = await client.post("/length", content=pieces(1025))

    assert (declared.status_code, chunked.status_code) == (413, 413)
    assert declared.json()["error"]["message"] == "the body may have 1024 bytes"


async def test_one_request_too_many_is_told_so() -> None:
    arrived, leave = trio.open_memory_channel[None](2), trio.Event()

    async def slow(request: Request) -> Response:
        await arrived[0].send(None)
        await leave.wait()
        return PlainTextResponse("ok")

    async with serving(extra=[Route("/slow", slow)]) as client:
        codes: list[int] = []

        async def ask() -> None:
            codes.append((await client.get("/slow")).status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(ask)
                await arrived[1].receive()
            refused = await client.get("/health")
            leave.set()

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert codes == [200, 200]


async def test_a_bug_in_a_route_is_a_500_and_the_server_goes_on() -> None:
    metrics = Metrics()
    async with serving(metrics=metrics) as client:
        assert (await client.get("/broken")).status_code == 500
        assert (await client.get("/health")).status_code == 200
        absent = await client.get("/absent")

    assert absent.json()["error"]["message"] == "no route /absent"
    assert b'openledger_http_requests_total{code="500",method="GET"} 1.0' in metrics.text()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\n",  # a head that never ends
        b"",  # a connection that says nothing
    ],
)
async def test_a_client_that_dawdles_is_dropped(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    async with serving() as client:
        stream = await trio.open_tcp_stream("127.0.0.1", client.base_url.port or 0)
        async with stream:
            if sent:
                await stream.send_all(sent)
            with trio.fail_after(4):  # hypercorn's own bound is 5 s
                while await stream.receive_some():  # until the server hangs up
                    pass


async def test_a_body_that_never_comes_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(limits.Limits.__init__.__kwdefaults__, "body_seconds", 0.2)
    async with serving() as client:
        stream = await trio.open_tcp_stream("127.0.0.1", client.base_url.port or 0)
        async with stream:
            await stream.send_all(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
            with trio.fail_after(10):
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 408")


async def test_a_head_too_long_is_refused() -> None:
    async with serving() as client:
        answer = await client.get("/health", headers={"x-long": "y" * server.HEADER_BYTES_MAX * 5})

    assert answer.status_code in (400, 431)


async def test_two_servers_never_share_a_port() -> None:
    async with serving() as client:
        with pytest.raises(Occupied, match=r"http\.listen: port \d+ on 127.0.0.1 is taken"):
            server.listen(Http(listen=f"127.0.0.1:{client.base_url.port}"))
        with socket.socket() as greedy:  # not even by SO_REUSEPORT
            greedy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use"):
                greedy.bind(("127.0.0.1", client.base_url.port))
