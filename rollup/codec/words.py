"""Solidity's 32-byte words, read as strictly as op-node reads them (op-service/solabi)."""

from typing import Final

from protocol.codec import Reader, require

WORD: Final = 32


class WordReader(Reader):
    """A cursor over ABI words; padding that is not zero is `Malformed`."""

    def word_uint(self, bits: int) -> int:
        """An unsigned integer, right-aligned in its word."""
        value = self.uint(WORD)
        require(value < 1 << bits, f"a u{bits} with padding that is not zero")
        return value

    def word_address(self) -> bytes:
        """20 bytes, right-aligned in their word."""
        return self.word_uint(160).to_bytes(20, "big")

    def word(self) -> bytes:
        return self.take(WORD)

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)
