"""Who withholds what his roots stand for loses the bond; who is asked and answers never does."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, ClassVar

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from protocol.batch import Header
from protocol.calls import PostBatch
from protocol.court import Kind
from protocol.demands import OUTPUT_TREE, PROMPT_TREE, ClaimUnanswered, Demand
from protocol.errors import Temporary
from protocol.ledger import RoleBit
from protocol.merkle import ANSWER, BODY, BODY_LEAF, CLAIM, ENTRY, TOTAL, Commitment
from protocol.messages import Message, PaidAnswer
from protocol.parameters import OPEN
from protocol.signature import address_of
from protocol.sumtree import ENTRY_DEPTH, ID_BITS
from roles.batches import final_batches
from roles.demands import answer_demands, own_case
from roles.ports import Ports
from roles.prover import Prover
from roles.validator import Validator
from tests.sim import story as tale
from tests.sim.chain import SimChain
from tests.sim.world import Faults, Node, World

SECONDS = 900.0
PRICE = OPEN + 10_001
ANSWERS = 3
LIAR, HONEST, GRIEFER, HELPER, FIRST_VALIDATOR = (bytes([60 + n]) * 32 for n in range(5))

faults = st.builds(
    Faults,
    loss=st.sampled_from([0.0, 0.3]),
    delay_max=st.sampled_from([0.0, 1.0, 6.0]),
    missing=st.sampled_from([0.0, 0.3]),
    restarts=st.sampled_from([0, 3]),
)
seeds = st.integers(0, 2**32 - 1)

Twist = Callable[[Header], Header]


class Withholder(Node):
    """Commits to bodies that nobody gets, himself included, until his bonds are gone."""

    async def offer(self, commitment: Commitment, data: bytes) -> None:
        await trio.lowlevel.checkpoint()


class Twister(Node):
    """Posts other roots than those of his body, once."""

    twist: Twist
    twisted = False

    def _start(self) -> None:
        super()._start()
        self.ports = replace(self.ports, chain=self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.view, name)

    async def intend(self, key: str, call: object) -> None:
        if isinstance(call, PostBatch) and not self.twisted:
            self.twisted, call = True, replace(call, header=self.twist(call.header))
        await self.view.intend(key, call)


@dataclass
class Griefer:
    """Asks for everything that may be asked, and claims whatever time is over."""

    consumes: ClassVar[tuple[type[Message], ...]] = ()
    emits: ClassVar[tuple[type[Message], ...]] = ()

    random: Random
    each: int = 3  # demands a head
    at_most: int = 60  # a batch
    asked: dict[int, int] = field(default_factory=dict)

    async def run(self, ports: Ports) -> None:
        async with ports.chain.heads() as heads:
            async for time in heads:
                batch = ports.chain.ledger.pending_batch()
                for key, demand in list(ports.chain.ledger.demands.items()):
                    if time >= demand.until:
                        name = f"claim {key} {demand.until}"
                        await ports.chain.intend(name, ClaimUnanswered(*key))
                if batch is None or self.asked.get(batch.batch, 0) >= self.at_most:
                    continue
                for _ in range(self.each):
                    self.asked[batch.batch] = self.asked.get(batch.batch, 0) + 1
                    place = anything(batch.header, self.random)
                    bond = tale.PARAMETERS.demand_bond
                    call = Demand("AttributionOracle", batch.batch, *place, bond)
                    await ports.chain.intend(f"grief {batch.batch} {place}", call)


@dataclass(frozen=True)
class Silent(Prover):
    """An honest prover without time for demands."""

    async def _answer_demands(self, ports: Ports) -> None:
        await trio.lowlevel.checkpoint()


@dataclass
class Helper:
    """Answers what others are asked for, as who has judged a batch valid may."""

    consumes: ClassVar[tuple[type[Message], ...]] = ()
    emits: ClassVar[tuple[type[Message], ...]] = ()

    async def run(self, ports: Ports) -> None:
        async with ports.chain.heads() as heads:
            async for _ in heads:
                with suppress(Temporary):
                    await answer_demands(ports, partial(own_case, ports), others=True)


def anything(header: Header, random: Random) -> tuple[int, int]:
    """A leaf that the contract lets somebody demand, also where the batch has nothing."""
    counts = {
        ANSWER: header.answer_count,
        CLAIM: header.claim_count,
        BODY: -(-header.data_size // BODY_LEAF),
        ENTRY: 1 << random.choice([22, ENTRY_DEPTH]),
        TOTAL: 1 << random.choice([3, ID_BITS]),
        OUTPUT_TREE: header.answer_count,
        PROMPT_TREE: header.answer_count,
    }
    tree = random.choice([tree for tree, count in counts.items() if count])
    index = random.randrange(counts[tree])
    if tree in (OUTPUT_TREE, PROMPT_TREE):
        return tree, index << 32 | random.choice([0, 0, 1, 2**32 - 1])
    return tree, index


def people(
    seed: int, bad: Faults, *, liar: bool = False, griefer: bool = False, validators: int = 1
) -> World:
    """A world with an honest prover and validators; the liar is added by the test."""
    random = Random(seed)
    secrets = [FIRST_VALIDATOR[:-1] + bytes([n]) for n in range(validators)]
    operators = [(LIAR, RoleBit.PROVER), (HONEST, RoleBit.PROVER)]
    operators += [(secret, RoleBit.VALIDATOR) for secret in secrets]
    chain = SimChain(tale.setup(operators, ANSWERS, PRICE))
    world = World(random, chain, bad)
    chain.delay = world.late
    # The liar comes first.
    world.node(HONEST, lambda: [Prover(interval=60 if liar else 0)])
    for secret in secrets:
        world.node(secret, lambda: [Validator()])
    if griefer:
        world.node(GRIEFER, lambda: [Griefer(Random(seed))])
    answers = tale.paid_answers(random, chain, ANSWERS, PRICE)
    world.said += [(address_of(tale.HOST), PaidAnswer, answer.encode()) for answer in answers]
    return world


def run(world: World, seconds: float = SECONDS) -> World:
    data, table, shard = tale.corpus()
    for node in world.nodes:
        node.held[shard.text_root] = data
        node.held[shard.document_root] = b"".join(row.encode() for row in table)
    trio.run(partial(world.run, seconds), clock=MockClock(autojump_threshold=0))
    court = world.chain.demands
    idle = sum(row.bond for row in court.asked.values() if row.open)
    paid = court.credit.total() + world.chain.collected.total()
    assert court.spent.total() == paid + idle, "no demand's bond is lost"
    return world


def finals(world: World) -> set[bytes]:
    return {batch.poster for batch in final_batches(world.chain.truth)}


@settings(max_examples=8, deadline=None)
@given(seeds, faults, st.integers(1, 3))
def test_a_prover_that_withholds_is_slashed_every_time(
    seed: int, bad: Faults, validators: int
) -> None:
    world = people(seed, bad, liar=True, validators=validators)
    world.nodes.insert(0, Withholder(world, LIAR, lambda: [Prover()]))
    run(world, 500)
    # Who asked late, being down, may find no time left for an answer: then it is void, not slashed.
    assert world.chain.slashes or (bad.restarts and bad.delay_max)
    assert {(who, kind) for who, _, kind in world.chain.slashes} <= {
        (address_of(LIAR), Kind.WITHHELD)
    }
    # The honest prover may make the same body public, and then nothing is withheld any more.
    held = {root for node in world.nodes for root in node.held}
    assert {batch.header.data_root for batch in final_batches(world.chain.truth)} <= held
    validating = {node.address for node in world.nodes[2:]}
    assert {by for _, by, _ in world.chain.slashes} <= validating


TWISTS: dict[str, Twist] = {
    "no body has this root": lambda h: replace(h, data_root=b"\x99" * 32),
    "no answers": lambda h: replace(h, answers_root=b"\x99" * 32),
    "more answers": lambda h: replace(h, answer_count=h.answer_count + 1),
    "many more answers": lambda h: replace(h, answer_count=h.answer_count + 9),
    "fewer answers": lambda h: replace(h, answer_count=2),  # of 3, in a tree for 4
    "one answer": lambda h: replace(h, answer_count=1),
    "no claims": lambda h: replace(h, claims_root=b"\x99" * 32),
    "fewer claims": lambda h: replace(h, claim_count=h.claim_count - 1),
    "more claims": lambda h: replace(h, claim_count=h.claim_count + 1),
    "another total": lambda h: replace(h, total=h.total - 1),
    "a smaller size": lambda h: replace(h, data_size=h.data_size - 1),
    "no entries": lambda h: replace(h, entries_root=b"\x99" * 32),
    "other totals": lambda h: replace(h, totals_root=b"\x99" * 32),
    "another size": lambda h: replace(h, data_size=h.data_size + BODY_LEAF),
}
PROVEN = {"fewer claims", "more claims", "fewer answers", "one answer", "another total"}


@pytest.mark.parametrize("name", TWISTS)
def test_roots_that_the_body_does_not_give_are_slashed(name: str) -> None:
    """And the honest prover's batch follows."""
    world = people(5, Faults(), liar=True, validators=2)
    liar = Twister(world, LIAR, lambda: [Prover()])
    liar.twist = TWISTS[name]
    world.nodes.insert(0, liar)
    run(world, 500)
    # Every leaf of the others can be opened, so a proof is due.
    kind = Kind.WITHHELD if name not in PROVEN else Kind.ARITHMETIC
    assert [(who, why) for who, _, why in world.chain.slashes] == [(address_of(LIAR), kind)]
    assert finals(world)


@settings(max_examples=8, deadline=None)
@given(seeds, faults)
def test_an_honest_prover_answers_whoever_asks_for_whatever(seed: int, bad: Faults) -> None:
    """And is paid for it by the griefer, all of whose demands it outlives."""
    world = run(people(seed, bad, griefer=True))
    court, honest = world.chain.demands, address_of(HONEST)
    assert not world.chain.slashes
    assert len(court.asked) > 10
    assert not any(row.open for row in court.asked.values())
    assert world.chain.earned(honest) == court.spent[address_of(GRIEFER)] > 0
    assert finals(world) == {honest}


@settings(max_examples=6, deadline=None)
@given(seeds, faults)
def test_helpers_keep_an_honest_prover_whose_node_is_silent(seed: int, bad: Faults) -> None:
    """Who holds a body can answer for its poster, and earns what the griefer put behind it."""
    world = people(seed, bad, griefer=True)
    world.nodes[0] = Node(world, HONEST, lambda: [Silent()])
    helper = world.node(HELPER, lambda: [Helper()])
    world = run(world)
    court = world.chain.demands
    assert not world.chain.slashes
    assert not any(row.open for row in court.asked.values())
    assert world.chain.earned(helper.address) == court.spent[address_of(GRIEFER)] > 0
    assert finals(world) == {address_of(HONEST)}


@settings(max_examples=8, deadline=None)
@given(seeds, faults)
def test_nobody_asks_an_honest_prover_for_what_he_publishes(seed: int, bad: Faults) -> None:
    world = run(people(seed, bad, validators=2), 400)
    assert not world.chain.slashes
    assert not world.chain.demands.asked
    assert finals(world) == {address_of(HONEST)}
