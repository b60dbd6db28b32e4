"""Batch bodies in data availability: they come back whole, and nobody there is trusted."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from protocol import events as e
from protocol.batch import Header
from protocol.errors import Malformed, Refused, Temporary
from protocol.ledger import Ledger
from protocol.merkle import BODY, Commitment, byte_root
from protocol.parameters import Parameters
from roles import availability
from roles.availability import (
    CHUNK_BYTES,
    COMMITMENT_BYTES_MAX,
    decode_manifest,
    encode_manifest,
    get_body,
    put_body,
)
from roles.batches import AGAIN_SECONDS, LIED_SECONDS, fetch_body
from roles.ports import Ports
from rollup.da.rest import keccak_commitment
from rollup.ports import FailOver
from tests.sim.da_server import Server
from tests.sim.world import MemoryStore, Signer, inline

ME = bytes(20)
BODY_BYTES = bytes(range(256)) * 10_000  # three chunks, the last not whole


def commitment_of(data: bytes) -> Commitment:
    return Commitment(BODY, len(data), byte_root(BODY, data))


# ---------------------------------------------------------------- manifests


commitments = st.binary(min_size=1, max_size=COMMITMENT_BYTES_MAX)


@given(st.lists(commitments, min_size=1, max_size=5), st.integers(1, CHUNK_BYTES))
def test_a_manifest_comes_back_and_no_other_bytes_do(found: list[bytes], last: int) -> None:
    size = (len(found) - 1) * CHUNK_BYTES + last
    data = encode_manifest(size, found)
    assert decode_manifest(data, size) == found
    for bad in (*(data[:cut] for cut in range(len(data))), data + b"\0"):
        with pytest.raises(Malformed):
            decode_manifest(bad, size)


def test_a_manifest_is_of_the_body_that_was_posted() -> None:
    data = encode_manifest(CHUNK_BYTES, [b"one"])
    for size in (CHUNK_BYTES - 1, CHUNK_BYTES + 1, 1 << 30):
        with pytest.raises(Malformed):
            decode_manifest(data, size)
    lots = encode_manifest(CHUNK_BYTES, [b"one"] * 1_000_000)
    with pytest.raises(Malformed, match="a manifest of"):
        decode_manifest(lots, CHUNK_BYTES)
    for commitment in (b"", b"x" * (COMMITMENT_BYTES_MAX + 1)):
        with pytest.raises(Malformed):
            decode_manifest(encode_manifest(5, [commitment]), 5)


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, len(BODY_BYTES)])
async def test_a_body_comes_back_whole(size: int) -> None:
    server, body = Server(), BODY_BYTES[:size]
    commitment = await put_body(server, body)
    assert len(commitment) == 33
    assert max(map(len, server.held.values())) <= CHUNK_BYTES
    assert await get_body(server, commitment, commitment_of(body), inline) == body


@pytest.mark.parametrize(
    "refusal",
    [FailOver("use L1"), Temporary("no"), Refused("too large"), Malformed("no commitment")],
    ids=lambda error: type(error).__name__,
)
async def test_a_server_that_takes_nothing_is_temporary(refusal: Exception) -> None:
    server = Server()
    server.refuse = refusal
    with pytest.raises(Temporary):
        await put_body(server, BODY_BYTES)


async def test_commitments_that_do_not_fit_on_chain_are_temporary() -> None:
    server = Server()
    server.commit = lambda data: b"\1\0" + keccak_commitment(data) * 3
    with pytest.raises(Temporary, match="a commitment of 101 bytes"):
        await put_body(server, b"body")


LIES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "other bytes": lambda c, data: data[:-1] + b"!",
    "more bytes": lambda c, data: data + b"!",
    "fewer bytes": lambda c, data: data[:-1],
    "nothing": lambda c, data: b"",
    "a huge answer": lambda c, data: bytes(16 << 20),
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_is_not_the_body_is_malformed(lie: str) -> None:
    server = Server()
    commitment = await put_body(server, BODY_BYTES)
    server.bend = lambda c, data: LIES[lie](c, data) if len(data) > 1_000 else data
    with pytest.raises(Malformed):
        await get_body(server, commitment, commitment_of(BODY_BYTES), inline)


async def test_another_body_of_the_same_size_is_malformed() -> None:
    """The poster himself put it there: the server gives just what was committed to."""
    server = Server()
    commitment = await put_body(server, BODY_BYTES)
    wanted = commitment_of(BODY_BYTES[::-1])
    with pytest.raises(Malformed, match="another body"):
        await get_body(server, commitment, wanted, inline)


def test_a_server_that_never_answers_is_left() -> None:
    async def main() -> None:
        server = Server()
        commitment = await put_body(server, b"body")
        server.slow = 10**6
        with pytest.raises(Temporary, match="in time"):
            await get_body(server, commitment, commitment_of(b"body"), inline)
        assert trio.current_time() - start <= 100
        with pytest.raises(Temporary, match="taken"):
            await put_body(server, b"body")

    async def timed() -> None:
        nonlocal start
        start = trio.current_time()
        await main()

    start = 0.0
    trio.run(timed, clock=MockClock(autojump_threshold=0))
    assert availability.PUT_SECONDS < 3_600, "a batch is stale an hour after its time"


# ---------------------------------------------------------------- fetching


class Desk:
    """The ports of a node whose peers have nothing."""

    def __init__(self, server: Server | None) -> None:
        self.ledger, self.store = Ledger(), MemoryStore()
        self.ledger.apply(e.ParametersProposed(1, 0, Parameters()))
        self.offered: dict[bytes, bytes] = {}
        self.time = 0.0
        self.ports = Ports(
            self, self, self, self.store, Signer(bytes([1]) * 32), inline, self, None, server  # type: ignore[arg-type]
        )  # fmt: skip

    def now(self) -> float:
        return self.time

    async def fetch(self, commitment: Commitment) -> bytes:
        await trio.lowlevel.checkpoint()
        if commitment.root not in self.offered:
            raise Temporary("no peer has the body")
        return self.offered[commitment.root]

    async def offer(self, commitment: Commitment, data: bytes) -> None:
        self.offered[commitment.root] = data

    def post(self, body: bytes, commitment: bytes) -> Any:
        words = [bytes(32)] * 5
        header = Header(*words, byte_root(BODY, body), len(body), 1, 1, 0, 0, 0)  # type: ignore[arg-type]
        self.ledger.apply(e.BatchPosted(1, ME, header, 1_000, 1))
        self.ledger.apply(e.BatchData(1, commitment))
        return self.ledger.batches[1]


async def test_what_no_peer_gives_comes_from_there_and_is_given_on() -> None:
    server = Server()
    desk = Desk(server)
    batch = desk.post(BODY_BYTES, await put_body(server, BODY_BYTES))
    assert await fetch_body(desk.ports, batch) == BODY_BYTES
    assert desk.offered == {batch.header.data_root: BODY_BYTES}


@pytest.mark.parametrize("case", ["no server", "no commitment"])
async def test_without_it_only_peers_are_asked(case: str) -> None:
    server = Server()
    commitment = await put_body(server, b"body") if case == "no server" else b""
    desk = Desk(None if case == "no server" else server)
    with pytest.raises(Temporary, match="no peer"):
        await fetch_body(desk.ports, desk.post(b"body", commitment))
    assert not server.asked


async def test_who_has_nothing_yet_is_asked_again_later_and_who_lied_much_later() -> None:
    server = Server()
    commitment = await put_body(server, b"body")
    kept, server.held = server.held, {}
    desk = Desk(server)
    batch = desk.post(b"body", commitment)
    for _ in range(5):
        with pytest.raises(Temporary):
            await fetch_body(desk.ports, batch)
    assert server.asked == 1
    desk.time += AGAIN_SECONDS + 1
    server.held = kept
    assert await fetch_body(desk.ports, batch) == b"body"

    liar = Server()
    other = Desk(liar)
    false = other.post(b"body", await put_body(liar, b"ydob"))
    for _ in range(5):
        other.time += AGAIN_SECONDS + 1
        with pytest.raises(Temporary):
            await fetch_body(other.ports, false)
    assert liar.asked == 2, "the manifest and the one chunk, once"
    other.time += LIED_SECONDS
    with pytest.raises(Temporary):
        await fetch_body(other.ports, false)
    assert liar.asked == 4
