"""Feature sets, influences, takedowns in a network: the exact is proven, the rest audited."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from attribution.claims import build_body
from attribution.influence.scores import Scored
from protocol.batch import Body
from protocol.calls import TakeDown
from protocol.court import Kind
from protocol.ledger import RoleBit, Status
from protocol.merkle import DOCUMENT, Tree
from protocol.messages import FeatureVerdict, Finding, PaidAnswer, Verdict
from protocol.openings import DocumentOpening
from protocol.refute_features import FeatureKind
from protocol.signature import address_of
from roles.features import Features
from roles.prover import Prover
from roles.validator import Validator
from tests.sim import story as tale
from tests.sim.chain import SimChain
from tests.sim.influence import StandIn, signs
from tests.sim.test_provers import PRICE, check_money, final_bodies, run, seeds
from tests.sim.world import Faults, Node, World

ANSWERS = 4
SETTLED = 130.0  # seconds after which an honest feature set is in force
LIAR, HONEST, PUBLISHER = b"\x61" * 32, b"\x62" * 32, tale.HOST
QUICK = (Phase.explicit, Phase.generate)  # a network takes too long to be shrunk
faults = st.builds(
    Faults,
    loss=st.sampled_from([0.0, 0.3]),
    delay_max=st.sampled_from([0.0, 1.0, 4.0]),
    missing=st.sampled_from([0.0, 0.3]),
    restarts=st.sampled_from([0, 3]),
)


class Late(Node):
    """Hears of answers only once the features are in force."""

    async def receive(self, sender: bytes, kind: type[Any], wire: bytes, late: float) -> None:
        wait = max(0.0, SETTLED - self._world_time()) if kind is PaidAnswer else 0.0
        await super().receive(sender, kind, wire, late + wait)

    def _world_time(self) -> float:
        return float(self._world.chain.truth.time)


def world_of(seed: int, bad: Faults, *, validators: int = 1, kind: type[Node] = Late) -> World:
    """A host that publishes features, validators with the base model; provers by the test."""
    random, secrets = Random(seed), [bytes([0x80 + n]) * 32 for n in range(validators)]
    operators = [(LIAR, RoleBit.PROVER), (HONEST, RoleBit.PROVER)]
    operators += [(secret, RoleBit.VALIDATOR) for secret in secrets]
    chain = SimChain(tale.setup(operators, ANSWERS, PRICE))
    world = World(random, chain, bad)
    world.featurizer = StandIn()
    chain.delay = world.late
    for secret in secrets:
        world.node(secret, lambda: [Validator()])
    world.nodes.append(Node(world, PUBLISHER, lambda: [Features()]))
    world.nodes.append(kind(world, HONEST, lambda: [Prover()]))
    said = tale.paid_answers(random, chain, ANSWERS, PRICE)
    world.said += [(address_of(tale.HOST), PaidAnswer, answer.encode()) for answer in said]
    return world


def prover(world: World, secret: bytes, compose: Any, kind: type[Node] = Late) -> Node:
    """Comes first."""
    node = kind(world, secret, lambda: [Prover(compose=compose)])
    world.nodes.insert(0, node)
    return node


def told(world: World) -> list[Any]:
    return [kind.decode(wire) for _, kind, wire in world.said if kind is not PaidAnswer]


# ---------------------------------------------------------------- honest


@settings(max_examples=3, deadline=None, phases=QUICK)
@given(seeds, faults, st.integers(1, 2))
def test_examples_are_paid_for_what_no_span_covers(seed: int, bad: Faults, validators: int) -> None:
    """Also through kills of every node at any moment."""
    world = world_of(seed, bad, validators=validators)
    tale.hold_corpus(world)
    run(world, 700)
    truth = world.chain.truth
    assert not world.chain.slashes
    assert not world.chain.voids
    sets = [row for row in truth.feature_sets.values() if row.status is Status.FINAL]
    assert len(sets) == 1
    assert truth.stakes[address_of(PUBLISHER)] == tale.STAKE
    check_money(world, ANSWERS)
    bodies = final_bodies(world)
    in_force = [b.header.as_of >= sets[0].finalized_at for b in truth.batches.values()]
    assert any(in_force)
    for body, expected in zip(bodies, in_force, strict=True):
        assert all(bool(query) is expected for query in body.queries)
    assert any(body.influences for body in bodies)
    assert {one.finding for one in told(world)} <= {Finding.VALID, Finding.CANNOT_TELL}
    assert any(isinstance(one, FeatureVerdict) for one in told(world))


def test_without_the_base_model_a_validator_cannot_tell_and_objects_to_nothing() -> None:
    world = world_of(2, Faults())
    blind = world.nodes[0]
    blind.featurizer = StandIn(base=b"\x01" * 32)
    blind._start()
    tale.hold_corpus(world)
    run(world, 500)
    assert not world.chain.truth.objections
    assert {one.finding for one in told(world)} == {Finding.CANNOT_TELL}
    assert any(isinstance(one, Verdict) for one in told(world))
    check_money(world, ANSWERS)


def test_a_prover_without_the_base_model_waits_and_says_so() -> None:
    world = world_of(2, Faults())
    kept = Prover()
    blind = Late(world, HONEST, lambda: [kept])
    blind.featurizer = StandIn(base=b"\x01" * 32)
    blind._start()
    world.nodes[-1] = blind
    tale.hold_corpus(world)
    run(world, 300)
    assert not world.chain.truth.batches
    assert kept.trouble["pangrams"] == "the base model of adapter pangrams is not here"


# ---------------------------------------------------------------- lies that are not exact


def _refeatured(answered: Any, digests: Any, old: Any, parameters: Any) -> Body:
    """The first answer gets another feature, and what follows from that one is right."""
    items = list(answered)
    if items[0].query:
        number = next(n for n, text in enumerate(tale.TEXTS) if not items[0].query.startswith(
            signs(text.encode())[:512]
        ))  # fmt: skip
        psi = signs(tale.TEXTS[number].encode())
        score = 32 * 32 * len(psi)
        items[0] = replace(items[0], query=psi, influences=(Scored(number, number + 1, score),))
    return build_body(items, digests, old, parameters)


@settings(max_examples=3, deadline=None, phases=QUICK)
@given(seeds, faults.map(lambda bad: replace(bad, restarts=0)), st.integers(1, 3))
def test_a_false_feature_of_an_answer_is_voided_by_objection(
    seed: int, bad: Faults, validators: int
) -> None:
    """Nobody is slashed for what no transaction can prove, and the answers are paid rightly."""
    world = world_of(seed, bad, validators=validators)
    liar = prover(world, LIAR, _refeatured)
    tale.hold_corpus(world)
    run(world, 1_000)
    truth = world.chain.truth
    assert not world.chain.slashes
    lying = [
        b for b in truth.batches.values() if b.poster == liar.address and _false(world, b.header)
    ]
    assert all(b.status is Status.VOID for b in lying)
    assert not any(
        _false(world, b.header) for b in truth.batches.values() if b.status is Status.FINAL
    )


def _false(world: World, header: Any) -> bool:
    """Whether some answer's feature is not its own."""
    from tests.sim.influence import query_of

    held = {root: data for node in world.nodes for root, data in node.held.items()}
    body = Body.decode(held[header.data_root])
    pairs = zip(body.queries, body.texts, strict=True)
    return any(query not in (b"", query_of(text.prompt, text.output)) for query, text in pairs)


def test_a_false_feature_is_told_and_the_objection_counted() -> None:
    world = world_of(4, Faults(), validators=2)
    world.nodes.pop()  # no honest prover
    prover(world, LIAR, _refeatured)
    tale.hold_corpus(world)
    run(world, 320)
    assert Finding.INVALID in {one.finding for one in told(world)}
    first = world.chain.truth.batches[1]
    assert first.status is Status.VOID
    assert len(world.chain.truth.objections["AttributionOracle", 1]) == 2


def _twisted(phi: np.ndarray) -> None:
    """An example's feature is another's: both are well formed."""
    phi[1] = phi[0][::-1]


def test_false_features_of_examples_are_voided_by_objection() -> None:
    world = world_of(6, Faults(), validators=3)
    publisher = world.nodes[3]
    publisher.featurizer = StandIn(bend=_twisted)
    publisher._start()
    tale.hold_corpus(world)
    run(world, 300)
    truth = world.chain.truth
    assert truth.feature_sets[1].status is Status.VOID
    assert len(truth.objections["FeatureRegistry", 1]) >= 2
    assert not world.chain.slashes
    findings = {one.finding for one in told(world) if isinstance(one, FeatureVerdict)}
    assert findings == {Finding.INVALID}
    assert len(truth.feature_sets) == 1, "he does not publish it again"


def test_a_basis_that_is_none_is_voided_by_objection() -> None:
    """In force it would stop every prover of the adapter."""
    world = world_of(6, Faults(), validators=2)
    for node in world.nodes[:2]:
        node.featurizer = StandIn(basis=b"what these take for a basis")
        node._start()
    tale.hold_corpus(world)
    run(world, 300)
    assert world.chain.truth.feature_sets[1].status is Status.VOID
    assert not world.chain.slashes


# ---------------------------------------------------------------- lies that are exact


def _loud(phi: np.ndarray) -> None:
    phi[2] = 127


def test_features_of_another_length_are_slashed() -> None:
    world = world_of(6, Faults())
    publisher = world.nodes[1]
    publisher.featurizer = StandIn(bend=_loud)
    publisher._start()
    tale.hold_corpus(world)
    run(world, 200)
    assert [(who, kind) for who, _, kind in world.chain.slashes] == [
        (address_of(PUBLISHER), FeatureKind.ROW)
    ]
    assert world.chain.truth.feature_sets[1].status is Status.SLASHED


LISTS: dict[str, Callable[[list[Scored]], list[Scored]]] = {
    "left out": lambda listed: listed[1:],
    "another score": lambda listed: [replace(listed[0], score=listed[0].score + 1), *listed[1:]],
    "another contributor": lambda listed: [replace(listed[0], contributor=9), *listed[1:]],
    "another example": lambda listed: [replace(listed[0], example=listed[0].example ^ 1)],
    "one that there is not": lambda listed: [replace(listed[0], example=99), *listed[1:]],
    "twice": lambda listed: [listed[0], *listed],
    "one too many": lambda listed: [*listed, Scored(0, 1, 1)],
}


@pytest.mark.parametrize("name", LISTS)
def test_lies_about_influences_are_slashed(name: str) -> None:
    def compose(answered: Any, digests: Any, old: Any, parameters: Any) -> Any:
        items = [
            replace(item, influences=tuple(LISTS[name](list(item.influences))))
            if item.influences
            else item
            for item in answered
        ]
        return build_body(items, digests, old, parameters) if items != list(answered) else None

    world = world_of(8, Faults())
    world.nodes.pop()
    prover(world, LIAR, compose)
    tale.hold_corpus(world)
    run(world, 200)
    assert {(who, kind) for who, _, kind in world.chain.slashes} == {
        (address_of(LIAR), Kind.INFLUENCE)
    }


def test_a_withheld_feature_set_is_slashed() -> None:
    class Withholding(Node):
        async def offer(self, commitment: Any, data: bytes) -> None:
            return None

    world = world_of(6, Faults())
    world.nodes[1] = Withholding(world, PUBLISHER, lambda: [Features()])
    tale.hold_corpus(world)
    run(world, 300)
    assert {(who, kind) for who, _, kind in world.chain.slashes} == {
        (address_of(PUBLISHER), Kind.WITHHELD)
    }


# ---------------------------------------------------------------- takedowns


def test_what_is_taken_down_between_two_batches_is_paid_no_more() -> None:
    """Each batch is judged by the time that it was composed for."""
    world = world_of(9, Faults(), kind=Node)
    world.nodes[-1] = Node(world, HONEST, lambda: [Prover(answers_max=1, interval=90)])
    tale.hold_corpus(world)
    table = tale.corpus()[1]
    tree = Tree.of(DOCUMENT, [row.encode() for row in table])
    world.chain.at(
        200.0,
        tale.CURATOR,
        [
            TakeDown(1, 0, DocumentOpening(n, table[n].encode(), tuple(tree.siblings(n))))
            for n in range(len(table))
        ],
    )
    run(world, 800)
    assert not world.chain.slashes
    assert not world.chain.voids
    truth = world.chain.truth
    assert len(truth.takedowns) == len(table)
    down = min(truth.takedowns.values())
    bodies = dict(zip(truth.batches.values(), final_bodies(world), strict=True))
    before = [body for batch, body in bodies.items() if batch.header.as_of < down]
    after = [body for batch, body in bodies.items() if batch.header.as_of >= down]
    assert before
    assert after
    assert any(body.claims for body in before)
    assert not any(body.claims or body.influences for body in after)
    check_money(world, ANSWERS)
