"""The simulated chain refuses what the contracts refuse."""

from dataclasses import replace

import pytest

from protocol import events
from protocol.batch import Header
from protocol.calls import PostBatch
from protocol.errors import Refused
from protocol.parameters import Parameters
from tests.sim.chain import SimChain

POSTER, WORD, NONE = b"\x01" * 20, b"\x02" * 32, bytes(32)
HEADER = Header(WORD, WORD, WORD, WORD, WORD, WORD, 1, 0, 1, 0, 0, 0)


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

    for expected, version, root in ((0, 1, NONE), (2, 1, NONE), (1, 0, NONE), (1, 1, WORD)):
        with pytest.raises(Refused, match="Stale"):
            chain.execute(POSTER, PostBatch(expected, version, root, HEADER))
    for as_of, time in ((1, 1), (2, 1), (0, 3_601)):
        chain.truth.begin(2, time)
        with pytest.raises(Refused, match="Stale"):
            chain.execute(POSTER, PostBatch(1, 1, NONE, replace(HEADER, as_of=as_of)))
    chain.truth.begin(3, 3_600)
    assert len(chain.execute(POSTER, PostBatch(1, 1, NONE, HEADER))) == 3
