"""kill -9 in the middle of the bridge's commands: what was begun goes on, nothing crosses twice."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.net.bridge_world import ETHER, USER, World, needs_anvil, world

KILLS = 4  # of each command
KIND_OF = {"deposit": "deposit", "withdraw": "withdrawal"}


@pytest.mark.slow
@needs_anvil
async def test_killed_at_drawn_moments_nothing_crosses_twice(tmp_path: Path) -> None:
    """Both commands as processes, killed, then given again without an amount."""
    chance = random.Random(7)
    moments = iter([chance.uniform(1.0, 4.0) for _ in range(2 * KILLS)])
    async with world(tmp_path, "anvil") as both:
        rows = await insistent(both, "deposit", "10", moments)
        assert [row["stage"] for row in rows] == ["arrived on L2"]
        assert await both.contracts.balance(both.where["OptimismPortal"]) == 10 * ETHER

        rows = await insistent(both, "withdraw", "4", moments)

        assert [row["stage"] for row in rows] == ["paid on L1"]
        assert await both.contracts.balance(both.where["OptimismPortal"]) == 6 * ETHER
        assert await both.contracts.balance(USER.address) == 94 * ETHER
        assert 5 * ETHER < await both.balance(USER.address) < 6 * ETHER  # less the gas, once
        again = await both.run("finalize", rows[0]["l2_transaction"])
        assert (again.code, "has already been finalized" in again.err) == (6, True)


async def insistent(
    both: World, command: str, amount: str, moments: Iterator[float]
) -> list[dict[str, Any]]:
    """Begin, be killed, go on, be killed, ..., end; what `status` says of it then."""
    asked = [amount]
    for _ in range(KILLS):
        ended = await both.run(command, *asked, kill_after=next(moments))
        rows = [row for row in await both.look() if row["kind"] == KIND_OF[command]]
        assert len(rows) <= 1
        if rows:
            asked = []
        if ended.code == 0:
            break
    else:
        assert (await both.run(command, *asked, "--json")).rows
    rows = (await both.run("status", "--json")).rows
    return [row for row in rows if row["kind"] == KIND_OF[command]]
