"""Money to the L2 and back through the real contracts, by the command line, on two kinds of L1."""

import pytest

from tests.net.bridge_world import ANVIL, ETHER, FRIEND, USER, World, world

KINDS = [
    pytest.param("anvil", marks=pytest.mark.skipif(not ANVIL.exists(), reason="npm ci tests/npm")),
    "ours",
]


@pytest.mark.parametrize("kind", KINDS)
async def test_there_and_back(tmp_path, kind: str) -> None:  # type: ignore[no-untyped-def]
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
