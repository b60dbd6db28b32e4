"""The search in a suffix order for many needles at once, one level of all of them at a time."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
HEAD, TAIL = 16, 256  # bytes compared at first, and in each further step
NOWHERE = np.iinfo(np.int32).max
ROWS = 1 << 12  # blocks summed up at once


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
    sizes = ends - starts
    low, high = _buckets(first, key_bytes, needle, starts, sizes)
    wanted = sizes > best
    for rank in (low - 1, low):  # in an empty bucket the search would look at nobody
        rows = np.flatnonzero(wanted & (low == high) & (rank >= 0) & (rank < len(order)))
        skip = np.zeros(len(rows), np.int64)
        _, same = _differ(text, order[rank[rows]], needle, starts[rows], skip, sizes[rows])
        best[rows] = np.maximum(best[rows], same)
    left, right = np.zeros_like(low), np.zeros_like(low)
    rows = np.flatnonzero(wanted & (low < high))
    while len(rows):
        middle = (low[rows] + high[rows]) >> 1
        skip = np.minimum(left[rows], right[rows])
        sign, same = _differ(text, order[middle], needle, starts[rows], skip, sizes[rows])
        best[rows] = np.maximum(best[rows], same)
        below, above = sign < 0, sign > 0
        low[rows[below]], left[rows[below]] = middle[below] + 1, same[below]
        high[rows[above]], right[rows[above]] = middle[above], same[above]
        rows = rows[(sign != 0) & (low[rows] < high[rows])]


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
    sizes = ends - starts
    lows[:], tops = _buckets(first, key_bytes, needle, starts, sizes)
    for bound, past in ((lows, 0), (highs, 1)):  # ranks whose sign is below `past` lie before
        low, high = lows.copy(), tops.copy()
        rows = np.flatnonzero(low < high)
        while len(rows):
            middle = (low[rows] + high[rows]) >> 1
            skip = np.zeros(len(rows), np.int64)
            sign, _ = _differ(text, order[middle], needle, starts[rows], skip, sizes[rows])
            before = sign < past
            low[rows[before]], high[rows[~before]] = middle[before] + 1, middle[~before]
            rows = rows[low[rows] < high[rows]]
        bound[:] = low


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


def _differ(
    text: Array, at: Array, needle: Array, starts: Array, skip: Array, sizes: Array
) -> tuple[Array, Array]:
    """How text[at:] stands to each needle (-1, 0, 1), and the bytes they have in common.

    The first `skip` bytes are known to be equal.
    """
    at, same = at.astype(np.int64), skip.copy()
    room = np.minimum(sizes, len(text) - at)  # neither runs past its end
    sign = np.where(room < sizes, -1, 0)
    rows, width = np.flatnonzero(same < room), HEAD
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
