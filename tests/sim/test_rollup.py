"""A whole rollup on virtual time: whatever fails, all nodes end on one chain, posted once."""

from collections.abc import Callable
from random import Random
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from rollup.channel_out import ChannelPolicy
from tests.sim.rollup_world import L1_SECONDS, World

QUICK = ChannelPolicy(target_bytes=2000, frame_bytes=900, duration=2)
SECONDS = 400.0
LAG = 12 * L1_SECONDS  # seconds after which a quiet network has made a block safe
seeds = st.integers(0, 2**32 - 1)


def simulate(world: World, *events: Callable[[], Any], seconds: float = SECONDS) -> None:
    trio.run(world.run, seconds, *events, clock=MockClock(autojump_threshold=0))


def make_world(seed: int, *, followers: int = 1, **settings: Any) -> World:
    world = World(Random(seed), **settings)
    world.node(sequences=True, policy=QUICK)
    for _ in range(followers):
        world.node()
    return world


def require_one_chain(world: World, seconds: float = SECONDS) -> None:
    """All nodes agree up to the lowest safe head, and that is not far behind."""
    heads = [node.heads for node in world.nodes]
    safe = min(each.safe.number for each in heads)
    chains = [node.engine.hashes()[: safe + 1] for node in world.nodes]
    assert all(chain == chains[0] for chain in chains)
    assert safe > (seconds - LAG) / world.config.block_time
    assert all(each.finalized.number > 0 for each in heads)


def require_posted_once(world: World) -> None:
    """Without a reorg every height is in exactly one batch, in order."""
    expected = 1
    for first, last in world.posted():
        assert first == expected
        expected = last + 1
    assert expected > 1


def require_no_equivocation(world: World) -> None:
    for number, told in world.published.items():
        assert len(told) == 1, f"{len(told)} blocks of height {number} were let out"


def test_a_node_follows_the_sequencer_by_gossip_and_by_l1() -> None:
    world = make_world(1)

    simulate(world)

    require_one_chain(world)
    require_posted_once(world)
    require_no_equivocation(world)
    assert world.nodes[1].heads.unsafe.number >= SECONDS / 2 - 4


def test_a_node_without_gossip_derives_the_same_blocks() -> None:
    world = make_world(2, loss=1.0)

    simulate(world)

    require_one_chain(world)
    follower = world.nodes[1].heads
    assert follower.unsafe == follower.safe


def test_what_gossip_brought_is_not_executed_again() -> None:
    world = make_world(3)

    simulate(world)

    engine = world.nodes[1].engine
    assert engine.executed == world.nodes[1].heads.unsafe.number


@settings(max_examples=12, deadline=None)
@given(seed=seeds, loss=st.sampled_from([0.0, 0.3]))
def test_a_kill_at_any_effect_posts_nothing_twice(seed: int, loss: float) -> None:
    world = make_world(seed, loss=loss, kills=8, trouble=SECONDS / 2)

    simulate(world)

    assert world.nodes[0].deaths > 0
    require_one_chain(world)
    require_posted_once(world)
    require_no_equivocation(world)
