"""What the validators have no means to judge never becomes final, and keeps nobody's place."""

from dataclasses import dataclass

from attribution.corpus import Corpus
from protocol.errors import Malformed
from protocol.ledger import AdapterRecord, Status
from roles.corpora import Corpora
from roles.ports import Ports
from roles.prover import Prover
from roles.validator import Validator
from tests.sim import story as tale
from tests.sim.test_chains import HONEST, world_of
from tests.sim.test_provers import run
from tests.sim.world import Faults


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
