"""Exact scores of examples against answers, and the list of those that are credited."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.influence.store import FeatureSet
from protocol.codec import require
from protocol.features import DIMENSION, NO_EXAMPLE, credited
from protocol.parameters import Parameters

ROWS = 4096  # examples scored at a time
QUERIES = 256  # answers scored at a time
HALF = 1024  # 1024 products of int8 sum to at most 2**24: exact in float32, in any order
MARGIN = 1 - 1e-9  # the float threshold lets a little through; integers decide

assert DIMENSION == 2 * HALF


@dataclass(frozen=True, slots=True)
class Scored:
    """An example that is credited for an answer."""

    example: int
    contributor: int
    score: int


def dots(phi: NDArray[np.int8], queries: NDArray[np.int8]) -> NDArray[np.int32]:
    """[n, 2048] x [m, 2048] -> [n, m], exact: two float32 products of 1024 coordinates each."""
    assert phi.shape[1] == queries.shape[1] == DIMENSION
    left, right = phi.astype(np.float32), queries.astype(np.float32)
    low = left[:, :HALF] @ right[:, :HALF].T
    high = left[:, HALF:] @ right[:, HALF:].T
    return low.astype(np.int32) + high.astype(np.int32)


def influences_of(
    features: FeatureSet,
    psi: bytes,
    parameters: Parameters,
    down: frozenset[int] = frozenset(),
) -> list[Scored]:
    """The examples that made an answer of feature `psi`, best first: none if `psi` is empty.

    At most `influences_max` of them, by (score descending, example ascending); neither duplicates
    nor examples in `down` are among them (PROTOCOL.md 4).
    """
    return influences_of_many(features, [psi], parameters, down)[0]


def influences_of_many(
    features: FeatureSet,
    queries: Sequence[bytes],
    parameters: Parameters,
    down: frozenset[int] = frozenset(),
) -> list[list[Scored]]:
    """The list of each answer; one pass over the features for every `QUERIES` answers."""
    require(all(len(psi) in (0, DIMENSION) for psi in queries), "a query of another dimension")
    out: list[list[Scored]] = [[] for _ in queries]
    asked = [number for number, psi in enumerate(queries) if psi]
    barred = features.duplicate_of != NO_EXAMPLE
    barred[[example for example in down if example < features.rows]] = True
    for at in range(0, len(asked), QUERIES):
        block = asked[at : at + QUERIES]
        matrix = np.frombuffer(b"".join(queries[number] for number in block), np.int8)
        lists = _lists(features, matrix.reshape(-1, DIMENSION), parameters, barred)
        for number, listed in zip(block, lists, strict=True):
            out[number] = listed
    return out


def _lists(
    features: FeatureSet,
    queries: NDArray[np.int8],
    parameters: Parameters,
    barred: NDArray[np.bool_],
) -> list[list[Scored]]:
    wide = queries.astype(np.int64)
    sizes = np.einsum("qk,qk->q", wide, wide)
    best: list[list[Scored]] = [[] for _ in queries]
    floor = np.zeros(len(queries), np.int64)  # a later example must beat it
    unit = MARGIN * parameters.influence_sigma / 100 / np.sqrt(DIMENSION) * np.sqrt(sizes)
    for at in range(0, features.rows, ROWS):
        scores = dots(features.phi[at : at + ROWS], queries)
        norms = features.norms2[at : at + ROWS]
        found = (scores > floor) & (scores > np.sqrt(norms)[:, None] * unit)
        found[barred[at : at + ROWS]] = False
        for query in np.flatnonzero(found.any(axis=0)).tolist():
            rows = np.flatnonzero(found[:, query])
            rows = rows[np.lexsort((rows, -scores[rows, query]))]
            fresh: list[Scored] = []
            for row in rows.tolist():
                if len(fresh) == parameters.influences_max:
                    break
                score = int(scores[row, query])
                if credited(score, int(norms[row]), int(sizes[query]), parameters):
                    fresh.append(Scored(at + row, int(features.contributors[at + row]), score))
            merged = sorted(best[query] + fresh, key=lambda one: (-one.score, one.example))
            best[query] = merged[: parameters.influences_max]
            if len(best[query]) == parameters.influences_max:
                floor[query] = best[query][-1].score
    return best
