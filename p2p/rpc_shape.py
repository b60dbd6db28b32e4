"""Which large gossip RPCs are read at all: those that are one large message and little else.

A block may have 10 MiB. As many bytes of tiny entries would be millions of objects, once parsed,
and seconds of work in the loop; so this looks at the outline before anybody parses it.
"""

from collections.abc import Iterator
from typing import Final

PUBLISH: Final = 2  # field of RPC
DATA: Final = 2  # field of Message
FIELDS_MAX: Final = 64  # of a large RPC, and of its large message
REST_BYTES_MAX: Final = 64 * 1024  # what may stand beside the data
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
VARINT_BYTES_MAX: Final = 10


def is_one_large_message(rpc: bytes) -> bool:
    """Whether all but `REST_BYTES_MAX` bytes are the data of one published message."""
    message = _largest(rpc, 0, len(rpc), PUBLISH)
    if message is None:
        return False
    data = _largest(rpc, *message, DATA)
    return data is not None and len(rpc) - (data[1] - data[0]) <= REST_BYTES_MAX


def _largest(data: bytes, start: int, end: int, field: int) -> tuple[int, int] | None:
    """Where the longest `field` of a protobuf message begins and ends; None if it is no such
    message, has more than `FIELDS_MAX` fields, or lacks this one."""
    found: tuple[int, int] | None = None
    for count, (number, first, last) in enumerate(_fields(data, start, end)):
        if number < 0 or count == FIELDS_MAX:
            return None
        if number == field and (found is None or last - first > found[1] - found[0]):
            found = first, last
    return found


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field; a number of -1 and nothing more where it breaks off."""
    while at < end:
        tag, at = _varint(data, at, end)
        size = {FIXED64: 8, FIXED32: 4}.get(tag & 7, -1)
        first = at
        if tag & 7 == VARINT:
            _, at = _varint(data, at, end)
            first, size = at, 0
        elif tag & 7 == BYTES:
            size, first = _varint(data, at, end)
        if tag < 0 or size < 0 or first < 0 or first + size > end:
            yield -1, 0, 0
            return
        yield tag >> 3, first, first + size
        at = first + size


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The value and where it ends; -1 and -1 where there is none."""
    value = 0
    for count in range(VARINT_BYTES_MAX):
        if not 0 <= at < end:
            return -1, -1
        byte = data[at]
        value |= (byte & 0x7F) << 7 * count
        at += 1
        if byte < 0x80:
            return value, at
    return -1, -1
