"""Scores are exact by every kernel, and the list of an answer is the one that the rules name."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from attribution.influence import kernels
from attribution.influence.duplicates import duplicates_of
from attribution.influence.rounding import to_int8
from attribution.influence.scores import Scored, influences_of, influences_of_many
from attribution.influence.store import FeatureSet, rows_of
from protocol.errors import Malformed
from protocol.features import DIMENSION, NO_EXAMPLE, FeatureRow, credited, dot, norm2
from protocol.parameters import Parameters

RULES = Parameters(influences_max=5, influence_sigma=100)


def drawn(rows: int, seed: int, directions: int = 0) -> NDArray[np.int8]:
    """Well-formed features; of few directions they are alike."""
    generator = np.random.default_rng(seed)
    wild = generator.normal(size=(rows, DIMENSION))
    if directions:
        wild = (
            wild * 0.3
            + generator.normal(size=(directions, DIMENSION))[np.arange(rows) % directions]
        )
    return np.frombuffer(b"".join(map(to_int8, wild)), np.int8).reshape(rows, DIMENSION)


def feature_set(phi: NDArray[np.int8], twins: NDArray[np.int32] | None = None) -> FeatureSet:
    twins = np.full(len(phi), -1, np.int32) if twins is None else twins
    documents = [
        (0, number, number % 7 + 1, bytes([number % 256]) * 32) for number in range(len(phi))
    ]
    return FeatureSet(b"".join(row.encode() for row in rows_of(phi, twins, documents)))


@pytest.mark.parametrize("kernel", [kernels.halves, kernels.int8_product, kernels.loops])
@pytest.mark.parametrize("queries", [1, 3, 8, 17])
def test_every_kernel_is_exact(kernel: kernels.Kernel, queries: int) -> None:
    """Extremes included: all -128 against all -128 is 2**25."""
    pytest.importorskip("torch")
    generator = np.random.default_rng(queries)
    phi = generator.integers(-128, 128, (23, DIMENSION), np.int8)
    asked = generator.integers(-128, 128, (queries, DIMENSION), np.int8)
    phi[0], phi[1], phi[2], asked[0] = 127, -128, -127, -128
    if kernel is kernels.int8_product and not kernels._int8_is_exact():
        pytest.skip("this processor has no int8 product that does not saturate")
    padded = np.zeros((23, DIMENSION + 48), np.int8)
    padded[:, 48:] = phi  # rows of a feature file are not contiguous

    made = kernel(padded[:, 48:], asked)

    wanted = [[dot(row.tobytes(), query.tobytes()) for query in asked] for row in phi]
    assert made.tolist() == wanted


def by_the_rules(
    features: FeatureSet, psi: bytes, rules: Parameters, down: frozenset[int]
) -> list[Scored]:
    """PROTOCOL.md 4, row by row."""
    rows = [FeatureRow.decode(features.row(number)) for number in range(features.rows)]
    found = [
        Scored(number, row.contributor, dot(row.phi, psi))
        for number, row in enumerate(rows)
        if row.duplicate_of == NO_EXAMPLE
        and number not in down
        and credited(dot(row.phi, psi), norm2(row.phi), norm2(psi), rules)
    ]
    return sorted(found, key=lambda one: (-one.score, one.example))[: rules.influences_max]


@pytest.mark.parametrize("chunk", [3, 4096])
def test_the_list_is_that_of_the_rules(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attribution.influence.scores.ROWS", chunk)
    phi = drawn(60, 1, directions=4).copy()
    phi[7] = 0
    phi[9] = phi[5]  # equal scores: the earlier first
    phi[20] = 100  # out of its band: judged by its own length
    phi[21] = 1
    twins = np.full(60, -1, np.int32)
    twins[12] = 4
    features = feature_set(phi, twins)
    down = frozenset({0, 8, 10_000})
    queries = [*(row.tobytes() for row in drawn(3, 2)), phi[5].tobytes(), phi[0].tobytes(), b""]

    lists = influences_of_many(features, queries, RULES, down)

    assert lists[-1] == []
    for psi, listed in zip(queries[:-1], lists, strict=False):
        assert listed == by_the_rules(features, psi, RULES, down)
        assert listed == influences_of(features, psi, RULES, down)
    assert lists[3][:2] == [Scored(5, 6, norm2(phi[5].tobytes())), Scored(9, 3, lists[3][0].score)]
    assert len(lists[3]) == RULES.influences_max


def test_the_threshold_is_strict() -> None:
    """k s^2 10^4 = sigma^2 |phi|^2 |psi|^2 earns nothing; a hair more does."""
    psi = np.zeros(DIMENSION, np.int8)
    psi[0] = 5
    rows = np.ones((3, DIMENSION), np.int8)  # k 5^2 10^4 = 100^2 2048 5^2
    rows[1, 9] = 0
    rows[2, 0] = 0

    listed = influences_of(feature_set(rows), psi.tobytes(), RULES)

    assert listed == [Scored(1, 2, 5)]


def test_queries_of_another_dimension_are_malformed() -> None:
    with pytest.raises(Malformed):
        influences_of(feature_set(drawn(2, 3)), b"short", RULES)


def first_near(phi: NDArray[np.int8], bps: int) -> list[int]:
    rows = [row.tobytes() for row in phi]
    sizes = [norm2(row) for row in rows]

    def twin(j: int) -> int:
        for i in range(j):
            product = dot(rows[i], rows[j])
            if product > 0 and product**2 * 10**8 >= bps**2 * sizes[i] * sizes[j]:
                return i
        return -1

    return [twin(j) for j in range(len(rows))]


@pytest.mark.parametrize("bps", [5_000, 9_000, 9_800, 9_999])
@pytest.mark.parametrize("block", [4, 16, 2048])
def test_duplicates_are_the_first_near_rows(
    bps: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies, chains of copies, opposites, zeros, and pairs a hair on either side of the bound."""
    monkeypatch.setattr("attribution.influence.duplicates.BLOCK", block)
    monkeypatch.setattr("attribution.influence.duplicates.ROUNDS_MAX", 2)
    draw = random.Random(bps + block)
    phi = drawn(48, 5).copy()
    generator = np.random.default_rng(6)
    for j in range(12, 48):
        kind, i = draw.randrange(6), draw.randrange(j)
        if kind == 0:
            phi[j] = phi[i]
        elif kind == 1:
            phi[j] = -phi[i]
        elif kind == 2:
            phi[j] = 0
        elif kind < 5:
            angle = np.arccos(bps / 10_000) * draw.uniform(0.97, 1.03)
            other = generator.normal(size=DIMENSION) * np.sqrt(norm2(phi[i].tobytes()) / DIMENSION)
            mixed = np.cos(angle) * phi[i] + np.sin(angle) * other
            phi[j] = np.frombuffer(to_int8(mixed), np.int8)

    assert duplicates_of(phi, bps).tolist() == first_near(phi, bps)


def test_a_flood_of_copies_costs_no_more() -> None:
    phi = np.repeat(drawn(1, 8), 5_000, axis=0)

    assert duplicates_of(phi, 9_800).tolist() == [-1, *[0] * 4_999]
    assert duplicates_of(np.zeros((0, DIMENSION), np.int8), 9_800).tolist() == []
