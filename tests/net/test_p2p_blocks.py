"""Unsafe blocks between real nodes on loopback: gossip, forgery, and gaps filled by number."""

import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import cramjam
import pytest
import trio
from libp2p.abc import IHost
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_uvarint, encode_varint_prefixed

from node.blocks import BlockExchange
from p2p.block_topics import block_id, block_topics
from p2p.network import Network
from p2p.payloads import protocol_name
from protocol.errors import Refused, Temporary
from protocol.signature import address_of
from rollup.codec.config import RollupConfig
from rollup.codec.config_parts import Genesis
from rollup.codec.gossip import encode_gossip, payload_bytes, sign, signing_hash
from rollup.codec.payload import ExecutionPayload, PayloadEnvelope
from rollup.codec.refs import BlockId, L2BlockRef
from rollup.codec.system_config import SystemConfig
from rollup.ports import Which
from tests.net.p2p_world import Key, Note, World, attacker, forget_attackers, secret, until

SEQUENCER = secret(77)
CHAIN = 9017
ZERO = bytes(32)
ROOT = b"\x12" * 32
BAD = 66
TOPIC = f"/optimism/{CHAIN}/3/blocks"


def config() -> RollupConfig:
    start = int(time.time()) - 40
    genesis = Genesis(
        BlockId(ZERO, 0), BlockId(ZERO, 0), start, SystemConfig(bytes(20), ZERO, ZERO, 1)
    )
    forks = ("regolith", "canyon", "delta", "ecotone", "fjord", "granite", "holocene", "isthmus")
    active = {f"{fork}_time": 0 for fork in forks}
    return RollupConfig(genesis, 2, 600, 3600, 50, 1, CHAIN, *[bytes(20)] * 3, **active)  # type: ignore[arg-type]


def block(number: int, parent: bytes, when: int, size: int = 100) -> PayloadEnvelope:
    payload = ExecutionPayload(
        parent, bytes(20), ZERO, ZERO, bytes(256), ZERO, number, 15_000_000, 0, when, b"", 1, ZERO,
        (b"\x7e" + bytes(size),), 0, 0, ZERO,
    )  # fmt: skip
    fitting = dataclasses.replace(payload, block_hash=payload.compute_hash(ROOT))
    return PayloadEnvelope(fitting, ROOT)


def message(envelope: PayloadEnvelope, key: bytes = SEQUENCER) -> bytes:
    return encode_gossip(envelope, sign(key, signing_hash(CHAIN, payload_bytes(envelope))))


class Chain:
    """What engine and driver of one node would know."""

    def __init__(self, setup: RollupConfig, length: int = 0) -> None:
        self.setup = setup
        self.blocks: list[PayloadEnvelope] = []
        self.taken: list[PayloadEnvelope] = []
        self.missing: tuple[int, int] | None = None
        for _ in range(length):
            self.grow()

    def grow(self, size: int = 100) -> PayloadEnvelope:
        number = len(self.blocks) + 1
        parent = self.blocks[-1].payload.block_hash if self.blocks else ZERO
        self.blocks.append(block(number, parent, self.setup.block_time_at(number), size))
        return self.blocks[-1]

    async def ref(self, which: Which) -> L2BlockRef | None:
        assert which == "latest"
        return L2BlockRef(ZERO, len(self.blocks), ZERO, 0, BlockId(ZERO, 0), 0)

    async def payload(self, which: Which) -> PayloadEnvelope:
        assert isinstance(which, int)
        return self.blocks[which - 1]

    async def add_unsafe(self, envelope: PayloadEnvelope) -> bool:
        self.taken.append(envelope)
        return True


@dataclasses.dataclass
class Node:
    network: Network
    exchange: BlockExchange
    chain: Chain

    async def shout(self, data: bytes, version: int = 3) -> None:
        """Gossip bytes as they are, checked by nobody here."""
        assert self.network.blocks is not None
        await self.network.blocks.publish(version, data)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.register(1, 2, 3, BAD)
    yield world
    forget_attackers()


@asynccontextmanager
async def node(world: World, seed: int, chain: Chain, *peers: Node) -> AsyncIterator[Node]:
    """Seed 1 is the sequencer."""
    exchange = BlockExchange(
        chain.setup,
        chain,
        lambda: address_of(SEQUENCER),
        time.time,
        Key(SEQUENCER) if seed == 1 else None,
    )
    addresses = [peer.network.address for peer in peers]
    async with world.node(seed, addresses, rollup=exchange.rollup) as network:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchange.run, network, chain)
            yield Node(network, exchange, chain)
            nursery.cancel_scope.cancel()


async def meshed(*nodes: Node) -> None:
    for one in nodes:
        others = {ID(other.network.peer) for other in nodes if other is not one}

        def complete(one: Node = one, others: set[ID] = others) -> bool:
            mesh = one.network.host.router.mesh
            return all(others <= set(mesh.get(topic, ())) for topic in block_topics(CHAIN))

        await until(complete)


async def test_blocks_reach_all_and_repeat_for_none(world: World) -> None:
    """Through a line of nodes too; a large block as well as small ones."""
    setup = config()
    async with node(world, 1, Chain(setup)) as one, node(world, 2, Chain(setup), one) as two:
        async with node(world, 3, Chain(setup), two) as three:
            await meshed(two, three)
            await meshed(one, two)
            assert one.network.blocks is not None
            assert one.network.blocks.peers() == 1

            for size in (100, 2_000_000, 100):
                one.exchange.publish(one.chain.grow(size))

            for other in (two, three):
                await until(lambda other=other: len(other.chain.taken) == 3)
                assert sorted(e.payload.block_number for e in other.chain.taken) == [1, 2, 3]
                assert all(taken in one.chain.blocks for taken in other.chain.taken)
                assert other.network.standing.counts["block:accept"] == 3
            assert not one.chain.taken


Forge = Callable[[Node], list[bytes]]


def altered(envelope: PayloadEnvelope, **fields: object) -> PayloadEnvelope:
    payload = dataclasses.replace(envelope.payload, **fields)  # type: ignore[arg-type]
    return dataclasses.replace(envelope, payload=payload)


FORGERIES: dict[str, Forge] = {
    "forged signature": lambda n: [message(block(9, ZERO, int(time.time())), secret(5))],
    "wrong hash": lambda n: [message(altered(n.chain.grow(), state_root=ROOT))],
    "no snappy": lambda n: [b"\xff" * 100],
    "bomb": lambda n: [bytes(cramjam.snappy.compress_raw(bytes(11 * 2**20)))],
    "short": lambda n: [bytes(cramjam.snappy.compress_raw(b"x" * 65))],
    "cut": lambda n: [message(n.chain.grow())[:-9]],
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_forgeries_go_nowhere_and_cost_their_forwarder(world: World, name: str) -> None:
    """The honest go on."""
    setup = config()
    async with node(world, 1, Chain(setup)) as one, node(world, 2, Chain(setup), one) as two:
        async with node(world, BAD, Chain(setup), two) as bad:
            await meshed(one, two)
            await meshed(bad, two)

            for data in FORGERIES[name](bad):
                await bad.shout(data)
            await until(lambda: two.network.standing.points(bad.network.peer) >= 19)
            one.exchange.publish(one.chain.grow())

            await until(lambda: two.chain.taken == one.chain.blocks)
            await until(lambda: bad.chain.taken == one.chain.blocks)
            assert two.network.standing.points(one.network.peer) == 0
            assert one.network.standing.points(two.network.peer) == 0
            assert not one.chain.taken


async def test_old_news_cost_little_and_repeated_forgery_ends_in_a_ban(world: World) -> None:
    setup = config()
    async with node(world, 2, Chain(setup)) as two, node(world, BAD, Chain(setup), two) as bad:
        await meshed(two, bad)

        await bad.shout(message(block(1, ZERO, int(time.time()) - 70)))
        await until(lambda: two.network.standing.counts["block:stale"] == 1)
        assert 0 < two.network.standing.points(bad.network.peer) <= 1
        for number in range(5):
            await bad.shout(message(block(number, ZERO, int(time.time())), secret(5)))

        await until(lambda: two.network.standing.banned(bad.network.peer))
        await until(lambda: bad.network.peer not in two.network.peers.connected())
        assert not two.chain.taken


async def test_the_blocks_of_another_topic_or_author_are_refused(world: World) -> None:
    """A sound block on the topic of another version; libp2p's own signature around a block; a
    large message on a topic of ours."""
    setup = config()
    async with node(world, 2, Chain(setup)) as two, node(world, BAD, Chain(setup), two) as bad:
        await meshed(two, bad)
        standing = two.network.standing
        good = message(bad.chain.grow())

        await bad.shout(good, version=2)
        await until(lambda: standing.counts["offence:malformed"] == 1)
        await bad.network.host.pubsub.publish(TOPIC, good)
        await until(lambda: standing.counts["offence:malformed"] == 2)
        await bad.network.host.pubsub.publish(two.network.gossip.topics[0], bytes(70_000))
        await until(lambda: standing.counts["offence:malformed"] == 3)
        await bad.shout(good)

        await until(lambda: two.chain.taken == bad.chain.blocks)


async def test_a_flood_of_blocks_is_dropped(world: World) -> None:
    setup = config()
    async with node(world, 2, Chain(setup)) as two, attacker(BAD, two.network) as (host, victim):
        stream = await host.new_stream(victim, [TProtocol("/meshsub/1.1.0")])
        for number in range(300):
            sent = rpc_pb2.Message(data=b"%d" % number * 30, topicIDs=[TOPIC])
            rpc = rpc_pb2.RPC(publish=[sent])
            try:
                await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
            except Exception:
                break  # banned by now

        await until(lambda: two.network.standing.banned_peers())
        assert not two.chain.taken


@pytest.mark.parametrize("number", [1, 2])
async def test_ten_mebibytes_of_tiny_entries_are_not_even_parsed(world: World, number: int) -> None:
    """Of messages, and of subscriptions: each would be millions of objects."""
    setup = config()
    entry = encode_uvarint(number << 3 | 2)
    async with node(world, 2, Chain(setup)) as two, attacker(BAD, two.network) as (host, victim):
        rpc = (entry + b"\x00") * (9 * 2**20 // 2)

        stream = await host.new_stream(victim, [TProtocol("/meshsub/1.1.0")])
        await stream.write(encode_varint_prefixed(rpc))

        await until(lambda: two.network.standing.counts["guard:rpc:Malformed"] == 1)
        assert two.network.standing.points(peer_of(host)) > 0


def peer_of(host: IHost) -> bytes:
    return bytes(host.get_id().to_bytes())


async def test_gaps_are_filled_by_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hears block 9 first gets 1 to 8 by number, proven by the hashes up to the signed one."""
    monkeypatch.setattr("node.blocks.GAP_SECONDS", 0.05)
    setup = config()
    async with node(world, 1, Chain(setup, 8)) as one, node(world, 2, Chain(setup), one) as two:
        await meshed(one, two)
        one.exchange.publish(one.chain.grow())
        await until(lambda: two.chain.taken)

        two.chain.missing = (1, 8)
        await until(lambda: len(two.chain.taken) >= 9)

        two.chain.missing = None
        assert two.chain.taken[1:9] == one.chain.blocks[:8]
        assert two.network.standing.points(one.network.peer) == 0


async def test_unsigned_blocks_of_another_chain_fill_no_gap(world: World) -> None:
    setup = config()
    liar = Chain(setup, 3)
    honest = Chain(setup)
    honest.blocks = [block(n, ROOT, setup.block_time_at(n)) for n in range(1, 4)]
    async with node(world, 2, Chain(setup)) as two, node(world, 3, liar, two) as three:
        await meshed(two, three)
        await two.exchange.check(3, message(honest.grow()))

        with pytest.raises(Temporary):
            await two.exchange.fill(two.network, 1, 3)
        with pytest.raises(Temporary):
            await two.exchange.fill(two.network, 4, 9)  # nothing signed follows
        assert await two.exchange.fetch(two.network, 2) == liar.blocks[1]
        assert await two.exchange.fetch(two.network, 7) is None


async def test_odd_requests_for_blocks(world: World) -> None:
    """Bytes that are no request, numbers that are no block's, and more than a peer may ask."""
    setup = config()
    async with node(world, 2, Chain(setup, 3)) as two, attacker(BAD, two.network) as (host, victim):
        protocol = TProtocol(protocol_name(CHAIN))

        async def ask(data: bytes) -> bytes:
            stream = await host.new_stream(victim, [protocol])
            await stream.write(data)
            await stream.close_write()  # type: ignore[attr-defined]
            return await stream.read(1)

        assert await ask((2).to_bytes(8, "little")) == b"\x00"
        assert await ask((4).to_bytes(8, "little")) == b"\x01"
        assert await ask((0).to_bytes(8, "little")) == b"\x01"
        assert await ask(b"\xff" * 8) == b"\x01"
        assert await ask(b"\xff" * 3) == b"\x03"
        codes = [await ask((1).to_bytes(8, "little")) for _ in range(20)]
        assert b"\x00" in codes
        assert codes[-1] == b"\x03"


async def test_own_messages_of_the_node_go_on_beside_blocks(world: World) -> None:
    setup = config()
    async with node(world, 1, Chain(setup)) as one, node(world, 2, Chain(setup), one) as two:
        await meshed(one, two)
        inbox = two.network.gossip.subscribe(Note)

        await one.network.gossip.publish(Note(b"beside"))

        await until(lambda: inbox.statistics().current_buffer_used)
        with pytest.raises(Refused):
            await one.shout(bytes(11 * 2**20))


async def test_peers_name_messages_by_their_content(world: World) -> None:
    """What a node tells in IHAVE is the id that the OP Stack gives a block."""
    setup = config()
    async with node(world, 1, Chain(setup)) as one:
        data = message(one.chain.grow())

        await one.shout(data)

        assert one.network.host.router.mcache.window(TOPIC) == [block_id(TOPIC, data)]
