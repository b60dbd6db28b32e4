"""Text made on this machine: sources and documents of the Python that runs, then drawn words."""

import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt

SUFFIXES = {".py", ".pyi", ".txt", ".md", ".rst", ".json", ".h", ".hpp"}
FILE_BYTES = range(200, 2_000_000)
SEPARATOR = 0xFFFF  # between documents, for both
IDS = 60_000  # pieces with a token of their own; rarer ones share the tokens above it
SHARED = 5_000
PIECES = re.compile(r" ?\w+|\s+|[^\w\s]")
DRAWN_WORDS, DRAWN_BYTES = 30_000, 1 << 16

Tokens = npt.NDArray[np.uint16]


def documents() -> Iterator[bytes]:
    """Files in the order of their paths, each content once; without end, by drawn words at last."""
    seen = set[int]()
    for name in ("stdlib", "purelib"):
        for path in sorted(Path(sysconfig.get_path(name)).rglob("*")):
            if path.suffix not in SUFFIXES or (name == "stdlib" and "site-packages" in path.parts):
                continue
            if not path.is_file() or path.stat().st_size not in FILE_BYTES:
                continue
            data = path.read_bytes()
            if hash(data) in seen or b"\xff" in data:
                continue
            seen.add(hash(data))
            yield data
    yield from drawn(np.random.default_rng(2024))


def drawn(draw: np.random.Generator) -> Iterator[bytes]:
    """Words of a made-up language by Zipf's law: not what anybody wrote, not nonsense either."""
    letters = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", np.uint8)
    sizes = draw.integers(2, 10, DRAWN_WORDS)
    words = [letters[np.minimum(draw.geometric(0.12, n) - 1, 25)].tobytes() for n in sizes]
    odds = 1 / np.arange(1, DRAWN_WORDS + 1)
    while True:
        chosen = draw.choice(DRAWN_WORDS, DRAWN_BYTES // 6, p=odds / odds.sum())
        yield b" ".join(words[each] for each in chosen)


def corpus(size: int, held_out: int) -> tuple[list[bytes], list[bytes]]:
    """At least `size` bytes of documents, and `held_out` more bytes: every 40th file."""
    kept, other, room, spare = list[bytes](), list[bytes](), size, held_out
    for number, data in enumerate(documents()):
        if number % 40 == 39 and spare > 0:
            other.append(data)
            spare -= len(data)
        elif room > 0:
            kept.append(data)
            room -= len(data)
        elif spare > 0:
            other.append(data)
            spare -= len(data)
        else:
            return kept, other
    raise AssertionError("there is no end of documents")


class Tokenizer:
    """Pieces of text numbered as they come: as many as u16 holds, then shared numbers."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def tokens(self, data: bytes) -> Tokens:
        ids, found = self._ids, list[int]()
        for piece in PIECES.findall(data.decode(errors="replace")):
            number = ids.get(piece)
            if number is None:
                if len(ids) < IDS:
                    number = ids[piece] = len(ids) + 256
                else:
                    number = 256 + IDS - SHARED + crc32(piece.encode()) % SHARED
            found.append(number)
        return np.array(found, dtype=np.uint16)

    def joined(self, texts: list[bytes]) -> Tokens:
        """Each document after a separator."""
        parts = list[Tokens]()
        for data in texts:
            parts += [np.array([SEPARATOR], np.uint16), self.tokens(data)]
        return np.concatenate(parts)
