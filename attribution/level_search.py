"""The search in a suffix order for many needles at once, one level of all of them at a time."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
HEAD, TAIL = 32, 256  # bytes compared at first, and in each further step
WORD = 8  # bytes compared at once while searching
NOWHERE = np.iinfo(np.int32).max
ROWS = 1 << 12  # blocks summed up at once
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
    rank = _lower(text, order, needle, starts, ends, low, high)
    for side in (np.maximum(rank - 1, 0), np.minimum(rank, len(order) - 1)):
        _, same = _differ(text, order[side], needle, starts, ends - starts)
        best[wanted] = np.maximum(best[wanted], same)


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
    lows[:] = _lower(text, order, needle, starts, ends, low, top)
    low, high = lows.copy(), top
    rows = np.flatnonzero(low < high)
    while len(rows):  # most needles stand in one place: one or two rounds
        middle = (low[rows] + high[rows]) >> 1
        sign, _ = _differ(text, order[middle], needle, starts[rows], (ends - starts)[rows])
        before = sign == 0
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
    text: Array, order: Array, needle: Array, starts: Array, ends: Array, low: Array, high: Array
) -> Array:
    """The first rank of [low, high) whose suffix is not below the needle; `high` if there is none.

    What both ends of a search share with its needle, in whole words, is not compared again.
    """
    compare = _Words(text, needle)
    low, high = low.copy(), high.copy()
    left, right = np.zeros_like(low), np.zeros_like(low)
    rows = np.flatnonzero(low < high)
    while len(rows):
        middle = (low[rows] + high[rows]) >> 1
        same = np.minimum(left[rows], right[rows])
        below = compare.below(order[middle].astype(np.int64), starts[rows], ends[rows], same)
        above = ~below
        one, other = rows[below], rows[above]
        low[one], left[one] = middle[below] + 1, same[below]
        high[other], right[other] = middle[above], same[above]
        rows = rows[low[rows] < high[rows]]
    return low


class _Words:
    """Compares eight bytes at once: words that begin at any byte, most significant byte first."""

    def __init__(self, text: Array, needle: Array) -> None:
        self._text, self._needle = text, needle
        room = np.zeros(WORD, np.uint8)
        self._here = _words(text if len(text) >= WORD else np.concatenate([text, room]))
        self._there = _words(np.concatenate([needle, room]))

    def below(self, at: Array, starts: Array, ends: Array, same: Array) -> Array:
        """Whether text[at:] sorts below each needle[start:end], of which `same` bytes are equal.

        Raises `same` by the whole words that are equal, too.
        """
        found = np.zeros(len(at), bool)
        rows = np.arange(len(at))
        while len(rows):
            here, there = at[rows] + same[rows], starts[rows] + same[rows]
            left = ends[rows] - there
            kept = _KEPT[np.minimum(left, WORD)]
            one = self._here[np.minimum(here, len(self._here) - 1)].astype(np.uint64) & kept
            other = self._there[there].astype(np.uint64) & kept
            found[rows] = one < other
            inside = here + WORD <= len(self._text)
            if not inside.all():  # the word above was another: compare what there is
                for row in np.flatnonzero(~inside).tolist():
                    rest = self._needle[there[row] : ends[rows[row]]].tobytes()
                    end = self._text[here[row] :].tobytes()
                    found[rows[row]] = end[: len(rest)] < rest
            rows = rows[(one == other) & inside & (left > WORD)]
            same[rows] += WORD
        return found


def _words(data: Array) -> Array:
    return np.ndarray((len(data) - WORD + 1,), ">u8", data, strides=(1,))


def _differ(
    text: Array, at: Array, needle: Array, starts: Array, sizes: Array
) -> tuple[Array, Array]:
    """How text[at:] stands to each needle (-1, 0, 1), and the bytes they have in common."""
    at, same = at.astype(np.int64), np.zeros(len(at), np.int64)
    room = np.minimum(sizes, len(text) - at)  # neither runs past its end
    sign = np.where(room < sizes, -1, 0)
    rows, width = np.flatnonzero(room > 0), HEAD
    while len(rows):
        step = np.arange(min(width, int((room[rows] - same[rows]).max())))
        offset = same[rows][:, None] + step
        inside = offset < room[rows][:, None]
        one = text[np.minimum(at[rows][:, None] + offset, len(text) - 1)]
        other = needle[np.minimum(starts[rows][:, None] + offset, len(needle) - 1)]
        unequal = (one != other) & inside
        where = unequal.argmax(axis=1)
        each = np.arange(len(rows))
        differs = unequal[each, where]
        same[rows] += np.where(differs, where, inside.sum(axis=1))
        smaller = one[each, where] < other[each, where]
        sign[rows[differs]] = np.where(smaller[differs], -1, 1)
        rows, width = rows[~differs], TAIL
        rows = rows[same[rows] < room[rows]]
    return sign, same
