"""The simulated chain refuses what the contracts refuse."""

import pytest

from protocol import events
from protocol.batch import Header
from protocol.calls import PostBatch
from protocol.errors import Refused
from protocol.parameters import Parameters
from tests.sim.chain import SimChain

POSTER, WORD = b"\x01" * 20, b"\x02" * 32
HEADER = Header(WORD, WORD, WORD, WORD, WORD, 1, 0, 1, 0)


def test_a_stale_batch_is_refused() -> None:
    """It was composed for another batch, or by other parameters."""
    rules = Parameters()
    chain = SimChain(
        [
            events.ParametersProposed(1, 0, rules),
            events.Staked(POSTER, POSTER, rules.bond_min),
        ]
    )
    chain.truth.begin(1, 1)

    for expected, version in ((0, 1), (2, 1), (1, 0), (1, 2)):
        with pytest.raises(Refused, match="Stale"):
            chain.execute(POSTER, PostBatch(expected, version, HEADER))
    assert len(chain.execute(POSTER, PostBatch(1, 1, HEADER))) == 2
