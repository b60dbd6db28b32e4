"""A whole rollup on virtual time: whatever fails, all nodes end on one chain, posted once."""

from collections.abc import Callable
from random import Random
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from rollup.channel_out import ChannelPolicy
from rollup.codec.config import AltDa
from rollup.l2_blocks import ref_of
from tests.sim.rollup_world import L1_SECONDS, Node, SimDa, World, world_config

QUICK = ChannelPolicy(target_bytes=2000, frame_bytes=900, duration=2)
SECONDS = 240.0
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


@settings(max_examples=6, deadline=None)
@given(seed=seeds, loss=st.sampled_from([0.0, 0.3]))
def test_a_kill_at_any_effect_posts_nothing_twice(seed: int, loss: float) -> None:
    world = make_world(seed, loss=loss, kills=8, trouble=SECONDS / 2)

    simulate(world)

    assert world.nodes[0].deaths > 0
    require_one_chain(world)
    require_posted_once(world)
    require_no_equivocation(world)


def down(node: Node, world: World) -> Callable[[], None]:
    """The engine goes away for a while and has lost its newest blocks when it is back."""

    async def outage() -> None:
        node.engine.is_down = True
        await trio.sleep(world.random.uniform(0, 30))
        node.engine.crash(world.random.randrange(6))
        node.engine.is_down = False

    return lambda: world.start(outage)


@settings(max_examples=6, deadline=None)
@given(seed=seeds, kills=st.sampled_from([0, 3]), loss=st.sampled_from([0.0, 1.0]))
def test_engines_that_lose_their_newest_blocks_get_them_back(
    seed: int, kills: int, loss: float
) -> None:
    world = make_world(seed, loss=loss, kills=kills, trouble=SECONDS / 2)

    simulate(world, *[down(node, world) for node in world.nodes for _ in range(2)])

    require_one_chain(world)
    require_posted_once(world)
    require_no_equivocation(world)


def reorg(world: World, depth_max: int) -> Callable[[], None]:
    return lambda: world.l1.reorg(world.random.randrange(1, depth_max), world.random.randbytes(4))


@settings(max_examples=6, deadline=None)
@given(seed=seeds, kills=st.sampled_from([0, 3]), count=st.sampled_from([1, 3]))
def test_a_reorg_of_l1_rolls_back_and_forward_to_one_chain(
    seed: int, kills: int, count: int
) -> None:
    world = make_world(seed, kills=kills, trouble=SECONDS / 2)

    simulate(world, *[reorg(world, 6) for _ in range(count)])

    require_one_chain(world)
    require_excused(world)


def require_excused(world: World) -> None:
    """A second block of a height was let out only after L1 took the ground of the first, or of
    one below it."""
    canonical = {block.ref.hash for block in world.l1.blocks}
    gone = set()
    for _, told in sorted(world.published.items()):
        for envelope in told:
            origin = ref_of(envelope, world.config).l1_origin.hash
            if origin not in canonical or envelope.payload.parent_hash in gone:
                gone.add(envelope.payload.block_hash)
        last = told[-1].payload.block_hash
        assert all(e.payload.block_hash in gone for e in told if e.payload.block_hash != last)


@settings(max_examples=4, deadline=None)
@given(seed=seeds)
def test_l1_that_is_not_reached_for_a_while_stops_nothing_for_good(seed: int) -> None:
    world = make_world(seed, kills=2, trouble=SECONDS / 2)

    async def outage() -> None:
        world.l1.is_down = True
        await trio.sleep(world.random.uniform(5, 60))
        world.l1.is_down = False

    simulate(world, lambda: world.start(outage))

    require_one_chain(world)
    require_posted_once(world)
    require_no_equivocation(world)


# ---------------------------------------------------------------- the DA layer

KECCAK_DA = AltDa(b"\xda" * 20, "KeccakCommitment", 3, 3)


@settings(max_examples=6, deadline=None)
@given(seed=seeds, mode=st.sampled_from(["up", "down", "full"]), kills=st.sampled_from([0, 5]))
def test_data_go_to_the_da_layer_and_when_it_is_full_to_l1(
    seed: int, mode: str, kills: int
) -> None:
    config = world_config(alt_da=KECCAK_DA)
    world = make_world(seed, config=config, da=SimDa(), kills=kills, trouble=SECONDS / 2)

    async def outage() -> None:
        assert world.da is not None
        world.da.mode = mode
        await trio.sleep(world.random.uniform(5, 60))
        world.da.mode = "up"

    simulate(world, lambda: world.start(outage))

    versions = {data[0] for _, data in world.l1.data()}
    assert 1 in versions
    require_one_chain(world)
    require_posted_once(world)
    require_no_equivocation(world)


def test_a_full_da_layer_leaves_nothing_but_calldata() -> None:
    world = make_world(7, config=world_config(alt_da=KECCAK_DA), da=SimDa("full"))

    simulate(world)

    assert {data[0] for _, data in world.l1.data()} == {0}
    require_one_chain(world)
    require_posted_once(world)
