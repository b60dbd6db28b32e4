"""Where byte strings stand in one text: the order of the suffixes that begin at its word starts."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from attribution.search import Search, search_of
from attribution.suffixes import CHUNK, Admits, Positions, suffix_order, word_starts_at

Array = npt.NDArray[Any]
KEYS = (
    (1 << 25, 3),
    (1 << 20, 2),
    (0, 1),
)  # from so many starts on, the bytes by which suffixes are bucketed


@dataclass(frozen=True, slots=True)
class Index:
    """`order[r]` is the start whose suffix is the r-th smallest.  Private to a node.

    Arrays may be maps of files; nothing here writes to them.
    """

    text: Array  # uint8 [n]
    order: Array  # int32 [m]
    first: Array  # int32 [256**key_bytes + 1], see `level_search.longest`
    search: Search

    @classmethod
    def build(cls, text: Any, admits: Admits = word_starts_at) -> Self:
        """Of `text`: anything that has a buffer of bytes."""
        data = frozen(np.frombuffer(text, dtype=np.uint8))
        return cls.of(data, suffix_order(data, admits))

    @classmethod
    def of(cls, text: Array, order: Positions, search: Search | None = None) -> Self:
        key_bytes = next(size for least, size in KEYS if len(order) >= least)
        first = buckets(text, order, key_bytes)
        return cls(text, frozen(order), frozen(first), search or search_of(len(order)))

    @property
    def key_bytes(self) -> int:
        return (len(self.first).bit_length() - 1) // 8

    def raise_longest(self, needle: Array, starts: Array, ends: Array, best: Array) -> None:
        """Raise best[i] to the longest prefix of needle[starts[i]:ends[i]] that stands here."""
        self.search.longest(
            self.text, self.order, self.first, self.key_bytes, needle, starts, ends, best
        )

    def bounds(self, needle: Array, starts: Array, ends: Array) -> tuple[Array, Array]:
        """The ranks [low, high) of the suffixes that begin with each needle[start:end]."""
        lows, highs = np.empty(len(starts), np.int64), np.empty(len(starts), np.int64)
        self.search.bounds(
            self.text, self.order, self.first, self.key_bytes, needle, starts, ends, lows, highs
        )
        return lows, highs

    def longest(self, needle: bytes) -> int:
        """Bytes of the longest prefix of `needle` that stands at an admitted start."""
        best = np.zeros(1, np.int64)
        self.raise_longest(*whole(needle), best)
        return int(best[0])

    def positions(self, needle: bytes) -> Positions:
        """The admitted starts where `needle` stands, increasing."""
        lows, highs = self.bounds(*whole(needle))
        return np.sort(self.order[lows[0] : highs[0]])


def buckets(text: Array, order: Array, key_bytes: int) -> Array:
    """The first rank of each key or a greater one; a suffix shorter than a key goes on in zeros."""
    counts = np.zeros((1 << 8 * key_bytes) + 1, np.int64)
    for at in range(0, len(order), CHUNK):
        positions = order[at : at + CHUNK].astype(np.int64)
        keys = np.zeros(len(positions), np.int64)
        for offset in range(key_bytes):
            inside = positions + offset < len(text)
            byte = text[np.minimum(positions + offset, len(text) - 1)]
            keys = keys << 8 | np.where(inside, byte, 0)
        least = int(keys[0])  # keys increase: a chunk has few
        here = np.bincount(keys - least)
        counts[1 + least : 1 + least + len(here)] += here
    return np.cumsum(counts).astype(np.int32)


def whole(needle: bytes) -> tuple[Array, Array, Array]:
    """One needle as the search takes many."""
    data = frozen(np.frombuffer(needle, dtype=np.uint8))
    return data, np.zeros(1, np.int64), np.full(1, len(needle), np.int64)


def frozen(array: Array) -> Array:
    """A view that nobody can write through."""
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view
