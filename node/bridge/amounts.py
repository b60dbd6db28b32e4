"""Amounts and addresses as people type them."""

import re
from typing import Final

from node.exits import WrongSettings
from protocol.parameters import OPEN

DIGITS_MAX: Final = 40
DECIMALS: Final = 18

_AMOUNT: Final = re.compile(r"(\d+)(?:\.(\d{1,18}))?", re.ASCII)
_HEX: Final = re.compile(r"(?:0x)?([0-9a-fA-F]+)", re.ASCII)


def wei(text: str) -> int:
    """OPEN as wei: `1.5` is 15 * 10**17. Raises `WrongSettings`."""
    match = _AMOUNT.fullmatch(text)
    if match is None or len(text) > DIGITS_MAX or not (value := _value(*match.groups())):
        raise WrongSettings(
            f"AMOUNT: want OPEN above 0 with at most {DECIMALS} decimals, as 12.5; got {text!r}"
        )
    return value


def shown(amount: int) -> str:
    """Wei as OPEN, exactly."""
    whole, rest = divmod(amount, OPEN)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".")


def address(text: str) -> bytes:
    """20 bytes that are not zero: nobody holds the key of address zero. Raises `WrongSettings`."""
    value = _bytes(text, 20)
    if value is None or not any(value):
        raise WrongSettings(
            f"--to: want an address of 40 hex digits that is not zero, got {text!r}"
        )
    return value


def digest(text: str) -> bytes:
    """32 bytes. Raises `WrongSettings`."""
    value = _bytes(text, 32)
    if value is None:
        raise WrongSettings(f"HASH: want a transaction hash of 64 hex digits, got {text!r}")
    return value


def _value(whole: str, rest: str | None) -> int:
    return int(whole) * OPEN + int((rest or "").ljust(DECIMALS, "0"))


def _bytes(text: str, size: int) -> bytes | None:
    match = _HEX.fullmatch(text)
    if match is None or len(match[1]) != 2 * size:
        return None
    return bytes.fromhex(match[1])
