"""The heads of the L2, and how they become final."""

import pytest

from protocol.errors import Reset
from rollup.codec.refs import BlockId, L1BlockRef, L2BlockRef
from rollup.derive.heads import LOOKBACK_MIN, Heads


def l1(number: int, fork: bytes = b"a") -> L1BlockRef:
    return L1BlockRef(fork + bytes(30) + bytes([number]), number, bytes(32), number * 12)


def l2(number: int, fork: bytes = b"a", parent: bytes | None = None) -> L2BlockRef:
    block_hash, before = (
        each.rjust(32, b".") for each in (b"%b%d" % (fork, number), b"a%d" % (number - 1))
    )
    return L2BlockRef(block_hash, number, parent or before, number * 2, BlockId(bytes(32), 0), 0)


def heads(unsafe: int = 0) -> Heads:
    return Heads(l2(unsafe), l2(0), l2(0))


def test_derived_blocks_are_safe() -> None:
    found = heads()

    found.derive(l2(1), l1(5))
    assert (found.unsafe, found.safe) == (l2(1), l2(1))
    found.derive(l2(2), l1(5))
    assert (found.unsafe, found.safe) == (l2(2), l2(2))
    assert found.finalized == l2(0)


def test_unsafe_blocks_stay_ahead_until_contradicted() -> None:
    found = heads(unsafe=3)

    found.derive(l2(1), l1(5))
    assert found.unsafe == l2(3)
    found.extend_unsafe(l2(4))
    assert found.unsafe == l2(4)
    found.rewind_unsafe()
    assert found.unsafe == found.safe == l2(1)
    with pytest.raises(ValueError, match="not above"):
        found.extend_unsafe(l2(1, b"b"))


def test_a_block_is_final_when_the_l1_block_that_gave_it_is() -> None:
    found = heads()
    for number, origin in ((1, 5), (2, 5), (3, 7), (4, 9)):
        found.derive(l2(number), l1(origin))

    assert found.candidate(4) is None
    first = found.candidate(6)
    assert first is not None
    assert (first.l1, first.l2) == (l1(5).id, l2(2))
    found.finalize(first, l1(5))
    assert found.finalized == l2(2)
    assert found.candidate(6) is None
    found.derive(l2(5), l1(9))
    last = found.candidate(100)
    assert last is not None
    assert last.l2 == l2(5)
    assert found.derived_from(3) == l1(7).id
    assert found.derived_from(6) is None


def test_finality_of_another_l1_resets() -> None:
    found = heads()
    found.derive(l2(1), l1(5))
    candidate = found.candidate(5)
    assert candidate is not None

    with pytest.raises(Reset):
        found.finalize(candidate, l1(5, b"b"))
    assert found.finalized == l2(0)


def test_only_so_many_l1_blocks_are_remembered() -> None:
    """What is forgotten becomes final with what came after it."""
    found = heads()
    for number in range(1, LOOKBACK_MIN + 3):
        found.derive(l2(number), l1(number % 256))

    assert found.candidate(2) is None
    assert len(found._derived) == LOOKBACK_MIN


def test_heads_are_in_order() -> None:
    with pytest.raises(ValueError, match="order"):
        Heads(l2(1), l2(2), l2(0))
    with pytest.raises(ValueError, match="safe head"):
        heads().derive(l2(2), l1(5))
