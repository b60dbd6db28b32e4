"""Batch bodies in data availability: cut into chunks, found again by a manifest of them.

manifest = version[1] ++ size[8] ++ count[4] ++ count times (length[1] ++ commitment)

The manifest's own commitment goes on chain with the batch.  What comes back is checked against the
batch's data root alone: neither the server nor who filled it is trusted.
"""

import trio

from protocol.codec import Reader, require, uint
from protocol.errors import Malformed, Refused, Temporary
from protocol.merkle import BODY, Commitment, byte_root
from roles.ports import Availability, Compute

VERSION = 1
CHUNK_BYTES = 1 << 20
COMMITMENT_BYTES_MAX = 64  # as the contract bounds it; of a chunk too
MANIFEST_BYTES_MAX = 13 + 1024 * (1 + COMMITMENT_BYTES_MAX)  # of 1 GiB
PUT_SECONDS = 600.0  # for a whole body; a batch must be posted within an hour of its time
GET_SECONDS = 60.0  # for a manifest, and beside the time for the chunks
CHUNK_SECONDS = 5.0  # on average, for each chunk


def encode_manifest(size: int, commitments: list[bytes]) -> bytes:
    parts = [uint(VERSION, 1), uint(size, 8), uint(len(commitments), 4)]
    parts += [uint(len(commitment), 1) + commitment for commitment in commitments]
    return b"".join(parts)


def decode_manifest(data: bytes, size: int) -> list[bytes]:
    """The commitments of the chunks.  Raise `Malformed` unless they are for `size` bytes."""
    require(len(data) <= MANIFEST_BYTES_MAX, f"a manifest of {len(data)} bytes")
    reader = Reader(data)
    require(reader.uint(1) == VERSION, "a manifest of an unknown version")
    require(reader.uint(8) == size, "a manifest of a body of another size")
    require(reader.uint(4) == -(-size // CHUNK_BYTES), "a manifest of other chunks")
    found = list[bytes]()
    for _ in range(-(-size // CHUNK_BYTES)):
        length = reader.uint(1)
        require(0 < length <= COMMITMENT_BYTES_MAX, f"a commitment of {length} bytes")
        found.append(reader.take(length))
    reader.end()
    return found


async def put_body(server: Availability, data: bytes) -> bytes:
    """Put a body; what goes on chain.  `Temporary` when the server does not take it in time, or
    makes commitments that are too long for the chain."""

    async def put(part: bytes) -> bytes:
        try:
            commitment = await server.put(part)
        except (Malformed, Refused) as error:
            raise Temporary(f"data availability: {error}") from None
        if not 0 < len(commitment) <= COMMITMENT_BYTES_MAX:
            raise Temporary(f"data availability: a commitment of {len(commitment)} bytes")
        return commitment

    with trio.move_on_after(PUT_SECONDS):
        starts = range(0, len(data), CHUNK_BYTES)
        chunks = [await put(data[at : at + CHUNK_BYTES]) for at in starts]
        return await put(encode_manifest(len(data), chunks))
    raise Temporary(f"data availability: {len(data)} bytes were not taken in {PUT_SECONDS:g} s")


async def get_body(
    server: Availability, commitment: bytes, body: Commitment, compute: Compute
) -> bytes:
    """The body that the chain commits to.  `Malformed` when something else lies there, and will
    for ever; `Temporary` when the server does not give it."""
    chunks = -(-body.size // CHUNK_BYTES)
    with trio.move_on_after(GET_SECONDS + chunks * CHUNK_SECONDS):
        manifest = decode_manifest(await server.get(commitment), body.size)
        data = bytearray()
        for at, chunk in enumerate(manifest):
            part = await server.get(chunk)
            have, want = len(part), min(CHUNK_BYTES, body.size - at * CHUNK_BYTES)
            require(have == want, f"chunk {at} in data availability has {have} bytes, not {want}")
            data += part
        whole = bytes(data)
        root = await compute(_root, whole)
        require(root == body.root, "data availability holds another body")
        return whole
    raise Temporary("data availability: the body did not come in time")


def _root(data: bytes) -> bytes:
    return byte_root(BODY, data)
