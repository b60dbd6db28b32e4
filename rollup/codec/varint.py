"""Variable-length integers of span batches: seven bits a byte, the lowest first.

Reading is as lenient as Go's binary.ReadUvarint, by which op-node reads them: an integer may be
longer than it needs to be, up to ten bytes.  Writing is the shortest form.
"""

from collections.abc import Iterable
from typing import Final

from protocol.codec import require

BYTES_MAX: Final = 10
LIMIT: Final = 1 << 64


def read_uvarint(data: bytes, at: int) -> tuple[int, int]:
    """The u64 that starts at `at`, and where it ends."""
    value = shift = 0
    for end in range(at, min(at + BYTES_MAX, len(data))):
        byte = data[end]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            require(value < LIMIT, "varint is no u64")
            return value, end + 1
        shift += 7
    require(len(data) - at >= BYTES_MAX, "varint is cut")
    require(False, "varint is too long")
    raise AssertionError


def read_uvarints(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """`count` integers one after the other, and where they end."""
    require(len(data) - at >= count, f"{count} varints in {len(data) - at} bytes")
    piece = data[at : at + count]
    if not piece or max(piece) < 0x80:  # all of one byte, as most are
        return list(piece), at + count
    values = []
    for _ in range(count):
        value, at = read_uvarint(data, at)
        values.append(value)
    return values, at


def uvarint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def uvarints(values: Iterable[int]) -> bytes:
    return b"".join([uvarint(value) for value in values])
