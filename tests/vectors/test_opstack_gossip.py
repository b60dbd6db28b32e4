"""Gossiped blocks as op-alloy has them in its tests, of all four versions."""

import json
from pathlib import Path

import pytest

from rollup.codec.gossip import decode_gossip, encode_gossip, payload_bytes, signing_hash
from rollup.codec.payload import ExecutionPayload
from rollup.codec.ssz import decode_payload, encode_payload

VECTORS = json.loads((Path(__file__).parent / "op-stack" / "gossip" / "blocks.json").read_text())
CASES = [
    (bytes.fromhex(case["message"]), case["version"], case["timestamp"])
    for case in VECTORS["cases"]
]


@pytest.mark.parametrize(("message", "version", "timestamp"), CASES)
def test_a_message_decodes_and_encodes_to_itself(
    message: bytes, version: int, timestamp: int
) -> None:
    block = decode_gossip(message, version)
    payload = block.envelope.payload

    assert payload.timestamp == timestamp
    assert payload.version == version
    assert encode_gossip(block.envelope, block.signature) == message
    assert decode_payload(encode_payload(payload), version) == payload
    assert ExecutionPayload.from_json(payload.to_json()) == payload


@pytest.mark.parametrize(("message", "version"), [case[:2] for case in CASES if case[1] < 4])
def test_real_blocks_have_the_hash_that_they_claim(message: bytes, version: int) -> None:
    """The fourth was made up with a block hash of zeros."""
    envelope = decode_gossip(message, version).envelope

    assert envelope.hash_fits()
    header = envelope.payload.header(envelope.parent_beacon_block_root)
    assert ExecutionPayload.from_header(header, envelope.payload.transactions) == envelope.payload


@pytest.mark.parametrize(("message", "version"), [case[:2] for case in CASES])
def test_the_signer_comes_from_what_is_signed(message: bytes, version: int) -> None:
    block = decode_gossip(message, version)
    chain_id = VECTORS["signing"]["chain_id"]
    digest = signing_hash(chain_id, payload_bytes(block.envelope))

    assert len(block.signer(chain_id)) == 20
    assert block.signer(chain_id) != block.signer(chain_id + 1)
    assert digest != signing_hash(chain_id + 1, payload_bytes(block.envelope))


def test_the_digest_to_sign() -> None:
    vector = VECTORS["signing"]
    signed = bytes.fromhex(vector["payload_bytes"])

    assert signing_hash(vector["chain_id"], signed).hex() == vector["hash"]
