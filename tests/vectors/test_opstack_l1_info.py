"""L1 attributes: kona's transactions, and which layout op-node uses when."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import Malformed
from rollup.codec.config import ChainOpConfig, Genesis, RollupConfig
from rollup.codec.deposit import DepositTransaction, l1_info_source
from rollup.codec.header import encode_holocene_extra, encode_jovian_extra
from rollup.codec.l1_info import (
    L1Info,
    l1_info,
    l1_info_deposit,
    l2_ref,
    l2_system_config,
    layout_at,
)
from rollup.codec.refs import BlockId, L1Block, L1BlockRef
from rollup.codec.system_config import SystemConfig, encode_ecotone_scalar, encode_operator_fee

CASES = json.loads((Path(__file__).parent / "op-stack" / "l1_attributes.json").read_text())["cases"]
BATCHER = bytes.fromhex("6887246668a3b87f54deb3b94ba47a6f63f32985")
HASH = bytes.fromhex("1c4c84c50740386c7dc081efddd644405f04cde73e30a2e381737acce9f5add3")
SYSTEM = SystemConfig(
    BATCHER,
    bytes(31) + b"\xbc",
    encode_ecotone_scalar(1368, 810949),
    30_000_000,
    operator_fee_params=encode_operator_fee(0xABCD, 0xDCBA),
)
BLOCK = L1Block(
    L1BlockRef(HASH, 19655712, bytes(32), 1713121139),
    10445852825,
    1,
    bytes(32),
    bytes(32),
    (),
    (),
)
CONFIG = RollupConfig(
    Genesis(BlockId(b"\1" * 32, 1), BlockId(b"\2" * 32, 0), 100, SYSTEM),
    block_time=2,
    max_sequencer_drift=600,
    seq_window_size=3600,
    channel_timeout=300,
    l1_chain_id=1,
    l2_chain_id=10,
    batch_inbox_address=b"\3" * 20,
    deposit_contract_address=b"\4" * 20,
    l1_system_config_address=b"\5" * 20,
    regolith_time=0,
    canyon_time=110,
    delta_time=110,
    ecotone_time=110,
    fjord_time=120,
    granite_time=120,
    holocene_time=120,
    isthmus_time=130,
    jovian_time=140,
    chain_op_config=ChainOpConfig(),
)


@pytest.mark.parametrize("case", CASES, ids=[case["fork"] for case in CASES])
def test_attributes_of_kona(case: dict[str, str]) -> None:
    """op-rs/kona crates/protocol/protocol/src/test_utils.rs (MIT), real ones where they exist."""
    calldata = bytes.fromhex(case["calldata"])

    info = L1Info.decode(calldata)

    assert info.fork == case["fork"]
    assert "0x" + info.batcher.hex() == case["batcher"]
    assert info.encode() == calldata


def test_fields_of_kona() -> None:
    """The values that kona's tests expect of the same transactions (info/variant.rs)."""
    bedrock, ecotone, isthmus = [L1Info.decode(bytes.fromhex(c["calldata"])) for c in CASES[:3]]

    assert (bedrock.number, bedrock.time, bedrock.sequence_number) == (18334955, 1697121143, 4)
    assert (bedrock.base_fee, bedrock.overhead, bedrock.scalar) == (10419034451, 188, 684000)
    assert (ecotone.base_fee_scalar, ecotone.blob_base_fee_scalar) == (1368, 810949)
    assert (ecotone.blob_base_fee, ecotone.hash) == (1, HASH)
    assert (isthmus.operator_fee_scalar, isthmus.operator_fee_constant) == (0xABCD, 0xDCBA)


def test_a_block_of_the_layout_is_built_as_kona_builds_it() -> None:
    """From L1 block and system config to the very same calldata."""
    for fork, time, case in (("ecotone", 124, CASES[1]), ("isthmus", 134, CASES[2])):
        info = l1_info(CONFIG, SYSTEM, 5, BLOCK, time)

        assert info.fork == fork
        assert info.encode().hex() == case["calldata"]


@pytest.mark.parametrize(
    ("time", "layout"),
    [
        (100, "bedrock"),
        (108, "bedrock"),
        (110, "bedrock"),  # the block that deploys the contract for the next layout
        (112, "ecotone"),
        (120, "ecotone"),
        (130, "ecotone"),
        (132, "isthmus"),
        (140, "isthmus"),
        (142, "jovian"),
    ],
)
def test_the_first_block_of_a_fork_keeps_the_layout_before(time: int, layout: str) -> None:
    """op-node/rollup/derive/l1_block_info.go: ...ButNotFirstBlock."""
    assert layout_at(CONFIG, time) == layout


def test_a_fork_at_genesis_has_no_first_block() -> None:
    """Its genesis holds the contract already."""
    config = replace(CONFIG, ecotone_time=0, isthmus_time=0, jovian_time=0)

    assert layout_at(config, 100) == layout_at(config, 102) == "jovian"


def test_forks_that_come_together_skip_a_layout() -> None:
    """The first block keeps the last layout there was, not the last before its fork."""
    config = replace(CONFIG, isthmus_time=140)

    assert layout_at(config, 140) == "ecotone"
    assert layout_at(config, 142) == "jovian"


def test_the_transaction_around_them() -> None:
    """Gas and the system flag changed with Regolith."""
    now = l1_info_deposit(CONFIG, SYSTEM, 5, BLOCK, 142)
    once = l1_info_deposit(
        replace(
            CONFIG,
            regolith_time=200,
            canyon_time=None,
            delta_time=None,
            ecotone_time=None,
            fjord_time=None,
            granite_time=None,
            holocene_time=None,
            isthmus_time=None,
            jovian_time=None,
        ),
        SYSTEM,
        5,
        BLOCK,
        100,
    )

    assert (now.gas, now.is_system) == (1_000_000, False)
    assert (once.gas, once.is_system) == (150_000_000, True)
    assert now.sender.hex() == "deaddeaddeaddeaddeaddeaddeaddeaddead0001"
    assert now.to.hex() == "4200000000000000000000000000000000000015"
    assert (now.mint, now.value) == (0, 0)


def test_defaults() -> None:
    """A footprint scalar of zero is 400, a blob base fee that L1 does not have is 1."""
    info = l1_info(CONFIG, SYSTEM, 0, replace(BLOCK, blob_base_fee=0), 142)
    chosen = l1_info(CONFIG, replace(SYSTEM, da_footprint_gas_scalar=7), 0, BLOCK, 142)

    assert (info.da_footprint_gas_scalar, info.blob_base_fee) == (400, 1)
    assert chosen.da_footprint_gas_scalar == 7


def test_scalars_of_before_ecotone() -> None:
    """op-service/eth/types.go: version 0 has one, dirty padding means the most it can be."""
    plain = replace(SYSTEM, scalar=(684000).to_bytes(32, "big"))
    dirty = replace(SYSTEM, scalar=b"\0\1" + bytes(30))

    assert plain.ecotone_scalars() == (684000, 0)
    assert dirty.ecotone_scalars() == (2**32 - 1, 0)
    for scalar in (b"\2" + bytes(31), b"\1\1" + bytes(30)):
        with pytest.raises(Malformed):
            l1_info(CONFIG, replace(SYSTEM, scalar=scalar), 0, BLOCK, 124)


@pytest.mark.parametrize("time", [102, 112, 124, 132, 142])
def test_an_l2_block_says_where_it_stands(time: int) -> None:
    """What is built is read again, by the rules of the same time."""
    first = l1_info_deposit(CONFIG, SYSTEM, 5, BLOCK, time).encode()

    ref = l2_ref(b"\7" * 32, 9, b"\6" * 32, time, first, CONFIG)

    assert (ref.l1_origin, ref.sequence_number) == (BlockId(HASH, 19655712), 5)
    assert (ref.hash, ref.number, ref.parent_hash, ref.time) == (b"\7" * 32, 9, b"\6" * 32, time)


def test_the_genesis_says_nothing_but_is_known() -> None:
    """And no other block may have its number."""
    ref = l2_ref(b"\2" * 32, 0, bytes(32), 100, b"", CONFIG)

    assert (ref.l1_origin, ref.sequence_number) == (BlockId(b"\1" * 32, 1), 0)
    assert l2_system_config(b"\2" * 32, 0, 100, 0, b"", b"", CONFIG) == SYSTEM
    with pytest.raises(Malformed):
        l2_ref(b"\7" * 32, 0, bytes(32), 100, b"", CONFIG)
    with pytest.raises(Malformed):
        l2_system_config(b"\7" * 32, 0, 100, 0, b"", b"", CONFIG)


def test_another_layout_than_the_times_is_malformed() -> None:
    """So is a first transaction that is no deposit."""
    first = l1_info_deposit(CONFIG, SYSTEM, 5, BLOCK, 132).encode()

    for time, transaction in ((142, first), (124, first), (132, b"\2\xc0"), (132, b"")):
        with pytest.raises(Malformed):
            l2_ref(b"\7" * 32, 9, b"\6" * 32, time, transaction, CONFIG)


def test_the_system_config_of_a_block() -> None:
    """op-node's PayloadToSystemConfig: scalars come back in the versioned form."""
    system = replace(SYSTEM, overhead=bytes(32), eip1559_params=bytes.fromhex("000000fa00000006"))
    holocene, jovian = encode_holocene_extra(250, 6), encode_jovian_extra(250, 6, 10**9)
    isthmus_block = l1_info_deposit(CONFIG, system, 5, BLOCK, 132).encode()
    jovian_block = l1_info_deposit(CONFIG, system, 5, BLOCK, 142).encode()

    def found(time: int, extra: bytes, first: bytes) -> SystemConfig:
        return l2_system_config(b"\7" * 32, 9, time, 30_000_000, extra, first, CONFIG)

    assert found(132, holocene, isthmus_block) == system
    assert found(142, jovian, jovian_block) == replace(
        system, min_base_fee=10**9, da_footprint_gas_scalar=400
    )
    for time, extra, first in ((132, jovian, isthmus_block), (142, holocene, jovian_block)):
        with pytest.raises(Malformed):
            found(time, extra, first)


def test_the_attributes_of_real_blocks() -> None:
    """OP Sepolia: the source hash, the origin and the sequence number fit together."""
    for path in sorted((Path(__file__).parent / "op-stack" / "blocks").glob("*.json.gz")):
        fixture = json.loads(gzip.decompress(path.read_bytes()))["fixture"]
        payload, config = fixture["executing_payload"], RollupConfig.parse(fixture["rollup_config"])
        first = bytes.fromhex(payload["transactions"][0][2:])
        transaction = DepositTransaction.decode(first)
        time = int(payload["timestamp"], 16)

        ref = l2_ref(b"\7" * 32, 9, b"\6" * 32, time, first, config)

        info = L1Info.decode(transaction.data)
        assert (transaction.encode(), info.encode()) == (first, transaction.data)
        assert transaction.source_hash == l1_info_source(info.hash, info.sequence_number)
        assert ref.l1_origin == BlockId(info.hash, info.number)
        assert (transaction.gas, transaction.is_system) == (1_000_000, False)
