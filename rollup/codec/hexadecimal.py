"""The hex values of Ethereum's JSON: strict readers, and the writers that clients expect."""

from collections.abc import Mapping
from typing import Any, Final

from protocol.codec import require
from protocol.errors import Malformed

DATA_BYTES_MAX: Final = 32 * 1024 * 1024  # no JSON that we accept is larger
DIGITS: Final = frozenset("0123456789abcdefABCDEF")


def data(value: Any, size: int | None = None, name: str = "value") -> bytes:
    """0x and an even number of digits; `size` in bytes if it is fixed."""
    if not isinstance(value, str) or value[:2] not in ("0x", "0X"):
        raise Malformed(f"{name} is not 0x hex")
    require(len(value) <= 2 + 2 * DATA_BYTES_MAX, f"{name} has {len(value)} digits")
    try:
        result = bytes.fromhex(value[2:])
    except ValueError:
        raise Malformed(f"{name} is not hex") from None
    require(len(result) * 2 == len(value) - 2, f"{name} is not hex")  # fromhex skips blanks
    require(size is None or len(result) == size, f"{name} has {len(result)} bytes, not {size}")
    return result


def quantity(value: Any, bits: int = 64, name: str = "value") -> int:
    """0x and digits without leading zeros, below 2**bits."""
    if not isinstance(value, str) or value[:2] not in ("0x", "0X"):
        raise Malformed(f"{name} is not a 0x quantity")
    digits = value[2:]
    require(0 < len(digits) <= bits // 4 and DIGITS.issuperset(digits), f"{name} is no u{bits}")
    require(digits == "0" or digits[0] != "0", f"{name} has a leading zero")
    return int(digits, 16)


def data_list(value: Any, limit: int, name: str = "value") -> tuple[bytes, ...]:
    """A list of at most `limit` byte strings."""
    if not isinstance(value, list):
        raise Malformed(f"{name} is not a list")
    require(len(value) <= limit, f"{name} has {len(value)} items, limit is {limit}")
    return tuple([data(item, name=name) for item in value])


def fields(value: Any, name: str = "value") -> Mapping[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise Malformed(f"{name} is not an object")
    return value


def from_bytes(value: bytes) -> str:
    return "0x" + value.hex()
