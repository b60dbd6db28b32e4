"""Exact inner products of int8 features, by whichever way is fastest here and proves exact.

All give the same integers; they differ in what they cost (docs/influence.md has the table):
one query at a time is a matter of reading memory, many are a matrix product.
"""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.features import DIMENSION

HALF = 1024  # 1024 products of int8 sum to at most 2**24: exact in float32, in any order
FEW = 4  # queries that are cheaper one by one than as a matrix
COMPILED_ROWS = 50_000  # rows for which compiling a loop (a second) pays
COLUMNS_MIN = 8  # what the int8 product of torch wants

Int8 = NDArray[np.int8]
Kernel = Callable[[Int8, Int8], NDArray[np.int32]]  # [n, 2048], [m, 2048] -> [n, m]

assert DIMENSION == 2 * HALF


def dots(phi: Int8, queries: Int8) -> NDArray[np.int32]:
    """[n, 2048] x [m, 2048] -> [n, m], exact."""
    return kernel_for(len(phi), len(queries))(phi, queries)


def kernel_for(rows: int, queries: int) -> Kernel:
    """The fastest exact way for so many rows in all against so many queries at a time."""
    if queries < FEW:
        return loops if rows >= COMPILED_ROWS and _compiled() else halves
    # Torch takes seconds to import: it is used where it is there already.
    return int8_product if "torch" in sys.modules and _int8_is_exact() else halves


def halves(phi: Int8, queries: Int8) -> NDArray[np.int32]:
    """Two float32 products of 1024 coordinates each: exact below 2**24, on every machine."""
    assert phi.shape[1] == queries.shape[1] == DIMENSION
    left, right = phi.astype(np.float32), queries.astype(np.float32)
    low = left[:, :HALF] @ right[:, :HALF].T
    high = left[:, HALF:] @ right[:, HALF:].T
    return low.astype(np.int32) + high.astype(np.int32)


def int8_product(phi: Int8, queries: Int8) -> NDArray[np.int32]:
    """The int8 product of torch, which has instructions for it where `_int8_is_exact`."""
    import torch

    assert phi.shape[1] == queries.shape[1] == DIMENSION
    columns = np.zeros((DIMENSION, max(len(queries), COLUMNS_MIN)), np.int8)
    columns[:, : len(queries)] = queries.T
    left = torch.from_numpy(np.ascontiguousarray(phi))
    made: NDArray[np.int32] = torch._int_mm(left, torch.from_numpy(columns)).numpy()
    return made[:, : len(queries)]


def loops(phi: Int8, queries: Int8) -> NDArray[np.int32]:
    """A compiled loop that reads each row once for each query, without any copy."""
    out = np.empty((len(phi), len(queries)), np.int32)
    for number, query in enumerate(queries):
        _compiled()(phi, query.astype(np.int16), out[:, number])
    return out


@cache
def _compiled() -> Any:
    """The loop, or None where it cannot be compiled."""
    try:
        import numba
    except ImportError:
        return None

    @numba.njit(nogil=True)
    def loop(phi: Any, query: Any, out: Any) -> None:
        for row in range(phi.shape[0]):
            total = np.int32(0)
            for k in range(phi.shape[1]):
                total += np.int32(phi[row, k]) * np.int32(query[k])
            out[row] = total

    return loop


@cache
def _int8_is_exact() -> bool:
    """Old instructions for int8 saturate, so: a new one is there, and it passes the worst case."""
    import torch

    able = getattr(torch.cpu, "_is_vnni_supported", lambda: False)
    if not able():
        return False
    worst = np.array([[-128], [127], [-127], [0], [1], [-1], [64], [126]], np.int8)
    block = np.repeat(worst, DIMENSION, axis=1)
    block[3, ::2], block[4, 1::2] = 127, -128
    try:
        return bool((int8_product(block, block) == halves(block, block)).all())
    except RuntimeError:  # torch has none for this processor
        return False
