"""Dispute games on the L1: what a proposer proposes to where the L2 pays its gas in ether."""

from dataclasses import dataclass
from typing import Any

import pytest

from contracts.bedrock import deploy, games
from contracts.bedrock.deploy import gas
from contracts.bedrock.games import GAME, GAME_TYPE, GamesSetup
from contracts.bedrock.published import call_data
from rollup.proposer import Games, _GamesTarget
from tests.evm.bedrock_chain import DEPLOYER, L1, PROPOSER
from tests.evm.embedded import Reverted

VM, PRESTATE, ANCHOR = b"\x7a" * 20, b"\x03" + b"\x11" * 31, b"\xaa" * 32
BOND, INTERVAL, BLOCK = 10**17, 50, 100
ROOT = b"\x0c" * 32


@pytest.fixture
def l1() -> L1:
    chain = L1()
    nonce = len(deploy.steps(chain.setup))
    setup = GamesSetup(
        deployer=DEPLOYER,
        config=chain.where["SuperchainConfig"],
        vm=VM,
        prestate=PRESTATE,
        anchor=ANCHOR,
        anchor_block=0,
        l2_chain_id=9017,
        bond=BOND,
        nonce=nonce,
    )
    chain.run(games.steps(setup), nonce)
    chain.where.update(games.addresses(setup))
    for step in games.steps(setup):
        assert chain.gas_of[step.what] + 16 * len(step.data) + 53_000 < gas(step), step.what
    return chain


@dataclass
class Rpc:
    """`eth_call` on that chain."""

    l1: L1

    async def call(self, method: str, *params: Any) -> Any:
        assert method == "eth_call"
        to, data = (bytes.fromhex(params[0][key][2:]) for key in ("to", "data"))
        return "0x" + self.l1.ask(to, data).hex()


async def test_the_proposer_makes_a_game_once(l1: L1) -> None:
    target = _GamesTarget(Rpc(l1), Games(l1.where["DisputeGameFactory"], GAME_TYPE, INTERVAL))
    assert await target.due(BLOCK + 3) == BLOCK
    call = await target.call(BLOCK, ROOT)
    assert call is not None
    assert call[1] == BOND

    l1.execute(l1.where["DisputeGameFactory"], *call_of(call))

    _, _, game = l1.read("DisputeGameFactory", "gameAtIndex", 0)
    l1.where[GAME] = game
    assert l1.read(GAME, "rootClaim") == ROOT
    assert l1.read(GAME, "l2BlockNumber") == BLOCK
    assert l1.read(GAME, "startingRootHash") == ANCHOR
    assert l1.read(GAME, "gameCreator") == PROPOSER
    assert l1.read(GAME, "maxGameDepth") == games.DEPTH
    assert l1.read("DelayedWETH", "balanceOf", game) == BOND
    assert await target.call(BLOCK, ROOT) is None
    with pytest.raises(Reverted, match="GameAlreadyExists"):
        l1.execute(l1.where["DisputeGameFactory"], *call_of(call))


def test_the_bond_is_what_was_set(l1: L1) -> None:
    extra = BLOCK.to_bytes(32, "big")
    data = call_data("DisputeGameFactory", "create", GAME_TYPE, ROOT, extra)
    for value in (0, BOND - 1, BOND + 1):
        with pytest.raises(Reverted, match="IncorrectBondAmount"):
            l1.execute(l1.where["DisputeGameFactory"], data, PROPOSER, value)
    unknown = call_data("DisputeGameFactory", "create", GAME_TYPE + 1, ROOT, extra)
    with pytest.raises(Reverted, match="NoImplementation"):
        l1.execute(l1.where["DisputeGameFactory"], unknown, PROPOSER)


def test_a_game_of_even_depth_is_not_deployed() -> None:
    with pytest.raises(ValueError, match="odd"):
        GamesSetup(
            deployer=DEPLOYER,
            config=VM,
            vm=VM,
            prestate=PRESTATE,
            anchor=ANCHOR,
            anchor_block=0,
            l2_chain_id=1,
            bond=1,
            depth=8,
        )


def call_of(call: tuple[bytes, int]) -> tuple[bytes, bytes, int]:
    return call[0], PROPOSER, call[1]
