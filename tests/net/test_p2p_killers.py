"""Every way in which a peer was found to kill bare py-libp2p, tried on a guarded node."""

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_uvarint, encode_varint_prefixed

from p2p.host import run_host
from p2p.identity import key_pair, peer_id
from p2p.limits import Rate
from p2p.network import Network
from p2p.standing import Standing
from protocol.envelope import seal
from protocol.errors import Temporary
from tests.net.p2p_world import (
    ANY_PORT,
    CHAIN,
    PATIENCE,
    Key,
    Note,
    World,
    attacker,
    forget_attackers,
    heard,
    meshed,
    secret,
    until,
)

# The attackers are bare hosts, which leak their sockets when they are thrown out.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

MESHSUB = "/meshsub/1.1.0"
BAD = 66
Frames = Callable[[Network], list[bytes]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.register(1, 2, BAD, *range(100, 250))
    yield world
    forget_attackers()


async def ask(one: Network, other: Network, text: bytes) -> bytes:
    async def echo(peer: bytes, request: bytes) -> bytes:
        return request

    other.peers.serve("/echo/1", echo)
    return await one.peers.request(other.peer, "/echo/1", text, answer_max=100, deadline=PATIENCE)


def rpc(**fields: object) -> bytes:
    return encode_varint_prefixed(rpc_pb2.RPC(**fields).SerializeToString())


def message(victim: Network, data: bytes, number: int = 1, topics: int = 1) -> bytes:
    """A message that libp2p itself finds in order: its outer signature is right."""
    pair = key_pair(secret(BAD))
    body = rpc_pb2.Message(
        data=data,
        topicIDs=victim.gossip.topics * topics,
        from_id=peer_id(secret(BAD)),
        seqno=number.to_bytes(8, "big"),
    )
    body.signature = pair.private_key.sign(b"libp2p-pubsub:" + body.SerializeToString())
    body.key = pair.public_key.serialize()
    return rpc(publish=[body])


def sealed(victim: Network, payload: bytes, number: int = 1, epoch: int = 0) -> bytes:
    topic = victim.gossip.topics[0]
    now = victim.gossip.epoch + epoch
    return seal(Key(secret(BAD)), CHAIN, topic, now, number, payload).encode()


def forged(victim: Network) -> bytes:
    envelope = sealed(victim, b"note:in the name of somebody else")
    return envelope[:16] + Key(secret(2)).address + envelope[36:]


def unsigned(victim: Network, **over: bytes) -> bytes:
    wrong = {"data": b"x", "seqno": bytes(8), "signature": b"s", "key": b"k", **over}
    return rpc(publish=[rpc_pb2.Message(topicIDs=victim.gossip.topics, **wrong)])


def control(**fields: object) -> bytes:
    return rpc(control=rpc_pb2.ControlMessage(**fields))


KILLERS: dict[str, tuple[str, Frames]] = {
    "garbage rpc": (MESHSUB, lambda v: [encode_varint_prefixed(b"\xff" * 64)]),
    "malformed key": (
        MESHSUB,
        lambda v: [unsigned(v, from_id=b"\x12\x20" + b"a" * 32, key=b"\xff\xfe\x00")],
    ),
    "empty from": (MESHSUB, lambda v: [unsigned(v)]),
    "raising validator": (MESHSUB, lambda v: [message(v, sealed(v, b"note:bug"))]),
    "raising answer": ("/bug/1", lambda v: [b"\x00\x00\x00\x04boom"]),
    "raising stream": ("/raw/1", lambda v: [b"boom"]),
    "no envelope": (MESHSUB, lambda v: [message(v, os.urandom(300))]),
    "empty envelope": (MESHSUB, lambda v: [message(v, b"")]),
    "forged sender": (MESHSUB, lambda v: [message(v, forged(v))]),
    "old epoch": (MESHSUB, lambda v: [message(v, sealed(v, b"note:old", epoch=-3))]),
    "future epoch": (MESHSUB, lambda v: [message(v, sealed(v, b"note:new", epoch=3))]),
    "bad payload": (MESHSUB, lambda v: [message(v, sealed(v, b"nonsense"))]),
    "two topics": (MESHSUB, lambda v: [message(v, sealed(v, b"note:two"), topics=2)]),
    "envelope over 64 KiB": (MESHSUB, lambda v: [message(v, bytes(70_000))]),
    "graft of no topic": (
        MESHSUB,
        lambda v: [control(graft=[rpc_pb2.ControlGraft(topicID="nope")])],
    ),
    "endless back-off": (
        MESHSUB,
        lambda v: [
            control(
                prune=[
                    rpc_pb2.ControlPrune(
                        topicID=v.gossip.topics[0],
                        backoff=2**63,
                        peers=[rpc_pb2.PeerInfo(peerID=b"\x00", signedPeerRecord=b"zz")],
                    )
                ]
            )
        ],
    ),
    "many ids": (
        MESHSUB,
        lambda v: [
            control(
                ihave=[
                    rpc_pb2.ControlIHave(
                        topicID=v.gossip.topics[0],
                        messageIDs=[os.urandom(20) for _ in range(10_000)],
                    )
                ]
            )
        ],
    ),
    "oversize rpc": (MESHSUB, lambda v: [encode_uvarint(2**40)]),
    "endless varint": (MESHSUB, lambda v: [b"\xff" * 20]),
    "topic not utf-8": (
        MESHSUB,
        lambda v: [encode_varint_prefixed(b"\x0a\x06\x08\x01\x12\x02\xff\xfe")],
    ),
    "many subscriptions": (
        MESHSUB,
        lambda v: [
            rpc(
                subscriptions=[
                    rpc_pb2.RPC.SubOpts(subscribe=True, topicid=f"t{n}") for n in range(4000)
                ]
            )
        ],
    ),
    "identify push garbage": ("/ipfs/id/push/1.0.0", lambda v: [b"\xff" * 200]),
    "identify garbage": ("/ipfs/id/1.0.0", lambda v: [b"\xff" * 200]),
    "ping garbage": ("/ipfs/ping/1.0.0", lambda v: [b"\xff" * 7]),
    "request over its bound": ("/openledger/sync/1", lambda v: [b"\xff\xff\xff\xff" + bytes(9)]),
    "request of garbage": ("/openledger/sync/1", lambda v: [b"\x00\x00\x00\x09" + b"\xff" * 9]),
    "unknown protocol": ("/nothing/1", lambda v: [b"x"]),
}


async def test_no_frame_kills(world: World) -> None:
    """After each hostile frame the node lives, hears honest gossip and answers requests."""

    async def bug(peer: bytes, request: bytes) -> bytes:
        raise KeyError("a bug in an answer")

    async def raw(stream: object) -> None:
        raise ValueError("a bug in a stream handler")

    async with world.node(1) as victim, world.node(2, [victim.address]) as honest:
        await meshed(victim, honest)
        inbox = victim.gossip.subscribe(Note)
        victim.peers.serve("/bug/1", bug)
        victim.host.host.set_stream_handler(TProtocol("/raw/1"), raw)
        for number, (name, (protocol, frames)) in enumerate(KILLERS.items(), start=100):
            await shoot(victim, number, protocol, frames(victim))

            await honest.gossip.publish(Note(name.encode()))
            with trio.fail_after(PATIENCE):
                assert (await inbox.receive()).message.text == name.encode()
            assert await ask(honest, victim, b"x") == b"x", name
        async with attacker(BAD, victim) as (host, victim_id):  # still taking connections
            assert host.get_network().get_connections(victim_id)
        blamed = {name for name in victim.standing.counts if name.startswith("offence:")}
        assert blamed >= {"offence:malformed", "offence:stale", "offence:broken_stream"}
        for layer in ("guard:message:", "guard:rpc:", "guard:stream:", "bug:answer:"):
            assert any(count.startswith(layer) for count in victim.standing.counts), layer


async def shoot(victim: Network, seed: int, protocol: str, frames: list[bytes]) -> None:
    """Send frames and wait until the victim has had to do with each of them."""
    async with attacker(seed, victim) as (host, victim_id):
        try:
            stream = await host.new_stream(victim_id, [TProtocol(protocol)])
            for frame in frames:
                await stream.write(frame)
            with trio.move_on_after(0.2):
                await stream.read(1)
        except Exception:
            return  # being thrown out is what an attacker should expect


async def test_300_connections_in_a_lifetime(world: World) -> None:
    """libp2p takes 250 and then nobody until it is started again."""
    taken = []

    async def some(victim: Network, seed: int) -> None:
        for _ in range(15):
            async with attacker(seed, victim) as (host, victim_id):
                taken.append(host.get_network().get_connections(victim_id) != [])

    async with world.node(1) as victim:
        async with trio.open_nursery() as nursery:
            for seed in range(100, 120):
                nursery.start_soon(some, victim, seed)
        assert taken == [True] * 300
        await until(lambda: not victim.peers.connected())


async def test_idle_sockets_do_not_lock_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More half-open connections than there are handshake slots, and an honest node comes in."""
    monkeypatch.setattr("p2p.guard.HANDSHAKE_SECONDS", 1000.0)
    monkeypatch.setattr("p2p.host.NEGOTIATION_SECONDS", 1000.0)
    async with world.node(1) as victim:
        host, port = victim.address.split("/")[2:5:2]
        idle = [await trio.open_tcp_stream(host, int(port)) for _ in range(300)]
        try:
            async with world.node(2, [victim.address]) as honest:
                await meshed(victim, honest)
            assert victim.standing.counts["handshakes_evicted"] > 100
            with trio.fail_after(PATIENCE), contextlib.suppress(trio.BrokenResourceError):
                while await idle[0].receive_some():  # the oldest had to make room
                    pass
        finally:
            for connection in idle:
                await trio.aclose_forcefully(connection)


@pytest.mark.parametrize(
    "hello",
    [
        b"",
        b"\x13/multistream/1.0.0\n",
        b"\x13/multistream/1.0.0\n\x07/noise\n\x00\x40",
        b"\xff\xff\xff\xff\x7f" + b"A" * 100_000,
    ],
)
async def test_raw_bytes_do_not_kill(world: World, hello: bytes) -> None:
    """Random bytes at each stage of the handshake end only their own connection."""
    async with world.node(1) as victim:
        host, port = victim.address.split("/")[2:5:2]
        for _ in range(20):
            stream = await trio.open_tcp_stream(host, int(port))
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(hello + os.urandom(64))
            await trio.aclose_forcefully(stream)
        async with world.node(2, [victim.address]) as honest:
            await meshed(victim, honest)


async def test_muxer_frames_do_not_kill(world: World) -> None:
    """Garbage inside an encrypted connection ends that connection."""
    headers = [
        struct.pack("!BBHII", version, kind, flags, stream, length)
        for version, kind in ((0, 0), (0, 1), (0, 2), (0, 3), (0, 5), (1, 0))
        for flags in (0, 1, 2, 4, 8, 0xFFFF)
        for stream, length in ((1, 5), (1, 2**32 - 1), (2, 2**24))
    ]

    async def send(victim: Network, seed: int, header: bytes) -> None:
        with contextlib.suppress(Exception):
            async with attacker(seed, victim) as (host, _):
                connection = host.get_network().get_connections()[0].muxed_conn
                await connection.secured_conn.write(header + os.urandom(8))  # type: ignore[attr-defined]

    async with world.node(1) as victim:
        async with trio.open_nursery() as nursery:
            for seed, header in enumerate(headers, start=100):
                nursery.start_soon(send, victim, seed, header)
        async with world.node(2, [victim.address]) as honest:
            await meshed(victim, honest)
            assert await ask(honest, victim, b"x") == b"x"


async def test_window_is_enforced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends into a stream that nobody reads is cut off, not buffered without end."""
    monkeypatch.setattr("p2p.guard.MUX_BUFFER_BYTES_MAX", 1024 * 1024)

    async def deaf(stream: object) -> None:
        await trio.sleep_forever()

    async with world.node(1) as victim:
        victim.host.host.set_stream_handler(TProtocol("/deaf/1"), deaf)
        async with attacker(BAD, victim) as (host, victim_id):
            stream = await host.new_stream(victim_id, [TProtocol("/deaf/1")])
            number = stream.muxed_stream.stream_id  # type: ignore[attr-defined]
            connection = host.get_network().get_connections()[0].muxed_conn
            frame = struct.pack("!BBHII", 0, 0, 0, number, 60_000) + bytes(60_000)
            with contextlib.suppress(Exception):
                for _ in range(200):
                    await connection.secured_conn.write(frame)  # type: ignore[attr-defined]
            await until(lambda: not victim.peers.connected())


async def test_half_open_streams_are_reaped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that never send their request are bounded, then closed; others are answered."""
    monkeypatch.setattr("p2p.peers.READ_SECONDS", 1.0)
    async with world.node(1) as victim, world.node(2, [victim.address]) as honest:
        await meshed(victim, honest)
        assert await ask(honest, victim, b"x") == b"x"
        async with attacker(BAD, victim) as (host, victim_id):
            streams = []
            for _ in range(100):
                try:
                    streams.append(await host.new_stream(victim_id, [TProtocol("/echo/1")]))
                except Exception:
                    break
            assert await ask(honest, victim, b"x") == b"x"
            await until(lambda: victim.standing.counts["request_too_slow"] > 0)
            await until(lambda: not victim.peers._active)


async def flood(victim: Network, frames: bytes) -> None:
    with contextlib.suppress(Exception):
        async with attacker(BAD, victim) as (host, victim_id):
            stream = await host.new_stream(victim_id, [TProtocol(MESHSUB)])
            await stream.write(frames)
            await trio.sleep_forever()


async def test_flood_is_banned_and_stays_banned(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flooder loses his place, honest gossip goes on, and a restart does not forgive."""
    monkeypatch.setattr("p2p.guard.RPC_RATE", Rate(per_second=1, burst=100))
    async with world.node(1) as victim, world.node(2, [victim.address]) as honest:
        await meshed(victim, honest)
        inbox = victim.gossip.subscribe(Note)
        frames = [
            message(victim, sealed(victim, b"note:flood%d" % number, number), number)
            for number in range(1000)
        ]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, victim, b"".join(frames))
            for number in range(10):
                await honest.gossip.publish(Note(b"%d" % number))
                await heard(inbox, b"%d" % number)
            await until(lambda: peer_id(secret(BAD)) in victim.standing.banned_peers())
            nursery.cancel_scope.cancel()
        assert victim.standing.counts["offence:flood"] >= 400
        await until(lambda: peer_id(secret(BAD)) not in victim.peers.connected())
        assert victim.standing.points(honest.peer) == 0
    async with world.node(1) as victim:
        with trio.move_on_after(PATIENCE), contextlib.suppress(Exception):
            async with attacker(BAD, victim) as (host, victim_id):
                await host.new_stream(victim_id, [TProtocol(MESHSUB)])
        await until(lambda: victim.standing.counts["refused:connection"])
        assert not victim.peers.connected()


async def test_strangers_have_few_places(world: World) -> None:
    """Unregistered peers may connect, but only so many at a time."""
    async with world.node(1) as victim, trio.open_nursery() as nursery:
        started = []

        async def stranger(seed: int) -> None:
            try:
                async with attacker(seed, victim):
                    started.append(seed)
                    await trio.sleep_forever()
            except Exception:
                return

        for seed in range(300, 312):
            nursery.start_soon(stranger, seed)
        await until(lambda: victim.standing.counts["refused:connection"] >= 4)
        assert len(victim.peers.connected()) == 8
        async with attacker(BAD, victim) as (host, victim_id):
            assert host.get_network().get_connections(victim_id)
        nursery.cancel_scope.cancel()


async def test_stream_before_pubsub_runs(tmp_path: Path) -> None:
    """Nobody can connect while the services start, and a stream that would come is reset."""
    seen = []

    async def prepare(host: object) -> None:
        seen.append(list(host.network.listeners))  # type: ignore[attr-defined]

    async with run_host(secret(1), ANY_PORT, ["t"], Standing(None), bool, prepare) as host:
        assert seen == [[]]
        assert host.network.listeners


async def test_port_is_probed(world: World) -> None:
    """libp2p sets SO_REUSEPORT, so a second daemon would share the port in silence."""
    async with world.node(1) as one:
        listen = one.address.split("/p2p/")[0]
        with pytest.raises(Temporary, match="is taken"):
            async with world.node(2, listen=listen):
                pass
