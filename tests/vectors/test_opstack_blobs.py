"""Blobs: other implementations' cases, and the laws of the encoding."""

import gzip
import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Malformed
from rollup.codec.blob import BLOB_BYTES, DATA_BYTES_MAX, decode_blob, encode_blob, versioned_hash

VECTORS = Path(__file__).parent / "op-stack" / "blobs.json.gz"
CASES = [
    (bytes.fromhex(case["blob"]), bytes.fromhex(case["data"]))
    for case in json.loads(gzip.decompress(VECTORS.read_bytes()))["cases"]
]


@pytest.mark.parametrize(("blob", "data"), CASES)
def test_blobs_of_another_implementation(blob: bytes, data: bytes) -> None:
    assert decode_blob(blob) == data
    assert encode_blob(data) == blob


def pattern(size: int) -> bytes:
    return bytes((i * 7 + i // 251) % 256 for i in range(size))


@pytest.mark.parametrize(
    "size", [0, 1, 26, 27, 28, 122, 123, 124, 250, 251, DATA_BYTES_MAX - 1, DATA_BYTES_MAX]
)
def test_data_of_every_shape_fits(size: int) -> None:
    blob = encode_blob(pattern(size))

    assert len(blob) == BLOB_BYTES
    assert decode_blob(blob) == pattern(size)
    assert not any(byte & 0xC0 for byte in blob[::32])


def test_one_byte_too_many_does_not_fit() -> None:
    with pytest.raises(Malformed):
        encode_blob(bytes(DATA_BYTES_MAX + 1))


@settings(max_examples=50)
@given(st.binary(max_size=600), st.data())
def test_a_flipped_blob_is_other_data_or_malformed(data: bytes, draw: st.DataObject) -> None:
    blob = bytearray(encode_blob(data))
    at = draw.draw(st.one_of(st.integers(0, 700), st.integers(0, BLOB_BYTES - 1)))
    bit = draw.draw(st.integers(0, 7))
    blob[at] ^= 1 << bit
    try:
        other = decode_blob(bytes(blob))
    except Malformed:
        return
    if at == 0 and bit >= 6:
        assert other == data  # nobody looks at these two bits, see decode_blob
    else:
        assert other != data
        assert encode_blob(other) == blob


@pytest.mark.parametrize(
    ("at", "byte"),
    [(1, 1), (2, 0xFF), (32, 0x40), (64, 0x80), (96, 0xC0), (5 + 4, 1), (127, 1), (128, 1)],
)
def test_what_no_encoder_writes_is_malformed(at: int, byte: int) -> None:
    """Version, size, two high bits of an element, something after the data."""
    blob = bytearray(encode_blob(b"four"))
    blob[at] = byte

    with pytest.raises(Malformed):
        decode_blob(bytes(blob))


def test_two_bits_that_op_node_does_not_look_at() -> None:
    """The top bits of the first element only: of no other one does it forgive them."""
    blob = bytearray(encode_blob(b"four"))
    blob[0] |= 0xC0

    assert decode_blob(bytes(blob)) == b"four"


def test_a_blob_that_says_more_than_it_holds_is_malformed() -> None:
    blob = bytearray(BLOB_BYTES)
    blob[2:5] = DATA_BYTES_MAX.to_bytes(3, "big")
    assert decode_blob(bytes(blob)) == bytes(DATA_BYTES_MAX)

    blob[2:5] = (DATA_BYTES_MAX + 1).to_bytes(3, "big")
    with pytest.raises(Malformed):
        decode_blob(bytes(blob))


@pytest.mark.parametrize("size", [0, BLOB_BYTES - 1, BLOB_BYTES + 1])
def test_a_blob_has_one_size(size: int) -> None:
    with pytest.raises(Malformed):
        decode_blob(bytes(size))


def test_a_blob_is_named_by_its_commitment() -> None:
    commitment = b"\xc0" + bytes(47)  # of the empty blob: the point at infinity

    assert versioned_hash(commitment) == b"\1" + sha256(commitment).digest()[1:]
    # EIP-4844 tests and every client: the versioned hash of the empty blob
    assert (
        versioned_hash(commitment).hex().startswith("010657f37554c781402a22917dee2f75def7ab966d7b")
    )
    with pytest.raises(Malformed):
        versioned_hash(commitment + b"\0")
