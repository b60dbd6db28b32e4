"""Where a byte string stands in one shard: a suffix array over the word starts of its text."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydivsufsort import divsufsort

from protocol.text import CLASS, LEAD, OTHER, WORD


@dataclass(frozen=True, slots=True)
class Index:
    """`order[r]` is the word start whose suffix is the r-th smallest.  Private to a node."""

    text: bytes
    order: memoryview  # int32

    @classmethod
    def build(cls, text: bytes) -> "Index":
        if not text:
            return cls(text, memoryview(b"").cast("i"))
        order = divsufsort(text)
        order = order[_word_start_mask(text)[order]]
        return cls(text, memoryview(order.astype(np.int32).tobytes()).cast("i"))

    def longest(self, needle: bytes) -> int:
        """Bytes of the longest prefix of `needle` that stands at a word start."""
        size = len(needle)
        place = bisect_left(self.order, needle, key=lambda at: self.text[at : at + size])
        best = 0
        for rank in (place - 1, place):
            if 0 <= rank < len(self.order):
                at = self.order[rank]
                best = max(best, common_prefix(needle, self.text[at : at + size]))
        return best

    def positions(self, needle: bytes) -> npt.NDArray[np.int32]:
        """The word starts where `needle` stands, increasing."""
        size = len(needle)

        def head(at: int) -> bytes:
            return self.text[at : at + size]

        low = bisect_left(self.order, needle, key=head)
        high = bisect_right(self.order, needle, low, key=head)
        return np.sort(np.asarray(self.order[low:high], dtype=np.int32))


def common_prefix(left: bytes, right: bytes) -> int:
    size = min(len(left), len(right))
    if left[:size] == right[:size]:
        return size
    low, high = 0, size  # left[:low] is common, left[:high] is not
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _word_start_mask(text: bytes) -> npt.NDArray[np.bool_]:
    classes = np.frombuffer(text.translate(CLASS), dtype=np.uint8)
    after_word = np.concatenate([np.zeros(1, bool), classes[:-1] == WORD])
    starts: npt.NDArray[np.bool_] = (classes == OTHER) | (classes == LEAD)
    starts |= (classes == WORD) & ~after_word
    return starts
