"""Money to the L2 and back through the real contracts, by the command line, on two kinds of L1."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.net.bridge_world import ANVIL, ETHER, FRIEND, USER, World, world

KILLS = 4  # of each command
KIND_OF = {"deposit": "deposit", "withdraw": "withdrawal"}
KINDS = [
    pytest.param("anvil", marks=pytest.mark.skipif(not ANVIL.exists(), reason="npm ci tests/npm")),
    "ours",
]


@pytest.mark.parametrize("kind", KINDS)
async def test_there_and_back(tmp_path: Path, kind: str) -> None:
    async with world(tmp_path, kind) as both:
        (arrived,) = (await both.run("deposit", "12.5", "--json")).rows

        assert arrived["stage"] == "arrived on L2"
        assert await both.balance(USER.address) == 12 * ETHER + ETHER // 2
        assert await both.contracts.balance(both.where["OptimismPortal"]) == int(arrived["amount"])

        (paid,) = (await both.run("withdraw", "2", "--to", "0x" + FRIEND.hex(), "--json")).rows

        assert paid["stage"] == "paid on L1"
        assert await both.contracts.balance(FRIEND) == 2 * ETHER
        await shows_both(both)


async def shows_both(both: World) -> None:
    rows = (await both.run("status", "--json")).rows
    assert [(row["kind"], row["stage"]) for row in rows] == [
        ("deposit", "arrived on L2"),
        ("withdrawal", "paid on L1"),
    ]
    for row, side in zip(rows, ("l1_transaction", "l2_transaction"), strict=True):
        (alone,) = (await both.run("status", row[side], "--json")).rows
        assert {**alone, "number": row["number"]} == row
    told = await both.run("finalize", rows[1]["l2_transaction"])
    assert told.code == 6
    assert "withdrawal has already been finalized" in told.err


@pytest.mark.skipif(not ANVIL.exists(), reason="npm ci tests/npm")
async def test_killed_at_drawn_moments_nothing_crosses_twice(tmp_path: Path) -> None:
    """kill -9 in the middle of both commands, then the same command without an amount."""
    moments = iter([random.Random(7).uniform(1.2, 4.0) for _ in range(12)])
    async with world(tmp_path, "anvil") as both:
        rows = await insistent(both, "deposit", "10", moments)
        assert [row["stage"] for row in rows] == ["arrived on L2"]
        assert await both.contracts.balance(both.where["OptimismPortal"]) == 10 * ETHER

        rows = await insistent(both, "withdraw", "4", moments)

        assert [row["stage"] for row in rows] == ["paid on L1"]
        assert await both.contracts.balance(both.where["OptimismPortal"]) == 6 * ETHER
        assert await both.contracts.balance(USER.address) == 94 * ETHER
        assert 5 * ETHER < await both.balance(USER.address) < 6 * ETHER  # less the gas, once


async def insistent(
    both: World, command: str, amount: str, moments: Iterator[float]
) -> list[dict[str, Any]]:
    """Begin, be killed, go on, be killed, ..., end; what `status` says of it."""
    asked = [amount]
    for _ in range(KILLS):
        ended = await both.run(command, *asked, kill_after=next(moments))
        rows = (await both.run("status", "--json")).rows
        mine = [row for row in rows if row["kind"] == KIND_OF[command]]
        assert len(mine) <= 1
        if mine:
            asked = []
        if ended.code == 0:
            break
    else:
        assert (await both.run(command, *asked, "--json")).rows
    rows = (await both.run("status", "--json")).rows
    return [row for row in rows if row["kind"] == KIND_OF[command]]


@pytest.mark.skipif(not ANVIL.exists(), reason="npm ci tests/npm")
async def test_what_may_not_be_is_told_with_its_reason(tmp_path: Path) -> None:
    """No money, no output yet, too early, a transaction that withdraws nothing."""
    async with world(tmp_path, "anvil") as both:
        poor = await both.run("withdraw", "1")
        assert (poor.code, "has 0 OPEN on L2" in poor.err) == (6, True)
        rich = await both.run("deposit", "101")
        assert (rich.code, "has 100 OPEN on L1" in rich.err) == (6, True)
        nothing = await both.run("withdraw")
        assert (nothing.code, "give an AMOUNT" in nothing.err) == (2, True)
        (arrived,) = (await both.run("deposit", "5", "--json")).rows
        both.proposing = trio.Event()
        late = await both.run("withdraw", "1", "--wait", "6")
        assert (late.code, "nothing is lost" in late.err) == (6, True)
        twice = await both.run("withdraw", "1")
        assert (twice.code, "--again" in twice.err) == (2, True)
        (waiting,) = [
            row for row in (await both.run("status", "--json")).rows if row["kind"] == "withdrawal"
        ]
        assert waiting["stage"] == "waits for an output on L1 that covers it"
        transaction = waiting["l2_transaction"]
        early = await both.run("finalize", transaction)
        assert (early.code, "withdrawal has not been proven yet" in early.err) == (6, True)
        stranger = await both.run("prove", arrived["l1_transaction"])
        assert (stranger.code, "no L2 transaction" in stranger.err) == (6, True)

        both.proposing.set()
        (paid,) = (await both.run("withdraw", "--json")).rows

        assert paid["stage"] == "paid on L1"
        assert paid["l2_transaction"] == transaction
