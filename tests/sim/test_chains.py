"""Batches that stand on batches: what ends takes what stands on it along, and nothing is lost."""

from random import Random
from typing import Any

import trio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from attribution.claims import build_body
from protocol.ledger import RoleBit, Status
from protocol.merkle import Commitment
from protocol.messages import PaidAnswer
from protocol.signature import address_of
from roles.prover import Prover, bond_of
from roles.validator import Validator
from rollup.ports import FailOver
from tests.sim import story as tale
from tests.sim.chain import SimChain
from tests.sim.da_server import Server
from tests.sim.test_provers import PRICE, check_money, faults, run, seeds
from tests.sim.world import Faults, Node, World

ANSWERS = 4
QUICK = (Phase.explicit, Phase.generate)  # a network takes too long to be shrunk
LIAR, HONEST = b"\x61" * 32, b"\x62" * 32


def world_of(seed: int, bad: Faults, *, validators: int = 1, answers: int = ANSWERS) -> World:
    """A world whose nodes but the validators are added by the test."""
    random, secrets = Random(seed), [bytes([0x80 + n]) * 32 for n in range(validators)]
    operators = [(LIAR, RoleBit.PROVER), (HONEST, RoleBit.PROVER)]
    operators += [(secret, RoleBit.VALIDATOR) for secret in secrets]
    chain = SimChain(tale.setup(operators, answers, PRICE))
    world = World(random, chain, bad)
    chain.delay = world.late
    for secret in secrets:
        world.node(secret, lambda: [Validator()])
    said = tale.paid_answers(random, chain, answers, PRICE)
    world.said += [(address_of(tale.HOST), PaidAnswer, answer.encode()) for answer in said]
    return world


def one_by_one() -> list[Any]:
    return [Prover(answers_max=1)]


@settings(max_examples=5, deadline=None, phases=QUICK)
@given(seeds, faults, st.integers(1, 2))
def test_batches_pend_on_each_other_and_become_final_in_order(
    seed: int, bad: Faults, validators: int
) -> None:
    """One answer a batch: all of them wait at the same time for their windows."""
    world = world_of(seed, bad, validators=validators)
    world.node(HONEST, one_by_one)
    tale.hold_corpus(world)
    run(world, 700)
    batches = list(world.chain.truth.batches.values())
    assert not world.chain.slashes
    assert not world.chain.voids
    assert [batch.parent for batch in batches] == list(range(len(batches)))
    assert {batch.status for batch in batches} == {Status.FINAL}
    assert batches[1].posted_at < batches[0].deadline
    check_money(world, ANSWERS)


@settings(max_examples=6, deadline=None, phases=QUICK)
@given(seeds, faults)
def test_what_stands_on_a_lie_is_composed_again(seed: int, bad: Faults) -> None:
    """The honest batches on top of it end without guilt, and their answers are paid later."""
    world = world_of(seed, bad)
    lie = tale.Sometimes(world.random)
    world.nodes.insert(0, Node(world, LIAR, lambda: [Prover(compose=lie, answers_max=1)]))
    world.node(HONEST, one_by_one)
    tale.hold_corpus(world)
    run(world, 1_500)
    assert {who for who, _, _ in world.chain.slashes} <= {address_of(LIAR)}
    check_money(world, ANSWERS)
    held = world.chain.truth.stakes[address_of(HONEST)]
    assert held == tale.STAKE, "every bond came back"


def test_a_lie_takes_the_honest_batches_on_it_along_and_nobody_is_charged() -> None:
    world = world_of(7, Faults())
    lie = tale.Sometimes(world.random)
    world.nodes.insert(0, Node(world, LIAR, lambda: [Prover(compose=lie, answers_max=1)]))
    world.node(HONEST, lambda: [Prover(answers_max=1, interval=6)])
    tale.hold_corpus(world)
    run(world, 1_500)
    assert world.chain.slashes
    assert world.chain.voids
    because = {reason for _, reason in world.chain.voids}
    slashed = [b.batch for b in world.chain.truth.batches.values() if b.status is Status.SLASHED]
    assert because <= set(slashed)
    check_money(world, ANSWERS)


def once() -> list[Any]:
    """Posts one batch."""
    told = list[Any]()

    def compose(*about: Any) -> Any:
        told.append(about)
        return build_body(*about) if len(told) == 1 else None

    return [Prover(compose=compose)]


class Reticent(Node):
    """Gives its bodies to nobody, yet opens every leaf that is demanded."""

    async def offer(self, commitment: Commitment, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.__dict__.setdefault("hidden", {})[commitment.root] = data

    async def fetch(self, commitment: Commitment) -> bytes:
        found = self.__dict__.get("hidden", {}).get(commitment.root)
        return found if found is not None else await super().fetch(commitment)


@settings(max_examples=5, deadline=None, phases=QUICK)
@given(seeds, st.sampled_from([0.0, 1.0]), st.integers(1, 3))
def test_who_opens_single_leaves_but_hides_the_body_never_becomes_final(
    seed: int, delay: float, validators: int
) -> None:
    """He is not slashed, and earns the demands' bonds; his batch is voided all the same."""
    world = world_of(seed, Faults(delay_max=delay), validators=validators)
    world.nodes.insert(0, Reticent(world, LIAR, lambda: [Prover()]))
    tale.hold_corpus(world)
    run(world, 500)
    truth = world.chain.truth
    assert not world.chain.slashes
    assert truth.batches
    posted = {batch.poster for batch in truth.batches.values()}
    assert posted == {address_of(LIAR)}
    assert Status.FINAL not in {batch.status for batch in truth.batches.values()}
    assert Status.VOID in {batch.status for batch in truth.batches.values()}
    asked = world.chain.demands.asked
    assert any(not row.open for row in asked.values()), "he opens what is demanded"


def test_after_the_objection_the_honest_prover_goes_on() -> None:
    """While he alone knows the totals nobody can stand on them; then everybody can again."""
    world = world_of(3, Faults(), validators=2)
    world.nodes.insert(0, Reticent(world, LIAR, once))
    world.node(HONEST, lambda: [Prover(interval=20)])
    tale.hold_corpus(world)
    run(world, 900)
    first, *rest = world.chain.truth.batches.values()
    assert (first.poster, first.status) == (address_of(LIAR), Status.VOID)
    assert {batch.poster for batch in rest} == {address_of(HONEST)}
    assert not world.chain.slashes
    check_money(world, ANSWERS)


def test_an_objected_bond_comes_back_late() -> None:
    world = world_of(5, Faults())
    world.nodes.insert(0, Reticent(world, LIAR, lambda: [Prover()]))
    tale.hold_corpus(world)
    run(world, 200)
    truth = world.chain.truth
    voided = [b for b in truth.batches.values() if b.status is Status.VOID]
    assert voided
    assert truth.held
    assert truth.stakes[address_of(LIAR)] < tale.STAKE
    world = world_of(5, Faults())
    world.nodes.insert(0, Reticent(world, LIAR, lambda: [Prover()]))
    tale.hold_corpus(world)
    run(world, 600)
    first = world.chain.truth.batches[1]
    assert first.status is Status.VOID
    assert ("AttributionOracle", 1) not in world.chain.truth.held, "it was released"


# ---------------------------------------------------------------- data availability


def test_what_no_peer_gives_is_read_from_data_availability() -> None:
    """The validators judge it, the honest prover stands on it, everybody passes it on."""
    world = world_of(3, Faults(), validators=2)
    world.availability = server = Server()
    world.nodes.insert(0, Reticent(world, LIAR, lambda: [Prover(answers_max=1)]))
    world.node(HONEST, lambda: [Prover(interval=20)])
    tale.hold_corpus(world)
    run(world, 500)
    batches = list(world.chain.truth.batches.values())
    assert batches[0].poster == address_of(LIAR)
    assert batches[0].commitment in server.held
    assert not world.chain.slashes
    assert not world.chain.voids
    assert not world.chain.demands.asked
    check_money(world, ANSWERS)


def test_a_server_that_takes_nothing_keeps_nobody_from_posting() -> None:
    world = world_of(3, Faults())
    world.availability = server = Server()
    server.refuse = FailOver("use L1")
    prover = Prover()
    world.node(HONEST, lambda: [prover])
    tale.hold_corpus(world)
    run(world, 300)
    assert prover.trouble["availability"] == "use L1; the batch is posted without"
    assert {batch.commitment for batch in world.chain.truth.batches.values()} == {b""}
    check_money(world, ANSWERS)


def test_false_bytes_there_are_as_good_as_none() -> None:
    world = world_of(3, Faults())
    world.availability = server = Server()
    server.bend = lambda commitment, data: data[:-1] + bytes([data[-1] ^ 1])
    world.nodes.insert(0, Reticent(world, LIAR, once))
    tale.hold_corpus(world)
    run(world, 300)
    assert world.chain.truth.batches[1].status is Status.VOID
    assert server.asked < 20


# ---------------------------------------------------------------- deep queues


def test_the_least_bond_doubles_from_the_ninth_on() -> None:
    rules = tale.PARAMETERS
    bonds = [bond_of(rules, 0, pending) // rules.bond_min for pending in range(16)]
    assert bonds == [1] * 8 + [2, 4, 8, 16, 32, 64, 128, 256]
    assert bond_of(rules, rules.bond_min * 7, 0) == rules.bond_min * 7 * rules.bond_bps // 10_000


def test_a_prover_without_the_stake_for_a_deep_queue_waits() -> None:
    """Its stake is ten least bonds; the ninth pending batch would lock two at once."""
    world = world_of(1, Faults(), answers=14)
    world.node(HONEST, one_by_one)
    tale.hold_corpus(world)
    run(world, 800)
    assert not world.chain.refused["PostBatch"], "what the contract would refuse is not sent"
    check_money(world, 14)
