"""rollup.json as op-node and kona write it, and the rules by which op-node refuses one."""

import gzip
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import Malformed
from rollup.codec.config import RollupConfig

FOLDER = Path(__file__).parent / "op-stack"
# op-node/rollup/types_test.go and chain_spec_test.go, in the form that op-node prints.
VALUE: dict[str, Any] = {
    "genesis": {
        "l1": {"hash": "0x" + "11" * 32, "number": 424242},
        "l2": {"hash": "0x" + "22" * 32, "number": 1337},
        "l2_time": 10_000,
        "system_config": {
            "batcherAddr": "0x" + "33" * 20,
            "overhead": "0x" + "00" * 32,
            "scalar": "0x01" + "00" * 23 + "000c5fc500000558",
            "gasLimit": 30_000_000,
            "eip1559Params": "0x0000000000000000",
            "operatorFeeParams": "0x" + "00" * 32,
            "minBaseFee": 0,
            "daFootprintGasScalar": 0,
        },
    },
    "block_time": 2,
    "max_sequencer_drift": 100,
    "seq_window_size": 2,
    "channel_timeout": 123,
    "l1_chain_id": 900,
    "l2_chain_id": 901,
    "regolith_time": 0,
    "canyon_time": 10_010,
    "delta_time": 10_010,
    "ecotone_time": 10_020,
    "fjord_time": 10_030,
    "granite_time": 10_040,
    "holocene_time": 10_050,
    "isthmus_time": 10_060,
    "jovian_time": 10_070,
    "batch_inbox_address": "0x" + "44" * 20,
    "deposit_contract_address": "0x" + "55" * 20,
    "l1_system_config_address": "0x" + "66" * 20,
    "protocol_versions_address": "0x" + "00" * 20,
    "alt_da": {
        "da_challenge_contract_address": "0x" + "77" * 20,
        "da_commitment_type": "KeccakCommitment",
        "da_challenge_window": 160,
        "da_resolve_window": 160,
    },
    "chain_op_config": {
        "eip1559Elasticity": 6,
        "eip1559Denominator": 50,
        "eip1559DenominatorCanyon": 250,
    },
}
CONFIG = RollupConfig.parse(VALUE)


def changed(path: str, value: Any) -> dict[str, Any]:
    """VALUE with the entry at a/b/c replaced, or left out for ..."""
    whole = deepcopy(VALUE)
    *way, last = path.split("/")
    table = whole
    for name in way:
        table = table[name]
    if value is ...:
        del table[last]
    else:
        table[last] = value
    return whole


def test_it_is_written_as_it_was_read() -> None:
    """Key for key, in op-node's order."""
    assert json.dumps(CONFIG.to_json()) == json.dumps(VALUE)


def test_kona_writes_it_too() -> None:
    """The configuration beside a real block (op-rs/kona executor testdata)."""
    path = sorted((FOLDER / "blocks").glob("*.json.gz"))[0]
    value = json.loads(gzip.decompress(path.read_bytes()))["fixture"]["rollup_config"]

    config = RollupConfig.parse(value)

    assert (config.l2_chain_id, config.block_time, config.holocene_time) == (
        11155420,
        2,
        1732633200,
    )
    assert config.is_active("regolith", 0) is False
    assert config.is_active("regolith", 1699981200)
    assert config.eip1559(1732633200) == (250, 6)
    assert RollupConfig.parse(config.to_json()) == config


@pytest.mark.parametrize(
    ("fork", "time"),
    [
        ("canyon", 10_010),
        ("ecotone", 10_020),
        ("fjord", 10_030),
        ("granite", 10_040),
        ("holocene", 10_050),
        ("isthmus", 10_060),
        ("jovian", 10_070),
    ],
)
def test_forks(fork: str, time: int) -> None:
    """Active from its time on, with one first block."""
    assert [CONFIG.is_active(fork, t) for t in (0, time - 1, time, time + 1)] == [
        False,
        False,
        True,
        True,
    ]
    assert [CONFIG.is_activation(fork, t) for t in (time - 2, time, time + 1, time + 2)] == [
        False,
        True,
        True,
        False,
    ]


def test_no_block_comes_before_time_zero() -> None:
    """op-node: l2BlockTime >= BlockTime, so a first block has a block before it."""
    config = RollupConfig.parse(changed("canyon_time", 1))

    assert config.is_active("canyon", 1)
    assert not config.is_activation("canyon", 1)


def test_constants_that_forks_change() -> None:
    """op-node/rollup/chain_spec_test.go."""
    assert [CONFIG.channel_timeout_at(t) for t in (0, 10_039, 10_040)] == [123, 123, 50]
    assert [CONFIG.max_drift(t) for t in (0, 10_029, 10_030)] == [100, 100, 1800]
    assert [CONFIG.eip1559(t) for t in (0, 10_009, 10_010)] == [(50, 6), (50, 6), (250, 6)]
    assert CONFIG.block_time_at(1340) == 10_006


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("block_time", 0),
        ("channel_timeout", 0),
        ("seq_window_size", 1),
        ("max_sequencer_drift", 0),
        ("genesis/l1/hash", "0x" + "00" * 32),
        ("genesis/l2/hash", "0x" + "00" * 32),
        ("genesis/l2/hash", "0x" + "11" * 32),
        ("genesis/l2_time", 0),
        ("genesis/system_config/batcherAddr", "0x" + "00" * 20),
        ("genesis/system_config/scalar", "0x" + "00" * 32),
        ("genesis/system_config/gasLimit", 0),
        ("batch_inbox_address", "0x" + "00" * 20),
        ("deposit_contract_address", "0x" + "00" * 20),
        ("l1_chain_id", ...),
        ("l2_chain_id", ...),
        ("l2_chain_id", 900),
        ("l1_chain_id", 0),
        ("l2_chain_id", 0),
        ("delta_time", 1),
        ("ecotone_time", ...),
        ("jovian_time", 1),
        ("alt_da/da_commitment_type", "Other"),
        ("alt_da/da_commitment_type", "GenericCommitment"),
        ("alt_da/da_challenge_contract_address", "0x" + "00" * 20),
        # not of op-node's Check, but of its decoder
        ("unknown", 1),
        ("lagoon_time", 1),
        ("genesis/unknown", 1),
        ("genesis/l1/unknown", 1),
        ("genesis", ...),
        ("genesis/l1", ...),
        ("block_time", "2"),
        ("block_time", 2.0),
        ("block_time", True),
        ("block_time", 1 << 64),
        ("block_time", -2),
        ("alt_da", []),
        ("alt_da/da_commitment_type", []),
        ("chain_op_config/eip1559Elasticity", 0),
        ("chain_op_config/eip1559DenominatorCanyon", 0),
    ],
)
def test_what_op_node_refuses(path: str, value: Any) -> None:
    """op-node/rollup/types_test.go TestConfig_Check, and what JSON itself must be."""
    with pytest.raises(Malformed):
        RollupConfig.parse(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("alt_da", ...),
        ("alt_da", None),
        ("chain_op_config", ...),
        ("protocol_versions_address", ...),
        ("jovian_time", ...),
        ("jovian_time", None),
        ("pectra_blob_schedule_time", 5),
        ("regolith_time", ...),
        ("interop_time", 10_080),
        ("genesis/system_config/operatorFeeParams", ...),
    ],
)
def test_what_may_be_left_out(path: str, value: Any) -> None:
    """And reads back from what we write."""
    config = RollupConfig.parse(changed(path, value))

    assert RollupConfig.parse(json.loads(json.dumps(config.to_json()))) == config


def test_generic_commitments_have_no_contract() -> None:
    """And a chain with Fjord at its genesis needs no drift."""
    value = changed("alt_da/da_commitment_type", "GenericCommitment")
    value["alt_da"]["da_challenge_contract_address"] = "0x" + "00" * 20
    value |= dict.fromkeys(("canyon_time", "delta_time", "ecotone_time", "fjord_time"), 0)
    del value["max_sequencer_drift"]

    config = RollupConfig.parse(value)

    assert config.alt_da is not None
    assert config.max_drift(10_000) == 1800
