"""Gossip and its repair between real nodes on loopback."""

from pathlib import Path

import pytest
import trio

from p2p import sync
from protocol.envelope import content_id, seal
from protocol.errors import Temporary
from tests.net.p2p_world import CHAIN, PATIENCE, Key, Note, World, heard, meshed, secret, until


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.register(1, 2, 3)
    return world


async def test_burst_arrives_everywhere_once(world: World) -> None:
    """300 messages at once reach all others, signed by their sender, none twice."""
    async with world.node(1) as one, world.node(2, [one.address]) as two:
        async with world.node(3, [one.address, two.address]) as three:
            await meshed(one, two, three)
            inboxes = [two.gossip.subscribe(Note), three.gossip.subscribe(Note)]

            for number in range(300):
                await one.gossip.publish(Note(b"%d" % number))

            for inbox in inboxes:
                with trio.fail_after(PATIENCE):
                    got = [await inbox.receive() for _ in range(300)]
                assert {received.message.text for received in got} == {
                    b"%d" % number for number in range(300)
                }
                assert {received.sender for received in got} == {Key(secret(1)).address}
                assert inbox.statistics().current_buffer_used == 0


async def test_late_node_gets_what_it_missed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that joins after the talking hears it all by range sync."""
    monkeypatch.setattr(sync, "ROUND_SECONDS", 0.1)
    async with world.node(1) as one:
        for number in range(700):  # more than one answer holds
            await one.gossip.publish(Note(b"%d" % number))
        async with world.node(2, [one.address]) as late:
            inbox = late.gossip.subscribe(Note)

            with trio.fail_after(PATIENCE):
                got = {(await inbox.receive()).message.text for _ in range(700)}

            assert got == {b"%d" % number for number in range(700)}


async def test_lost_gossip_is_repaired(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node whose gossip is lost altogether still hears everything."""
    monkeypatch.setattr(sync, "ROUND_SECONDS", 0.1)
    async with world.node(1) as one, world.node(2, [one.address]) as two:
        two.host.pubsub.may_publish = lambda peer: False
        await meshed(one, two)
        inbox = two.gossip.subscribe(Note)

        await one.gossip.publish(Note(b"lost"))

        await heard(inbox, b"lost")
        await until(lambda: two.standing.counts["synced"] == 1)
        assert two.standing.points(one.peer) == 0


async def test_slow_consumer_is_served_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not fit into a consumer's channel is offered again, not lost."""
    monkeypatch.setattr("p2p.gossip.CHANNEL_MAX", 10)
    async with world.node(1) as one:
        inbox = one.gossip.subscribe(Note)

        for number in range(25):
            await one.gossip.publish(Note(b"%d" % number))

        got = set()
        for _ in range(3):
            while inbox.statistics().current_buffer_used:
                got.add(inbox.receive_nowait().message.text)
            one.gossip.redeliver()
        assert got == {b"%d" % number for number in range(25)}
        assert one.standing.counts["consumer_behind"] == 15


async def test_unregistered_operator_is_not_heard(world: World) -> None:
    """Who is not on chain cannot publish, and his peer's messages go nowhere."""
    async with world.node(1) as one, world.node(9, [one.address]) as stranger:
        await until(lambda: stranger.peer in one.peers.connected())
        inbox = one.gossip.subscribe(Note)

        with pytest.raises(Temporary):
            await stranger.gossip.publish(Note(b"mine"))
        topic = one.gossip.topics[0]
        envelope = seal(Key(secret(9)), CHAIN, topic, one.gossip.epoch, 1, b"note:mine")
        await stranger.host.pubsub.publish(topic, envelope.encode())

        await until(lambda: one.standing.counts["refused:publish"])
        assert inbox.statistics().current_buffer_used == 0


async def test_replay_on_a_wrong_topic_does_not_silence(world: World) -> None:
    """A valid envelope that was first shown on a foreign topic is heard on its own."""
    async with world.node(1) as one, world.node(2, [one.address]) as two:
        await meshed(one, two)
        inbox = two.gossip.subscribe(Note)
        topic = two.gossip.topics[0]
        data = seal(Key(secret(3)), CHAIN, topic, two.gossip.epoch, 1, b"note:real").encode()

        two.gossip.accept(b"liar", topic + "x", data)
        await one.host.pubsub.publish([topic, topic + "x"], data)
        await until(lambda: two.standing.points(one.peer) > 0)
        await one.host.pubsub.publish(topic, data)

        await heard(inbox, b"real")
        assert two.gossip.knows(content_id(topic, data))


async def test_a_role_that_starts_late_gets_what_came_before_it(world: World) -> None:
    """A role waits for its registration, while range sync has long brought the messages."""
    async with world.node(1) as one, world.node(2, [one.address]) as two:
        await meshed(one, two)
        await one.gossip.publish(Note(b"early"))
        topic = two.gossip.topics[0]
        await until(lambda: two.gossip.recent.ids(topic, 0))

        inbox = two.gossip.subscribe(Note)

        await heard(inbox, b"early")
