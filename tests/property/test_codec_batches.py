"""Frames, commitments and batches: round trips, canonical forms, cuts, tails, bit flips, limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from rollup.codec.batch import SingularBatch, decode_batch
from rollup.codec.commitment import (
    EigenCertificate,
    GenericCommitment,
    KeccakCommitment,
    batcher_data,
    commitment_of,
    decode_commitment,
)
from rollup.codec.frame import MAX_FRAME_LENGTH, Frame, encode_frames, parse_frames
from rollup.codec.span import ELEMENTS_MAX, SpanBatch, SpanBlock
from rollup.codec.span_transaction import SpanTransaction
from rollup.codec.varint import uvarint
from tests.rollup_batches import (
    BLOCK_TIME,
    CHAIN_ID,
    GENESIS_TIME,
    addresses,
    flipped,
    frames,
    singular_batches,
    span_batches,
    span_blocks,
    transactions,
    u8,
    words,
)

commitments = st.one_of(
    st.builds(KeccakCommitment, words),
    st.builds(GenericCommitment, st.binary(min_size=1, max_size=60)),
)
PREFIX = b"\1" + uvarint(5) + uvarint(7) + bytes(40)  # of a span batch, up to its count of blocks


def canonical_or_malformed(kind: Any, wire: bytes) -> None:
    try:
        value = kind.decode(wire)
    except Malformed:
        return
    assert value.encode() == wire


@given(st.lists(frames, min_size=1, max_size=4))
def test_frames_round_trip(values: list[Frame]) -> None:
    assert parse_frames(encode_frames(values)) == tuple(values)


@given(st.lists(frames, min_size=1, max_size=4), st.data())
def test_frames_bear_no_cut_no_tail_and_have_one_form(
    values: list[Frame], data: st.DataObject
) -> None:
    wire = encode_frames(values)
    whole = [0, *[len(encode_frames(values[:i])) for i in range(1, len(values))]]

    cut = data.draw(st.integers(0, len(wire) - 1).filter(lambda at: at not in whole[1:]))
    for wrong in (wire[:cut], wire + data.draw(st.binary(min_size=1, max_size=4))):
        with pytest.raises(Malformed):
            parse_frames(wrong)
    try:
        other = parse_frames(flipped(wire, data))
    except Malformed:
        return
    assert encode_frames(other) != wire


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_malformed(wire: bytes) -> None:
    canonical_or_malformed(Frame, wire)
    try:
        frames_read = parse_frames(b"\0" + wire)
    except Malformed:
        return
    assert encode_frames(frames_read) == b"\0" + wire


def test_a_frame_holds_a_million_bytes() -> None:
    longest = Frame(bytes(16), 0, bytes(MAX_FRAME_LENGTH), True)
    wire = bytearray(longest.encode() + b"\0")

    assert Frame.decode(longest.encode()) == longest
    wire[18:22] = (MAX_FRAME_LENGTH + 1).to_bytes(4, "big")
    with pytest.raises(Malformed):
        Frame.decode(bytes(wire))
    with pytest.raises(Malformed):
        Frame(bytes(16), 0, bytes(MAX_FRAME_LENGTH + 1), True)


@given(commitments)
def test_commitments_round_trip(commitment: KeccakCommitment | GenericCommitment) -> None:
    assert decode_commitment(commitment.encode()) == commitment
    assert commitment_of(batcher_data(commitment)) == commitment


@given(st.binary(max_size=40))
def test_any_bytes_are_a_commitment_or_malformed(wire: bytes) -> None:
    try:
        commitment = decode_commitment(wire)
    except Malformed:
        assert wire[:1] != b"\1" or len(wire) == 1
        return
    assert commitment.encode() == wire


@pytest.mark.parametrize("wire", ["", "00", "00" * 32, "00" * 34, "01", "02ff", "ff"])
def test_a_commitment_of_a_wrong_size_or_type_is_malformed(wire: str) -> None:
    with pytest.raises(Malformed):
        decode_commitment(bytes.fromhex(wire))
    for version in (b"", b"\0", b"\2"):
        with pytest.raises(Malformed):
            commitment_of(version + KeccakCommitment(bytes(32)).encode())


@given(u8, st.binary(min_size=1, max_size=60))
def test_eigenda_certificates_lie_in_generic_commitments(version: int, body: bytes) -> None:
    certificate = EigenCertificate(version, body)

    assert batcher_data(certificate.commitment()) == bytes((1, 1, 0, version)) + body
    assert EigenCertificate.of(certificate.commitment()) == certificate
    for other in (GenericCommitment(b"\1" + body), KeccakCommitment.of(body)):
        with pytest.raises(Malformed):
            EigenCertificate.of(other)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_a_keccak_commitment_fits_its_data_only(data: bytes, other: bytes) -> None:
    commitment = KeccakCommitment.of(data)

    assert commitment.matches(data)
    assert commitment.matches(other) == (data == other)


@given(singular_batches, st.data())
def test_singular_batches_round_trip_and_ignore_tails(
    batch: SingularBatch, data: st.DataObject
) -> None:
    wire = batch.encode()

    assert decode_batch(wire) == batch
    assert decode_batch(wire + data.draw(st.binary(max_size=4))) == batch
    with pytest.raises(Malformed):
        decode_batch(wire[: data.draw(st.integers(0, len(wire) - 1))])
    changed = flipped(wire, data)
    try:
        other = SingularBatch.decode(changed)
    except Malformed:
        return
    assert other != batch
    assert changed.startswith(other.encode())


@given(transactions())
def test_transactions_split_and_join(raw: bytes) -> None:
    parts = SpanTransaction.split(raw, CHAIN_ID)

    assert parts.raw(CHAIN_ID) == raw


@given(transactions(), st.data())
def test_a_flipped_transaction_splits_and_joins_or_is_malformed(
    raw: bytes, data: st.DataObject
) -> None:
    wrong = flipped(raw, data)
    try:
        parts = SpanTransaction.split(wrong, CHAIN_ID)
    except Malformed:
        return
    assert parts.raw(CHAIN_ID) == wrong


@pytest.mark.parametrize(
    "raw", [b"", b"\x7e\xc0", b"\3\xc0", b"\5\xc0", b"\x80", b"\xc0", b"\0\xc0"]
)
def test_what_is_no_transaction_of_a_user_does_not_split(raw: bytes) -> None:
    with pytest.raises(Malformed):
        SpanTransaction.split(raw, CHAIN_ID)


@given(transactions())
def test_a_transaction_of_another_chain_does_not_split(raw: bytes) -> None:
    if SpanTransaction.split(raw, CHAIN_ID).protected:
        with pytest.raises(Malformed):
            SpanTransaction.split(raw, CHAIN_ID + 1)


@given(span_blocks(), words, words, st.integers(0, 1))
def test_blocks_come_out_of_a_span_as_they_went_in(
    blocks: list[SpanBlock], parent: bytes, origin: bytes, step: int
) -> None:
    batch = SpanBatch.from_blocks(
        blocks,
        parent_hash=parent,
        parent_epoch_number=blocks[0].epoch_number - step,
        l1_origin_hash=origin,
        genesis_time=GENESIS_TIME,
        chain_id=CHAIN_ID,
    )
    again = decode_batch(batch.encode())

    assert again == batch
    assert isinstance(again, SpanBatch)
    assert list(again.expand(GENESIS_TIME, BLOCK_TIME, CHAIN_ID)) == blocks
    assert again.matches_parent(parent)
    assert again.matches_l1_origin(origin)
    assert again.origin_bits[0] == (step == 1)


@given(span_batches(), st.data())
def test_a_span_batch_bears_no_cut_and_ignores_a_tail(
    batch: SpanBatch, data: st.DataObject
) -> None:
    wire = batch.encode()

    assert SpanBatch.decode(wire + data.draw(st.binary(max_size=4))) == batch
    with pytest.raises(Malformed):
        SpanBatch.decode(wire[: data.draw(st.integers(0, len(wire) - 1))])


@given(span_batches(), st.data())
def test_a_flipped_span_batch_is_another_one_or_malformed(
    batch: SpanBatch, data: st.DataObject
) -> None:
    try:
        other = SpanBatch.decode(flipped(batch.encode(), data))
        list(other.expand(GENESIS_TIME, BLOCK_TIME, CHAIN_ID))
    except Malformed:
        return
    assert other != batch
    assert SpanBatch.decode(other.encode()) == other


@given(st.sampled_from([b"", b"\0", b"\1", PREFIX]), st.binary(max_size=300))
def test_any_bytes_are_a_batch_or_malformed(start: bytes, rest: bytes) -> None:
    try:
        batch = decode_batch(start + rest)
    except Malformed:
        return
    assert decode_batch(batch.encode()) == batch


@pytest.mark.parametrize(
    "payload",
    [
        uvarint(0),
        uvarint(ELEMENTS_MAX + 1) + bytes(100),
        uvarint(ELEMENTS_MAX) + bytes(100),  # says much, brings little
        uvarint(1) + b"\0" + uvarint(ELEMENTS_MAX + 1),
        uvarint(1) + b"\0" + uvarint(ELEMENTS_MAX) + bytes(1000),
        uvarint(2) + b"\0" + uvarint(ELEMENTS_MAX) + uvarint(1),
        uvarint(1) + b"\2" + uvarint(0),  # a bit for a second block
        uvarint(1) + b"\0" + uvarint(1) + b"\2\0" + bytes(84) + b"\xc0\0\0\0",
    ],
)
def test_a_span_batch_that_says_more_than_it_holds_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        SpanBatch.decode(PREFIX + payload)


def test_a_span_batch_of_empty_blocks_needs_a_byte_each() -> None:
    count = 100_000
    wire = PREFIX + uvarint(count) + bytes(count // 8) + bytes(count)

    assert SpanBatch.decode(wire).block_count == count
    assert SpanBatch.decode(wire).encode() == wire


@given(addresses)
def test_the_data_of_one_transaction_has_a_limit(to: bytes) -> None:
    longest = b"\xf9" + (0xFFFF).to_bytes(2, "big") + bytes(0xFFFF)
    wire = uvarint(1) + b"\0" + uvarint(1) + b"\0\0" + bytes(64) + to + longest + b"\0\0\0"
    batch = SpanBatch.decode(PREFIX + wire)

    assert batch.transactions[0].data == longest
    head = b"\xfa" + (ELEMENTS_MAX - 3).to_bytes(3, "big")
    body = uvarint(1) + b"\0" + uvarint(1) + b"\0\0" + bytes(64) + to + head
    with pytest.raises(Malformed):  # the bytes are there, but op-node reads at most 10,000,000
        SpanBatch.decode(PREFIX + body + bytes(ELEMENTS_MAX))


@given(u8.filter(lambda kind: kind not in (1, 2, 4)))
def test_a_span_batch_may_hold_what_is_no_transaction_until_it_is_read(kind: int) -> None:
    body = (bytes((kind,)) if kind < 0x80 else b"") + b"\xc0"
    legacy = b"\0" if kind >= 0x80 or kind == 0 else b""
    wire = uvarint(1) + b"\0" + uvarint(1) + b"\0\0" + bytes(84) + body + b"\0\0" + legacy
    batch = SpanBatch.decode(PREFIX + wire)

    assert batch.encode() == PREFIX + wire
    with pytest.raises(Malformed):
        list(batch.expand(GENESIS_TIME, BLOCK_TIME, CHAIN_ID))


def test_numbers_before_zero_wrap_around() -> None:
    wire = b"\1" + uvarint(0) + uvarint(0) + bytes(40) + uvarint(2) + b"\3" + bytes(2)
    first, second = SpanBatch.decode(wire).expand(GENESIS_TIME, BLOCK_TIME, CHAIN_ID)

    assert (first.epoch_number, second.epoch_number) == (2**64 - 1, 0)
