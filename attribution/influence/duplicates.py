"""Near-duplicate examples: for each the first earlier one that is as good as it."""

import numpy as np
from numpy.typing import NDArray

from attribution.influence.kernels import kernel_for
from protocol.codec import require
from protocol.features import DIMENSION
from protocol.parameters import BPS

NONE = -1
BLOCK = 2048  # rows compared with as many at a time
ROUNDS_MAX = 16  # candidates of a row looked at one by one, before all of its block are
SLACK = 1e-4  # of a cosine: far more than float32 loses in a block of coordinates

Int8 = NDArray[np.int8]


def duplicates_of(phi: Int8, bps: int) -> NDArray[np.int32]:
    """[n] for each row j the first i < j with dot > 0 and dot^2 10^8 >= bps^2 |i|^2 |j|^2, or -1.

    phi [n, 2048].  Unit vectors u, v of cosine c have |u - v|^2 = 2 - 2 c, and on the first P
    coordinates they are no further apart.  So one float32 product of P + 2 coordinates a pair rules
    out nearly all pairs; integers decide the rest.  Memory is linear in n.
    """
    require(0 < bps <= BPS, f"{bps} basis points")
    assert phi.ndim == 2
    assert phi.shape[1] == DIMENSION
    out = np.full(len(phi), NONE, np.int32)
    filters = _Filter(phi, bps)
    for at in range(0, len(phi), BLOCK):
        later = np.arange(at, min(at + BLOCK, len(phi)))
        for begin in range(0, at + 1, BLOCK):
            earlier = np.arange(begin, min(begin + BLOCK, len(phi)))
            later = later[out[later] == NONE]
            if not len(later):
                break
            likely = filters.likely(later, earlier)
            likely &= earlier[None, :] < later[:, None]
            if likely.any():
                _settle(phi, filters.norms2, bps, later, earlier, likely, out)
    return out


class _Filter:
    """Rows cut to so many unit coordinates that strangers are far apart on them already."""

    def __init__(self, phi: Int8, bps: int) -> None:
        self.apart = 1 - bps / BPS  # half of |u - v|^2 at the bound
        size = min(DIMENSION, 128 * int(np.ceil(1.6 * DIMENSION * self.apart / 128 + 1e-9)))
        self.norms2 = np.empty(len(phi), np.int64)
        self.units = np.empty((len(phi), max(size, 128)), np.float32)
        for at in range(0, len(phi), BLOCK):
            block = phi[at : at + BLOCK].astype(np.int32)
            norms2 = np.einsum("nk,nk->n", block, block)
            self.norms2[at : at + BLOCK] = norms2
            lengths = np.sqrt(np.maximum(norms2, 1))[:, None]
            self.units[at : at + BLOCK] = block[:, : self.units.shape[1]] / lengths
        self.halves = np.einsum("nk,nk->n", self.units, self.units) / 2
        self.halves[self.norms2 == 0] = 4.0  # nothing is near to nothing

    def likely(self, later: NDArray[np.int64], earlier: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[later, earlier] pairs that may be near; none that is near is left out."""
        left = np.column_stack(
            [self.units[later], self.halves[later], np.ones(len(later), np.float32)]
        )
        right = np.column_stack(
            [self.units[earlier], -np.ones(len(earlier), np.float32), -self.halves[earlier]]
        )
        made: NDArray[np.bool_] = left @ right.T >= -self.apart - SLACK
        return made


def _settle(
    phi: Int8,
    norms2: NDArray[np.int64],
    bps: int,
    later: NDArray[np.int64],
    earlier: NDArray[np.int64],
    likely: NDArray[np.bool_],
    out: NDArray[np.int32],
) -> None:
    """Find each later row's first near one among its likely ones [later, earlier]."""
    open_ = np.flatnonzero(likely.any(axis=1))
    for _ in range(ROUNDS_MAX):
        if not len(open_):
            return
        first = likely[open_].argmax(axis=1)
        products = np.einsum(
            "nk,nk->n",
            phi[later[open_]].astype(np.int32),
            phi[earlier[first]].astype(np.int32),
        )
        near = _near(products, norms2[later[open_]], norms2[earlier[first]], bps)
        out[later[open_[near]]] = earlier[first[near]]
        likely[open_, first] = False
        open_ = open_[~near]
        open_ = open_[likely[open_].any(axis=1)]
    product = kernel_for(len(open_), len(earlier))
    for row in np.array_split(open_, -(-len(open_) // BLOCK)) if len(open_) else ():
        products = product(phi[later[row]], phi[earlier])
        near = _near(products, norms2[later[row]][:, None], norms2[earlier][None, :], bps)
        near &= likely[row]
        found = near.any(axis=1)
        out[later[row[found]]] = earlier[near[found].argmax(axis=1)]


def _near(
    products: NDArray[np.int32], left: NDArray[np.int64], right: NDArray[np.int64], bps: int
) -> NDArray[np.bool_]:
    """The rule of `protocol.features.near`, by integers where float64 does not settle it."""
    exact = products.astype(np.float64) ** 2 * float(BPS) ** 2
    bound = float(bps) ** 2 * (left * right).astype(np.float64)
    near = (products > 0) & (exact >= bound)
    close = (products > 0) & (np.abs(exact - bound) <= 1e-9 * bound)
    for at in zip(*np.nonzero(close), strict=True):
        product = int(products[at])
        sizes = int(np.broadcast_to(left, products.shape)[at]) * int(
            np.broadcast_to(right, products.shape)[at]
        )
        near[at] = product**2 * BPS**2 >= bps**2 * sizes
    return near
