"""Requests and bodies between real nodes: liars, failures, resuming, silence."""

import os
from functools import partial
from pathlib import Path

import pytest
import trio

from p2p.fetch import PROTOCOL
from protocol.errors import Malformed, Refused, Temporary
from protocol.merkle import BODY, TEXT, ByteTree, Commitment
from tests.net.p2p_world import PATIENCE, World, meshed, until

BODY_BYTES = 2 * 1024 * 1024 + 12345


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.register(1, 2, 3)
    return world


@pytest.fixture(scope="module")
def body() -> tuple[Commitment, bytes]:
    data = os.urandom(BODY_BYTES)
    return ByteTree(BODY, data).commitment, data


@pytest.mark.parametrize(
    ("kind", "size"), [(BODY, 0), (BODY, 1), (TEXT, 256 * 1024), (TEXT, 700_001)]
)
async def test_body_crosses_the_network(world: World, kind: int, size: int) -> None:
    """What one node offers another fetches, verified, at sizes around the edges of a chunk."""
    data = os.urandom(size)
    commitment = ByteTree(kind, data).commitment
    async with world.node(1) as one, world.node(2, [one.address]) as two:
        await until(lambda: one.peer in two.peers.connected())
        await one.bodies.offer(commitment, data)

        assert await two.bodies.fetch(commitment) == data
        assert two.bodies.held() == [commitment]


async def test_liar_is_scored_and_another_is_asked(
    world: World, body: tuple[Commitment, bytes]
) -> None:
    """A server that alters a byte is blamed, and the body still comes, whole, from the other."""
    commitment, data = body
    async with world.node(1) as honest, world.node(2) as liar:
        addresses = [honest.address, liar.address]
        await honest.bodies.offer(commitment, data)
        await liar.bodies.offer(commitment, data)
        truth = liar.peers._services[PROTOCOL].answer

        async def lie(peer: bytes, request: bytes) -> bytes:
            answer = bytearray(await truth(peer, request))
            answer[-1] ^= 1
            return bytes(answer)

        liar.peers.serve(PROTOCOL, lie)
        async with world.node(3, addresses) as three:
            await until(lambda: len(three.peers.connected()) == 2)
            while not three.standing.counts["offence:false_chunk"]:  # the first peer is drawn
                three.bodies._held.clear()
                assert await three.bodies.fetch(commitment) == data
            assert three.standing.points(honest.peer) == 0


async def test_download_goes_on_where_it_stopped(
    world: World, body: tuple[Commitment, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that were verified before a failure are not asked for again."""
    commitment, data = body
    monkeypatch.setattr("p2p.fetch.IN_FLIGHT_MAX", 1)
    async with world.node(1) as one:
        await one.bodies.offer(commitment, data)
        serve, asked = one.peers._services[PROTOCOL].answer, []

        async def first_two(peer: bytes, request: bytes) -> bytes:
            asked.append(request[-1])
            if request[-1] == 2 and asked.count(2) == 1:
                raise Refused("gone")
            return await serve(peer, request)

        one.peers.serve(PROTOCOL, first_two)
        async with world.node(2, [one.address]) as two:
            await until(lambda: two.peers.connected())
            with pytest.raises(Temporary, match="no peer gives chunk 2"):
                await two.bodies.fetch(commitment)
        async with world.node(2, [one.address]) as two:
            await until(lambda: two.peers.connected())
            assert await two.bodies.fetch(commitment) == data
        assert asked == [0, 1, 2, 2]


async def test_damaged_partial_file_starts_anew(
    world: World, body: tuple[Commitment, bytes]
) -> None:
    """A partial file that a crash has torn is noticed, and the next attempt succeeds."""
    commitment, data = body
    async with world.node(1) as one, world.node(2, [one.address]) as two:
        await until(lambda: two.peers.connected())
        await one.bodies.offer(commitment, data)
        path = two.bodies._path(commitment)
        path.with_name(path.name + ".part").write_bytes(bytes(commitment.chunk_bytes))

        with pytest.raises(Temporary, match="damaged"):
            await two.bodies.fetch(commitment)
        assert await two.bodies.fetch(commitment) == data


async def test_missing_body_is_said_clearly(world: World) -> None:
    """When nobody has a body, the error says which and how many were asked."""
    commitment = Commitment(BODY, 10, bytes(32))
    async with world.node(1) as one, world.node(2, [one.address]) as two:
        await until(lambda: two.peers.connected())
        with pytest.raises(Temporary, match=f"{commitment.root.hex()}: 1 were asked"):
            await two.bodies.fetch(commitment)


async def test_wrong_body_is_not_offered(world: World) -> None:
    """A body that does not hash to its commitment is refused at home."""
    async with world.node(1) as one:
        with pytest.raises(Malformed):
            await one.bodies.offer(ByteTree(BODY, b"a").commitment, b"b")


async def test_answers_carry_their_reason(world: World) -> None:
    """A handler's refusal, its being busy, and a broken answer reach the asker as such."""

    async def answer(peer: bytes, request: bytes) -> bytes:
        if request == b"refuse":
            raise Refused("not for you")
        if request == b"busy":
            raise Temporary("later")
        return b"x" * 1000

    async with world.node(1) as one, world.node(2, [one.address]) as two:
        await until(lambda: two.peers.connected())
        one.peers.serve("/test/1", answer)

        async def ask(request: bytes, answer_max: int = 1000) -> bytes:
            return await two.peers.request(
                one.peer, "/test/1", request, answer_max=answer_max, deadline=PATIENCE
            )

        assert await ask(b"") == b"x" * 1000
        with pytest.raises(Refused, match="not for you"):
            await ask(b"refuse")
        with pytest.raises(Temporary, match="later"):
            await ask(b"busy")
        assert two.standing.points(one.peer) == 0
        with pytest.raises(Malformed, match="limit is 999"):
            await ask(b"", answer_max=999)
        assert two.standing.points(one.peer) > 0


async def test_silent_partition_is_noticed_and_healed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer behind a black hole is dropped by our own pings, and dialled again when it heals."""
    monkeypatch.setattr("p2p.dial.PING_EVERY_SECONDS", 0.2)
    monkeypatch.setattr("p2p.dial.PING_SECONDS", 0.5)
    async with world.node(1) as one, trio.open_nursery() as nursery:
        proxy = Proxy(int(one.address.split("/")[4]))
        port = await nursery.start(proxy.serve)
        address = f"/ip4/127.0.0.1/tcp/{port}/p2p/" + one.address.split("/p2p/")[1]
        async with world.node(2, [address]) as two:
            await meshed(one, two)

            proxy.flowing = trio.Event()
            await until(lambda: two.standing.counts["silent_peer_dropped"] >= 1)
            await until(lambda: not two.peers.connected())
            proxy.flowing.set()

            await meshed(one, two)
        nursery.cancel_scope.cancel()


class Proxy:
    """A TCP proxy that can swallow everything without closing anything."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.flowing = trio.Event()
        self.flowing.set()

    async def serve(self, task_status: trio.TaskStatus[int]) -> None:
        async with trio.open_nursery() as nursery:
            serve = partial(trio.serve_tcp, host="127.0.0.1")
            listeners = await nursery.start(serve, self._join, 0)
            task_status.started(listeners[0].socket.getsockname()[1])

    async def _join(self, one: trio.SocketStream) -> None:
        other = await trio.open_tcp_stream("127.0.0.1", self._target)
        async with other, trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, one, other)
            nursery.start_soon(self._pump, other, one)

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            while data := await source.receive_some(65536):
                await self.flowing.wait()
                await sink.send_all(data)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


async def test_bodies_survive_a_restart_and_damage(
    world: World, body: tuple[Commitment, bytes]
) -> None:
    """What was fetched is there after a restart; a flipped byte on disk is healed by a peer."""
    commitment, data = body
    async with world.node(1) as one:
        await one.bodies.offer(commitment, data)
        async with world.node(2, [one.address]) as two:
            await until(lambda: two.peers.connected())
            await two.bodies.fetch(commitment)
        async with world.node(2, [one.address]) as two:
            await until(lambda: two.peers.connected())
            assert two.bodies.held() == [commitment]
            path = two.bodies._path(commitment)
            path.write_bytes(b"\x00" + data[1:])
            assert await two.bodies.fetch(commitment) == data


async def test_empty_bodies_of_all_kinds_differ(world: World) -> None:
    """Empty trees of two kinds share a root and are still two bodies."""
    async with world.node(1) as one, world.node(2, [one.address]) as two:
        await until(lambda: two.peers.connected())
        for kind in [TEXT, BODY]:
            await one.bodies.offer(ByteTree(kind, b"").commitment, b"")
            assert await two.bodies.fetch(ByteTree(kind, b"").commitment) == b""


@pytest.mark.parametrize("form", ["dns4", "dns"])
async def test_names_are_dialled_too(world: World, form: str) -> None:
    """An operator may write a host name; who has no such host is told so."""
    async with world.node(1) as one, world.node(2) as two:
        address = one.address.replace("/ip4/127.0.0.1/", f"/{form}/localhost/")
        two.dialer._addresses = lambda: [address]
        await two.dialer.reach(one.peer)
        assert two.peers.connected() == [one.peer]
        await two.dialer.drop(one.peer)
        two.dialer._addresses = lambda: [address.replace("localhost", "nowhere.invalid")]
        with pytest.raises(Temporary, match=r"nowhere\.invalid has no address"):
            await two.dialer.reach(one.peer)
