"""Runs our index over the same units: `python -m benchmarks.attribution.spans_worker ...`."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from attribution import index_files
from attribution.index import Index, frozen
from attribution.search import PLAIN, Search, compiled
from attribution.suffixes import Admits, suffix_order, word_starts_at
from benchmarks.attribution.infini import report

Array = npt.NDArray[Any]
KEY = bytes(32)
WIDTHS = {"u8": 1, "u16": 2, "words": 1}  # bytes of a unit; words: bytes from word starts on


def admits(unit: str) -> Admits:
    if unit == "words":
        return word_starts_at
    return lambda text, at: at & (WIDTHS[unit] - 1) == 0


def units(data: Array, unit: str) -> Array:
    """As bytes that sort like their units: most significant byte first."""
    if unit == "u16":
        data = data.view(np.uint16).byteswap().view(np.uint8)
    return frozen(data)


def build(source: str, target: str, unit: str) -> None:
    text = units(np.fromfile(source, np.uint8), unit)
    index = Index.of(text, suffix_order(text, admits(unit)), PLAIN)
    index_files.write(Path(target), KEY, [index.order, index.first, index.text])
    report()


def opened(path: Path, search: Search) -> Index:
    order, first, text = index_files.read(path, KEY, checked=False)
    return Index(text, order.view(np.int32), first.view(np.int32), search)


def query(target: str, unit: str, asked: str, answer: str, way: str) -> None:
    """CPU seconds of the longest match at every position of all snippets, after a first pass."""
    search = PLAIN if way == "plain" else compiled()
    assert search is not None
    index, rows = opened(Path(target), search), np.load(asked)
    found = np.zeros(rows.shape, np.int64)
    longest = _asked(index, WIDTHS[unit], rows.shape[1])
    for row in rows:
        longest(row)
    start = time.process_time()
    for number, row in enumerate(rows):
        found[number] = longest(row)
    seconds = time.process_time() - start
    np.save(answer, found)
    report(seconds=seconds)


def _asked(index: Index, width: int, size: int) -> Callable[[Array], Array]:
    starts = np.arange(0, size * width, width)
    ends = np.full(size, size * width)

    def longest(row: Array) -> Array:
        best = np.zeros(size, np.int64)
        data = frozen(row.byteswap().view(np.uint8) if width == 2 else row)
        index.raise_longest(data, starts, ends, best)
        return best // width

    return longest


if __name__ == "__main__":
    job: Any = {"build": build, "query": query}[sys.argv[1]]
    job(*sys.argv[2:])
