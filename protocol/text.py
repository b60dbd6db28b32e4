"""What text is to the protocol: its one canonical form, its byte classes, its word starts."""

import unicodedata

from protocol.errors import Malformed

SEPARATOR = 0xFF  # never occurs in UTF-8, so no match crosses it

SPACE, WORD, OTHER, LEAD, CONTINUATION = range(5)


def _class_of(byte: int) -> int:
    if byte <= 0x20 or byte == 0x7F or byte >= 0xF8:
        return SPACE
    if (chr(byte).isalnum() and byte < 0x80) or byte == ord("_"):
        return WORD
    if byte < 0x80:
        return OTHER
    return LEAD if byte >= 0xC0 else CONTINUATION


CLASS = bytes(_class_of(byte) for byte in range(256))  # used as a `bytes.translate` table


def is_word_start(data: bytes, at: int) -> bool:
    """Whether a span may begin at byte `at` (PROTOCOL.md 3)."""
    kind = CLASS[data[at]]
    if kind == WORD:
        return at == 0 or CLASS[data[at - 1]] != WORD
    return kind in (OTHER, LEAD)


def word_starts(data: bytes) -> list[int]:
    classes = data.translate(CLASS)
    before = (bytes((SPACE,)) + classes)[:-1]
    return [
        at
        for at, (kind, left) in enumerate(zip(classes, before, strict=True))
        if kind in (OTHER, LEAD) or (kind == WORD and left != WORD)
    ]


def canonical(data: bytes) -> bytes:
    """NFC, newline LF, UTF-8; raise `Malformed` with the place when `data` is not UTF-8."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8: byte {data[error.start]:#04x} at {error.start}") from None
    if text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}"):
        text = text[1:]
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", text).encode()
