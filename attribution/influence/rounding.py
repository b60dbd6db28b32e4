"""From 2048 real numbers to int8 of one common length."""

import numpy as np
from numpy.typing import NDArray

from protocol.features import DIMENSION, NORM2_MAX, NORM2_MIN

LARGEST = 127
SPREAD = LARGEST / 4  # of a coordinate: four deviations are kept
AIM = DIMENSION * SPREAD**2  # squared length
STEPS = 64  # of a bisection; one is enough unless a few coordinates hold all


def to_int8(sketch: NDArray[np.float64]) -> bytes:
    """2048 int8 of the direction of `sketch` [2048]: round(x * s), half to even, cut at 127.

    s = sqrt(AIM) / |sketch|, unless so much was cut that the length falls out of the band of
    `protocol.features`; then s is found by doubling and bisection.  A vector of length zero, or
    one that no s brings into the band, is zero.
    """
    assert sketch.shape == (DIMENSION,)
    largest = float(np.abs(sketch).max())
    if not 0 < largest < np.inf:  # NaN neither
        return bytes(DIMENSION)
    unit = sketch / largest  # so that squares neither overflow nor vanish
    scale = float(np.sqrt(AIM / (unit @ unit)))
    low, high = 0.0, np.inf
    for _ in range(STEPS):
        rounded = scaled(unit, scale)
        size = int((rounded.astype(np.int64) ** 2).sum())
        if NORM2_MIN <= size <= NORM2_MAX:
            return rounded.tobytes()
        if size < NORM2_MIN:
            low = scale
            scale = scale * 2 if high == np.inf else (low + high) / 2
        else:
            high = scale
            scale = (low + high) / 2
    return bytes(DIMENSION)


def scaled(unit: NDArray[np.float64], scale: float) -> NDArray[np.int8]:
    return np.clip(np.rint(unit * scale), -LARGEST, LARGEST).astype(np.int8)
