"""A whole rollup on virtual time: whatever fails, all nodes end on one chain, posted once."""

from random import Random
from typing import Any

import trio
from trio.testing import MockClock

from rollup.channel_out import ChannelPolicy
from tests.sim.rollup_world import World

QUICK = ChannelPolicy(target_bytes=2000, frame_bytes=900, duration=2)


def simulate(main: Any, *args: Any) -> Any:
    return trio.run(main, *args, clock=MockClock(autojump_threshold=0))


async def _plain(seconds: float) -> World:
    world = World(Random(1))
    world.node(sequences=True, policy=QUICK)
    world.node()
    await world.run(seconds)
    return world


def test_a_node_follows_the_sequencer_by_gossip_and_by_l1() -> None:
    world = simulate(_plain, 240.0)
    first, second = world.nodes

    heads = first.heads, second.heads
    print(heads[0].unsafe.number, heads[0].safe.number, heads[0].finalized.number)
    print(first.batcher.tally, first.sequencing.tally, first.driver.watch)
    assert first.engine.hashes()[:100] == second.engine.hashes()[:100]
    assert heads[0].safe.number > 80
