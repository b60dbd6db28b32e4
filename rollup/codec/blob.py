"""Batcher data in EIP-4844 blobs: 127 bytes in each four field elements, in 1024 rounds.

A field element has 32 bytes of which the two top bits stay 0.  Each round lays four times 31
bytes into bytes 1 to 31 of its elements, and between them three single bytes x, y, z whose 24
bits go into the four first bytes, six each.  The very first element starts with version (u8) and
length of the data (u24), and so has room for 27 bytes only.

https://specs.optimism.io/protocol/derivation.html#blob-encoding, op-service/eth/blob.go
"""

from hashlib import sha256
from typing import Final

from protocol.codec import require

BLOB_BYTES: Final = 4096 * 32
ENCODING_VERSION: Final = 0
ROUNDS: Final = 1024
DATA_BYTES_MAX: Final = ROUNDS * 127 - 4
VERSIONED_HASH_VERSION: Final = b"\x01"  # EIP-4844: a KZG commitment


def encode_blob(data: bytes) -> bytes:
    """The blob, 131072 bytes, that carries `data`; at most `DATA_BYTES_MAX` bytes."""
    require(len(data) <= DATA_BYTES_MAX, f"{len(data)} bytes do not fit into a blob")
    if not data:
        return bytes(BLOB_BYTES)
    stream = bytes((ENCODING_VERSION,)) + len(data).to_bytes(3, "big") + data
    rounds = -(-len(stream) // 127)
    stream = stream.ljust(rounds * 127, b"\0")
    blob = bytearray(BLOB_BYTES)
    for i in range(rounds):
        part = stream[i * 127 : (i + 1) * 127]
        x, y, z = part[31], part[63], part[95]
        at = i * 128
        blob[at] = x & 0x3F
        blob[at + 1 : at + 32] = part[:31]
        blob[at + 32] = (y & 0x0F) | (x & 0xC0) >> 2
        blob[at + 33 : at + 64] = part[32:63]
        blob[at + 64] = z & 0x3F
        blob[at + 65 : at + 96] = part[64:95]
        blob[at + 96] = (z & 0xC0) >> 2 | (y & 0xF0) >> 4
        blob[at + 97 : at + 128] = part[96:]
    return bytes(blob)


def decode_blob(blob: bytes) -> bytes:
    """What `encode_blob` laid there.

    Like op-node, and so like every node of the chain, it ignores the two top bits of the blob's
    first byte; of all other elements they must be 0, and so must all that follows the data.
    """
    require(len(blob) == BLOB_BYTES, f"blob of {len(blob)} bytes")
    require(blob[1] == ENCODING_VERSION, f"blob of encoding version {blob[1]}")
    size = int.from_bytes(blob[2:5], "big")
    require(size <= DATA_BYTES_MAX, f"blob says that it carries {size} bytes")
    rounds = max(1, -(-(size + 4) // 127))
    stream = bytearray()
    for at in range(0, rounds * 128, 128):
        a, b, c, d = blob[at], blob[at + 32], blob[at + 64], blob[at + 96]
        require(not ((a if at else 0) | b | c | d) & 0xC0, f"field element near {at} is too large")
        stream += blob[at + 1 : at + 32]
        stream.append((a & 0x3F) | (b & 0x30) << 2)
        stream += blob[at + 33 : at + 64]
        stream.append((b & 0x0F) | (d & 0x0F) << 4)
        stream += blob[at + 65 : at + 96]
        stream.append((c & 0x3F) | (d & 0x30) << 2)
        stream += blob[at + 97 : at + 128]
    end = 4 + size
    require(not any(stream[end:]), "bytes after the data of a blob")
    require(not any(blob[rounds * 128 :]), "field elements after the data of a blob")
    return bytes(stream[4:end])


def versioned_hash(commitment: bytes) -> bytes:
    """How a transaction names a blob by its KZG commitment (48 bytes), EIP-4844."""
    require(len(commitment) == 48, f"KZG commitment of {len(commitment)} bytes")
    return VERSIONED_HASH_VERSION + sha256(commitment).digest()[1:]
