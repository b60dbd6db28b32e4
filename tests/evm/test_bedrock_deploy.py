"""The bedrock contracts on the L1: addresses before the fact, settings after it, gas, a deposit."""

from dataclasses import replace

import pytest

from contracts.bedrock import deploy
from contracts.bedrock.deploy import PROXIED, addresses, batch_inbox, gas, steps
from contracts.deploy import created
from rollup.codec.deposit import TRANSACTION_DEPOSITED, DepositTransaction, deposit_from_log
from rollup.codec.refs import L1Log
from tests.evm.bedrock_chain import BATCHER, DEPLOYER, L1, PROPOSER, SIGNER, Contracts, call_data
from tests.evm.embedded import Reverted

USER = b"\x05" * 20
FORTUNE = 10**24
BLOCK_GAS = 15_000_000
INTRINSIC_CREATE, INTRINSIC_CALL, CALLDATA_BYTE = 53_000, 21_000, 16
HASH = b"\x77" * 32


@pytest.fixture(scope="module")
def deployed() -> L1:
    return L1([(USER, FORTUNE)])


def test_addresses_follow_from_the_nonce() -> None:
    setup = L1().setup
    first = [created(DEPLOYER, n) for n in range(1 + 2 * len(PROXIED))]

    where = addresses(setup)

    assert list(where) == [deploy.TOKEN, *PROXIED]
    assert list(where.values()) == [first[0], *first[1 + len(PROXIED) :]]
    later = replace(setup, nonce=7)
    assert addresses(later)["OPEN"] == created(DEPLOYER, 7)
    standing = replace(setup, token=b"\x0e" * 20)
    assert addresses(standing)["OPEN"] == b"\x0e" * 20
    assert addresses(standing)["SuperchainConfig"] == created(DEPLOYER, len(PROXIED))
    assert len(steps(standing)) == len(steps(setup)) - 1


def test_the_inbox_names_the_chain() -> None:
    assert batch_inbox(9017).hex() == "ff00000000000000000000000000000000009017"


def test_settings_are_what_the_setup_says(deployed: L1) -> None:
    read, setup = deployed.read, deployed.setup
    version_1 = 1 << 248

    assert read("SystemConfig", "gasPayingToken") == (deployed.where["OPEN"], 18)
    assert read("SystemConfig", "gasPayingTokenSymbol") == "OPEN"
    assert read("SystemConfig", "gasLimit") == BLOCK_GAS
    assert read("SystemConfig", "batcherHash") == bytes(12) + BATCHER
    assert read("SystemConfig", "unsafeBlockSigner") == SIGNER
    assert read("SystemConfig", "batchInbox") == setup.batch_inbox
    assert read("SystemConfig", "optimismPortal") == deployed.where["OptimismPortal"]
    assert read("SystemConfig", "scalar") == version_1 | 810_949 << 32 | 1368
    assert read("SystemConfig", "minimumGasLimit") <= BLOCK_GAS
    assert read("L2OutputOracle", "proposer") == PROPOSER
    assert read("L2OutputOracle", "startingTimestamp") == setup.l2_genesis_time
    assert read("L2OutputOracle", "nextBlockNumber") == setup.submission_interval
    assert read("OptimismPortal", "l2Oracle") == deployed.where["L2OutputOracle"]
    assert read("OptimismPortal", "systemConfig") == deployed.where["SystemConfig"]
    assert read("L1StandardBridge", "messenger") == deployed.where["L1CrossDomainMessenger"]
    assert read("L1CrossDomainMessenger", "portal") == deployed.where["OptimismPortal"]
    assert read("DataAvailabilityChallenge", "challengeWindow") == setup.challenge_blocks
    assert read("OPEN", "balanceOf", USER) == FORTUNE


def test_every_step_fits_its_gas_and_the_block(deployed: L1) -> None:
    for step in steps(deployed.setup):
        intrinsic = INTRINSIC_CREATE if step.to is None else INTRINSIC_CALL
        whole = deployed.gas_of[step.what] + intrinsic + CALLDATA_BYTE * len(step.data)
        assert whole < gas(step) < BLOCK_GAS // 2, step.what


def test_nobody_initialises_again(deployed: L1) -> None:
    """Neither behind the proxies nor, with what lies there, the implementations themselves."""
    for step in steps(deployed.setup):
        if step.what.endswith("initialisation"):
            assert step.to is not None
            with pytest.raises(Reverted):
                deployed.execute(step.to, step.data, DEPLOYER)


def test_a_deposit_is_read_by_the_rollup(deployed: L1) -> None:
    deployed.call("OPEN", "approve", deployed.where["OptimismPortal"], FORTUNE, sender=USER)
    to, amount = b"\x06" * 20, 3 * 10**18

    logs = deployed.call(
        *("OptimismPortal", "depositERC20Transaction", to, amount, amount, 100_000, False, b""),
        sender=USER,
    )

    (log,) = [one for one in logs if one.topics[0] == TRANSACTION_DEPOSITED]
    deposit = deposit_from_log(L1Log(log.address, log.topics, log.data, 3), HASH)
    assert log.address == deployed.where["OptimismPortal"]
    assert deposit == DepositTransaction(
        deposit.source_hash, USER, to, amount, amount, 100_000, False, b""
    )
    assert deployed.read("OptimismPortal", "balance") == amount
    assert deployed.read("OPEN", "balanceOf", deployed.where["OptimismPortal"]) == amount


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (("depositERC20Transaction", USER, FORTUNE * 2, 0, 100_000, False, b""), "ERC20"),
        (("depositERC20Transaction", USER, 1, 1, 20_000, False, b""), r"SmallGasLimit\(\)"),
        (("depositERC20Transaction", USER, 1, 1, 100_000, True, b""), r"BadTarget\(\)"),
        (("setGasPayingToken", USER, 18, bytes(32), bytes(32)), r"Unauthorized\(\)"),
    ],
)
def test_a_refusal_is_told_by_its_name(
    deployed: Contracts, call: tuple[object, ...], reason: str
) -> None:
    deployed.call("OPEN", "approve", deployed.where["OptimismPortal"], FORTUNE * 3, sender=USER)

    with pytest.raises(Reverted, match=reason):
        deployed.call("OptimismPortal", str(call[0]), *call[1:], sender=USER)


def test_ether_buys_nothing_on_this_chain(deployed: L1) -> None:
    data = call_data("OptimismPortal", "depositTransaction", USER, 1, 100_000, False, b"")

    with pytest.raises(Reverted, match=r"NoValue\(\)"):
        deployed.execute(deployed.where["OptimismPortal"], data, USER, value=1)
