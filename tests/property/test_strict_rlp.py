"""RLP and varints: strict where Ethereum is, lenient where op-node is."""

from typing import Any

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from rollup.codec import strict
from rollup.codec.varint import read_uvarint, read_uvarints, uvarint, uvarints
from tests.rollup_batches import flipped, u8, u64, u256

items = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=4))


@given(items)
def test_rlp_round_trips(item: Any) -> None:
    assert strict.decode(strict.encode(item)) == item
    assert strict.encode(item) == rlp.encode(item)


@given(st.one_of(st.binary(max_size=80), items.map(strict.encode)), st.data())
def test_rlp_reads_what_another_library_reads(wire: bytes, data: st.DataObject) -> None:
    for read in (wire, flipped(wire, data) if wire else b""):
        try:
            theirs = rlp.decode(read)
        except rlp.DecodingError:
            with pytest.raises(Malformed):
                strict.decode(read)
        else:
            assert strict.decode(read) == theirs


@given(st.one_of(st.binary(max_size=80), items.map(strict.encode)), st.data())
def test_rlp_has_one_form(wire: bytes, data: st.DataObject) -> None:
    for read in (wire, flipped(wire, data) if wire else b""):
        try:
            item = strict.decode(read)
        except Malformed:
            continue
        assert strict.encode(item) == read


@given(items.map(strict.encode), st.data())
def test_rlp_bears_no_cut_and_no_tail(wire: bytes, data: st.DataObject) -> None:
    for wrong in (wire[: data.draw(st.integers(0, len(wire) - 1))], wire + b"\0"):
        with pytest.raises(Malformed):
            strict.decode(wrong)


@pytest.mark.parametrize(
    "wire",
    ["8100", "817f", "b800", "b837" + "00" * 55, "b90038" + "00" * 56, "c2", "f800", "c180ff"],
)
def test_rlp_in_another_form_is_malformed(wire: str) -> None:
    with pytest.raises(Malformed):
        strict.decode(bytes.fromhex(wire))


def test_rlp_nests_to_its_limit() -> None:
    item: Any = b""
    for _ in range(strict.DEPTH_MAX):
        item = [item]

    assert strict.decode(strict.encode(item)) == item
    with pytest.raises(Malformed):
        strict.decode(strict.encode([item]))


@given(u256)
def test_rlp_integers_have_no_leading_zero(value: int) -> None:
    digits = strict.as_bytes(strict.decode(strict.encode(value)))

    assert strict.as_uint(digits, 256) == value
    with pytest.raises(Malformed):
        strict.as_uint(b"\0" + digits, 512)


@given(st.one_of(u64, u8))
def test_varints_round_trip_and_may_be_long(value: int) -> None:
    wire = uvarint(value)

    assert read_uvarint(b"x" + wire + b"y", 1) == (value, 1 + len(wire))
    if len(wire) < 9:
        longer = wire[:-1] + bytes((wire[-1] | 0x80, 0))
        assert read_uvarint(longer, 0) == (value, len(longer))


@pytest.mark.parametrize("wire", ["", "80", "ff" * 9, "ff" * 9 + "02", "80" * 10 + "00"])
def test_varints_beyond_u64_are_malformed(wire: str) -> None:
    with pytest.raises(Malformed):
        read_uvarint(bytes.fromhex(wire), 0)


@given(st.lists(st.one_of(u64, u8), max_size=20))
def test_varints_in_a_row(values: list[int]) -> None:
    assert read_uvarints(uvarints(values), 0, len(values)) == (values, len(uvarints(values)))
