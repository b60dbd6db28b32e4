"""Which L1 block a new L2 block stands on, restated from op-node's origin selector."""

import pytest

from rollup.codec.config import MAX_SEQUENCER_DRIFT_FJORD
from rollup.codec.refs import BlockId, L1BlockRef, L2BlockRef
from rollup.sequencing import choose_origin, is_drifted
from tests.derive_world import L1_TIME, make_config

CONFIG = make_config()
CURRENT = L1BlockRef(b"\x01" * 32, 100, bytes(32), L1_TIME)
NEXT = L1BlockRef(b"\x02" * 32, 101, CURRENT.hash, L1_TIME + 12)


def parent(time: int) -> L2BlockRef:
    return L2BlockRef(b"\x0a" * 32, 5, bytes(32), time, BlockId(CURRENT.hash, 100), 0)


@pytest.mark.parametrize(
    ("parent_time", "following", "wanted"),
    [
        (L1_TIME, NEXT, CURRENT),  # the next origin is still in the future of the block
        (L1_TIME + 8, NEXT, CURRENT),  # by one slot
        (L1_TIME + 10, NEXT, NEXT),  # just now it is not
        (L1_TIME + 100, NEXT, NEXT),
        (L1_TIME + 10, None, CURRENT),  # L1 is not that far, or not confirmed
        (L1_TIME + MAX_SEQUENCER_DRIFT_FJORD - 2, None, CURRENT),  # the last block of the drift
        (L1_TIME + MAX_SEQUENCER_DRIFT_FJORD, None, None),  # no block without another origin
    ],
)
def test_origin_of_the_next_block(
    parent_time: int, following: L1BlockRef | None, wanted: L1BlockRef | None
) -> None:
    assert choose_origin(CONFIG, parent(parent_time), CURRENT, following) == wanted


def test_past_the_drift_an_origin_from_the_future_is_waited_for() -> None:
    """A late L1 block: blocks of deposits alone on the old origin, until its time has come."""
    late = L1BlockRef(b"\x02" * 32, 101, CURRENT.hash, L1_TIME + 5000)

    assert choose_origin(CONFIG, parent(L1_TIME + 3000), CURRENT, late) == CURRENT
    assert is_drifted(CONFIG, CURRENT, L1_TIME + 3002)


def test_the_drift_ends_after_its_last_second() -> None:
    assert not is_drifted(CONFIG, CURRENT, L1_TIME + MAX_SEQUENCER_DRIFT_FJORD)
    assert is_drifted(CONFIG, CURRENT, L1_TIME + MAX_SEQUENCER_DRIFT_FJORD + 1)
