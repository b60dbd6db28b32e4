"""The features of an adapter as the threshold line needs them: who was near it and got nothing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.influence.kernels import dots
from attribution.influence.store import FeatureSet
from protocol.features import DIMENSION, NO_EXAMPLE, credited, norm2
from protocol.parameters import Parameters

ROWS_MAX = 1 << 17  # of a larger set the best that got nothing are not looked for: half a second
BLOCK_ROWS = 4_096  # scored at a time
OVER_SHOWN, UNDER_SHOWN = 3, 3  # of those that passed the line, and of those that did not

BELOW = "under the line"


@dataclass(frozen=True, slots=True)
class Runner:
    """An example that got nothing, and why."""

    example: int
    contributor: int
    score: int
    unpaid: str


@dataclass(frozen=True)
class HeldFeatures:
    """A feature set in force; `down` are examples whose documents were taken down."""

    held: FeatureSet
    parameters: Parameters
    down: frozenset[int] = frozenset()

    @property
    def examples(self) -> int:
        return self.held.rows

    def norm2(self, example: int) -> int | None:
        if not 0 <= example < self.held.rows:
            return None
        return norm2(self.held.phi[example].tobytes())

    def under(self, query: bytes, listed: frozenset[int]) -> list[Runner]:
        if self.held.rows > ROWS_MAX or len(query) != DIMENSION:
            return []
        scores, size = self._scores(query), norm2(query)
        over, under = list[Runner](), list[Runner]()
        for example in np.argsort(-scores, kind="stable").tolist():
            score = int(scores[example])
            if score <= 0 or len(under) == UNDER_SHOWN:
                break
            if example in listed:
                continue
            passed = credited(score, self.norm2(example) or 0, size, self.parameters)
            into, limit = (over, OVER_SHOWN) if passed else (under, UNDER_SHOWN)
            if len(into) < limit:
                unpaid = self._barred(example) or (self._ranked() if passed else BELOW)
                who = int(self.held.contributors[example])
                into.append(Runner(example, who, score, unpaid))
        return over + under

    def _scores(self, query: bytes) -> NDArray[np.int64]:
        """[rows]"""
        psi = np.frombuffer(query, np.int8).reshape(1, DIMENSION)
        blocks = range(0, self.held.rows, BLOCK_ROWS)
        parts = [dots(self.held.phi[at : at + BLOCK_ROWS], psi)[:, 0] for at in blocks]
        return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)

    def _barred(self, example: int) -> str:
        if example in self.down:
            return "its document was taken down"
        first = int(self.held.duplicate_of[example])
        return "" if first == NO_EXAMPLE else f"a near copy of the earlier example {first}"

    def _ranked(self) -> str:
        return f"not among the best {self.parameters.influences_max}"
