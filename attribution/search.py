"""Which search is used: compiled loops for large indexes, arrays for small ones, same results."""

import sys
from typing import Any, Protocol, cast

import numpy.typing as npt

from attribution import level_search

Array = npt.NDArray[Any]
COMPILED_FROM = 1 << 16  # starts of an index: below it, loading the compiled code costs more
COMPILED = "attribution.kernels"


class Search(Protocol):
    """The functions of `level_search`."""

    def longest(
        self,
        text: Array,
        order: Array,
        first: Array,
        key_bytes: int,
        needle: Array,
        starts: Array,
        ends: Array,
        best: Array,
        /,
    ) -> None: ...

    def bounds(
        self,
        text: Array,
        order: Array,
        first: Array,
        key_bytes: int,
        needle: Array,
        starts: Array,
        ends: Array,
        lows: Array,
        highs: Array,
        /,
    ) -> None: ...

    def earliest(
        self, order: Array, starts: Array, contributors: Array, block: int, kept: Array, /
    ) -> None: ...


PLAIN = cast(Search, level_search)


def compiled() -> Search | None:
    """The compiled search, if numba is installed."""
    try:
        from attribution import kernels  # takes a second to load: only for who needs it
    except ImportError:
        return None
    return cast(Search, kernels)


def search_of(starts: int) -> Search:
    """For an index of so many starts; compiled code that is loaded already serves the smallest."""
    if starts < COMPILED_FROM and COMPILED not in sys.modules:
        return PLAIN
    return compiled() or PLAIN
