"""Names, ids and sizes of the OP Stack's gossip of blocks, as op-node's gossip.go has them.

Source: https://specs.optimism.io/protocol/rollup-node-p2p.html. Messages there are unsigned by
libp2p ("StrictNoSign"): no from, seqno, signature or key, and one topic each.
"""

import hashlib
from typing import Final

import cramjam
from libp2p.pubsub.pb import rpc_pb2

from protocol.errors import Malformed

BLOCK_BYTES_MAX: Final = 10 * 1024 * 1024  # a message, compressed or not
VERSIONS: Final = 4  # v1 to v4; topics count from 0
VALID_SNAPPY, INVALID_SNAPPY = b"\x01\x00\x00\x00", b"\x00\x00\x00\x00"
ID_BYTES: Final = 20
PREFIX: Final = "/optimism/"


def block_topics(chain_id: int) -> tuple[str, ...]:
    """The four topics of a chain, by version."""
    return tuple(f"{PREFIX}{chain_id}/{version}/blocks" for version in range(VERSIONS))


def unpacked(data: bytes) -> bytes:
    """Snappy's block format undone; `Malformed`, and never more than `BLOCK_BYTES_MAX`."""
    try:
        size = cramjam.snappy.decompress_raw_len(data)
        if size > BLOCK_BYTES_MAX:
            raise Malformed(f"a block of {size} bytes, limit is {BLOCK_BYTES_MAX}")
        return bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as error:
        raise Malformed(f"no snappy: {error}") from None


def block_id(topic: str, data: bytes) -> bytes:
    """sha256(domain ++ size of topic u64 LE ++ topic ++ uncompressed data)[:20]."""
    try:
        domain, content = VALID_SNAPPY, unpacked(data)
    except Malformed:
        domain, content = INVALID_SNAPPY, data
    name = topic.encode()
    digest = hashlib.sha256(domain + len(name).to_bytes(8, "little") + name)
    digest.update(content)
    return digest.digest()[:ID_BYTES]


def unsigned(message: rpc_pb2.Message) -> bool:
    """Whether it is a message of exactly one topic with nothing of libp2p's authorship."""
    extras = {"from_id", "seqno", "signature", "key"}
    present = {field.name for field, _ in message.ListFields()}
    return len(message.topicIDs) == 1 and extras.isdisjoint(present)
