"""Whatever the network does: honest nodes are never slashed, liars always, money adds up."""

from collections import Counter
from functools import partial
from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from protocol.batch import Body
from protocol.court import Kind
from protocol.ledger import Status
from protocol.parameters import OPEN
from tests.sim.story import PARAMETERS, STAKE, story
from tests.sim.world import Faults, World

SECONDS = 1_500.0
PRICE = OPEN + 10_001

seeds = st.integers(0, 2**32 - 1)
faults = st.builds(
    Faults,
    loss=st.sampled_from([0.0, 0.3]),
    repeat=st.sampled_from([0.0, 0.3]),
    delay_max=st.sampled_from([0.0, 1.0, 8.0]),
    missing=st.sampled_from([0.0, 0.3]),
    restarts=st.sampled_from([0, 3]),
)


def run(world: World, seconds: float = SECONDS) -> World:
    trio.run(partial(world.run, seconds), clock=MockClock(autojump_threshold=0))
    return world


def final_bodies(world: World) -> list[Body]:
    batches = world.chain.truth.batches.values()
    headers = [batch.header for batch in batches if batch.status is Status.FINAL]
    held = {root: data for node in world.nodes for root, data in node.held.items()}
    return [Body.decode(held[header.data_root]) for header in headers]


def check_money(world: World, answers: int) -> None:
    """Every answer was attributed once, and the totals are what was paid in."""
    bodies = final_bodies(world)
    receipts = [answer.receipt for body in bodies for answer in body.answers]
    assert sorted(receipt.nonce for receipt in receipts) == list(range(answers))
    paid = Counter[int]()
    for body in bodies:
        for _, entry in body.entries:
            paid[entry.contributor] += entry.value
    assert dict(bodies[-1].totals) == dict(paid)
    assert sum(paid.values()) == PARAMETERS.contributors_share(PRICE) * answers
    assert world.chain.truth.allocated == sum(paid.values()) == world.chain.root.sum


@settings(max_examples=10, deadline=None)
@given(seeds, faults, st.integers(1, 3), st.integers(0, 2))
def test_a_network_of_honest_nodes_pays_everybody(
    seed: int, bad: Faults, provers: int, validators: int
) -> None:
    world, _, _, _ = story(
        Random(seed), bad, provers=provers, liars=0, validators=validators, answers=3, price=PRICE
    )
    run(world)
    assert not world.chain.slashes
    check_money(world, 3)


@settings(max_examples=15, deadline=None)
@given(seeds, faults, st.integers(1, 2), st.integers(1, 2))
def test_liars_are_slashed_and_nobody_else(
    seed: int, bad: Faults, liars: int, validators: int
) -> None:
    world, honest, lying, _ = story(
        Random(seed), bad, provers=1, liars=liars, validators=validators, answers=3, price=PRICE
    )
    run(world)
    slashed = [poster for poster, _, _ in world.chain.slashes]
    assert not set(slashed) & {node.address for node in honest}
    assert set(slashed) <= {node.address for node in lying}
    check_money(world, 3)


def test_every_kind_of_lie_is_told_and_convicted_by_its_name() -> None:
    """Without faults each lie is refuted by the rule that it breaks."""
    told, convicted = list[str](), list[str]()
    for seed in range(4):
        world, _, _, lies = story(
            Random(seed), Faults(), provers=0, liars=1, validators=1, answers=4, price=PRICE
        )
        run(world)
        told += lies[0].told
        convicted += [Kind(kind).name.lower() for _, _, kind in world.chain.slashes]
        lost = PARAMETERS.bond_min * len(lies[0].told)
        assert world.chain.truth.stakes[world.nodes[0].address] == STAKE - lost
    assert convicted == told
    assert set(told) == {
        "mismatch", "longer", "earlier", "omitted", "contributor", "echo", "arithmetic",
    }  # fmt: skip


@pytest.mark.slow
@settings(max_examples=800, deadline=None)
@given(seeds, faults, st.integers(0, 2), st.integers(1, 3))
def test_thousands_of_schedules(seed: int, bad: Faults, liars: int, validators: int) -> None:
    test_liars_are_slashed_and_nobody_else.hypothesis.inner_test(seed, bad, liars, validators)
