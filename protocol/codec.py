"""Reading and writing the one canonical byte form of every protocol value.  No I/O."""

from protocol.errors import Malformed


class Reader:
    """A cursor over untrusted bytes: each method returns a value or raises `Malformed`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        require(end <= len(self._data), f"want {size} bytes at {self._at}, have {len(self._data)}")
        chunk = self._data[self._at : end]
        self._at = end
        return chunk

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def blob(self, *, limit: int) -> bytes:
        size = self.uint(4)
        require(size <= limit, f"blob of {size} bytes, limit is {limit}")
        return self.take(size)

    def text(self, *, limit: int) -> str:
        try:
            return self.blob(limit=limit).decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"text that is not UTF-8: {error.reason}") from None

    def end(self) -> None:
        require(self._at == len(self._data), f"{len(self._data) - self._at} bytes after the end")


def require(truth: bool, why: str) -> None:
    if not truth:
        raise Malformed(why)


def require_uint(value: int, bits: int, name: str) -> None:
    require(0 <= value < 1 << bits, f"{name} {value} is not a u{bits}")


def uint(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def blob(data: bytes) -> bytes:
    return uint(len(data), 4) + data


def word(value: int | bytes) -> bytes:
    """One 32-byte word of Solidity's static ABI encoding: integers and addresses right-aligned."""
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    assert len(value) in (20, 32)
    return value.rjust(32, b"\0")
