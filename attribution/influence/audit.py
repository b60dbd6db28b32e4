"""Whether two features are of one vector: the verdict on what can only be computed again."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from protocol.codec import require
from protocol.features import DIMENSION

OFF_BY_ONE_MAX = 2  # coordinates: 0.1 % of 2048, by one
# A feature of something else.  float32 on any device moves at most some dozens of coordinates by
# one and none by more (docs/influence.md); another example, prompt or seed moves nine in ten.
OFF_MIN = DIMENSION // 8
FAR_MIN = 16  # coordinates by more than one


class Verdict(Enum):
    VALID = "valid"
    INVALID = "invalid"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class Finding:
    """What two features differ in, and what follows."""

    verdict: Verdict
    off: int  # coordinates that differ
    far: int  # by more than one
    largest: int  # difference


def compare(claimed: bytes, computed: bytes) -> Finding:
    """Judge a published feature by one computed in float64.

    Valid: at most 0.1 % of the coordinates differ, by one.  Invalid: an eighth of them differ, or
    16 by more than one, or one of the two is zero.  Between: cannot tell, and nobody objects.
    """
    require(len(claimed) == len(computed) == DIMENSION, "a feature of another dimension")
    one, other = (np.frombuffer(data, np.int8).astype(np.int64) for data in (claimed, computed))
    apart = np.abs(one - other)
    off, far, largest = int((apart > 0).sum()), int((apart > 1).sum()), int(apart.max())
    if off <= OFF_BY_ONE_MAX and not far:
        return Finding(Verdict.VALID, off, far, largest)
    empty = one.any() != other.any()
    if empty or off >= OFF_MIN or far >= FAR_MIN:
        return Finding(Verdict.INVALID, off, far, largest)
    return Finding(Verdict.CANNOT_TELL, off, far, largest)
