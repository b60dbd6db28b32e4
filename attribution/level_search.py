"""The search in a suffix order for many needles at once, one level of all of them at a time."""

from itertools import chain, repeat
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
WORD = 8  # bytes compared at once while searching
NEAR, FAR = 3, 32  # and words, once the first is equal
NOWHERE = np.iinfo(np.int32).max
ROWS = 1 << 12  # blocks summed up at once
_FIRST = np.array([1 << 8 * (WORD - 1 - n) for n in range(WORD)], np.uint64)
_KEPT = np.array([((1 << 8 * n) - 1) << 8 * (WORD - n) for n in range(WORD + 1)], np.uint64)


def longest(
    text: Array,
    order: Array,
    first: Array,
    key_bytes: int,
    needle: Array,
    starts: Array,
    ends: Array,
    best: Array,
) -> None:
    """Raise best[i] to the longest prefix of needle[starts[i]:ends[i]] that stands in the text.

    text uint8 [n]; order int32 [m]: positions by suffix; first int32 [256**key_bytes + 1]: the
    first rank whose suffix begins with that key or a greater one; needle uint8; starts, ends and
    best int64 [q]. The two ranks between which a needle belongs hold its longest match.
    """
    wanted = np.flatnonzero(ends - starts > best)
    if not len(wanted) or not len(order):
        return
    starts, ends = starts[wanted], ends[wanted]
    low, high = _buckets(first, key_bytes, needle, starts, ends - starts)
    compare = _Words(text, needle, False)
    rank = _lower(compare, order, starts, ends, low, high)
    for side in (np.maximum(rank - 1, 0), np.minimum(rank, len(order) - 1)):
        best[wanted] = np.maximum(best[wanted], compare.common(order[side], starts, ends))


def bounds(
    text: Array,
    order: Array,
    first: Array,
    key_bytes: int,
    needle: Array,
    starts: Array,
    ends: Array,
    lows: Array,
    highs: Array,
) -> None:
    """The ranks [lows[i], highs[i]) of the suffixes that begin with needle[starts[i]:ends[i]]."""
    low, top = _buckets(first, key_bytes, needle, starts, ends - starts)
    compare = _Words(text, needle, True)
    lows[:] = _lower(compare, order, starts, ends, low, top)
    low, high = lows.copy(), top
    rows = np.flatnonzero(low < high)
    while len(rows):  # most needles stand in one place: one or two rounds
        middle = (low[rows] + high[rows]) >> 1
        same = compare.common(order[middle], starts[rows], ends[rows])
        before = same == (ends - starts)[rows]
        low[rows[before]], high[rows[~before]] = middle[before] + 1, middle[~before]
        rows = rows[low[rows] < high[rows]]
    highs[:] = low


def earliest(order: Array, starts: Array, contributors: Array, block: int, kept: Array) -> None:
    """Of every `block` ranks the first positions of the first distinct contributors.

    starts int32 [d]: of the documents, increasing; contributors int64 [d]; kept int32
    [ceil(m / block), slots], filled with NOWHERE, gets increasing positions.
    """
    for row in range(0, len(kept), ROWS):
        chunk = order[row * block : (row + ROWS) * block]
        rows = -(-len(chunk) // block)
        places = np.full(rows * block, NOWHERE, np.int32)
        places[: len(chunk)] = chunk
        kept[row : row + rows] = first_distinct(
            places.reshape(rows, block), starts, contributors, kept.shape[1]
        )


def first_distinct(places: Array, starts: Array, contributors: Array, slots: int) -> Array:
    """Of each row of positions [r, w] (NOWHERE: none) those of the first distinct contributors.

    int32 [r, slots], increasing.
    """
    places = places.copy()
    whose = contributors[np.searchsorted(starts, places, side="right") - 1]
    found = np.full((len(places), slots), NOWHERE, np.int32)
    rows = np.arange(len(places))
    for slot in range(slots):
        at = places.argmin(axis=1)
        found[:, slot] = places[rows, at]
        places[whose == whose[rows, at][:, None]] = NOWHERE
    return found


def _buckets(
    first: Array, key_bytes: int, needle: Array, starts: Array, sizes: Array
) -> tuple[Array, Array]:
    key, width = np.zeros_like(starts), np.ones_like(starts)
    for at in range(key_bytes):
        inside = at < sizes
        key <<= 8
        key[inside] |= needle[starts[inside] + at]
        width[~inside] <<= 8
    return first[key].astype(np.int64), first[key + width].astype(np.int64)


def _lower(
    compare: "_Words", order: Array, starts: Array, ends: Array, low: Array, high: Array
) -> Array:
    """The first rank of [low, high) whose suffix is not below the needle; `high` if there is none.

    What both ends of a search share with its needle, in whole words, is not compared again. Where
    it is not exact, a needle goes on to the end of its last word with what stands behind it: that
    moves the rank among the suffixes that begin with the needle, or to their border.
    """
    left, right = np.zeros_like(low), np.zeros_like(low)
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        same = np.minimum(left, right)
        below = compare.below(order.take(middle, mode="clip"), starts, ends, same)
        below &= low < high
        low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
        left, right = np.where(below, same, left), np.where(below, right, same)
    return low


class _Words:
    """Compares eight bytes at once: words that begin at any byte, most significant byte first."""

    def __init__(self, text: Array, needle: Array, exact: bool) -> None:
        self._text, self._needle, self._exact = text, needle, exact
        room = np.zeros(WORD, np.uint8)
        self._here = _words(text if len(text) >= WORD else np.concatenate([text, room]))
        self._there = _words(np.concatenate([needle, room])).astype(np.uint64)

    def below(self, at: Array, starts: Array, ends: Array, same: Array) -> Array:
        """Whether text[at:] sorts below each needle[start:end], of which `same` bytes are equal.

        Raises `same` by the whole words that are equal, too.
        """
        here, there = at + same, starts + same
        one, other = self._pair(here, there, ends - there)
        found, limit = one < other, len(self._text) - WORD
        on = (one == other) & (ends - there > WORD)
        if here.max() > limit:  # words that run past the text were others
            on |= here > limit
        rows = np.flatnonzero(on)
        for words in chain([NEAR], repeat(FAR)):
            if not len(rows):
                break
            rows = self._ahead(words, rows, at, starts, ends, same, found)
        return found

    def common(self, at: Array, starts: Array, ends: Array) -> Array:
        """The bytes that text[at:] and each needle[start:end] have in common."""
        same, limit = np.zeros(len(at), np.int64), len(self._text) - WORD
        self.below(at, starts, ends, same)
        one, other = self._pair(at + same, starts + same, ends - starts - same)
        equal = ((one ^ other)[:, None] < _FIRST).sum(axis=1)
        for row in np.flatnonzero(at + same > limit).tolist():
            rest = self._text[at[row] + same[row] :].tobytes()
            other_rest = self._needle[starts[row] + same[row] : ends[row]].tobytes()
            pairs = enumerate(zip(rest, other_rest, strict=False))
            most = min(len(rest), len(other_rest))
            equal[row] = next((n for n, (a, b) in pairs if a != b), most)
        found: Array = np.minimum(same + equal, ends - starts)
        return found

    def _ahead(
        self,
        words: int,
        rows: Array,
        at: Array,
        starts: Array,
        ends: Array,
        same: Array,
        found: Array,
    ) -> Array:
        """The same for some rows and many words; the rows that are still equal."""
        here, there = at[rows] + same[rows], starts[rows] + same[rows]
        left, limit = ends[rows] - there, len(self._text) - WORD
        step = WORD * np.arange(max(1, min(words, -(-int(left.max()) // WORD))))
        ahead, past = left[:, None] - step, here[:, None] + step > limit
        one, other = self._pair(here[:, None] + step, there[:, None] + step, ahead)
        stops = ((one != other) | past) & (ahead > 0)
        where, each = stops.argmax(axis=1), np.arange(len(rows))
        stopped = stops[each, where]
        found[rows] = stopped & (one[each, where] < other[each, where])
        same[rows] += np.where(stopped, step[where], WORD * len(step))
        for row in np.flatnonzero(stopped & past[each, where]).tolist():
            number = rows[row]  # the text ends in this word: compare what there is
            rest = self._needle[starts[number] + same[number] : ends[number]].tobytes()
            end = self._text[at[number] + same[number] :].tobytes()
            found[number] = end[: len(rest)] < rest
        on: Array = rows[~stopped & (left > WORD * len(step))]
        return on

    def _pair(self, here: Array, there: Array, left: Array) -> tuple[Array, Array]:
        one = self._here[np.minimum(here, len(self._here) - 1)].astype(np.uint64)
        other = self._there.take(there, mode="clip")
        if self._exact:
            kept = _KEPT.take(left, mode="clip")
            one, other = one & kept, other & kept
        return one, other


def _words(data: Array) -> Array:
    return np.ndarray((len(data) - WORD + 1,), ">u8", data, strides=(1,))
