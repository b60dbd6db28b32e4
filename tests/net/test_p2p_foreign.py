"""Our node beside a peer of another implementation: js-libp2p with its gossipsub, on loopback."""

import json
import os
import platform
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.peer.id import ID

from p2p.block_topics import block_id
from p2p.identity import from_text, peer_id
from p2p.network import Network
from protocol.envelope import EPOCH_SECONDS, Envelope, content_id, seal, topic_name
from tests.net.p2p_world import CHAIN as LEDGER
from tests.net.p2p_world import FORK, Key, Note, World, forget_attackers, secret, until
from tests.net.test_p2p_blocks import TOPIC, ZERO, Chain, block, config, message, node

NPM = Path(__file__).resolve().parents[1] / "npm"
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
NODE = NPM / f"node_modules/node-linux-{MACHINE}/bin/node"  # js-libp2p needs 22, Debian has 18
LINE_BYTES_MAX = 8 * 2**20  # of hexadecimal
OURS, FOREIGN, STRANGER = 2, 8, 9  # seeds

if not (NODE.exists() and (NPM / "node_modules/@libp2p/gossipsub").exists()):
    if "CI" in os.environ:
        raise RuntimeError("js-libp2p is not installed: npm ci --prefix tests/npm")
    pytest.skip("js-libp2p is not installed: npm ci --prefix tests/npm", allow_module_level=True)


@dataclass
class Foreign:
    """The peer as `tests/npm/peer.mjs` tells of it."""

    process: trio.Process
    peer: bytes = b""
    address: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)
    events: set[tuple[str, str]] = field(default_factory=set)

    async def publish(self, topic: str, data: bytes) -> None:
        assert self.process.stdin is not None
        line = json.dumps({"topic": topic, "data": data.hex()})
        await self.process.stdin.send_all(line.encode() + b"\n")

    async def read(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        async for chunk in self.process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            assert len(rest) < LINE_BYTES_MAX
            for line in lines:
                self._take(json.loads(line))
        raise RuntimeError("the foreign peer has ended")

    def _take(self, value: dict[str, Any]) -> None:
        if "peer" in value:
            self.peer, self.address = from_text(value["peer"]), value["address"]
        elif "event" in value:
            self.events.add((value["event"], value["topic"]))
        else:
            self.heard.append(value)

    def data(self) -> list[bytes]:
        return [bytes.fromhex(value["data"]) for value in self.heard]

    def ids(self) -> list[bytes]:
        return [bytes.fromhex(value["id"]) for value in self.heard]


@asynccontextmanager
async def foreign(seed: int, topics: Sequence[str], **settings: object) -> AsyncIterator[Foreign]:
    """A peer that is up; `signed`, `dial`, `degree` as in `peer.mjs`."""
    argument = {"seed": secret(seed).hex(), "signed": False, "topics": list(topics), **settings}
    command = [str(NODE), str(NPM / "peer.mjs"), json.dumps(argument)]
    pipe = subprocess.PIPE
    process = await trio.lowlevel.open_process(command, stdin=pipe, stdout=pipe)
    peer = Foreign(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.read)
            await until(lambda: peer.peer)
            yield peer
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for end in (process.stdin, process.stdout):
                assert end is not None
                await end.aclose()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.register(OURS, FOREIGN)
    yield world
    forget_attackers()


async def meshed(ours: Network, theirs: Foreign, topic: str) -> None:
    """Either side knows that it may send to the other."""
    await until(lambda: ID(theirs.peer) in ours.host.router.mesh.get(topic, ()))
    await until(lambda: ("graft", topic) in theirs.events)


async def pruned(ours: Network, theirs: Foreign) -> None:
    """We have asked to be in its mesh, and it has declined."""
    back_off = ours.host.router.back_off
    await until(lambda: ID(theirs.peer) in back_off.get(TOPIC, ()))


async def test_blocks_cross_both_ways_and_a_forged_one_costs_its_sender(world: World) -> None:
    """A stranger, as any op-node is one to us: it speaks of blocks, unsigned, and may."""
    setup = config()
    async with node(world, 1, Chain(setup)) as ours:
        dial = [ours.network.address]
        async with foreign(STRANGER, [TOPIC], dial=dial) as theirs:
            await meshed(ours.network, theirs, TOPIC)
            sent = [message(ours.chain.grow(size)) for size in (100, 1_000_000)]
            theirs_chain = Chain(setup)

            for envelope in ours.chain.blocks:
                ours.exchange.publish(envelope)
            await until(lambda: len(theirs.heard) == 2)
            for size in (200, 1_000_000):
                await theirs.publish(TOPIC, message(theirs_chain.grow(size)))
            await until(lambda: len(ours.chain.taken) == 2)

            assert sorted(theirs.data()) == sorted(sent)
            assert sorted(theirs.ids()) == sorted(block_id(TOPIC, data) for data in sent)
            assert all(value["from"] is None for value in theirs.heard)
            by_number = sorted(ours.chain.taken, key=lambda e: e.payload.block_number)
            assert by_number == theirs_chain.blocks
            assert ours.network.standing.points(theirs.peer) == 0

            forged = block(9, ZERO, int(time.time()))
            await theirs.publish(TOPIC, message(forged, secret(5)))
            await until(lambda: ours.network.standing.points(theirs.peer) >= 19)
            honest = theirs_chain.grow()
            await theirs.publish(TOPIC, message(honest))

            await until(lambda: honest in ours.chain.taken)
            assert forged not in ours.chain.taken
            assert ours.network.standing.counts["block:reject"] == 1


async def test_what_was_not_pushed_is_asked_for_by_its_id(world: World) -> None:
    """A peer whose mesh is always full hands a block on by IHAVE and IWANT alone: all must know
    it by the same 20 bytes."""
    setup = config()
    async with node(world, 1, Chain(setup)) as one, node(world, OURS, Chain(setup)) as two:
        dial = [one.network.address, two.network.address]
        async with foreign(STRANGER, [TOPIC], dial=dial, degree=0) as theirs:
            for ours in (one, two):
                await pruned(ours.network, theirs)
            router = one.network.host.router

            await one.shout(message(one.chain.grow()))
            # libp2p by itself tells nothing to a peer that has pruned us
            told = router.mcache.window(TOPIC)
            await router.emit_ihave(TOPIC, told, ID(theirs.peer))
            await until(lambda: two.chain.taken)

            assert two.chain.taken == one.chain.blocks
            assert theirs.data() == [message(one.chain.blocks[0])]
            assert theirs.ids() == told == [block_id(TOPIC, theirs.data()[0])]
            assert not router.mesh[TOPIC] | two.network.host.router.mesh[TOPIC]
            assert two.network.standing.points(theirs.peer) == 0


async def test_envelopes_cross_both_ways(world: World) -> None:
    """Signed by libp2p's key on the way and by the operator within."""
    topic = topic_name(LEDGER, FORK, Note.TOPIC)
    async with foreign(FOREIGN, [topic], signed=True) as theirs:
        async with world.node(OURS, [theirs.address]) as ours:
            assert theirs.peer == peer_id(secret(FOREIGN))
            await meshed(ours, theirs, topic)
            inbox = ours.gossip.subscribe(Note)

            await ours.gossip.publish(Note(b"from ours"))
            told = ours.host.router.mcache.window(topic)
            await until(lambda: theirs.heard)
            written = note(topic, b"from theirs", FOREIGN)
            await theirs.publish(topic, written)
            await until(lambda: inbox.statistics().current_buffer_used == 2)

            got = Envelope.decode(theirs.data()[0])
            got.verify(LEDGER, topic)
            assert Note.decode(got.payload) == Note(b"from ours")
            assert theirs.ids() == told == [content_id(topic, theirs.data()[0])]
            assert ours.gossip.knows(content_id(topic, written))
            received = [inbox.receive_nowait() for _ in range(2)]
            assert [(r.message.text, r.sender) for r in received] == [
                (b"from ours", Key(secret(OURS)).address),
                (b"from theirs", Key(secret(FOREIGN)).address),
            ]
            assert ours.standing.points(theirs.peer) == 0

            await theirs.publish(topic, note(topic + "x", b"for another topic", FOREIGN))
            await until(lambda: ours.standing.points(theirs.peer) >= 19)


def note(topic: str, text: bytes, seed: int) -> bytes:
    """An envelope made outside of any node."""
    epoch = int(time.time()) // EPOCH_SECONDS
    sequence = time.time_ns()
    return seal(Key(secret(seed)), LEDGER, topic, epoch, sequence, Note(text).encode()).encode()
