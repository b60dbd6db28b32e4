"""Strict RLP: one value, one byte string; whatever else is `Malformed`.

The rules are those of geth's decoder: shortest length prefix, no leading zero in a length or an
integer, a byte below 0x80 stands for itself, nothing left over.  (Ethereum yellow paper, B.)
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from protocol.codec import require
from protocol.errors import Malformed

DEPTH_MAX: Final = 16  # no Ethereum format nests deeper than 6
PREFIXES: Final = tuple(bytes((value,)) for value in range(256))

Item: TypeAlias = "bytes | list[Item]"
Encodable: TypeAlias = "bytes | int | Sequence[Encodable]"


def decode(data: bytes) -> Item:
    """The one item that `data` is, nothing before or after it."""
    item, end = read(data, 0)
    require(end == len(data), f"{len(data) - end} bytes after an RLP item")
    return item


def read(data: bytes, at: int, depth: int = DEPTH_MAX) -> tuple[Item, int]:
    """The item that starts at `at`, and where it ends."""
    is_list, start, end = span(data, at)
    if not is_list:
        return data[start:end], end
    if depth <= 0:
        raise Malformed(f"RLP nested deeper than {DEPTH_MAX}")
    items: list[Item] = []
    while start < end:
        prefix = data[start]
        if prefix < 0x80:
            items.append(data[start : start + 1])
            start += 1
            continue
        item, start = read(data, start, depth - 1)
        items.append(item)
    if start != end:
        raise Malformed("an RLP item reaches past its list")
    return items, end


def span(data: bytes, at: int) -> tuple[bool, int, int]:
    """Whether the item at `at` is a list, and where its payload starts and ends."""
    if at >= len(data):
        raise Malformed("an RLP item is missing")
    prefix = data[at]
    if prefix < 0x80:
        return False, at, at + 1
    is_list = prefix >= 0xC0
    size = prefix - (0xC0 if is_list else 0x80)
    start = at + 1
    if size > 55:
        start += size - 55
        if start > len(data) or data[at + 1] == 0:
            raise Malformed("an RLP length is cut or has a zero")
        size = int.from_bytes(data[at + 1 : start], "big")
        if size <= 55:
            raise Malformed(f"RLP length {size} in the long form")
    end = start + size
    if end > len(data):
        raise Malformed(f"RLP item of {size} bytes, {len(data) - start} are there")
    if size == 1 and not is_list and data[start] < 0x80:
        raise Malformed("an RLP byte below 0x80 has a prefix")
    return is_list, start, end


def as_bytes(item: Item, size: int | None = None, name: str = "RLP item") -> bytes:
    """A string, of exactly `size` bytes if that is given."""
    if not isinstance(item, bytes):
        require(False, f"{name} is a list")
    assert isinstance(item, bytes)
    require(size is None or len(item) == size, f"{name} has {len(item)} bytes, not {size}")
    return item


def as_address(item: Item, name: str = "address") -> bytes:
    """20 bytes, or none: the recipient of a transaction that creates a contract."""
    address = as_bytes(item, name=name)
    require(len(address) in (0, 20), f"{name} has {len(address)} bytes")
    return address


def as_uint(item: Item, bits: int = 64, name: str = "RLP integer") -> int:
    """An unsigned integer without leading zeros, below 2**bits."""
    digits = as_bytes(item, name=name)
    require(digits[:1] != b"\0", f"{name} has a leading zero")
    require(len(digits) * 8 <= bits, f"{name} is not a u{bits}")
    return int.from_bytes(digits, "big")


def as_list(item: Item, count: int | None = None, name: str = "RLP item") -> list[Item]:
    """A list, of exactly `count` items if that is given."""
    if not isinstance(item, list):
        require(False, f"{name} is not a list")
    assert isinstance(item, list)
    require(count is None or len(item) == count, f"{name} has {len(item)} items, not {count}")
    return item


def encode(value: Encodable) -> bytes:
    """Strings as they are, integers without leading zeros, sequences as lists."""
    if isinstance(value, int):
        value = value.to_bytes((value.bit_length() + 7) // 8, "big")
    if isinstance(value, (bytes, bytearray)):
        size = len(value)
        if size == 1 and value[0] < 0x80:
            return bytes(value)
        return PREFIXES[0x80 + size] + value if size < 56 else _prefix(0x80, size) + value
    return list_of([encode(item) for item in value])


def list_of(items: Sequence[bytes]) -> bytes:
    """The list of items that are encoded already."""
    payload = b"".join(items)
    return _prefix(0xC0, len(payload)) + payload


def _prefix(offset: int, size: int) -> bytes:
    if size < 56:
        return PREFIXES[offset + size]
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return PREFIXES[offset + 55 + len(digits)] + digits
