"""The search in a suffix order as compiled loops: what `level_search` says, by numba."""

from typing import Any

import numba
import numpy as np

_TEXT = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_ORDER = numba.types.Array(numba.int32, 1, "C", readonly=True)
_NUMBERS = numba.types.Array(numba.int64, 1, "C", readonly=True)
_OUT = numba.int64[::1]
_TYPES: Any = numba.types  # its constructors are not typed
_PAIR = _TYPES.UniTuple(numba.int64, 2)


def _compiled(function: Any, *signatures: Any) -> Any:
    """Compiled machine code is kept on disk where there is a place to keep it."""
    try:
        return numba.njit(list(signatures), nogil=True, cache=True)(function)
    except RuntimeError:  # numba: "no locator available": nothing here is writable
        return numba.njit(list(signatures), nogil=True)(function)


def _differ(text: Any, at: Any, needle: Any, start: Any, skip: Any, size: Any) -> Any:
    """How text[at:] stands to needle[start:start+size], and the bytes they have in common.

    The first `skip` bytes are known to be equal.
    """
    end, same = min(size, len(text) - at), skip
    while same < end:
        one, other = text[at + same], needle[start + same]
        if one != other:
            return (-1 if one < other else 1), same
        same += 1
    return (0 if same == size else -1), same


def _bucket(first: Any, key_bytes: Any, needle: Any, start: Any, size: Any) -> Any:
    """The ranks [low, high) of suffixes that share the first bytes of a needle."""
    key, width = np.int64(0), np.int64(1)
    for at in range(key_bytes):
        key <<= 8
        if at < size:
            key |= np.int64(needle[start + at])
        else:
            width <<= 8
    return np.int64(first[key]), np.int64(first[key + width])


differ = _compiled(
    _differ,
    _PAIR(_TEXT, numba.int64, _TEXT, numba.int64, numba.int64, numba.int64),
)
bucket = _compiled(
    _bucket,
    _PAIR(_ORDER, numba.int64, _TEXT, numba.int64, numba.int64),
)


def _longest(
    text: Any,
    order: Any,
    first: Any,
    key_bytes: Any,
    needle: Any,
    starts: Any,
    ends: Any,
    best: Any,
) -> None:
    count = len(starts)
    low, high = np.empty(count, np.int64), np.empty(count, np.int64)
    left, right = np.zeros(count, np.int64), np.zeros(count, np.int64)
    active, at = np.empty(count, np.int64), np.empty(count, np.int64)
    skips, heads = np.empty(count, np.int64), np.empty(count, np.int64)
    alive = 0
    for i in range(count):
        size = ends[i] - starts[i]
        if size <= best[i]:
            continue
        low[i], high[i] = bucket(first, key_bytes, needle, starts[i], size)
        if low[i] < high[i]:
            active[alive] = i
            alive += 1
            continue
        for rank in range(max(low[i] - 1, 0), min(low[i] + 1, len(order))):
            _, same = differ(text, order[rank], needle, starts[i], 0, size)
            best[i] = max(best[i], same)
    while alive:  # all searches go down one level together: their cache misses overlap
        for j in range(alive):
            at[j] = order[(low[active[j]] + high[active[j]]) >> 1]
        for j in range(alive):
            skips[j] = min(left[active[j]], right[active[j]])
            where = at[j] + skips[j]
            heads[j] = text[where] if where < len(text) else -1
        kept = 0
        for j in range(alive):
            i = active[j]
            size, same = ends[i] - starts[i], skips[j]
            head = np.int64(needle[starts[i] + same])
            if heads[j] == head:
                sign, same = differ(text, at[j], needle, starts[i], same + 1, size)
            else:
                sign = -1 if heads[j] < head else 1
            best[i] = max(best[i], same)
            middle = (low[i] + high[i]) >> 1
            if sign == 0:
                continue
            if sign < 0:
                low[i], left[i] = middle + 1, same
            else:
                high[i], right[i] = middle, same
            if low[i] < high[i]:
                active[kept] = i
                kept += 1
        alive = kept


def _bounds(
    text: Any,
    order: Any,
    first: Any,
    key_bytes: Any,
    needle: Any,
    starts: Any,
    ends: Any,
    lows: Any,
    highs: Any,
) -> None:
    for i in range(len(starts)):
        start, size = starts[i], ends[i] - starts[i]
        low, high = bucket(first, key_bytes, needle, start, size)
        top, left, right = high, 0, 0
        while low < high:
            middle = (low + high) >> 1
            sign, same = differ(text, order[middle], needle, start, min(left, right), size)
            if sign < 0:
                low, left = middle + 1, same
            else:
                high, right = middle, same
        lows[i] = low
        high, left, right = top, 0, 0
        while low < high:
            middle = (low + high) >> 1
            sign, same = differ(text, order[middle], needle, start, min(left, right), size)
            if sign <= 0:
                low, left = middle + 1, same
            else:
                high, right = middle, same
        highs[i] = low


def _earliest(order: Any, starts: Any, contributors: Any, block: Any, kept: Any) -> None:
    slots = kept.shape[1]
    whose = np.empty(slots, np.int64)
    for row in range(kept.shape[0]):
        held = 0
        for rank in range(row * block, min((row + 1) * block, len(order))):
            at = order[rank]
            if held == slots and at > kept[row, held - 1]:
                continue  # whoever's it is, `slots` others or he himself come before
            who = contributors[np.searchsorted(starts, at, side="right") - 1]
            slot = held
            for j in range(held):
                if whose[j] == who:
                    slot = j
            if slot < held and kept[row, slot] <= at:
                continue
            if slot == held and held < slots:
                held += 1
            slot = min(slot, slots - 1)
            while slot and kept[row, slot - 1] > at:
                kept[row, slot], whose[slot] = kept[row, slot - 1], whose[slot - 1]
                slot -= 1
            kept[row, slot], whose[slot] = at, who


_SEARCH = (_TEXT, _ORDER, _ORDER, numba.int64, _TEXT, _NUMBERS, _NUMBERS)
longest = _compiled(_longest, numba.void(*_SEARCH, _OUT))
bounds = _compiled(_bounds, numba.void(*_SEARCH, _OUT, _OUT))
earliest = _compiled(
    _earliest, numba.void(_ORDER, _ORDER, _NUMBERS, numba.int64, numba.int32[:, ::1])
)
