"""Blobs from consensus nodes over real sockets: none is believed, whatever a node answers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.settings import Http
from node import beacon
from node.beacon import BeaconBlobs, hashes_of, slot_seconds
from node.compute import Compute
from node.http import server
from node.metrics import Metrics
from protocol.errors import Malformed, Temporary
from rollup.codec.blob import BLOB_BYTES, decode_blob, encode_blob
from rollup.codec.hexadecimal import from_bytes
from rollup.codec.refs import L1BlockRef
from rollup.ports import Inline

SETTINGS = Http(listen="127.0.0.1:0", body_bytes_max=1 << 20, requests_max=100)
START, SLOT = 1_606_824_023, 9
BLOCK = L1BlockRef(b"\1" * 32, 100, b"\2" * 32, START + 12 * SLOT)
BLOBS = tuple(encode_blob(bytes([i]) * (1000 + i)) for i in range(3))
NO_BLOB = b"\xff" * BLOB_BYTES


@pytest.fixture(scope="module")
def hashes() -> tuple[bytes, ...]:
    found = hashes_of(BLOBS)
    return tuple(h for h in found if h is not None)


@dataclass
class Node:
    """A consensus node; what it does not have is 404."""

    by_hash: dict[bytes, bytes] | None = None  # None: an older node, without the newer method
    sidecars: list[dict[str, Any]] = field(default_factory=list)
    spec: dict[str, str] = field(default_factory=lambda: {"SECONDS_PER_SLOT": "12"})
    genesis: Any = field(default_factory=lambda: {"genesis_time": str(START)})
    asked: list[str] = field(default_factory=list)

    def routes(self) -> list[Route]:
        return [
            Route(beacon.GENESIS, self._genesis),
            Route(beacon.SPEC, self._spec),
            Route("/eth/v1/beacon/blobs/{slot:int}", self._blobs),
            Route("/eth/v1/beacon/blob_sidecars/{slot:int}", self._sidecars),
        ]

    async def _genesis(self, request: Request) -> Response:
        self.asked.append("genesis")
        return JSONResponse({"data": self.genesis})

    async def _spec(self, request: Request) -> Response:
        return JSONResponse({"data": self.spec})

    async def _blobs(self, request: Request) -> Response:
        self.asked.append("blobs")
        if self.by_hash is None or request.path_params["slot"] != SLOT:
            return JSONResponse({"code": 404, "message": "not here"}, 404)
        wanted = request.query_params.getlist("versioned_hashes")
        found = [b for h, b in sorted(self.by_hash.items()) if from_bytes(h) in wanted]
        return JSONResponse({"finalized": True, "data": [from_bytes(blob) for blob in found]})

    async def _sidecars(self, request: Request) -> Response:
        self.asked.append("sidecars")
        if not self.sidecars or request.path_params["slot"] != SLOT:
            return JSONResponse({"code": 404, "message": "not here"}, 404)
        return JSONResponse({"data": self.sidecars})


def sidecar(blob: bytes, commitment: bytes) -> dict[str, Any]:
    return {"index": "0", "blob": from_bytes(blob), "kzg_commitment": from_bytes(commitment)}


def commitment_of(blob: bytes) -> bytes:
    import ckzg

    return bytes(ckzg.blob_to_kzg_commitment(blob, beacon._trusted_setup()))


@asynccontextmanager
async def source(*nodes: list[Route], **more: Any) -> AsyncIterator[BeaconBlobs]:
    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as client:
        urls = []
        for routes in nodes:
            app = server.application(routes, SETTINGS, Metrics())
            urls.append(await nursery.start(server.serve, app, server.listen(SETTINGS)) + "/")
        yield BeaconBlobs(client, urls, more.pop("compute", Inline()), **more)
        nursery.cancel_scope.cancel()


async def test_blobs_come_in_the_order_of_their_hashes(hashes: tuple[bytes, ...]) -> None:
    node = Node(dict(zip(hashes, BLOBS, strict=True)))
    wanted = (hashes[2], hashes[0], hashes[2])

    async with source(node.routes()) as blobs:
        found = await blobs.blobs(BLOCK, wanted)
        await blobs.blobs(BLOCK, wanted)

    assert found == (BLOBS[2], BLOBS[0], BLOBS[2])
    assert decode_blob(found[1]) == bytes(1000)
    assert node.asked == ["genesis", "blobs", "blobs"], "the slots' times are asked once"


async def test_an_older_node_gives_sidecars(hashes: tuple[bytes, ...]) -> None:
    node = Node(sidecars=[sidecar(blob, commitment_of(blob)) for blob in BLOBS])

    async with source(node.routes()) as blobs:
        assert await blobs.blobs(BLOCK, hashes[1:]) == BLOBS[1:]

    assert node.asked == ["genesis", "blobs", "sidecars"]


async def test_what_a_node_lacks_the_archive_has(hashes: tuple[bytes, ...]) -> None:
    node = Node({hashes[0]: BLOBS[0]})
    archive = Node(sidecars=[sidecar(BLOBS[1], commitment_of(BLOBS[1]))])

    async with source(node.routes(), archive.routes()) as blobs:
        assert await blobs.blobs(BLOCK, hashes[:2]) == BLOBS[:2]


async def test_a_blob_that_is_another_is_not_taken(hashes: tuple[bytes, ...]) -> None:
    """Neither by the newer method, nor with the commitment of the right one beside it."""
    node = Node(
        {hashes[0]: BLOBS[1], hashes[1]: NO_BLOB},
        sidecars=[
            sidecar(BLOBS[1], commitment_of(BLOBS[0])),
            sidecar(NO_BLOB, b"\xc0" + bytes(47)),
        ],
    )

    async with source(node.routes()) as blobs:
        with pytest.raises(Temporary, match=r"L1 block 100 \(slot 9\): .* lacks 1 of 1 blobs"):
            await blobs.blobs(BLOCK, hashes[:1])


async def test_a_node_without_them_says_so(hashes: tuple[bytes, ...]) -> None:
    async with source(Node().routes()) as blobs:
        with pytest.raises(Temporary, match=r"HTTP 404: not here; .*rollup\.blob_archive_url"):
            await blobs.blobs(BLOCK, hashes)


async def test_a_block_before_the_beacon_chain(hashes: tuple[bytes, ...]) -> None:
    async with source(Node().routes()) as blobs:
        with pytest.raises(Temporary, match="is it that of another"):
            await blobs.blobs(L1BlockRef(b"\1" * 32, 1, b"\2" * 32, START - 1), hashes)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data": {}}',
        b'{"data": ["0x00"]}',
        b'{"data": [7]}',
        json.dumps({"data": ["0x"] * (beacon.BLOBS_MAX + 1)}).encode(),
        b"[" * 100_000,
    ],
    ids=range(8),
)
async def test_answers_of_other_forms(hashes: tuple[bytes, ...], body: bytes) -> None:
    async def answer(request: Request) -> Response:
        return Response(body)

    routes = [*Node().routes()[:2], Route("/eth/v1/beacon/{rest:path}", answer)]
    async with source(routes) as blobs:
        with pytest.raises(Temporary, match="no blobs of L1 block 100"):
            await blobs.blobs(BLOCK, hashes)


async def test_an_answer_is_read_no_further_than_allowed(
    hashes: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beacon, "ANSWER_BYTES_MAX", 1000)
    node = Node(dict(zip(hashes, BLOBS, strict=True)))

    async with source(node.routes()) as blobs:
        with pytest.raises(Temporary, match="answers with over 1000 bytes"):
            await blobs.blobs(BLOCK, hashes)


async def test_silence_has_an_end(hashes: tuple[bytes, ...]) -> None:
    async def wait(request: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError

    async with source([Route("/{rest:path}", wait)], seconds_max=0.05) as blobs:
        with pytest.raises(Temporary, match=r"no answer from .* within 0\.05 s"):
            await blobs.blobs(BLOCK, hashes)


async def test_kzg_runs_in_another_process(hashes: tuple[bytes, ...]) -> None:
    """As in the node: it would hold up all else."""
    node = Node(dict(zip(hashes, BLOBS, strict=True)))

    async with source(node.routes(), compute=Compute(processes=1).process) as blobs:
        assert await blobs.blobs(BLOCK, hashes) == BLOBS


def test_the_trusted_setup_is_that_of_the_ceremony() -> None:
    """The commitment to the constant 2 is twice the generator (consensus-spec-tests)."""
    two = (bytes(31) + b"\2") * 4096

    assert commitment_of(two).hex().startswith("a572cbea904d67468808c8eb50a9450c9721db309128012543")


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({"SECONDS_PER_SLOT": "12"}, 12),
        ({"SLOT_DURATION_MS": "6000", "SECONDS_PER_SLOT": "12"}, 6),
        ({}, None),
        ({"SECONDS_PER_SLOT": 12}, None),
        ({"SECONDS_PER_SLOT": "0"}, None),
        ({"SECONDS_PER_SLOT": "-1"}, None),
        ({"SECONDS_PER_SLOT": "9" * 19}, None),
    ],
)
def test_times_of_slots(spec: dict[str, Any], seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(Malformed):
            slot_seconds(spec)
    else:
        assert slot_seconds(spec) == seconds
