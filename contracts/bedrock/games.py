"""The deployment of the dispute games on the L1: outputs as games that anybody may contest.

Our portal takes its outputs from the L2OutputOracle, because it takes an ERC-20 for gas; so a game
decides nothing about withdrawals by itself. It is what a proposer proposes to on a chain of ether.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from contracts.bedrock.published import call_data, creation
from contracts.deploy import Step, created

GAME: Final = "FaultDisputeGame"
PROXIED: Final = ("DisputeGameFactory", "DelayedWETH", "AnchorStateRegistry")
GAME_TYPE: Final = 0  # of Cannon's games; the stepper is in the VM's place
# With an even depth the last move falls to the defender: a silent committee lets a liar win.
DEPTH, SPLIT_DEPTH = 73, 30
DAY: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class GamesSetup:
    """Times in seconds, amounts in wei; `vm` steps one instruction, `anchor` is the output root of
    L2 block `anchor_block` that nobody doubts; `config` is the SuperchainConfig."""

    deployer: bytes
    config: bytes
    vm: bytes
    prestate: bytes  # 32: of the VM
    anchor: bytes
    anchor_block: int
    l2_chain_id: int
    bond: int
    game_type: int = GAME_TYPE
    depth: int = DEPTH
    split_depth: int = SPLIT_DEPTH
    clock: int = 3 * DAY + DAY // 2
    clock_extension: int = DAY // 8
    weth_delay: int = 7 * DAY
    nonce: int = 0  # the deployer's, before the first step

    def __post_init__(self) -> None:
        if self.depth % 2 == 0:
            raise ValueError("the depth of a game must be odd, or whoever is silent wins")


def addresses(setup: GamesSetup) -> dict[str, bytes]:
    """Where each proxy, and the game that is cloned, will stand."""
    proxies = {name: _place(setup, len(PROXIED) + at) for at, name in enumerate(PROXIED)}
    return {**proxies, GAME: _place(setup, 2 * len(PROXIED))}


def steps(setup: GamesSetup) -> list[Step]:
    """Every transaction, in the order of the deployer's nonces; `deploy.gas` limits each."""
    where = addresses(setup)
    constructors, arguments = _constructors(setup, where), _arguments(setup)
    proxy = creation("Proxy", setup.deployer)
    factory = where["DisputeGameFactory"]
    return [
        *(Step(name, None, creation(name, *constructors[name])) for name in PROXIED),
        *(Step(f"{name} proxy", None, proxy) for name in PROXIED),
        Step(GAME, None, creation(GAME, *constructors[GAME])),
        *(
            Step(
                f"{name} initialisation",
                where[name],
                call_data(
                    *("Proxy", "upgradeToAndCall", _place(setup, at)),
                    call_data(name, "initialize", *arguments[name]),
                ),
            )
            for at, name in enumerate(PROXIED)
        ),
        _set(factory, "setImplementation", setup.game_type, where[GAME]),
        _set(factory, "setInitBond", setup.game_type, setup.bond),
    ]


def _constructors(setup: GamesSetup, where: Mapping[str, bytes]) -> dict[str, tuple[Any, ...]]:
    return {
        "DisputeGameFactory": (),
        "DelayedWETH": (setup.weth_delay,),
        "AnchorStateRegistry": (where["DisputeGameFactory"],),
        GAME: (
            setup.game_type,
            setup.prestate,
            setup.depth,
            setup.split_depth,
            setup.clock_extension,
            setup.clock,
            setup.vm,
            where["DelayedWETH"],
            where["AnchorStateRegistry"],
            setup.l2_chain_id,
        ),
    }


def _arguments(setup: GamesSetup) -> dict[str, tuple[Any, ...]]:
    anchor = (setup.game_type, (setup.anchor, setup.anchor_block))
    return {
        "DisputeGameFactory": (setup.deployer,),
        "DelayedWETH": (setup.deployer, setup.config),
        "AnchorStateRegistry": ([anchor],),
    }


def _place(setup: GamesSetup, number: int) -> bytes:
    return created(setup.deployer, setup.nonce + number)


def _set(factory: bytes, function: str, *values: Any) -> Step:
    return Step(function, factory, call_data("DisputeGameFactory", function, *values))
