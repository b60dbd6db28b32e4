"""Integers that JSON and TOML write as plain numbers."""

from typing import Any

from protocol.codec import require
from protocol.errors import Malformed


def integer(value: Any, bits: int, name: str) -> int:
    """An unsigned integer below 2**bits, written as a number: no text, no fraction, no boolean."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Malformed(f"{name} is not an integer")
    require(0 <= value < 1 << bits, f"{name} is not a u{bits}")
    return value
