"""Money to the L2 and back through the real contracts, on two kinds of L1."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.bridge import actions, withdrawals
from node.bridge.stages import Stage
from node.bridge.steps import Undone
from node.exits import ChainTrouble, Fault, WrongSettings
from tests.net.bridge_world import ETHER, FRIEND, USER, World, needs_anvil, world

KINDS = [pytest.param("anvil", marks=needs_anvil), "ours"]
NO_PATIENCE = 5.0


@pytest.mark.parametrize("kind", KINDS)
async def test_there_and_back(tmp_path: Path, kind: str) -> None:
    async with world(tmp_path, kind) as both:
        arrived = await both.cross("deposit", "12.5")

        assert arrived["stage"] == "arrived on L2"
        assert await both.balance(USER.address) == 12 * ETHER + ETHER // 2
        assert await both.contracts.balance(both.where["OptimismPortal"]) == int(arrived["amount"])

        paid = await both.cross("withdrawal", "2", "0x" + FRIEND.hex())

        assert paid["stage"] == Stage.FINALIZED.value
        assert await both.contracts.balance(FRIEND) == 2 * ETHER
        assert await both.look() == [arrived, paid]
        for row, side in ((arrived, "l1_transaction"), (paid, "l2_transaction")):
            (alone,) = await both.look(row[side])
            assert {**alone, "number": row["number"]} == row
        with pytest.raises(Undone, match="withdrawal has already been finalized"):
            await actions.at_once(both.options, paid["l2_transaction"], withdrawals.finalize)


@needs_anvil
async def test_what_may_not_be_is_told_with_its_reason(tmp_path: Path) -> None:
    """No money, no output yet, too early, twice, a transaction that withdraws nothing."""
    async with world(tmp_path, "anvil") as both:
        await refused(both, "withdrawal", "1", "has 0 OPEN on L2")
        await refused(both, "deposit", "101", "has 100 OPEN on L1")
        await refused(both, "withdrawal", None, "give an AMOUNT")
        arrived = await both.cross("deposit", "5")
        both.proposing = trio.Event()
        hurried = replace(both.options, wait_seconds=NO_PATIENCE)
        with pytest.raises(ChainTrouble, match="nothing is lost"):
            await actions.cross(hurried, "withdrawal", "1", None, False)
        await refused(both, "withdrawal", "1", "--again")
        _, waiting = await both.look()
        transaction = waiting["l2_transaction"]
        assert waiting["stage"] == Stage.OUTPUT.value
        with pytest.raises(Undone, match="withdrawal has not been proven yet"):
            await actions.at_once(both.options, transaction, withdrawals.finalize)
        with pytest.raises(ChainTrouble, match="no L2 transaction"):
            await actions.at_once(both.options, arrived["l1_transaction"], withdrawals.prove)
        with pytest.raises(ChainTrouble, match="neither"):
            await both.look("0x" + "77" * 32)

        both.proposing.set()
        paid = await both.cross("withdrawal")

        assert (paid["stage"], paid["l2_transaction"]) == (Stage.FINALIZED.value, transaction)


async def refused(both: World, kind: str, amount: str | None, words: str) -> None:
    assert kind in ("deposit", "withdrawal")
    with pytest.raises((WrongSettings, ChainTrouble)) as caught:
        await both.cross("deposit" if kind == "deposit" else "withdrawal", amount)
    assert isinstance(caught.value, Fault)
    assert words in str(caught.value)
