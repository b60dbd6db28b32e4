"""Every wire format is a bijection: one value, one byte string, and nothing else decodes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datanet.screen import Accepted
from protocol.batch import Body
from protocol.datanet import Contribution, Document
from protocol.errors import Malformed
from protocol.messages import PaidAnswer, Verdict
from protocol.receipt import Receipt, Voucher
from tests.strategies import (
    bodies,
    paid_answers,
    receipts,
    signatures,
    u32,
    u64,
    verdicts,
    vouchers,
    words,
)

documents = st.builds(Document, u64, u64, u32, u64, words, words, signatures)
accepted = st.binary(max_size=40).flatmap(
    lambda text: st.builds(
        Accepted,
        st.builds(Contribution, u32, words, st.just(len(text)), words, u32, u64),
        signatures,
        st.just(text),
    )
)
values = st.one_of(receipts(), vouchers, documents, bodies(), paid_answers, verdicts, accepted)
FORMATS = [Receipt, Voucher, Document, Body, PaidAnswer, Verdict]


@given(values)
def test_decode_inverts_encode(value: Any) -> None:
    assert type(value).decode(value.encode()) == value


@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.binary(max_size=600))
def test_any_bytes_decode_canonically_or_are_malformed(kind: Any, data: bytes) -> None:
    try:
        value = kind.decode(data)
    except Malformed:
        return
    assert value.encode() == data


@given(values, st.data())
def test_every_cut_and_every_tail_is_malformed(value: Any, data: st.DataObject) -> None:
    whole = value.encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    tail = whole + data.draw(st.binary(min_size=1, max_size=4))
    for wrong in (cut, tail):
        with pytest.raises(Malformed):
            type(value).decode(wrong)


@given(bodies(), st.data())
def test_a_flipped_bit_of_a_body_decodes_to_another_value_or_is_malformed(
    body: Body, data: st.DataObject
) -> None:
    wire = bytearray(body.encode())
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        other = Body.decode(bytes(wire))
    except Malformed:
        return
    assert other != body
    assert other.encode() == wire
