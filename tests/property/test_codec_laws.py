"""The rollup's formats are bijections, and hostile input is `Malformed` and nothing else."""

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from rollup.codec.account import Account
from rollup.codec.config import RollupConfig
from rollup.codec.deposit import TRANSACTION_DEPOSITED, DepositTransaction, deposit_from_log
from rollup.codec.genesis import genesis_header
from rollup.codec.header import (
    LAYOUT,
    Header,
    decode_extra,
    encode_holocene_extra,
    encode_jovian_extra,
)
from rollup.codec.l1_info import BITS, HOLDS, OPTIONAL, L1Info
from rollup.codec.output import MESSAGE_PASSED, Output, Withdrawal, withdrawal_from_log
from rollup.codec.refs import L1Log
from rollup.codec.system_config import CONFIG_UPDATE, VERSION_0, SystemConfig, apply_update

u16, u32, u64, u256 = [st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64, 256)]
words = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20)
recipients = addresses | st.just(b"")
data = st.binary(max_size=80)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    """Of any fork: the later fields are there up to some point."""
    values = []
    for _, _, size in LAYOUT[: draw(st.integers(15, len(LAYOUT)))]:
        if size < 0:
            values.append(draw(st.integers(0, (1 << -size) - 1)))
        else:
            values.append(draw(st.binary(min_size=size, max_size=size or 40)))
    return Header(*values)


@st.composite
def l1_infos(draw: st.DrawFn) -> L1Info:
    fork = draw(st.sampled_from(sorted(HOLDS)))
    names = [name for name in BITS if name in HOLDS[fork] or name not in OPTIONAL]
    numbers = {name: draw(st.integers(0, (1 << BITS[name]) - 1)) for name in names}
    return L1Info(fork=fork, hash=draw(words), batcher=draw(addresses), **numbers)


deposit_transactions = st.builds(
    DepositTransaction, words, addresses, recipients, u256, u256, u64, st.booleans(), data
)
values = st.one_of(
    headers(),
    l1_infos(),
    deposit_transactions,
    st.builds(Account, u64, u256, words, words),
    st.builds(Output, words, words, words),
)
FORMATS = [Header, L1Info, DepositTransaction, Account, Output]


@given(values)
def test_decode_inverts_encode_of_l2_formats(value: Any) -> None:
    assert type(value).decode(value.encode()) == value


@pytest.mark.parametrize("kind", FORMATS)
@given(wire=st.binary(max_size=300))
def test_any_bytes_are_canonical_or_malformed_l2_formats(kind: Any, wire: bytes) -> None:
    try:
        value = kind.decode(wire)
    except Malformed:
        return
    assert value.encode() == wire


@given(values, st.data())
def test_cuts_tails_and_flips_of_l2_formats(value: Any, draws: st.DataObject) -> None:
    """A cut or a tail is malformed; another bit is another value or malformed."""
    wire = value.encode()
    cut = wire[: draws.draw(st.integers(0, len(wire) - 1))]
    for wrong in (cut, wire + draws.draw(st.binary(min_size=1, max_size=4))):
        with pytest.raises(Malformed):
            type(value).decode(wrong)
    flipped = bytearray(wire)
    flipped[draws.draw(st.integers(0, len(wire) - 1))] ^= 1 << draws.draw(st.integers(0, 7))
    try:
        other = type(value).decode(bytes(flipped))
    except Malformed:
        return
    assert other != value
    assert other.encode() == flipped


@given(headers())
def test_a_header_survives_json(header: Header) -> None:
    assert Header.from_json(json.loads(json.dumps(header.to_json()))) == header


@given(headers(), st.sampled_from(LAYOUT))
def test_a_field_out_of_its_bounds_builds_no_header(
    header: Header, layout: tuple[str, str, int]
) -> None:
    name, _, size = layout
    values = {field.name: getattr(header, field.name) for field in fields(header)}
    if size == 0 or values[name] is None:
        return
    past = 1 << -size if size < 0 else bytes(size + 1)
    with pytest.raises(Malformed):
        Header(**{**values, name: past})


@given(st.binary(max_size=20))
def test_extra_data_is_canonical_or_malformed(extra: bytes) -> None:
    try:
        denominator, elasticity, floor = decode_extra(extra)
    except Malformed:
        return
    if floor is None:
        assert encode_holocene_extra(denominator, elasticity) == extra
    else:
        assert encode_jovian_extra(denominator, elasticity, floor) == extra


def padded(address: bytes) -> bytes:
    return bytes(12) + address


def abi(payload: bytes, offset: int = 32) -> bytes:
    head = offset.to_bytes(32, "big") + len(payload).to_bytes(32, "big")
    return head + payload + bytes(-len(payload) % 32)


@given(deposit_transactions, words, u32)
def test_a_deposit_survives_its_event(
    wanted: DepositTransaction, l1_hash: bytes, index: int
) -> None:
    """What the portal writes is what the L2 gets."""
    amounts = wanted.mint.to_bytes(32, "big") + wanted.value.to_bytes(32, "big")
    call = amounts + wanted.gas.to_bytes(8, "big") + bytes([not wanted.to]) + wanted.data
    to = wanted.to or bytes(20)
    topics = (TRANSACTION_DEPOSITED, padded(wanted.sender), padded(to), bytes(32))

    found = deposit_from_log(L1Log(bytes(20), topics, abi(call), index), l1_hash)

    assert (found.sender, found.to, found.mint) == (wanted.sender, wanted.to, wanted.mint)
    assert (found.value, found.gas, found.data) == (wanted.value, wanted.gas, wanted.data)
    assert DepositTransaction.decode(found.encode()) == found


@given(st.builds(Withdrawal, u256, addresses, addresses, u256, u256, data))
def test_a_withdrawal_survives_its_event(wanted: Withdrawal) -> None:
    body = wanted.value.to_bytes(32, "big") + wanted.gas_limit.to_bytes(32, "big")
    tail = len(wanted.data).to_bytes(32, "big") + wanted.data + bytes(-len(wanted.data) % 32)
    event = body + (128).to_bytes(32, "big") + wanted.hash + tail
    topics = (MESSAGE_PASSED, wanted.nonce.to_bytes(32, "big"))
    topics += (padded(wanted.sender), padded(wanted.target))

    assert withdrawal_from_log(L1Log(bytes(20), topics, event, 0)) == wanted


@st.composite
def logs(draw: st.DrawFn) -> L1Log:
    """Near the real ones: a known event, small words, and some noise."""
    small = st.integers(0, 300).map(lambda value: value.to_bytes(32, "big"))
    event = draw(st.sampled_from([TRANSACTION_DEPOSITED, MESSAGE_PASSED, CONFIG_UPDATE]))
    topics = (event, *draw(st.lists(small | words | st.just(VERSION_0), max_size=3)))
    body = b"".join(draw(st.lists(small | words, max_size=8)))
    return L1Log(bytes(20), topics, body + draw(st.binary(max_size=3)), draw(u32))


@given(logs())
def test_any_log_is_read_or_malformed(log: L1Log) -> None:
    config = SystemConfig(bytes(20), bytes(32), bytes(32), 1)
    for read in (
        lambda: deposit_from_log(log, bytes(32)),
        lambda: withdrawal_from_log(log),
        lambda: apply_update(config, log),
    ):
        try:
            read()
        except Malformed:
            continue


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["0x", "0x0", "0x01", "0x" + "00" * 20, "0x" + "11" * 32, "0xzz", " 1"]),
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
GENESIS_KEYS = ["alloc", "config", "timestamp", "nonce", "difficulty", "stateHash", "extraData"]
CONFIG_KEYS = ["genesis", "block_time", "alt_da", "l2_chain_id", "isthmus_time"]


@given(trees | st.dictionaries(st.sampled_from(GENESIS_KEYS + CONFIG_KEYS), trees))
def test_any_json_is_read_or_malformed(value: Any) -> None:
    readers = (
        genesis_header,
        RollupConfig.parse,
        SystemConfig.from_json,
        Header.from_json,
        lambda tree: RollupConfig.from_superchain(tree, 1),
        lambda tree: genesis_header({"alloc": tree}),
        lambda tree: genesis_header({"alloc": {"11" * 20: tree}}),
        lambda tree: genesis_header({"alloc": {"11" * 20: {"storage": tree}}}),
        lambda tree: genesis_header({"alloc": {}, "config": tree, "baseFeePerGas": tree}),
    )
    for read in readers:
        try:
            read(value)
        except Malformed:
            continue
