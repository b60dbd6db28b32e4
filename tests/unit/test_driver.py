"""The driver: gossip, invalid blocks, finality, an engine that fails."""

from dataclasses import replace
from typing import Any

import pytest
import trio

from protocol.errors import Refused, Temporary
from rollup.canonical import Moved
from rollup.channel_out import ChannelPolicy, OutBlock, cut, encode_channel
from rollup.codec.payload import PayloadEnvelope
from rollup.derive.attributes import build_attributes
from rollup.derive.channel_in_reader import HEAVY_BYTES
from rollup.l2_blocks import ref_of
from rollup.ports import INVALID, PayloadStatus
from rollup.unsafe_blocks import AHEAD_MAX, BLOCKS_MAX
from tests.derive_world import l2_transaction
from tests.rollup_rig import Rig
from tests.sim.rollup_world import FINALITY, POISON


async def sequenced(count: int) -> tuple[Rig, list[PayloadEnvelope]]:
    """A sequencer, and the blocks that it let out."""
    rig = Rig()
    await rig.blocks(count)
    return rig, rig.out


async def follower(leader: Rig) -> Rig:
    rig = Rig(l1=leader.l1)
    await rig.drive()
    return rig


async def test_blocks_of_gossip_are_taken_in_their_order() -> None:
    leader, out = await sequenced(6)
    rig = await follower(leader)

    for envelope in reversed(out):
        assert await rig.driver.add_unsafe(envelope)
    assert rig.driver.queued == 6
    await rig.drive()

    assert rig.heads.unsafe == leader.heads.unsafe
    assert rig.driver.queued == 0


async def test_blocks_of_gossip_are_taken_while_l1_is_away(autojump_clock: object) -> None:
    """By the running loop, each when it comes, however long L1 has failed."""
    leader, blocks = await sequenced(4)
    node = await follower(leader)
    node.l1.is_down = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.driver.run)
        for number, block in enumerate(blocks, 1):
            await trio.sleep(100)
            assert node.driver.watch.problem is not None
            await node.driver.add_unsafe(block)
            await trio.sleep(1)
            assert node.heads.unsafe.number == number
        nursery.cancel_scope.cancel()


async def test_a_gap_waits_and_is_told() -> None:
    leader, out = await sequenced(6)
    rig = await follower(leader)

    for envelope in (*out[:2], *out[4:]):
        await rig.driver.add_unsafe(envelope)
    await rig.drive()

    assert rig.heads.unsafe.number == 2
    assert rig.driver.missing == (3, 4)
    for envelope in out[2:4]:
        await rig.driver.add_unsafe(envelope)
    await rig.drive()
    assert rig.heads.unsafe.number == 6
    assert rig.driver.missing is None


async def test_old_far_and_known_blocks_are_not_kept() -> None:
    leader, out = await sequenced(3)
    rig = await follower(leader)
    far = replace(out[2], payload=replace(out[2].payload, block_number=AHEAD_MAX + 1))

    assert not await rig.driver.add_unsafe(far)
    assert await rig.driver.add_unsafe(out[2])
    assert not await rig.driver.add_unsafe(out[2])
    await rig.driver.add_unsafe(out[0])
    await rig.drive()
    assert not await rig.driver.add_unsafe(out[0])


async def test_the_buffer_is_bounded_and_keeps_the_lowest() -> None:
    leader, out = await sequenced(1)
    rig = await follower(leader)

    for number in range(2, BLOCKS_MAX + 50):
        payload = replace(
            out[0].payload, block_number=number, block_hash=number.to_bytes(32, "big")
        )
        await rig.driver.add_unsafe(replace(out[0], payload=payload))

    assert rig.driver.queued == BLOCKS_MAX
    assert rig.driver.missing == (1, 1)


async def test_an_invalid_block_of_gossip_is_dropped_and_the_next_good_one_taken() -> None:
    leader, out = await sequenced(2)
    rig = await follower(leader)
    told: list[str] = []
    rig.driver.watch.on_unsafe_invalid = lambda envelope, reason: told.append(reason)
    bad = replace(out[0], payload=replace(out[0].payload, block_hash=b"\x01" * 32, gas_used=1))

    for envelope in (bad, *out):
        await rig.driver.add_unsafe(envelope)
    await rig.drive()

    assert told == ["bad block"]
    assert rig.heads.unsafe == leader.heads.unsafe


async def test_a_signed_block_without_l1s_attributes_is_invalid() -> None:
    leader, out = await sequenced(1)
    rig = await follower(leader)
    payload = replace(out[0].payload, transactions=(l2_transaction(1),))
    told: list[str] = []
    rig.driver.watch.on_unsafe_invalid = lambda envelope, reason: told.append(reason)

    await rig.driver.add_unsafe(replace(out[0], payload=payload))
    await rig.driver.add_unsafe(
        replace(out[0], payload=replace(payload, transactions=(), block_hash=b"\x01" * 32))
    )
    await rig.drive()

    assert len(told) == 2
    assert rig.heads.unsafe.number == 0


async def post_by_hand(rig: Rig, blocks: list[OutBlock], parent: Any) -> None:
    """What a batcher sends, honest or not."""
    data = encode_channel(rig.config, ChannelPolicy(), parent, blocks)
    rig.l1.waiting += cut(b"\x0c" * 16, data, 100_000)
    await rig.mine()


async def test_a_derived_block_that_cannot_be_is_replaced_by_its_deposits() -> None:
    """Holocene: the poisoned block comes without its transactions, the rest of the span is
    dropped; the sequencer's next span goes on from there."""
    leader, out = await sequenced(2)
    rig = await follower(leader)
    genesis = rig.heads.unsafe
    refs = [ref_of(envelope, rig.config) for envelope in out]
    poisoned = OutBlock(refs[0], (l2_transaction(1, POISON),))
    told: list[str] = []
    rig.driver.watch.on_invalid = lambda parent, reason: told.append(reason)

    await post_by_hand(rig, [poisoned, OutBlock.of(refs[1], out[1])], genesis)
    await rig.mine(3)

    assert len(told) == 1
    assert rig.heads.safe.number == 1
    found = await rig.engine.payload(1)
    assert [raw[0] for raw in found.payload.transactions] == [0x7E]
    assert rig.heads.unsafe == rig.heads.safe


async def test_a_span_that_overlaps_the_safe_chain_is_compared_with_the_engines_blocks() -> None:
    """The whole of it again is taken for its new part; with one other transaction it is not."""
    leader, out = await sequenced(4)
    rig = await follower(leader)
    genesis = rig.heads.unsafe
    blocks = [OutBlock.of(ref_of(envelope, rig.config), envelope) for envelope in out]
    await post_by_hand(rig, blocks[:2], genesis)
    other = replace(blocks[1], transactions=(l2_transaction(99),))

    await post_by_hand(rig, [blocks[0], other, *blocks[2:]], genesis)
    assert rig.heads.safe.number == 2
    await post_by_hand(rig, blocks, genesis)

    assert rig.heads.safe == leader.heads.unsafe


async def test_a_heavy_batch_is_derived_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[object] = []
    run_sync = trio.to_thread.run_sync

    async def noted(job: Any, *args: Any) -> Any:
        threads.append(job)
        return await run_sync(job, *args)

    monkeypatch.setattr(trio.to_thread, "run_sync", noted)
    leader, out = await sequenced(1)
    rig = await follower(leader)
    heavy = l2_transaction(1, bytes(HEAVY_BYTES))
    ref = ref_of(out[0], rig.config)

    await post_by_hand(rig, [OutBlock(ref, (heavy,))], rig.heads.unsafe)

    assert len(threads) == 1
    assert (await rig.engine.payload(1)).payload.transactions[-1] == heavy


async def test_l1_contradicts_gossip_and_wins() -> None:
    """The batch holds another block than the sequencer signed."""
    leader, out = await sequenced(2)
    rig = await follower(leader)
    genesis = rig.heads.unsafe
    differences: list[int] = []
    rig.driver.chain.on_difference = lambda number, why: differences.append(number)
    for envelope in out:
        await rig.driver.add_unsafe(envelope)
    await rig.drive()
    assert rig.heads.unsafe.number == 2

    other = OutBlock(ref_of(out[0], rig.config), (l2_transaction(99),))
    await post_by_hand(rig, [other], genesis)

    assert differences == [1]
    assert rig.heads.safe.number == rig.heads.unsafe.number == 1
    assert (await rig.engine.payload(1)).payload.transactions[-1] == l2_transaction(99)


async def test_a_window_without_batches_is_filled_with_empty_blocks() -> None:
    rig = Rig()
    await rig.drive()

    await rig.mine(rig.config.seq_window_size + 2)

    assert rig.heads.safe.number > 0
    found = await rig.engine.payload(1)
    assert [raw[0] for raw in found.payload.transactions] == [0x7E]


async def test_what_l1_finalised_finalises_what_came_from_it() -> None:
    rig = Rig()
    await rig.blocks(10)
    await rig.settle(4)
    safe = rig.heads.safe
    assert rig.heads.finalized.number == 0

    await rig.mine(FINALITY)

    assert rig.heads.finalized == safe
    assert rig.engine.finalized == safe.hash


async def test_derivation_stays_its_confirmations_behind() -> None:
    rig = Rig()
    rig.driver._confirmations = 3
    await rig.drive()
    await rig.mine(5)

    view = rig.driver.l1_view
    assert view.latest is not None
    assert view.processed is not None
    assert view.latest.number - view.processed.number == 3
    assert rig.driver.caught_up


async def test_an_engine_of_another_chain_ends_it() -> None:
    rig = Rig()
    genesis = replace(rig.config.genesis, l2=replace(rig.config.genesis.l2, hash=b"\x01" * 32))
    rig.config = replace(rig.config, genesis=genesis)
    rig.restart()

    with pytest.raises(Refused):
        await rig.driver.step()


async def test_a_block_of_deposits_that_is_invalid_ends_it() -> None:
    """The engine cannot be right then; going on would be another chain."""
    rig = Rig()
    await rig.drive()

    async def refuse(envelope: PayloadEnvelope) -> Any:
        await trio.lowlevel.checkpoint()
        return PayloadStatus(INVALID, None, "never")

    rig.engine.new_payload = refuse  # type: ignore[method-assign]
    with pytest.raises(Refused):
        await rig.mine(rig.config.seq_window_size + 2)


async def test_an_engine_that_lost_blocks_gets_them_from_gossip_or_l1() -> None:
    rig = Rig()
    await rig.blocks(10)
    await rig.settle(4)
    await rig.blocks(4)
    rig.engine.crash(8)
    rig.driver.chain.doubt()

    await rig.drive()
    assert rig.heads.unsafe.number == rig.heads.safe.number
    await rig.sequencing.step()

    assert rig.sequencing.tally.restored == 1


async def test_blocks_that_the_engine_lost_do_not_hold_up_derivation() -> None:
    """It is asked for the next unsafe block, and does not have it any more."""
    leader, out = await sequenced(10)
    rig = await follower(leader)
    for envelope in out:
        await rig.driver.add_unsafe(envelope)
    await rig.drive()
    rig.engine.crash(8)
    await leader.settle()

    await rig.drive()

    assert rig.driver.watch.resets == 1
    assert rig.heads.safe == leader.heads.safe


async def test_an_engine_that_lost_blocks_is_noticed_with_the_next_block_of_l1() -> None:
    """Nothing is derived and nothing is built meanwhile."""
    rig = Rig()
    await rig.blocks(6)
    rig.engine.crash(3)
    rig.l1.mine()
    await rig.drive()

    assert rig.heads.unsafe.number == 3


async def test_nobody_builds_on_a_head_that_moved() -> None:
    rig, out = await sequenced(3)
    old = ref_of(out[1], rig.config)
    system_config = rig.config.genesis.system_config
    attributes = build_attributes(rig.config, system_config, old, rig.l1.blocks[0])

    with pytest.raises(Moved):
        await rig.driver.chain.begin(old, attributes)
    with pytest.raises(Moved):
        await rig.driver.chain.append(out[1])
    with pytest.raises(Moved):
        await rig.driver.chain.seal(old, b"\x01" * 8)


async def test_without_heads_everything_is_a_matter_of_time() -> None:
    rig = Rig()
    with pytest.raises(Temporary):
        rig.driver.chain.heads.unsafe  # noqa: B018
    assert not rig.driver.caught_up
    assert rig.driver.missing is None
