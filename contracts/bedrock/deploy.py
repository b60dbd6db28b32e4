"""The deployment of the bedrock contracts on the L1, as a pure list of transactions.

Addresses follow from the deployer and his nonce, as in `contracts.deploy`. Behind each proxy stands
one implementation, and the deployer administers the proxies himself: a test network needs no
multisig. The L2 takes `$OPEN` for gas (custom gas token of bedrock 0.17.3), hence the portal that
reads outputs from the L2OutputOracle: the one that reads dispute games knows no such token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contracts.bedrock.published import call_data, creation
from contracts.deploy import Step, created

TOKEN, TOKEN_KIND = "OPEN", "OptimismMintableERC20"
PROXIED: Final = (
    "SuperchainConfig",
    "L2OutputOracle",
    "OptimismPortal",
    "SystemConfig",
    "DataAvailabilityChallenge",
    "L1CrossDomainMessenger",
    "L1StandardBridge",
)
# Gas that no step reaches: a creation by its bytecode, an initialisation or a mint at all.
CREATE_GAS, CREATE_GAS_BYTE, CALL_GAS = 100_000, 230, 600_000

DECIMALS: Final = 18
ZERO: Final = bytes(20)
# A token of the same name on the L2 does not exist; the artifact wants the address of one.
NO_REMOTE: Final = b"\xff" * 20
GAS_LIMIT: Final = 15_000_000  # of an L2 block
# Of the gas of an L2 block, 8M may be deposits and 1M the L1 attributes: with less than their sum
# as the block's limit SystemConfig refuses. The rest prices deposits as on OP Mainnet.
DEPOSIT_GAS_MAX: Final = 8_000_000
SYSTEM_GAS_MAX: Final = 1_000_000
ELASTICITY, CHANGE_DENOMINATOR, BASE_FEE_MIN = 10, 8, 10**9
BASE_FEE_MAX: Final = (1 << 128) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockSetup:
    """What the deployment is made of; addresses of 20 bytes, times in seconds, amounts in wei.

    `l2_genesis_time` is the time of the first L2 block, which is that of its L1 origin: it must not
    lie in the future. `submission_interval` counts L2 blocks. A withdrawal waits for the next
    output, then `finalization_seconds` from its proof; where outputs are disputed by games, more
    than twice the clock of a game. `challenge_blocks` and `resolve_blocks` count L1 blocks.
    `token` is an ERC-20 that stands already, with 18 decimals; without it one is made whose
    deployer mints, and `mints` says for whom.
    """

    deployer: bytes
    batcher: bytes
    proposer: bytes
    challenger: bytes
    unsafe_block_signer: bytes
    batch_inbox: bytes
    l2_genesis_time: int
    submission_interval: int
    finalization_seconds: int
    l2_block_time: int = 2
    gas_limit: int = GAS_LIMIT
    base_fee_scalar: int = 1368
    blob_base_fee_scalar: int = 810_949
    challenge_blocks: int = 160
    resolve_blocks: int = 160
    challenge_bond: int = 10**15
    refund_percentage: int = 0
    token: bytes | None = None
    mints: Sequence[tuple[bytes, int]] = ()
    nonce: int = 0  # the deployer's, before the first step

    def __post_init__(self) -> None:
        if self.token is not None and self.mints:
            raise ValueError("only a token that is made here can be minted")


def batch_inbox(chain_id: int) -> bytes:
    """Where batches go, by OP Stack's custom: 0xff, then the decimal digits of the chain id."""
    return bytes.fromhex(f"ff{chain_id:038d}")


def addresses(setup: BedrockSetup) -> dict[str, bytes]:
    """Where the token and each proxy will stand, by the name of what it does."""
    proxies = {name: _place(setup, len(PROXIED) + at) for at, name in enumerate(PROXIED)}
    token = setup.token or created(setup.deployer, setup.nonce)
    return {TOKEN: token, **proxies}


def steps(setup: BedrockSetup) -> list[Step]:
    """Every transaction, in the order of the deployer's nonces."""
    where = addresses(setup)
    proxy = creation("Proxy", setup.deployer)
    arguments = _arguments(setup, where)
    return [
        *_token(setup),
        *(Step(name, None, creation(name)) for name in PROXIED),
        *(Step(f"{name} proxy", None, proxy) for name in PROXIED),
        *(
            _initialisation(name, where[name], _place(setup, at), arguments[name])
            for at, name in enumerate(PROXIED)
        ),
        *(Step("mint", where[TOKEN], call_data(TOKEN_KIND, "mint", *mint)) for mint in setup.mints),
    ]


def gas(step: Step) -> int:
    """A limit that each step stays under, whatever the steps before it have done."""
    return CREATE_GAS + CREATE_GAS_BYTE * len(step.data) if step.to is None else CALL_GAS


def _place(setup: BedrockSetup, number: int) -> bytes:
    """The address of the creation number `number` after the token's."""
    return created(setup.deployer, setup.nonce + (setup.token is None) + number)


def _token(setup: BedrockSetup) -> list[Step]:
    if setup.token is not None:
        return []
    about = (setup.deployer, NO_REMOTE, "OpenLedger", "OPEN", DECIMALS)
    return [Step(TOKEN, None, creation(TOKEN_KIND, *about))]


def _initialisation(name: str, proxy: bytes, implementation: bytes, values: Sequence[Any]) -> Step:
    call = call_data(name, "initialize", *values)
    return Step(
        f"{name} initialisation",
        proxy,
        call_data("Proxy", "upgradeToAndCall", implementation, call),
    )


def _arguments(setup: BedrockSetup, where: Mapping[str, bytes]) -> dict[str, Sequence[Any]]:
    """The arguments of each `initialize`, in its order."""
    owner, config = setup.deployer, where["SuperchainConfig"]
    return {
        "SuperchainConfig": (owner, False),
        "L2OutputOracle": (
            setup.submission_interval,
            setup.l2_block_time,
            0,
            setup.l2_genesis_time,
            setup.proposer,
            setup.challenger,
            setup.finalization_seconds,
        ),
        "OptimismPortal": (where["L2OutputOracle"], where["SystemConfig"], config),
        "SystemConfig": (
            owner,
            setup.base_fee_scalar,
            setup.blob_base_fee_scalar,
            bytes(12) + setup.batcher,
            setup.gas_limit,
            setup.unsafe_block_signer,
            (
                DEPOSIT_GAS_MAX,
                ELASTICITY,
                CHANGE_DENOMINATOR,
                BASE_FEE_MIN,
                SYSTEM_GAS_MAX,
                BASE_FEE_MAX,
            ),
            setup.batch_inbox,
            (
                where["L1CrossDomainMessenger"],
                ZERO,  # ERC-721 bridge
                where["L1StandardBridge"],
                ZERO,  # dispute games
                where["OptimismPortal"],
                ZERO,  # factory of ERC-20
                where[TOKEN],
            ),
        ),
        "DataAvailabilityChallenge": (
            owner,
            setup.challenge_blocks,
            setup.resolve_blocks,
            setup.challenge_bond,
            setup.refund_percentage,
        ),
        "L1CrossDomainMessenger": (config, where["OptimismPortal"], where["SystemConfig"]),
        "L1StandardBridge": (where["L1CrossDomainMessenger"], config, where["SystemConfig"]),
    }
