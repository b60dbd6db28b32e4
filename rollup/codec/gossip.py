"""Unsafe blocks on the wire between nodes: compressed, signed by the sequencer, SSZ inside.

message = snappy block of: signature, r | s | recovery id, 65 bytes | payload bytes
payload bytes = parent beacon block root, 32, in versions 3 and 4 | SSZ of the payload
signed  = keccak256(domain, 32 zero bytes | chain id, u256 | keccak256(payload bytes))

https://specs.optimism.io/protocol/rollup-node-p2p.html#blocks
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

import coincurve
import cramjam
from eth_hash.auto import keccak

from protocol.codec import require
from protocol.errors import Malformed
from rollup.codec.payload import PayloadEnvelope
from rollup.codec.ssz import decode_payload, encode_payload

GOSSIP_BYTES_MAX: Final = 10 * 1024 * 1024  # decompressed, as in op-node
GOSSIP_BYTES_MIN: Final = 66
SIGNATURE_BYTES: Final = 65
DOMAIN: Final = bytes(32)  # of blocks
RECOVERY_IDS: Final = 4
ROOT_BYTES: Final = 32


class Forks(Protocol):
    """The part of a rollup's configuration that says in which version a block is gossiped."""

    def is_active(self, fork: str, time: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class GossipBlock:
    """A message as decoded; nobody has checked its signature or the hash of its block yet."""

    envelope: PayloadEnvelope
    signature: bytes
    payload_hash: bytes  # keccak256 of the payload bytes

    def signer(self, chain_id: int) -> bytes:
        """The address that signed the block for this chain; `Malformed` if nobody did."""
        return recover_signer(hash_to_sign(chain_id, self.payload_hash), self.signature)


def encode_gossip(envelope: PayloadEnvelope, signature: bytes) -> bytes:
    """The message that `decode_gossip` reads; `signature` is over `signing_hash`."""
    require(len(signature) == SIGNATURE_BYTES, "a signature has 65 bytes")
    return bytes(cramjam.snappy.compress_raw(signature + payload_bytes(envelope)))


def decode_gossip(message: bytes, version: int) -> GossipBlock:
    """The block in a `message` from the topic of `version`, 1 to 4."""
    plain = decompress_snappy(message, GOSSIP_BYTES_MAX)
    require(len(plain) >= GOSSIP_BYTES_MIN, f"gossip of {len(plain)} bytes")
    signature, signed = plain[:SIGNATURE_BYTES], plain[SIGNATURE_BYTES:]
    root = signed[:ROOT_BYTES] if version >= 3 else None
    payload = decode_payload(signed[len(root or b"") :], version)
    return GossipBlock(PayloadEnvelope(payload, root), signature, keccak(signed))


def payload_bytes(envelope: PayloadEnvelope) -> bytes:
    """What the sequencer signs."""
    root = envelope.parent_beacon_block_root
    require((root is not None) == (envelope.payload.version >= 3), "beacon root of other version")
    return (root or b"") + encode_payload(envelope.payload)


def signing_hash(chain_id: int, signed: bytes) -> bytes:
    """The digest to sign for payload bytes `signed`."""
    return hash_to_sign(chain_id, keccak(signed))


def hash_to_sign(chain_id: int, payload_hash: bytes) -> bytes:
    return keccak(DOMAIN + chain_id.to_bytes(32, "big") + payload_hash)


def sign(secret: bytes, digest: bytes) -> bytes:
    """65 bytes, the last one 0 or 1, unlike the 27 or 28 of contracts."""
    return coincurve.PrivateKey(secret).sign_recoverable(digest, hasher=None)


def recover_signer(digest: bytes, signature: bytes) -> bytes:
    """The address that signed `digest`.  As geth's SigToPub it takes the upper half of s too."""
    require(len(signature) == SIGNATURE_BYTES, "a signature has 65 bytes")
    require(signature[64] < RECOVERY_IDS, f"recovery id {signature[64]}")
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception and ValueError
        raise Malformed(f"not a signature: {error}") from None
    return keccak(key.format(compressed=False)[1:])[12:]


def topic(chain_id: int, version: int) -> str:
    """Where blocks of `version` are gossiped."""
    return f"/optimism/{chain_id}/{version - 1}/blocks"


def version_at(forks: Forks, timestamp: int) -> int:
    """The version of a block at `timestamp`."""
    for version, fork in ((4, "isthmus"), (3, "ecotone"), (2, "canyon")):
        if forks.is_active(fork, timestamp):
            return version
    return 1


def message_id(topic: str, message: bytes) -> bytes:
    """20 bytes by which gossipsub knows a message, equal for equal content."""
    try:
        domain, data = b"\1\0\0\0", decompress_snappy(message, GOSSIP_BYTES_MAX)
    except Malformed:
        domain, data = b"\0\0\0\0", message
    name = topic.encode()
    return sha256(domain + len(name).to_bytes(8, "little") + name + data).digest()[:20]


def decompress_snappy(data: bytes, limit: int) -> bytes:
    """A snappy block of at most `limit` bytes; the length it declares is checked before memory is
    taken for it."""
    try:
        size = cramjam.snappy.decompress_raw_len(data)
        require(size <= limit, f"snappy block of {size} bytes, limit is {limit}")
        return bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as error:
        raise Malformed(f"snappy: {error}") from None
