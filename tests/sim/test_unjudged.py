"""What the validators have no means to judge never becomes final, and keeps nobody's place."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trio

from attribution.corpus import Corpus
from protocol.calls import PublishFeatures
from protocol.errors import Malformed
from protocol.ledger import AdapterRecord, Status
from protocol.merkle import BODY, Commitment
from protocol.refute_features import FeatureKind
from protocol.signature import address_of
from roles.corpora import Corpora
from roles.features import Features
from roles.ports import Ports
from roles.prover import Prover
from roles.validator import Validator
from tests.sim import story as tale
from tests.sim import test_influence as examples
from tests.sim.influence import StandIn
from tests.sim.test_chains import HONEST, world_of
from tests.sim.test_provers import run
from tests.sim.world import Faults, Node


@dataclass(frozen=True)
class Lost(Corpora):
    """Of shards that nobody takes: too many documents, or no longer to be had."""

    async def of_adapter(self, ports: Ports, adapter: AdapterRecord, as_of: int) -> Corpus:
        raise Malformed("too many documents")


def test_a_batch_over_a_corpus_that_nobody_has_is_objected_to() -> None:
    """Else one answer of such an adapter would hide every lie about the others."""
    world = world_of(3, Faults())
    world.node(HONEST, lambda: [Prover()])
    world.nodes[0]._roles = lambda: [Validator(corpora=Lost())]
    tale.hold_corpus(world)
    run(world, 500)
    assert world.chain.truth.objections
    assert not world.chain.slashes
    batches = world.chain.truth.batches.values()
    assert not [batch for batch in batches if batch.status is Status.FINAL]


ROWS = 1 << 24


class Swollen(Node):
    """Publishes a set of far more rows than there are documents."""

    featurizer = StandIn()

    def _start(self) -> None:
        super()._start()
        self.ports = replace(self.ports, chain=self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.view, name)

    async def intend(self, key: str, call: object) -> None:
        if isinstance(call, PublishFeatures):
            call = replace(call, example_count=ROWS, features_root=bytes(32))
        await self.view.intend(key, call)


class Frugal(Node):
    featurizer = StandIn()

    async def fetch_file(self, commitment: Commitment) -> Path:
        assert commitment.size < ROWS, "35 GB that can prove nothing"
        return await super().fetch_file(commitment)


def test_nobody_takes_a_feature_set_of_more_rows_than_documents() -> None:
    world = examples.world_of(6, Faults())
    validator, publisher = world.nodes[:2]
    world.nodes[0] = Frugal(world, validator._secret, validator._roles)
    world.nodes[1] = Swollen(world, publisher._secret, lambda: [Features()])
    tale.hold_corpus(world)
    run(world, 300)
    assert world.chain.truth.feature_sets[1].example_count == ROWS
    assert {(who, kind) for who, _, kind in world.chain.slashes} == {
        (address_of(examples.PUBLISHER), FeatureKind.WITHHELD)
    }


class Stalled(Node):
    """Its peers begin to give each body of a batch, and never end."""

    async def fetch(self, commitment: Commitment) -> bytes:
        if commitment.kind == BODY and commitment.root not in self.held:
            await trio.sleep_forever()
        return await super().fetch(commitment)


def test_a_body_that_never_ends_keeps_nobody_from_objecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("roles.demands.SLICE_SECONDS", 1)
    world = world_of(3, Faults())
    world.node(HONEST, lambda: [Prover()])
    validator = world.nodes[0]
    world.nodes[0] = Stalled(world, validator._secret, validator._roles)
    tale.hold_corpus(world)
    run(world, 500)
    assert world.chain.truth.objections
    batches = world.chain.truth.batches.values()
    assert not [batch for batch in batches if batch.status is Status.FINAL]
