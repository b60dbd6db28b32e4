"""Laws of the gossip envelope: one value, one byte string, one signer, one topic, one chain."""

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from protocol.envelope import (
    ENVELOPE_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    Envelope,
    content_id,
    seal,
    topic_name,
)
from protocol.errors import Malformed
from protocol.signature import ORDER_HALF, address_of, sign

CHAIN = 31337
TOPIC = topic_name(CHAIN, b"\xde\xad\xbe\xef", "answers")
ORDER = 2 * ORDER_HALF + 1
U64 = st.integers(0, 2**64 - 1)


class Key:
    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.address = address_of(secret)

    def sign(self, digest: bytes) -> bytes:
        return sign(self.secret, digest)


KEY = Key(b"\x01" * 32)
ENVELOPES = st.builds(
    lambda epoch, sequence, payload: seal(KEY, CHAIN, TOPIC, epoch, sequence, payload),
    U64,
    U64,
    st.binary(max_size=300),
)


def test_topic_is_the_name_of_the_protocol() -> None:
    """PROTOCOL 8 gives the form."""
    assert TOPIC == "/openledger/31337/deadbeef/answers/1"


@given(ENVELOPES)
def test_round_trip_and_signature(envelope: Envelope) -> None:
    """What is sealed decodes to itself and verifies."""
    assert Envelope.decode(envelope.encode()) == envelope
    envelope.verify(CHAIN, TOPIC)


@given(ENVELOPES, st.data())
def test_cut_and_tail_are_malformed(envelope: Envelope, data: st.DataObject) -> None:
    """No prefix and no extension of an envelope is one."""
    encoded = envelope.encode()
    cut = data.draw(st.integers(0, len(encoded) - 1))
    tail = data.draw(st.binary(min_size=1, max_size=5))
    for broken in [encoded[:cut], encoded + tail]:
        with pytest.raises(Malformed):
            Envelope.decode(broken)


@given(st.binary(max_size=400))
def test_any_bytes_decode_canonically_or_not(data: bytes) -> None:
    """Bytes that decode are what encode would write."""
    try:
        envelope = Envelope.decode(data)
    except Malformed:
        return
    assert envelope.encode() == data


@given(ENVELOPES, st.data())
def test_every_flipped_bit_is_refused(envelope: Envelope, data: st.DataObject) -> None:
    """No bit can be changed by who forwards it."""
    encoded = bytearray(envelope.encode())
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Malformed):
        Envelope.decode(bytes(encoded)).verify(CHAIN, TOPIC)


@given(ENVELOPES)
def test_second_signature_of_one_message_is_refused(envelope: Envelope) -> None:
    """The other (r, n - s) that recovers to the same key is no second envelope."""
    r, s, v = envelope.signature[:32], envelope.signature[32:64], envelope.signature[64]
    mirrored = r + (ORDER - int.from_bytes(s, "big")).to_bytes(32, "big") + bytes([55 - v])
    encoded = envelope.encode().replace(envelope.signature, mirrored)
    with pytest.raises(Malformed):
        Envelope.decode(encoded)


def test_place_is_signed() -> None:
    """Another chain, topic or fork makes it somebody else's."""
    envelope = seal(KEY, CHAIN, TOPIC, 1, 2, b"x")
    other = topic_name(CHAIN, b"\xde\xad\xbe\xee", "answers")
    for chain, topic in [(CHAIN + 1, TOPIC), (CHAIN, other), (CHAIN, TOPIC + "x")]:
        with pytest.raises(Malformed):
            envelope.verify(chain, topic)
    assert content_id(TOPIC, envelope.encode()) != content_id(other, envelope.encode())


def test_size_at_the_limit_passes_and_one_more_does_not() -> None:
    """An envelope has at most 64 KiB, all included."""
    envelope = seal(KEY, CHAIN, TOPIC, 1, 2, bytes(PAYLOAD_BYTES_MAX))
    assert len(envelope.encode()) == ENVELOPE_BYTES_MAX
    assert Envelope.decode(envelope.encode()) == envelope
    with pytest.raises(Malformed):
        seal(KEY, CHAIN, TOPIC, 1, 2, bytes(PAYLOAD_BYTES_MAX + 1))


def test_wallet_signs_the_same_digest() -> None:
    """The digest by hand is what eth_account computes from the typed data."""
    envelope = seal(KEY, CHAIN, TOPIC, 7, 9, b"payload")
    text = {"name": "string", "version": "string", "chainId": "uint256"}
    domain_type = {**text, "verifyingContract": "address"}
    fields = {
        "topic": "string",
        "epoch": "uint64",
        "sequence": "uint64",
        "sender": "address",
        "payload": "bytes32",
    }
    typed = {
        "types": {
            "EIP712Domain": [{"name": k, "type": t} for k, t in domain_type.items()],
            "Envelope": [{"name": k, "type": t} for k, t in fields.items()],
        },
        "primaryType": "Envelope",
        "domain": {
            "name": "OpenLedger Gossip",
            "version": "1",
            "chainId": CHAIN,
            "verifyingContract": "0x" + "00" * 20,
        },
        "message": {
            "topic": TOPIC,
            "epoch": 7,
            "sequence": 9,
            "sender": "0x" + KEY.address.hex(),
            "payload": keccak(b"payload"),
        },
    }

    signed = Account.from_key(KEY.secret).sign_message(encode_typed_data(full_message=typed))

    assert bytes(signed.signature) == envelope.signature
