"""The order of a text's suffixes over admitted starts, sorted in place by libdivsufsort."""

import ctypes
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from pydivsufsort.dll import libdivsufsort

from protocol.codec import require
from protocol.text import CLASS, LEAD, OTHER, WORD

SORT_BYTES_MAX = (1 << 31) - 1  # libdivsufsort counts in int32
CHUNK = 1 << 20  # suffixes looked at at once, which bounds what is held beside text and order

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
Admits = Callable[[Bytes, Positions], Mask]  # which positions of the text may begin a match

_CLASSES = np.frombuffer(CLASS, dtype=np.uint8)
_BEGINS = (_CLASSES == OTHER) | (_CLASSES == LEAD)
_WORD = _CLASSES == WORD


def word_starts_at(text: Bytes, positions: Positions) -> Mask:
    """`protocol.text.is_word_start` of each position."""
    here, before = text[positions], text[positions - 1]
    after_word = _WORD[before] & (positions > 0)  # position 0 reads the last byte: ignored
    found: Mask = _BEGINS[here] | (_WORD[here] & ~after_word)
    return found


def word_starts_in(text: Bytes) -> npt.NDArray[np.int64]:
    """`protocol.text.word_starts` of a short text."""
    word = _WORD[text]
    starts = _BEGINS[text] | word
    starts[1:] &= ~(word[1:] & word[:-1])
    return np.flatnonzero(starts)


def suffix_order(text: Bytes, admits: Admits = word_starts_at) -> Positions:
    """The admitted positions [m] of `text` [n], by the suffixes that begin there.

    Holds n + 4n bytes and a constant while it sorts, and 4m afterwards.
    """
    size = len(text)
    require(size <= SORT_BYTES_MAX, f"a text of {size} bytes to sort, limit is {SORT_BYTES_MAX}")
    order = np.empty(size, dtype=np.int32)
    if size:
        text = np.ascontiguousarray(text)
        data, into = (array.ctypes.data_as(ctypes.c_void_p) for array in (text, order))
        failed = libdivsufsort.divsufsort(data, into, ctypes.c_int32(size))
        if failed:
            raise MemoryError(f"libdivsufsort gave {failed} for {size} bytes")
    kept = squeeze(order, lambda positions: admits(text, positions))
    order.resize(kept, refcheck=False)
    return order


def squeeze(order: Positions, keeps: Callable[[Positions], Mask]) -> int:
    """Move the positions that it keeps to the front, in their order; how many they are."""
    kept = 0
    for at in range(0, len(order), CHUNK):
        chunk = order[at : at + CHUNK]
        chunk = chunk[keeps(chunk)]
        order[kept : kept + len(chunk)] = chunk
        kept += len(chunk)
    return kept
