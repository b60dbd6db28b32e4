"""Exact scores of examples against answers, and the list of those that are credited."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.influence.kernels import kernel_for
from attribution.influence.store import FeatureSet
from protocol.codec import require
from protocol.features import DIMENSION, NO_EXAMPLE, credited
from protocol.parameters import Parameters

ROWS = 4096  # examples scored at a time
QUERIES = 256  # answers scored at a time
MARGIN = 1 - 1e-9  # the float threshold lets a little through; integers decide


@dataclass(frozen=True, slots=True)
class Scored:
    """An example that is credited for an answer."""

    example: int
    contributor: int
    score: int


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
    product = kernel_for(features.rows, len(queries))
    best: list[list[Scored]] = [[] for _ in queries]
    floor = np.zeros(len(queries), np.int64)  # a later example must beat it
    unit = MARGIN * parameters.influence_sigma / 100 / np.sqrt(DIMENSION) * np.sqrt(sizes)
    for at in range(0, features.rows, ROWS):
        norms = features.norms2[at : at + ROWS]
        if not norms.any():
            continue
        least = np.sqrt(norms[norms > 0].min()) * unit  # that anyone here must beat
        scores = product(features.phi[at : at + ROWS], queries)
        found = scores > np.maximum(floor, least.astype(np.int64))
        found[barred[at : at + ROWS]] = False
        for query in np.flatnonzero(found.any(axis=0)).tolist():
            rows = np.flatnonzero(found[:, query])
            fresh = _credited(rows, scores[rows, query], norms[rows], int(sizes[query]), parameters)
            best[query] += [
                Scored(at + row, int(features.contributors[at + row]), score)
                for row, score in fresh
            ]
            best[query].sort(key=lambda one: (-one.score, one.example))
            del best[query][parameters.influences_max :]
            if len(best[query]) == parameters.influences_max:
                floor[query] = best[query][-1].score
    return best


def _credited(
    rows: NDArray[np.int64],
    scores: NDArray[np.int32],
    norms: NDArray[np.int64],
    size: int,
    parameters: Parameters,
) -> list[tuple[int, int]]:
    """(row, score) of the best that are credited, by integers; rows ascend."""
    found: list[tuple[int, int]] = []
    for at in np.argsort(-scores, kind="stable").tolist():
        if len(found) == parameters.influences_max:
            break
        score = int(scores[at])
        if credited(score, int(norms[at]), size, parameters):
            found.append((int(rows[at]), score))
    return found
