"""An account's money is shown when it is known, and complained of when it runs out."""

import math
from dataclasses import dataclass
from typing import Any

import pytest

from node.funds import BATCHES_WARN, OPEN_WARN, Funds
from protocol.errors import Temporary

ACCOUNT = b"\x05" * 20
BATCH_WEI = 10**9 * 4_021_000  # 100,000 bytes at 1 gwei


@dataclass
class Node:
    answers: dict[str, Any]

    async def call(self, method: str, *params: Any) -> Any:
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def node(wei: int, gas_price: int = 10**9) -> Node:
    return Node(
        {
            "eth_blockNumber": "0x7",
            "eth_getBalance": hex(wei),
            "eth_gasPrice": hex(gas_price),
        }
    )


async def funds_of(wei: int, gas_price: int = 10**9) -> Funds:
    funds = Funds(node(wei, gas_price), ACCOUNT)
    await funds.refresh()
    return funds


async def test_nobody_knows_before_the_chain_was_asked() -> None:
    funds = Funds(node(5), ACCOUNT)

    assert math.isnan(funds.coins)
    assert math.isnan(funds.height)
    assert math.isnan(funds.batches_left(100_000))
    assert funds.problem() is funds.l1_problem(100_000) is None

    await funds.refresh()
    assert (funds.wei, funds.height) == (5, 7.0)


@pytest.mark.parametrize(
    ("wei", "told"), [(0, True), (OPEN_WARN - 1, True), (OPEN_WARN, False), (10**24, False)]
)
async def test_little_open_is_told(wei: int, told: bool) -> None:
    said = (await funds_of(wei)).problem()

    assert (said is not None) == told
    assert said is None or "OPEN left for gas; send it more" in said


@pytest.mark.parametrize(
    ("wei", "gas_price", "left"),
    [
        (0, 10**9, 0),
        (0, 0, 0),
        (BATCHES_WARN * BATCH_WEI - 1, 10**9, BATCHES_WARN - 1),
        (BATCHES_WARN * BATCH_WEI, 10**9, None),
        (BATCHES_WARN * BATCH_WEI, 2 * 10**9, BATCHES_WARN // 2),
        (1, 0, None),
    ],
)
async def test_little_ether_is_told(wei: int, gas_price: int, left: int | None) -> None:
    said = (await funds_of(wei, gas_price)).l1_problem(100_000)

    assert (said is None) == (left is None)
    assert said is None or f"{wei / 10**18:.6f} ether, {left} full batch transactions" in said


@pytest.mark.parametrize("answer", [None, "0x", "7", 7, "0xzz", Temporary("down")])
@pytest.mark.parametrize("method", ["eth_blockNumber", "eth_getBalance", "eth_gasPrice"])
async def test_what_the_chain_does_not_tell_is_not_known(method: str, answer: Any) -> None:
    funds = await funds_of(5)
    funds.rpc = Node({**node(5).answers, method: answer})

    await funds.refresh()

    assert funds.wei is None
    assert math.isnan(funds.coins)
