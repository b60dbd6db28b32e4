"""Payloads and attributes: JSON, SSZ, gossip; what is hostile, cut, flipped or too large."""

from dataclasses import replace
from typing import Any

import cramjam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.errors import Malformed
from rollup.codec import hexadecimal
from rollup.codec.gossip import (
    GOSSIP_BYTES_MAX,
    decode_gossip,
    decompress_snappy,
    encode_gossip,
    message_id,
    payload_bytes,
    recover_signer,
    sign,
    signing_hash,
    topic,
    version_at,
)
from rollup.codec.payload import ExecutionPayload, PayloadAttributes, PayloadEnvelope
from rollup.codec.ssz import FIXED_BYTES, decode_payload, encode_payload
from tests.rollup_batches import addresses, flipped, u64, u256, words

SECRET = bytes(31) + b"\1"
ADDRESS = bytes.fromhex("7e5f4552091a69125d5dfcb7b8c2659029395bdf")  # of the secret key 1
versions = st.integers(1, 4)
raw_lists = st.lists(st.binary(max_size=60), max_size=4).map(tuple)
attributes = st.builds(
    PayloadAttributes,
    u64,
    words,
    addresses,
    words,
    raw_lists,
    st.booleans(),
    u64,
    st.one_of(st.none(), st.binary(min_size=8, max_size=8)),
    st.one_of(st.none(), u64),
)


@st.composite
def payloads(draw: st.DrawFn, version: int | None = None) -> ExecutionPayload:
    version = version or draw(versions)
    return ExecutionPayload(
        draw(words),
        draw(addresses),
        draw(words),
        draw(words),
        draw(words) * 8,
        draw(words),
        draw(u64),
        draw(u64),
        draw(u64),
        draw(u64),
        draw(st.binary(max_size=32)),
        draw(u256),
        draw(words),
        draw(raw_lists),
        draw(u64) if version >= 3 else None,
        draw(u64) if version >= 3 else None,
        draw(words) if version >= 4 else None,
        version >= 2,
    )


@st.composite
def envelopes(draw: st.DrawFn) -> PayloadEnvelope:
    payload = draw(payloads())
    return PayloadEnvelope(payload, draw(words) if payload.version >= 3 else None)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["0x", "0x0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(attributes)
def test_attributes_survive_json(value: PayloadAttributes) -> None:
    assert PayloadAttributes.from_json(value.to_json()) == value


@given(payloads())
def test_payloads_survive_json(value: ExecutionPayload) -> None:
    assert ExecutionPayload.from_json(value.to_json()) == value


@given(attributes, payloads(), st.data())
def test_a_field_that_is_anything_is_read_or_malformed(
    value: PayloadAttributes, payload: ExecutionPayload, data: st.DataObject
) -> None:
    for thing in (value, payload):
        table = thing.to_json()
        name = data.draw(st.sampled_from(sorted(table)))
        table[name] = data.draw(json_values)
        try:
            other = type(thing).from_json(table)
        except Malformed:
            continue
        again: Any = type(other).from_json(other.to_json())
        assert again == other


@given(json_values)
def test_any_json_is_a_payload_or_malformed(value: Any) -> None:
    for kind in (ExecutionPayload, PayloadAttributes):
        with pytest.raises(Malformed):
            kind.from_json(value)


@pytest.mark.parametrize("name", sorted(set(PayloadAttributes.__slots__)))
def test_attributes_without_a_field(name: str) -> None:
    """What OP Stack makes optional may be absent, what the Engine API demands may not."""
    value = PayloadAttributes(1, bytes(32), bytes(20), bytes(32), (), False, 5, None)
    table = value.to_json()
    key = {"fee_recipient": "suggestedFeeRecipient"}.get(name, _camel(name))
    table.pop(key, None)

    if name in ("transactions", "no_tx_pool", "eip1559_params", "min_base_fee"):
        assert PayloadAttributes.from_json(table) == value
    else:
        with pytest.raises(Malformed):
            PayloadAttributes.from_json(table)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def test_withdrawals_do_not_exist_on_op_stack() -> None:
    withdrawal = {"index": "0x0", "validatorIndex": "0x0", "address": "0x", "amount": "0x0"}
    table = PayloadAttributes(1, bytes(32), bytes(20), bytes(32), (), False, 5, None).to_json()

    with pytest.raises(Malformed):
        PayloadAttributes.from_json({**table, "withdrawals": [withdrawal]})
    with pytest.raises(Malformed):
        PayloadAttributes.from_json({**table, "withdrawals": None})


def test_the_minimum_base_fee_is_a_json_number() -> None:
    """As op-node writes it; hex is read too."""
    value = PayloadAttributes(1, bytes(32), bytes(20), bytes(32), (), False, 5, bytes(8), 1000)
    table = value.to_json()

    assert table["minBaseFee"] == 1000
    assert PayloadAttributes.from_json({**table, "minBaseFee": "0x3e8"}) == value
    for wrong in (-1, 2**64, True, "1000", "0x03e8"):
        with pytest.raises(Malformed):
            PayloadAttributes.from_json({**table, "minBaseFee": wrong})


@given(st.one_of(u64, u256))
def test_quantities_round_trip(value: int) -> None:
    assert hexadecimal.quantity(hex(value), 256) == value


@pytest.mark.parametrize(
    "value",
    ["", "0x", "0x00", "0x01", "1", 1, None, "0x-1", "0x1_0", "0x 1", "0xg", "0x1" + "0" * 16],
)
def test_what_is_no_quantity_is_malformed(value: Any) -> None:
    with pytest.raises(Malformed):
        hexadecimal.quantity(value, 64)


@pytest.mark.parametrize(
    "value", ["", "00", "0x0", "0xgg", "0x 00", "0x00 ", "0x0_", None, 1, ["0x"]]
)
def test_what_is_no_data_is_malformed(value: Any) -> None:
    with pytest.raises(Malformed):
        hexadecimal.data(value)


@given(payloads())
def test_ssz_round_trips(value: ExecutionPayload) -> None:
    assert decode_payload(encode_payload(value), value.version) == value


@given(payloads(), st.data())
def test_ssz_has_one_form(value: ExecutionPayload, data: st.DataObject) -> None:
    wire = encode_payload(value)
    cut = wire[: data.draw(st.integers(0, len(wire) - 1))]
    for wrong in (cut, wire + b"\0", flipped(wire, data)):
        try:
            other = decode_payload(wrong, value.version)
        except Malformed:
            continue
        assert other != value
        assert encode_payload(other) == wrong


@given(versions, st.data())
def test_any_offsets_are_read_or_malformed(version: int, data: st.DataObject) -> None:
    """Hostile offsets of all lists and of the items in them."""
    value = data.draw(payloads(version))
    wire = bytearray(encode_payload(value))
    places = [436, 504, *([508] if version >= 2 else [])]
    places += range(FIXED_BYTES[version], len(wire) - 3, 4)
    for at in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        wire[at : at + 4] = data.draw(st.integers(0, 2**32 - 1) | st.integers(0, 700)).to_bytes(
            4, "little"
        )
    try:
        other = decode_payload(bytes(wire), version)
    except Malformed:
        return
    assert encode_payload(other) == wire


def test_a_payload_of_one_fork_only() -> None:
    whole = ExecutionPayload.from_json({**_plain().to_json(), "withdrawalsRoot": "0x" + "11" * 32})
    for fields in (
        {"blob_gas_used": None},
        {"excess_blob_gas": None},
        {"has_withdrawals": False},
        {"blob_gas_used": None, "excess_blob_gas": None},
        {"extra_data": bytes(33)},
    ):
        with pytest.raises(Malformed):
            replace(whole, **fields)  # type: ignore[arg-type]


@given(envelopes())
def test_gossip_round_trips_and_names_its_signer(envelope: PayloadEnvelope) -> None:
    digest = signing_hash(10, payload_bytes(envelope))
    message = encode_gossip(envelope, sign(SECRET, digest))
    block = decode_gossip(message, envelope.payload.version)

    assert block.envelope == envelope
    assert block.signer(10) == ADDRESS
    assert block.signer(11) != ADDRESS


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(envelopes(), st.data())
def test_a_wrong_message_is_malformed_or_by_another(
    envelope: PayloadEnvelope, data: st.DataObject
) -> None:
    digest = signing_hash(10, payload_bytes(envelope))
    message = encode_gossip(envelope, sign(SECRET, digest))
    version = envelope.payload.version

    with pytest.raises(Malformed):
        decode_gossip(message[: data.draw(st.integers(0, len(message) - 1))], version)
    with pytest.raises(Malformed):
        decode_gossip(message + b"\0", version)
    try:
        block = decode_gossip(flipped(message, data), version)
        assert block.envelope == envelope or block.signer(10) != ADDRESS
    except Malformed:
        pass


@given(st.binary(max_size=700), versions)
def test_any_bytes_are_gossip_or_malformed(data: bytes, version: int) -> None:
    for message in (data, bytes(cramjam.snappy.compress_raw(data))):
        try:
            decode_gossip(message, version)
        except Malformed:
            continue


def test_gossip_has_a_size() -> None:
    """The length that a message declares counts before anything is unpacked."""
    whole = bytes(cramjam.snappy.compress_raw(bytes(GOSSIP_BYTES_MAX)))

    assert len(decompress_snappy(whole, GOSSIP_BYTES_MAX)) == GOSSIP_BYTES_MAX
    for wrong in (
        bytes(cramjam.snappy.compress_raw(bytes(GOSSIP_BYTES_MAX + 1))),
        b"\xff\xff\xff\xff\x0f" + bytes(20),
        b"\xff" * 20,
        b"",
    ):
        with pytest.raises(Malformed):
            decompress_snappy(wrong, GOSSIP_BYTES_MAX)
    with pytest.raises(Malformed):
        decode_gossip(bytes(cramjam.snappy.compress_raw(bytes(65))), 1)


@given(st.binary(min_size=65, max_size=65))
def test_a_signature_of_nobody_is_malformed(signature: bytes) -> None:
    for wrong in (signature[:64] + b"\4", bytes(65), signature[:64], b"\xff" * 64 + b"\0"):
        with pytest.raises(Malformed):
            recover_signer(bytes(32), wrong)


def test_both_halves_of_s_are_taken_as_in_geth() -> None:
    digest = bytes(range(32))
    signature = sign(SECRET, digest)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    upper = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")

    assert recover_signer(digest, signature) == ADDRESS
    assert recover_signer(digest, signature[:32] + upper + bytes((signature[64] ^ 1,))) == ADDRESS


def test_topics_follow_the_forks() -> None:
    class Forks:
        """Canyon at 10, Ecotone at 20, Isthmus at 30."""

        def is_active(self, fork: str, time: int) -> bool:
            return time >= {"canyon": 10, "ecotone": 20, "isthmus": 30}[fork]

    assert [version_at(Forks(), time) for time in (0, 9, 10, 19, 20, 29, 30)] == [
        1,
        1,
        2,
        2,
        3,
        3,
        4,
    ]
    assert topic(10, 4) == "/optimism/10/3/blocks"


def test_equal_content_has_one_message_id() -> None:
    """However it is compressed, as literals or as copies; broken messages by their bytes."""
    content = bytes(100)
    literal = b"\x64" + bytes((60 << 2, 99)) + content
    name = topic(10, 4)

    assert decompress_snappy(literal, 100) == content
    assert message_id(name, literal) == message_id(
        name, bytes(cramjam.snappy.compress_raw(content))
    )
    assert message_id(name, b"\xff") != message_id(name, b"\xfe")
    assert message_id(name, literal) != message_id(topic(10, 3), literal)
    assert len(message_id(name, literal)) == 20


def _plain() -> ExecutionPayload:
    return ExecutionPayload(
        bytes(32), bytes(20), bytes(32), bytes(32), bytes(256), bytes(32),
        1, 2, 3, 4, b"", 5, bytes(32), (),
    )  # fmt: skip
