"""The sequencer: slots, drift, and never two blocks of one height."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import trio

from protocol.errors import Reset, Temporary
from rollup.codec.config import MAX_SEQUENCER_DRIFT_FJORD
from rollup.codec.payload import PayloadEnvelope
from rollup.ports import INVALID, PayloadStatus
from rollup.published import KEPT_MAX, PRUNED_AT_ONCE, Published
from rollup.sequencing import ORIGIN_SECONDS_MAX
from tests.derive_world import L1_TIME
from tests.rollup_rig import Rig
from tests.sim.rollup_world import DictStore


async def test_a_block_is_let_out_at_its_time() -> None:
    rig = Rig()
    await rig.blocks(5)

    assert [e.payload.timestamp for e in rig.out] == [L1_TIME + 2 * n for n in range(1, 6)]
    assert rig.time.now() == L1_TIME + 10


async def test_who_is_behind_catches_up_without_a_pause() -> None:
    rig = Rig()
    await rig.drive()
    rig.time.seconds += 61
    for _ in range(30):
        await rig.sequencing.step()

    assert rig.heads.unsafe.number == 30
    assert rig.time.now() == L1_TIME + 61
    await rig.sequencing.step()
    assert rig.time.now() == L1_TIME + 62


async def test_origins_come_in_a_row_and_never_from_the_future() -> None:
    rig = Rig()
    await rig.blocks(40)
    chain = [await rig.engine.ref(number) for number in range(41)]

    for before, after in pairwise(chain):
        assert before is not None
        assert after is not None
        step = after.l1_origin.number - before.l1_origin.number
        assert step in (0, 1)
        origin = await rig.l1.ref_by_number(after.l1_origin.number)
        assert origin is not None
        assert origin.time <= after.time
        assert after.sequence_number == (0 if step else before.sequence_number + 1)
    assert chain[40] is not None
    assert chain[40].l1_origin.number > rig.config.genesis.l1.number + 4


async def test_an_origin_is_taken_only_when_it_is_confirmed() -> None:
    rig = Rig()
    rig.sequencing._confirmations = 2
    await rig.blocks(40)

    assert rig.heads.unsafe.l1_origin.number == rig.l1.tip.ref.number - 2


async def test_while_l1_is_away_the_last_origin_goes_on() -> None:
    rig = Rig()
    await rig.blocks(10)
    rig.l1.is_down = True
    for _ in range(20):
        await rig.sequencing.step()

    assert rig.heads.unsafe.number == 30
    assert len({e.payload.parent_hash for e in rig.out}) == 30


async def test_l1_that_is_silent_holds_up_one_block_and_not_each(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    """A call that hangs is given up; for a while then nobody waits for another."""
    rig = Rig()
    await rig.blocks(1)
    asked = []

    async def hang(number: int) -> None:
        asked.append(number)
        await trio.sleep_forever()

    monkeypatch.setattr(rig.l1, "ref_by_number", hang)
    started, head = trio.current_time(), rig.heads.unsafe
    for _ in range(6):
        await rig.sequencing.step()

    assert rig.heads.unsafe.number == head.number + 6
    assert rig.heads.unsafe.l1_origin == head.l1_origin
    assert len(asked) == 2, "twelve seconds of blocks, ten of them without a question"
    assert trio.current_time() - started == 2 * ORIGIN_SECONDS_MAX


async def test_past_the_drift_only_deposits_and_in_the_end_nothing() -> None:
    rig = Rig()
    await rig.drive()
    rig.time.seconds += MAX_SEQUENCER_DRIFT_FJORD + 100
    for _ in range(MAX_SEQUENCER_DRIFT_FJORD // 2):
        await rig.sequencing.step()
    assert rig.heads.unsafe.number == MAX_SEQUENCER_DRIFT_FJORD // 2
    assert len(rig.out[-1].payload.transactions) == 2  # L1's attributes and one of the pool

    with pytest.raises(Temporary, match="stands still"):
        await rig.sequencing.step()
    late = rig.l1.mine()
    rig.l1.blocks[-1] = replace(late, ref=replace(late.ref, time=rig.time.now() + 1000))
    await rig.sequencing.step()

    assert len(rig.out[-1].payload.transactions) == 1


async def test_a_block_that_was_kept_comes_out_again_and_no_other() -> None:
    """Killed between disk and chain: the pool would give another block now."""
    rig = Rig()
    await rig.blocks(5)

    async def killed(envelope: PayloadEnvelope) -> str | None:
        await trio.lowlevel.checkpoint()
        raise KeyboardInterrupt

    rig.driver.chain.append = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        await rig.sequencing.step()
    kept = Published(rig.store).at(6)
    rig.restart()
    await rig.blocks(1)

    assert kept is not None
    assert rig.out[-1] == kept
    assert rig.sequencing.tally.restored == 1


async def test_blocks_that_the_engine_lost_come_out_again() -> None:
    rig = Rig()
    await rig.blocks(8)
    told = list(rig.out)
    rig.engine.crash(5)
    rig.restart()
    await rig.blocks(6)

    assert rig.out[8:13] == told[3:]
    assert len({e.payload.block_hash for e in rig.out}) == 9


async def test_with_no_memory_nothing_is_built_before_l1_was_read() -> None:
    """The store was lost: L1 may hold blocks of these heights."""
    rig = Rig()
    await rig.drive()
    await rig.mine(3)
    whole = rig.driver.l1_view
    rig.driver.l1_view = replace(whole, processed=rig.l1.blocks[1].ref)

    await rig.sequencing.step()
    assert rig.out == []
    rig.driver.l1_view = whole
    await rig.sequencing.step()
    assert len(rig.out) == 1


async def test_an_engine_that_lost_everything_is_no_reason_to_begin_anew() -> None:
    """What was pruned must come from L1 before the sequencer goes on."""
    rig = Rig()
    await rig.blocks(8)
    rig.engine.crash(8)
    for key in list(rig.store.records)[:4]:
        del rig.store.records[key]
    rig.l1.mine()
    rig.restart()
    await rig.driver.step()
    rig.driver.l1_view = replace(rig.driver.l1_view, processed=None)

    with pytest.raises(Temporary, match="give back"):
        await rig.sequencing.step()


async def test_when_l1_replaced_its_ground_a_block_makes_way() -> None:
    rig = Rig()
    await rig.blocks(20)
    old = list(rig.out)
    rig.l1.reorg(2, b"other")
    await rig.drive()
    before = rig.heads.unsafe.number
    assert before < 20
    await rig.blocks(20 - before + 2)

    new = {e.payload.block_number: e.payload.block_hash for e in rig.out[20:]}
    assert new[before + 1] != old[before].payload.block_hash
    canonical = {block.ref.hash for block in rig.l1.blocks}
    assert rig.heads.unsafe.l1_origin.hash in canonical


async def test_a_replaced_origin_is_told_to_the_driver() -> None:
    rig = Rig()
    await rig.blocks(20)
    rig.l1.reorg(3, b"other")

    with pytest.raises(Reset):
        await rig.sequencing.step()


async def test_an_own_block_that_is_invalid_is_not_let_out_and_the_next_has_no_pool() -> None:
    rig = Rig()
    await rig.blocks(3)
    right = rig.engine.new_payload

    async def wrong(envelope: PayloadEnvelope) -> Any:
        await trio.lowlevel.checkpoint()
        return PayloadStatus(INVALID, None, "a bug")

    rig.engine.new_payload = wrong  # type: ignore[method-assign]
    with pytest.raises(Temporary, match="a bug"):
        await rig.sequencing.step()
    assert len(rig.out) == 3
    rig.engine.new_payload = right  # type: ignore[method-assign]
    await rig.blocks(2)

    assert [len(e.payload.transactions) for e in rig.out[3:]] == [1, 2]


async def test_the_memory_of_blocks_is_bounded() -> None:
    rig = Rig()
    await rig.blocks(1)
    store = DictStore()
    published = Published(store)
    for number in range(1, PRUNED_AT_ONCE + 12):
        payload = replace(rig.out[0].payload, block_number=number)
        published.keep(replace(rig.out[0], payload=payload))

    published.prune(finalized=PRUNED_AT_ONCE - 1)
    assert published.at(1) is not None  # not worth a write yet
    published.prune(finalized=PRUNED_AT_ONCE)
    assert published.at(PRUNED_AT_ONCE) is None
    assert published.at(PRUNED_AT_ONCE + 1) is not None
    assert Published(store).last == published.last == PRUNED_AT_ONCE + 11
    assert KEPT_MAX > PRUNED_AT_ONCE


async def test_another_block_of_a_height_takes_those_above_along() -> None:
    rig = Rig()
    await rig.blocks(4)
    published = Published(rig.store)
    other = replace(rig.out[1], payload=replace(rig.out[1].payload, gas_used=1))

    published.keep(other)

    assert published.last == 2
    assert published.at(3) is None
    assert Published(rig.store).at(2) == other
