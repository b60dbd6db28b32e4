"""Client and embedded store of data availability over real sockets, and servers that misbehave."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from config.settings import Http
from node.da import RestAvailability
from node.http import da, server
from node.metrics import Metrics
from node.store import Store
from protocol.errors import Refused, Temporary
from rollup.da import rest
from rollup.da.rest import Missing, Mode, keccak_commitment
from rollup.ports import FailOver, InvalidCertificate

SETTINGS = Http(listen="127.0.0.1:0", body_bytes_max=1 << 20, requests_max=100)
DATA = b"\x00 frames"
OURS = keccak_commitment(DATA)
CERTIFICATE = b"\x01\x00\x02 certificate"
Client = Callable[..., RestAvailability]


@asynccontextmanager
async def serving(routes: list[Route]) -> AsyncIterator[Client]:
    app = server.application(routes, SETTINGS, Metrics())
    async with trio.open_nursery() as nursery:
        url = await nursery.start(server.serve, app, server.listen(SETTINGS))
        async with httpx.AsyncClient() as client:

            def connect(mode: Mode = Mode.KECCAK, **more: float) -> RestAvailability:
                return RestAvailability(client, f"{url}/da/", mode, **more)  # type: ignore[arg-type]

            yield connect
        nursery.cancel_scope.cancel()


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Client]:
    with Store.open(tmp_path) as store:
        async with serving(da.routes(store.namespace(b"da/"), "/da")) as client:
            yield client


def answering(status: int, body: bytes = b"") -> list[Route]:
    """A server that gives one answer to everything."""

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(body, status)

    return [Route("/da/{rest:path}", answer, methods=["GET", "POST"])]


@pytest.mark.parametrize("mode", [Mode.KECCAK, Mode.GENERIC])
async def test_what_was_put_is_got(embedded: Client, mode: Mode) -> None:
    """Whether client or server computes the commitment, and many at a time."""
    client = embedded(mode)
    inputs = [b"%d" % number * 1000 for number in range(20)]
    commitments: dict[bytes, bytes] = {}

    async def put(data: bytes) -> None:
        commitments[data] = await client.put(data)

    async with trio.open_nursery() as nursery:
        for data in inputs * 2:
            nursery.start_soon(put, data)

    for data in inputs:
        assert commitments[data] == keccak_commitment(data)
        assert await client.get(commitments[data], 7) == data


async def test_what_was_not_put_is_missing(embedded: Client) -> None:
    with pytest.raises(Missing):
        await embedded().get(OURS)
    with pytest.raises(Temporary):  # it keeps no certificates
        await embedded(Mode.GENERIC).get(CERTIFICATE)
    with pytest.raises(Temporary):
        await embedded(Mode.STANDARD).put(DATA)
    for size in (0, rest.OBJECT_BYTES_MAX + 1):
        with pytest.raises(Refused):
            await embedded().put(bytes(size))


async def test_the_store_takes_nothing_odd(tmp_path: Path) -> None:
    """Paths, sizes and commitments that no client of ours would send."""
    seen: list[tuple[str, int, int]] = []

    def observe(*what: object) -> None:
        seen.append(what)  # type: ignore[arg-type]

    with Store.open(tmp_path) as store:
        routes = da.routes(store.namespace(b"da/"), "/da", observe)
        async with serving(routes) as connect:
            client, url = connect()._client, connect()._url

            async def status(method: str, path: str, body: bytes = b"") -> int:
                return (await client.request(method, url + path, content=body)).status_code

            long = "00" * (rest.COMMITMENT_BYTES_MAX - 9000)
            for path in ("0x", "zz", "0x00", OURS.hex()[:-1], "..%2f..", CERTIFICATE.hex(), long):
                assert await status("GET", f"/get/{path}") in (400, 404)
                assert await status("POST", f"/put/{path}", DATA) in (400, 404)
            assert await status("POST", f"/put/{OURS.hex()}", DATA + b"x") == 400
            assert await status("POST", "/put", b"") == 400
            assert await status("DELETE", f"/get/{OURS.hex()}") == 405
            assert await status("POST", "/put?commitment_mode=simple", DATA) == 400
            assert await status("PUT", "/put/?commitment_mode=optimism_keccak", DATA) == 200
            assert await status("GET", f"/get/{OURS.hex()}") == 200  # without 0x
            assert ("get", 200, len(DATA)) in seen
            assert list(store.namespace(b"da/").scan(b"d")) == [(b"d" + OURS, DATA)]


async def test_an_object_over_its_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(da, "OBJECT_BYTES_MAX", 10)
    with Store.open(tmp_path) as store:
        async with serving(da.routes(store.namespace(b"da/"), "/da")) as connect:
            with pytest.raises(Temporary, match="413"):
                await connect().put(bytes(11))
            await connect().put(bytes(10))


async def test_eigenda_proxy_in_its_two_modes() -> None:
    """What the proxy is asked for, and that its bytes come back as commitments."""
    asked: list[str] = []

    async def put(request: Request) -> Response:
        asked.append(f"{request.url.path}?{request.url.query}")
        standard = "commitment_mode=standard" in request.url.query
        return Response(CERTIFICATE[2 if standard else 0 :])

    async def get(request: Request) -> Response:
        asked.append(f"{request.url.path}?{request.url.query}")
        return Response(DATA)

    routes = [Route("/da/put", put, methods=["POST"]), Route("/da/get/{commitment}", get)]
    async with serving(routes) as connect:
        for mode in (Mode.GENERIC, Mode.STANDARD):
            assert await connect(mode).put(DATA) == CERTIFICATE
            assert await connect(mode).get(CERTIFICATE, 5) == DATA

    assert asked == [
        "/da/put?",
        f"/da/get/0x{CERTIFICATE.hex()}?l1_inclusion_block_number=5",
        "/da/put?commitment_mode=standard",
        f"/da/get/0x{CERTIFICATE[2:].hex()}?commitment_mode=standard&l1_inclusion_block_number=5",
    ]


@pytest.mark.parametrize(
    ("status", "put", "get"),
    [
        (503, FailOver, Temporary),
        (418, Temporary, InvalidCertificate),
        (404, Temporary, Missing),
        (500, Temporary, Temporary),
        (429, Temporary, Temporary),
    ],
)
async def test_statuses(status: int, put: type[Exception], get: type[Exception]) -> None:
    async with serving(answering(status, b"why" * 10_000)) as connect:
        for call, argument, raised in (
            (connect(Mode.GENERIC).put, DATA, put),
            (connect(Mode.GENERIC).get, CERTIFICATE, get),
        ):
            with pytest.raises(raised) as error:
                await call(argument)
            assert type(error.value) is raised
            assert len(str(error.value)) < 1000


async def test_a_server_that_lies_floods_stalls_or_sends_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.da.OBJECT_BYTES_MAX", 100_000)

    async def flood(request: Request) -> Response:
        return Response(bytes(1_000_000))

    async def stall(request: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError

    async def elsewhere(request: Request) -> Response:
        return RedirectResponse("http://127.0.0.1:1/")

    async with serving(answering(200, b"other data")) as connect:
        with pytest.raises(Temporary, match="other data"):
            await connect().get(OURS)
    for endpoint, seconds in ((flood, 30.0), (stall, 0.1), (elsewhere, 30.0)):
        async with serving([Route("/da/get/{commitment}", endpoint)]) as connect:
            with pytest.raises(Temporary):
                await connect(get_seconds=seconds).get(OURS)


async def test_a_server_that_is_away() -> None:
    async with httpx.AsyncClient() as client:
        for url in ("http://127.0.0.1:1", "http://[", "ftp://127.0.0.1"):
            with pytest.raises(Temporary):
                await RestAvailability(client, url).get(OURS)
