"""Text of strangers made fit to be shown: nothing in it may act on a terminal or a page."""

import unicodedata
from typing import Final

REPLACED: Final = "\ufffd"
KEPT: Final = "\n\t"
# Marks that turn the direction of what follows them: a text may not reorder its surroundings.
TURNING: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def visible(text: str) -> str:
    """Without control characters, lone surrogates and marks of direction; line ends are kept."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char if _harmless(char) else REPLACED for char in plain)


def decoded(data: bytes) -> str:
    """Bytes that should be UTF-8, as text to be shown."""
    return visible(data.decode("utf-8", "replace"))


def whole_characters(data: bytes, at: int) -> int:
    """`at`, or the end of the character that it would cut: for showing, not for paying."""
    for end in range(at, min(at + 3, len(data))):
        if data[end] & 0xC0 != 0x80:
            return end
    return min(at + 3, len(data))


def opening(data: bytes, limit: int, lines: int) -> str:
    """The first lines, at most `limit` bytes of them, of a document."""
    head = data[: whole_characters(data, limit)]
    filled = [line for line in decoded(head).split("\n") if line.strip()]
    text = "\n".join(filled[:lines])
    return text + "…" if len(head) < len(data) or len(filled) > lines else text


def _harmless(char: str) -> bool:
    if char in KEPT:
        return True
    return char not in TURNING and unicodedata.category(char) not in ("Cc", "Cs")
