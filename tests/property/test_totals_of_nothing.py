"""A batch that paid nobody has totals with a root: what stands on it is refuted under that root."""

from dataclasses import replace
from functools import cached_property

from attribution.fraud import find_fraud
from protocol.batch import Text
from protocol.refute import Transition, convicts
from protocol.signature import Domain
from protocol.sumtree import Node, total_tree
from tests.courtroom import ADAPTER, HOST, PAYER, REDEEMED, World, header_of, shards

ESCROW = Domain("OpenLedger Inference", 7, b"\xe5" * 20)
REGISTRY = Domain("OpenLedger Datanet", 7, b"\xda" * 20)
THIEF = 77


class AfterNothing(World):
    """The parent's answers were too cheap for a wei to be left."""

    @cached_property
    def old_totals(self) -> Node:
        return total_tree({}).root


def test_a_stolen_total_on_top_of_a_batch_that_paid_nobody_is_convicted() -> None:
    world = AfterNothing(ESCROW, shards(REGISTRY))
    honest = world.body(world.answered([(Text(b"", b"a lazy dog"), 10**6)]))
    stolen = replace(honest, totals=((THIEF, sum(value for _, value in honest.totals)),))
    case = replace(world.case(2, stolen), begun=True)

    found = find_fraud(case, {(PAYER, HOST, ADAPTER): REDEEMED}, [])

    assert isinstance(found, Transition)
    assert convicts(found, header_of(case), world)
