"""The first contributors who hold a string, however often it stands in a text."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from attribution.level_search import NOWHERE, first_distinct
from attribution.search import Search
from protocol.parameters import HOLDERS_MAX

Array = npt.NDArray[Any]
BLOCK = 256  # ranks that one row of the lowest level sums up
FANOUT = 64  # rows that one row of the next level sums up


@dataclass(frozen=True, slots=True)
class Earliest:
    """Of blocks of ranks, the first positions of the first HOLDERS_MAX distinct contributors.

    What is first in a union is first in one of its parts, so a range of a billion ranks is read
    from some hundred rows, exactly: the whole rows in it, and the ranks at its ends.
    """

    levels: tuple[Array, ...]  # int32 [rows, HOLDERS_MAX], NOWHERE where there are fewer

    @classmethod
    def build(cls, order: Array, starts: Array, contributors: Array, search: Search) -> Self:
        """order int32 [m]; starts int32 [d] and contributors int64 [d] of the documents."""
        if len(order) <= BLOCK or not len(starts):
            return cls(())
        lowest = np.full((-(-len(order) // BLOCK), HOLDERS_MAX), NOWHERE, np.int32)
        search.earliest(order, starts, contributors, BLOCK, lowest)
        levels = [lowest]
        while len(levels[-1]) > FANOUT:
            below = levels[-1]
            rows = -(-len(below) // FANOUT)
            padded = np.full((rows * FANOUT, HOLDERS_MAX), NOWHERE, np.int32)
            padded[: len(below)] = below
            wide = padded.reshape(rows, FANOUT * HOLDERS_MAX)
            levels.append(first_distinct(wide, starts, contributors, HOLDERS_MAX))
        return cls(tuple(levels))

    @staticmethod
    def rows_of(starts: int) -> list[int]:
        """How many rows each level has over so many starts."""
        if starts <= BLOCK:
            return []
        rows = [-(-starts // BLOCK)]
        while rows[-1] > FANOUT:
            rows.append(-(-rows[-1] // FANOUT))
        return rows

    def candidates(self, order: Array, low: int, high: int) -> Array:
        """Positions among which the first HOLDERS_MAX holders of ranks [low, high) are."""
        if not self.levels or high - low <= 2 * BLOCK:
            return order[low:high]
        first, last = -(-low // BLOCK), high // BLOCK
        found = [order[low : first * BLOCK], order[last * BLOCK : high]]
        for level in self.levels:
            if level is self.levels[-1] or last - first <= 2 * FANOUT:
                found.append(level[first:last].ravel())
                break
            inner, outer = -(-first // FANOUT), last // FANOUT
            found += [level[first : inner * FANOUT].ravel(), level[outer * FANOUT : last].ravel()]
            first, last = inner, outer
        joined = np.concatenate(found)
        there: Array = joined[joined != NOWHERE]
        return there
