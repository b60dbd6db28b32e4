"""The first block of the L2: what the predeploys answer, and that other readers take the files."""

from typing import Any

import pytest
from eth_hash.auto import keccak

from contracts.bedrock.genesis import (
    PROXIED,
    VAULTS,
    Anchor,
    L2Setup,
    generic_da,
    keccak_da,
    l2_genesis,
    predeploy,
    rollup_json,
)
from contracts.bedrock.published import predeploys
from rollup.codec.config import RollupConfig
from rollup.codec.l1_info import L1Info
from tests.evm.bedrock_chain import DEPLOYER, L1, L2, Raw

OWNER, TREASURY = DEPLOYER, b"\x7e" * 20
DEPOSITOR = bytes.fromhex("deaddeaddeaddeaddeaddeaddeaddeaddead0001")
ANCHOR = Anchor(b"\xa1" * 32, 5)
L2_HASH = b"\xa2" * 32


@pytest.fixture(scope="module")
def l1() -> L1:
    return L1()


@pytest.fixture(scope="module")
def genesis(l1: L1) -> dict[str, Any]:
    setup = L2Setup(
        l1=l1.where, owner=OWNER, fee_recipient=TREASURY, timestamp=l1.setup.l2_genesis_time
    )
    return l2_genesis(setup)


@pytest.fixture
def l2(genesis: dict[str, Any]) -> Raw:
    where = {name: predeploy(name) for name in (*PROXIED, "WETH", "Multicall3")}
    return Raw(L2(genesis, where))


def number(output: bytes) -> int:
    return int.from_bytes(output[:32], "big")


def test_nobody_owns_anything(genesis: dict[str, Any]) -> None:
    assert {account["balance"] for account in genesis["alloc"].values()} == {"0x0"}


def test_the_l1_block_speaks_isthmus(l2: Raw) -> None:
    """It stores what our codec writes, and knows the older call only as a stranger's."""
    info = L1Info(
        *("isthmus", 70, 8, 9, b"\x0a" * 32, 3, b"\x0b" * 20),
        blob_base_fee=12,
        base_fee_scalar=13,
        blob_base_fee_scalar=14,
        operator_fee_scalar=15,
        operator_fee_constant=16,
    )

    l2.send("L1Block", info.encode(), DEPOSITOR)

    for name, value in {
        "number": 70,
        "timestamp": 8,
        "basefee": 9,
        "sequenceNumber": 3,
        "blobBaseFee": 12,
        "baseFeeScalar": 13,
        "blobBaseFeeScalar": 14,
        "operatorFeeScalar": 15,
        "operatorFeeConstant": 16,
        "batcherHash": int.from_bytes(b"\x0b" * 20, "big"),
        "hash": int.from_bytes(b"\x0a" * 32, "big"),
    }.items():
        assert number(l2.ask("L1Block", f"{name}()")) == value, name
    with pytest.raises(AssertionError):
        l2.send("L1Block", info.encode(), b"\x99" * 20)


def test_the_gas_price_oracle_knows_the_forks(l2: Raw) -> None:
    for fork, active in (("Ecotone", 1), ("Fjord", 1), ("Isthmus", 1), ("Jovian", 0)):
        assert number(l2.ask("GasPriceOracle", f"is{fork}()")) == active, fork
    assert l2.ask("GasPriceOracle", "getL1Fee(bytes)", word(32), word(100), bytes(128)) is not None
    assert number(l2.ask("GasPriceOracle", "getOperatorFee(uint256)", word(21_000))) == 0


def test_fees_stay_on_the_l2_for_the_treasury(l2: Raw) -> None:
    for name in VAULTS:
        assert number(l2.ask(name, "recipient()")) == int.from_bytes(TREASURY, "big"), name
        assert number(l2.ask(name, "withdrawalNetwork()")) == 1, name
        assert number(l2.ask(name, "minWithdrawalAmount()")) == 10**16, name


def test_the_bridges_know_each_other(l1: L1, l2: Raw) -> None:
    other = number(l2.ask("L2CrossDomainMessenger", "otherMessenger()"))
    bridge = number(l2.ask("L2StandardBridge", "otherBridge()"))

    assert other.to_bytes(20, "big") == l1.where["L1CrossDomainMessenger"]
    assert bridge.to_bytes(20, "big") == l1.where["L1StandardBridge"]
    assert l1.read("L1CrossDomainMessenger", "otherMessenger") == predeploy(
        "L2CrossDomainMessenger"
    )
    assert l1.read("L1StandardBridge", "otherBridge") == predeploy("L2StandardBridge")


def test_nobody_can_initialise_or_upgrade(l2: Raw) -> None:
    initialize = (
        ("L2CrossDomainMessenger", "initialize(address)"),
        ("L2StandardBridge", "initialize(address)"),
        ("OptimismMintableERC20Factory", "initialize(address)"),
        *((vault, "initialize(address,uint256,uint8)") for vault in VAULTS),
    )
    for name, signature in initialize:
        for at in (predeploy(name), predeploys()[name].address):
            for sender in (OWNER, b"\x99" * 20):  # the owner of the ProxyAdmin might, but for once
                with pytest.raises(AssertionError):
                    l2.send_to(at, keccak(signature.encode())[:4] + bytes(96), sender)
    for name in PROXIED:
        slot = 0xB53127684A568B3173AE13B9F8A6016E243E63B6E8EE1178D6A717850B5D6103
        assert l2.storage(predeploy(name), slot) == int.from_bytes(predeploy("ProxyAdmin"), "big")
    assert number(l2.ask("ProxyAdmin", "owner()")) == int.from_bytes(OWNER, "big")


def test_the_token_of_the_l1_is_no_news_to_the_l2(l2: Raw) -> None:
    """SystemConfig 0.17.3 tells the L2 its token by a deposit; this L1Block has no such function,
    so the deposit fails without effect, and its answers are those of a chain of ether."""
    call = keccak(b"setGasPayingToken(address,uint8,bytes32,bytes32)")[:4] + bytes(128)

    with pytest.raises(AssertionError):
        l2.send("L1Block", call, DEPOSITOR)
    assert number(l2.ask("L1Block", "isCustomGasToken()")) == 0
    assert b"Wrapped Ether" in l2.ask("WETH", "name()")


def test_the_rollup_reads_its_configuration(l1: L1) -> None:
    da = keccak_da(l1.setup, l1.where)
    value = rollup_json(
        l1.setup, l1.where, l1_chain_id=9016, l1_anchor=ANCHOR, l2_genesis_hash=L2_HASH, alt_da=da
    )

    config = RollupConfig.parse(value)

    assert config.l2_chain_id == 9017
    assert config.genesis.l1.number == 5
    assert config.deposit_contract_address == l1.where["OptimismPortal"]
    assert config.l1_system_config_address == l1.where["SystemConfig"]
    assert config.is_active("isthmus", 0)
    assert not config.is_active("jovian", 1 << 40)
    assert config.genesis.system_config.gas_limit == l1.read("SystemConfig", "gasLimit")
    scalar = int.from_bytes(config.genesis.system_config.scalar, "big")
    assert scalar == l1.read("SystemConfig", "scalar")
    assert RollupConfig.parse(config.to_json()) == config


def test_each_kind_of_alt_da_is_read(l1: L1) -> None:
    for da in (None, keccak_da(l1.setup, l1.where), generic_da(l1.setup)):
        value = rollup_json(
            *(l1.setup, l1.where),
            l1_chain_id=9016,
            l1_anchor=ANCHOR,
            l2_genesis_hash=L2_HASH,
            alt_da=da,
        )

        config = RollupConfig.parse(value)

        assert (config.alt_da is None) == (da is None)


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")
