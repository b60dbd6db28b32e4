"""Events of the SystemConfig contract, as op-node's and kona's tables have them."""

from dataclasses import replace
from typing import Any

import pytest

from protocol.errors import Malformed
from rollup.codec.refs import L1Block, L1BlockRef, L1Log
from rollup.codec.system_config import (
    CONFIG_UPDATE,
    VERSION_0,
    SystemConfig,
    Update,
    apply_update,
    encode_ecotone_scalar,
    encode_operator_fee,
    updated,
)

CONTRACT, OTHER = b"\x42" * 20, b"\x43" * 20
CONFIG = SystemConfig(b"\1" * 20, b"\2" * 32, encode_ecotone_scalar(3, 4), 5)


def word(value: int | bytes) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    return value.rjust(32, b"\0")


def event(kind: int, *words: int | bytes) -> L1Log:
    body = b"".join([word(each) for each in words])
    data = word(32) + word(len(body)) + body
    return L1Log(CONTRACT, (CONFIG_UPDATE, VERSION_0, word(kind)), data, 0)


def block(*logs: L1Log) -> L1Block:
    return L1Block(L1BlockRef(bytes(32), 1, bytes(32), 1), 0, 1, bytes(32), bytes(32), (), logs)


SCALAR = encode_ecotone_scalar(0xBEEF, 0xBABE)
UPDATES: list[tuple[L1Log, dict[str, Any]]] = [
    (event(Update.BATCHER, 0xBEEF), {"batcher": bytes(18) + b"\xbe\xef"}),
    (event(Update.FEE_SCALARS, 0, SCALAR), {"overhead": bytes(32), "scalar": SCALAR}),
    (event(Update.GAS_LIMIT, 0xBEEF), {"gas_limit": 0xBEEF}),
    (event(Update.UNSAFE_BLOCK_SIGNER, 0xBEEF), {"unsafe_block_signer": bytes(18) + b"\xbe\xef"}),
    (
        event(Update.EIP_1559_PARAMS, bytes.fromhex("0000babe0000beef")),
        {"eip1559_params": bytes.fromhex("0000babe0000beef")},
    ),
    (
        event(Update.OPERATOR_FEE_PARAMS, encode_operator_fee(0xBABE, 0xBEEF)),
        {"operator_fee_params": encode_operator_fee(0xBABE, 0xBEEF)},
    ),
    (event(Update.MIN_BASE_FEE, 10**9), {"min_base_fee": 10**9}),
    (event(Update.DA_FOOTPRINT_GAS_SCALAR, 0xBEEF), {"da_footprint_gas_scalar": 0xBEEF}),
]
each_update = pytest.mark.parametrize(("log", "change"), UPDATES, ids=[u.name for u in Update])


@each_update
def test_each_kind_changes_its_own(log: L1Log, change: dict[str, Any]) -> None:
    """op-node TestProcessSystemConfigUpdateLogEvent; kona genesis/src/updates (MIT)."""
    assert apply_update(CONFIG, log) == replace(CONFIG, **change)
    assert updated(CONFIG, block(log), CONTRACT) == replace(CONFIG, **change)


def without_effect(log: L1Log, kind: int) -> None:
    """op-node: an error that leaves the config alone, or (signer) nothing at all."""
    if kind == Update.UNSAFE_BLOCK_SIGNER:
        assert apply_update(CONFIG, log) == CONFIG
    else:
        with pytest.raises(Malformed):
            apply_update(CONFIG, log)
    assert updated(CONFIG, block(log), CONTRACT) == CONFIG


@each_update
def test_each_kind_is_read_strictly(log: L1Log, change: dict[str, Any]) -> None:
    """kona's table of errors for each: pointer, length, cut, tail."""
    kind = int.from_bytes(log.topics[2], "big")
    data = log.data
    for wrong in (
        b"",
        b"\xff" * 32 + data[32:],
        word(33) + data[32:],
        data[:32] + b"\xff" * 32 + data[64:],
        data[:32] + word(int.from_bytes(data[32:64], "big") + 1) + data[64:],
        data[:-1],
        data[:-32],
        data + b"\0",
        data + bytes(32),
    ):
        without_effect(replace(log, data=wrong), kind)


@pytest.mark.parametrize(
    "kind",
    [Update.BATCHER, Update.GAS_LIMIT, Update.UNSAFE_BLOCK_SIGNER, Update.MIN_BASE_FEE],
)
def test_padding_counts(kind: Update) -> None:
    """A value wider than its type is malformed; the sets of parameters use the low bytes only."""
    without_effect(event(kind, b"\xff" * 32), kind)
    without_effect(event(Update.DA_FOOTPRINT_GAS_SCALAR, 1 << 16), 7)
    dirty = b"\xff" * 24 + bytes.fromhex("0000babe0000beef")
    assert apply_update(CONFIG, event(4, dirty)).eip1559_params == dirty[24:]
    assert apply_update(CONFIG, event(5, b"\xff" * 32)).operator_fee_params == b"\xff" * 32


def test_what_is_no_update_at_all() -> None:
    """Topics, version and type."""
    log = UPDATES[0][0]
    for topics in (
        log.topics[:2],
        (*log.topics, bytes(32)),
        (bytes(32), *log.topics[1:]),
        (CONFIG_UPDATE, word(1), log.topics[2]),
        (CONFIG_UPDATE, VERSION_0, word(8)),
        (CONFIG_UPDATE, VERSION_0, b"\1" + bytes(31)),
    ):
        without_effect(replace(log, topics=topics), 0)


def test_a_zero_denominator_alone_is_refused() -> None:
    """op-geth ValidateHolocene1559Params; both zero asks for the chain's own."""
    without_effect(event(Update.EIP_1559_PARAMS, 6), 4)

    some = replace(CONFIG, eip1559_params=bytes.fromhex("000000fa00000006"))
    assert apply_update(some, event(Update.EIP_1559_PARAMS, 0)) == CONFIG
    assert apply_update(CONFIG, event(4, 250 << 32)).eip1559_params.hex() == "000000fa00000000"


@pytest.mark.parametrize(
    ("scalar", "taken"),
    [
        (word(0xBEEF), True),
        (b"\0\1" + bytes(30), False),
        (b"\1" + bytes(22) + b"\1" + bytes(8), False),
        (b"\2" + bytes(31), False),
        (SCALAR, True),
    ],
)
def test_scalars_before_and_since_ecotone(scalar: bytes, taken: bool) -> None:
    """Since Ecotone a scalar nobody understands keeps the old one, and that is no error."""
    log = event(Update.FEE_SCALARS, 7, scalar)

    before = apply_update(CONFIG, log, ecotone=False)
    since = apply_update(CONFIG, log)

    assert before == replace(CONFIG, overhead=word(7), scalar=scalar)
    assert since == (replace(CONFIG, overhead=bytes(32), scalar=scalar) if taken else CONFIG)


def test_updates_stand_or_fall_alone() -> None:
    """op-node TestUpdateSystemConfigWithL1Receipts_Atomicity; others' logs are passed over."""
    good, bad = event(Update.GAS_LIMIT, 9), replace(event(Update.BATCHER, 7), data=b"")
    last = event(Update.GAS_LIMIT, 10)
    foreign = replace(event(Update.GAS_LIMIT, 1), address=OTHER)

    config = updated(CONFIG, block(bad, good, foreign, bad, last), CONTRACT)

    assert config == replace(CONFIG, gas_limit=10)
    assert updated(CONFIG, block(replace(good, topics=())), CONTRACT) == CONFIG


def test_json() -> None:
    """op-node's names and kona's; null and absent are zero."""
    value = {
        "batcherAddress": "0x6887246668a3b87F54DeB3b94Ba47a6f63F32985",
        "overhead": "0x" + "00" * 31 + "bc",
        "scalar": "0x" + "00" * 29 + "0a6fe0",
        "gasLimit": 30000000,
        "eip1559Params": "0x000000ab000000cd",
        "daFootprintGasScalar": 10,
    }
    config = SystemConfig.from_json(value)

    assert config.eip1559_params.hex() == "000000ab000000cd"
    assert (config.da_footprint_gas_scalar, config.gas_limit) == (10, 30000000)
    written = config.to_json(holocene=False, isthmus=False, jovian=False)
    assert SystemConfig.from_json(written) == config
    kona = {**value, "eip1559Params": None, "eip1559Denominator": 0xAB, "eip1559Elasticity": 0xCD}
    assert SystemConfig.from_json({**kona, "operatorFeeScalar": None}) == config
    for change in ({"unknown": 0}, {"gasLimit": "1"}, {"gasLimit": -1}, {"overhead": "0xbc"}):
        with pytest.raises(Malformed):
            SystemConfig.from_json({**value, **change})
