"""The batcher: what is posted, what is posted again, and what never is."""

from dataclasses import dataclass, replace

import pytest

from protocol.errors import Refused
from rollup.channel_out import ChannelPolicy
from rollup.codec.config import AltDa
from rollup.codec.frame import parse_frames
from tests.rollup_rig import Rig
from tests.sim.rollup_world import Outcome, SimDa, world_config

ALT_DA = AltDa(b"\xda" * 20, "KeccakCommitment", 3, 3)


async def test_blocks_become_safe_once_they_are_posted() -> None:
    rig = Rig()
    await rig.blocks(10)
    await rig.settle()

    assert rig.heads.safe.number == 10
    assert rig.batcher.tally.lost == 0


async def test_a_new_batcher_waits_until_its_node_has_read_l1() -> None:
    """With no memory of its own, what is posted already shows only in L1."""
    rig = Rig()
    await rig.blocks(10)
    await rig.drive()
    whole = rig.driver.l1_view
    rig.driver.l1_view = replace(whole, processed=rig.l1.blocks[0].ref)

    told = await rig.post()
    assert told is not None
    assert "read L1" in told
    assert rig.l1.waiting == []
    rig.driver.l1_view = whole
    assert await rig.post() is None
    assert rig.l1.waiting != []


async def test_a_node_that_derives_late_is_no_reason_to_post_again() -> None:
    rig = Rig()
    rig.driver._confirmations = 6
    await rig.blocks(10)
    await rig.settle(12)

    assert rig.heads.safe.number == 10
    assert rig.batcher.tally.lost == 0


async def test_frames_are_sent_in_order() -> None:
    rig = Rig(policy=ChannelPolicy(duration=0, frame_bytes=100))
    await rig.blocks(10)
    await rig.post()
    await rig.mine()
    await rig.post()

    frames = [frame for raw in rig.sender.intents.values() for frame in parse_frames(raw)]
    assert len(frames) >= 3
    assert [frame.number for frame in frames] == list(range(len(frames)))


async def test_a_second_step_posts_nothing_more() -> None:
    rig = Rig()
    await rig.blocks(10)
    await rig.mine()
    await rig.post()
    before = dict(rig.sender.intents)
    for _ in range(3):
        await rig.post()

    assert before
    assert rig.sender.intents == before


async def test_after_a_restart_the_same_channel_goes_on() -> None:
    """The record is written before the intents: nothing is cut anew."""
    rig = Rig()
    await rig.blocks(10)
    await rig.mine()
    await rig.post()
    before = dict(rig.sender.intents)

    rig.restart()
    await rig.drive()
    await rig.post()

    assert rig.sender.intents == before


async def test_a_reset_that_leads_the_safe_head_back_posts_nothing_again() -> None:
    """Derivation will find in L1 what is there; the batcher remembers that it is."""
    rig = Rig()
    await rig.blocks(10)
    await rig.settle(4)
    assert (rig.heads.safe.number, rig.heads.finalized.number) == (10, 0)
    before = set(rig.sender.intents)

    await rig.driver._lost("a reorg")
    rig.engine.safe = rig.engine.finalized
    rig.driver._pipeline = await rig.driver._start()
    assert rig.heads.safe.number == 0
    for _ in range(3):
        await rig.post()

    assert set(rig.sender.intents) == before


async def test_a_channel_that_l1_has_but_nobody_derives_is_posted_again() -> None:
    """As when it took longer than its time-out: every one of its blocks in a new channel."""
    rig = Rig()
    await rig.blocks(10)
    await rig.mine()
    await rig.post()
    first = set(rig.sender.intents)
    rig.l1.waiting = [b"\0" + b"not what was sent"]
    rig.sender.done |= first  # the outbox says they are in

    lost = [await rig.post() for _ in range(4) if not await rig.mine()]
    await rig.settle()

    assert any(reason and "not derived" in reason for reason in lost)
    assert rig.batcher.tally.lost >= 1
    assert rig.heads.safe.number == rig.heads.unsafe.number
    assert len(set(rig.sender.intents) - first) >= 1


@dataclass
class Failing:
    """An outbox whose first transactions fail for good."""

    rig: Rig
    failed: set[str]

    def intend(
        self, key: str, to: bytes, data: bytes, value: int = 0, gas: int | None = None
    ) -> None:
        if len(self.failed) < 1 or key in self.failed:
            self.failed.add(key)
            return
        self.rig.sender.intend(key, to, data, value, gas)

    def result(self, key: str) -> Outcome | None:
        if key in self.failed:
            return Outcome(False, reason="no money")
        return self.rig.sender.result(key)


async def test_a_transaction_that_fails_for_good_is_made_up_for_by_another_channel() -> None:
    rig = Rig()
    await rig.blocks(10)
    await rig.mine()
    failing = Failing(rig, set())
    rig.batcher._sender = failing

    told = [await rig.post(), await rig.post()]
    await rig.settle()

    assert any(reason and "no money" in reason for reason in told)
    assert rig.heads.safe.number == rig.heads.unsafe.number
    assert not failing.failed & set(rig.sender.intents)


async def test_blocks_that_the_chain_lost_are_given_up() -> None:
    """A reorg of unsafe blocks: the channel with the old ones is not waited for."""
    rig = Rig(config=replace(world_config(), seq_window_size=40))
    await rig.blocks(10)
    await rig.mine()
    await rig.post()
    rig.l1.waiting = []
    old = rig.heads.unsafe

    rig.l1.reorg(len(rig.l1.blocks) - 1, b"other")
    await rig.mine(2)
    await rig.blocks(20)
    rig.sender.intents = {}
    await rig.settle()

    assert rig.engine.hashes()[old.number] != old.hash
    assert rig.heads.safe.number == rig.heads.unsafe.number


async def test_nothing_goes_to_l1_before_the_whole_channel_is_in_the_da_layer() -> None:
    da = SimDa()
    rig = Rig(
        config=world_config(alt_da=ALT_DA),
        da=da,
        policy=ChannelPolicy(duration=0, frame_bytes=100),
    )
    await rig.blocks(10)
    await rig.mine()
    puts = 0

    async def put(data: bytes) -> bytes:
        nonlocal puts
        puts += 1
        if puts == 3:
            da.mode = "down"
        return await SimDa.put(da, data)

    da.put = put  # type: ignore[method-assign]
    assert await rig.post() is not None
    assert rig.l1.waiting == []
    assert len(da.kept) == 2

    da.mode = "up"
    await rig.settle()
    assert {data[0] for _, data in rig.l1.data()} == {1}
    assert rig.heads.safe.number == rig.heads.unsafe.number
    assert len(da.kept) == len(set(da.kept))


async def test_a_full_da_layer_turns_the_same_channel_into_calldata() -> None:
    rig = Rig(config=world_config(alt_da=ALT_DA), da=SimDa("full"))
    await rig.blocks(10)
    await rig.mine()
    await rig.settle()

    assert rig.batcher.tally.failovers >= 1
    assert {data[0] for _, data in rig.l1.data()} == {0}
    assert rig.heads.safe.number == rig.heads.unsafe.number


async def test_a_da_layer_that_is_away_too_long_is_left_too() -> None:
    rig = Rig(config=world_config(alt_da=ALT_DA), da=SimDa("down"))
    await rig.blocks(10)
    await rig.mine()

    assert await rig.post() is not None
    assert rig.l1.waiting == []
    rig.time.seconds += 601
    await rig.post()

    assert rig.batcher.tally.failovers == 1
    assert [data[0] for data in rig.l1.waiting] == [0]


async def test_no_more_channels_than_the_bound_are_under_way() -> None:
    rig = Rig(policy=ChannelPolicy(target_bytes=1, duration=0))
    await rig.blocks(30)
    for _ in range(5):
        await rig.post()

    assert len(rig.sender.intents) == 8


async def test_the_sender_may_refuse_for_another_reason_than_not_knowing() -> None:
    """An intent of the same key with other data is a bug: it is not swallowed."""
    rig = Rig()
    await rig.blocks(10)
    await rig.mine()
    await rig.post()
    key = next(iter(rig.sender.intents))
    rig.sender.intents[key] = b"other"

    with pytest.raises(Refused):
        await rig.batcher.step()
