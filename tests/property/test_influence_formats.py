"""Laws of what is published and of what turns gradients into features."""

import struct
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from attribution.influence.audit import Verdict, compare
from attribution.influence.basis import HEAD_BYTES, Basis
from attribution.influence.gradients import Factor
from attribution.influence.projection import (
    ANCHORS_MAX,
    Sketch,
    Spread,
    anchors_of,
    block_of,
    hadamard,
    rest_of,
    spread_width,
)
from attribution.influence.rounding import to_int8
from attribution.influence.tokens import Window, cut, parts_of
from attribution.influence.whitening import Turn, fit
from protocol.errors import Malformed
from protocol.features import DIMENSION, well_formed

FACTORS = (Factor("a", "A", 3, 7), Factor("a", "B", 3, 12), Factor("b", "A", 1, 5))
SEED = bytes(range(32))


def gradients(count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(count, f.rank, f.width, generator=generator, dtype=torch.float64)
        @ torch.randn(f.width, f.width, generator=generator, dtype=torch.float64)
        for f in FACTORS
    ]


def basis(kept: tuple[int, ...] = (7, 4, 0)) -> Basis:
    parts = gradients(40)
    return whole(tuple(fit(FACTORS, lambda: [parts], kept=kept)))


def whole(turns: tuple[Turn, ...], anchors: int = 0) -> Basis:
    """A basis of the adapter 7 7 7 ..., under SEED."""
    width = spread_width(sum(len(turn.top) * turn.kept.shape[1] for turn in turns))
    rows = torch.arange(anchors * width, dtype=torch.float64).sin().reshape(anchors, width)
    return Basis(b"\7" * 32, SEED, 64, 4, turns, anchors_of(rows))


def wide_basis(anchors: int) -> Basis:
    """Of one matrix of 3,000 coordinates, of which none is kept, and so many anchors."""
    turn = Turn(torch.eye(2), torch.zeros(0, 1500), torch.zeros(2, 0), torch.ones(2))
    return whole((turn,), anchors)


def test_a_basis_has_one_form() -> None:
    wire = basis().encode()

    assert Basis.decode(wire).encode() == wire
    Basis.decode(wire).check(b"\7" * 32, SEED, FACTORS)
    with pytest.raises(Malformed):
        Basis.decode(wire).check(b"\6" * 32, SEED, FACTORS)
    with pytest.raises(Malformed):
        Basis.decode(wire).check(b"\7" * 32, b"\7" * 32, FACTORS)
    with pytest.raises(Malformed):
        Basis.decode(wire).check(b"\7" * 32, SEED, FACTORS[:2])


def test_anchors_have_bounds() -> None:
    made = wide_basis(5)
    wire = made.encode()

    assert torch.equal(Basis.decode(wire).anchors, made.anchors)
    assert Basis.decode(wire).encode() == wire
    for bad in (wire[:-4], wire + bytes(4), wire[:-4] + struct.pack("<f", 1.5)):
        with pytest.raises(Malformed):
            Basis.decode(bad)
    with pytest.raises(Malformed):
        wide_basis(ANCHORS_MAX + 1)
    with pytest.raises(Malformed, match="anchors"):
        whole(basis().turns, 1)  # so small that nothing is lost without


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_hostile_basis_is_malformed(data: st.DataObject) -> None:
    wire = basis().encode()
    floats = HEAD_BYTES + 12 * len(FACTORS)
    how = data.draw(st.sampled_from(["cut", "tail", "float", "head"]))
    if how == "cut":
        bad = wire[: data.draw(st.integers(0, len(wire) - 1))]
    elif how == "tail":
        bad = wire + data.draw(st.binary(min_size=1, max_size=9))
    elif how == "float":
        at = floats + 4 * data.draw(st.integers(0, (len(wire) - floats) // 4 - 1))
        value = data.draw(st.sampled_from([float("nan"), float("inf"), -3.0, 1e30, -0.0]))
        bad = wire[:at] + struct.pack("<f", value) + wire[at + 4 :]
    else:
        at = 72 + 4 * data.draw(st.integers(0, 3 + 3 * len(FACTORS)))
        bad = wire[:at] + b"\xff\xff\xff\xff" + wire[at + 4 :]

    with pytest.raises(Malformed):
        Basis.decode(bad)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_basis_or_malformed(data: bytes) -> None:
    for wire in (data, b"OLBASIS2" + data):
        with suppress(Malformed):
            assert Basis.decode(wire).encode() == wire


def test_whitening_is_the_formula_in_its_docstring() -> None:
    """Kept whole, it is the plain eigen-corrected Kronecker basis; cut, the rest is isotropic."""
    parts = gradients(40)
    for kept in ((7, 12, 5), (3, 4, 1)):
        turns = fit(FACTORS, lambda: [parts], kept=kept)
        largest, weights = 0.0, []
        for g, count in zip(parts, kept, strict=True):
            u = torch.linalg.eigh(torch.einsum("nrw,nsw->rs", g, g))[1]
            v = torch.linalg.eigh(torch.einsum("nrw,nrx->wx", g, g))[1].flip(1)[:, :count]
            turned = u.T @ g
            seen, rest = turned @ v, turned - turned @ v @ v.T
            a, beyond = (seen**2).mean(0), g.shape[2] - count
            b = (rest**2).sum(2).mean(0) / max(beyond, 1)
            mean = (a.sum() + beyond * b.sum()) / g[0].numel()
            top, low = (a + 0.03 * mean).rsqrt(), (b + 0.03 * mean).rsqrt()
            largest = max(largest, float(top.max()), float(low.max() if beyond else 0))
            weights.append((u, v, top, low, seen, rest))
        for (u, v, top, low, seen, rest), turn, g in zip(weights, turns, parts, strict=True):
            wanted = u @ ((top * seen) @ v.T + low[:, None] * rest) / largest
            made = turn.to(torch.float64, "cpu").apply(g)
            assert torch.allclose(made, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def test_a_wide_matrix_finds_its_directions_without_a_covariance() -> None:
    """Three strong directions of 600: the power iteration keeps them."""
    generator = torch.Generator().manual_seed(3)
    strong = torch.linalg.qr(torch.randn(600, 3, generator=generator, dtype=torch.float64))[0].T
    g = torch.randn(50, 2, 3, generator=generator, dtype=torch.float64) @ strong * 30
    g += torch.randn(50, 2, 600, generator=generator, dtype=torch.float64) * 0.1
    factor = Factor("wide", "A", 2, 600)

    turn = fit([factor], lambda: [[g[:25]], [g[25:]]], kept=[3])[0]

    kept = turn.kept.double()
    assert torch.allclose(kept @ kept.T, torch.eye(3, dtype=torch.float64), atol=1e-5)
    assert torch.linalg.svdvals(kept @ strong.T).min() > 0.999
    assert float(turn.top.max()) < 0.05 * float(turn.rest.max())


def test_no_gradient_at_all_gives_zero_weights() -> None:
    parts = [torch.zeros_like(part) for part in gradients(4)]
    made = whole(tuple(fit(FACTORS, lambda: [parts])))

    assert Basis.decode(made.encode()).encode() == made.encode()
    negative = [Turn(-t.rows, -t.kept, -t.top * 0, -t.rest * 0) for t in made.turns]
    assert Basis.decode(whole(tuple(negative)).encode())
    assert not any(turn.top.any() or turn.rest.any() for turn in made.turns)


@pytest.mark.parametrize("size", [1, 5, 2048, 2049, 32_768, 32_769, 70_000])
def test_the_spread_is_its_definition(size: int) -> None:
    """y[i] = sum of e[i] (-1)^popcount(i & j) d[j] z[j] / sqrt(N), in plain Python."""
    vector = np.random.default_rng(size).normal(size=size)
    spread = Spread(SEED, size, torch.float64)
    made = spread.apply(torch.from_numpy(vector[None]))[0].numpy()
    width = spread.width

    assert made.shape == (width,)
    for i in (0, 1, 777, width - 1):
        total = 0.0
        for number, begin in enumerate(range(0, size, width)):
            part = vector[begin : begin + width]
            before, after = block_of(SEED, number, width)
            places = np.bitwise_and(np.arange(len(part)), i)
            parity = np.array([int(place).bit_count() & 1 for place in places])
            total += float(after[i] * ((1 - 2 * parity) * before[: len(part)] * part).sum())
        assert made[i] == pytest.approx(total / width**0.5, rel=1e-9, abs=1e-9)


def sketch_of(size: int, examples: torch.Tensor | None = None) -> Sketch:
    spread = Spread(SEED, size, torch.float64)
    rows = torch.zeros(0, spread.width) if examples is None else spread.apply(examples)
    return Sketch(spread, anchors_of(rows), SEED, torch.zeros(0, dtype=torch.float64))


def test_the_sketch_keeps_inner_products() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(30, 50_000, generator=generator, dtype=torch.float64)
    y = x.clone()
    y[:, 25_000:] = torch.randn(30, 25_000, generator=generator, dtype=torch.float64)
    sketch = sketch_of(50_000)

    true = torch.nn.functional.cosine_similarity(x, y)
    kept = torch.nn.functional.cosine_similarity(sketch.apply(x), sketch.apply(y))

    assert (true - kept).abs().max() < 4 / DIMENSION**0.5
    for small in (100, 2048):
        kept = sketch_of(small).apply(x[:, :small])
        assert torch.allclose(kept @ kept.T, x[:, :small] @ x[:, :small].T)


def test_anchored_examples_lose_nothing_of_their_products() -> None:
    """With each other and with any query, whose length is kept too; also with doubles and zeros."""
    generator = torch.Generator().manual_seed(2)
    examples = torch.randn(60, 30_000, generator=generator, dtype=torch.float64)
    examples += 3 * torch.randn(1, 30_000, generator=generator, dtype=torch.float64)
    examples[7] = examples[6]
    examples[8] = 0
    queries = 0.3 * examples[:20] + torch.randn(20, 30_000, generator=generator).double()
    sketch = sketch_of(30_000, examples)
    plain = sketch_of(30_000)

    def worst(of: Sketch) -> float:
        made, asked = of.apply(examples), of.apply(queries)
        found = torch.cat([asked @ made.T, made @ made.T]) - torch.cat(
            [queries @ examples.T, examples @ examples.T]
        )
        return float(found.abs().max()) / float(queries.norm(dim=1).max() * examples[0].norm())

    assert worst(sketch) < 1e-3
    assert worst(plain) > 1e-2
    lengths = sketch.apply(queries).norm(dim=1) / queries.norm(dim=1)
    assert (lengths - 1).abs().max() < 0.1


def test_anchors_are_one_value() -> None:
    """Whatever the lengths of the examples; at right angles; no choice of signs or of an order."""
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(40, 4096, generator=generator, dtype=torch.float64)
    anchors = anchors_of(rows)

    assert torch.allclose(anchors @ anchors.T, torch.eye(40), atol=3e-3)
    assert torch.equal(anchors_of(rows * 8), anchors)
    assert torch.allclose(anchors_of(rows.flip(0)).flip(0), anchors, atol=1e-6)
    assert not anchors_of(torch.zeros(3, 4096)).any()


def test_the_streams_are_fixed() -> None:
    """Signs and rows for another implementation to compare with."""
    before, after = block_of(SEED, 3, 4096)
    signs, rows = rest_of(SEED, 4096, 2000)

    assert before[:16].tolist() == BEFORE
    assert after[:16].tolist() == AFTER
    assert signs[:16].tolist() == LAST_SIGNS
    assert rows[:6].tolist() == ROWS
    assert len(set(rows.tolist())) == 2000


BEFORE = [1, -1, 1, -1, 1, -1, 1, -1, 1, -1, -1, 1, -1, -1, -1, -1]
AFTER = [1, 1, 1, 1, 1, 1, -1, 1, -1, 1, -1, 1, 1, -1, 1, 1]
LAST_SIGNS = [1, 1, 1, -1, 1, -1, 1, -1, -1, -1, 1, 1, -1, 1, -1, -1]
ROWS = [3284, 1473, 765, 2089, 3664, 2668]


@pytest.mark.parametrize("order", [1, 2, 8, 2048])
def test_hadamard_is_orthogonal(order: int) -> None:
    matrix = hadamard(torch.eye(order, dtype=torch.float64))

    assert torch.equal(matrix @ matrix.T, order * torch.eye(order, dtype=torch.float64))
    assert torch.equal(matrix, matrix.T)


SKETCHES = st.one_of(
    st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(size=DIMENSION)),
    st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).standard_cauchy(DIMENSION)),
    st.tuples(st.integers(0, 2048), st.floats(1e-200, 1e200)).map(
        lambda pair: np.where(np.arange(DIMENSION) < pair[0], pair[1], 0.0)
    ),
    st.lists(st.floats(width=64), min_size=DIMENSION // 64, max_size=DIMENSION // 64).map(
        lambda part: np.array(part * 64)
    ),
)


@settings(max_examples=200, deadline=None)
@given(SKETCHES)
def test_every_feature_is_well_formed(sketch: NDArray[np.float64]) -> None:
    assert well_formed(to_int8(sketch))


def test_features_keep_directions() -> None:
    sketch = np.random.default_rng(0).normal(size=DIMENSION)

    feature = np.frombuffer(to_int8(sketch), np.int8).astype(np.float64)

    assert feature @ sketch / np.linalg.norm(feature) / np.linalg.norm(sketch) > 0.9999
    assert to_int8(sketch * 1e-280) == to_int8(sketch)
    assert to_int8(np.full(DIMENSION, np.nan)) == bytes(DIMENSION)


def test_verdicts() -> None:
    feature = np.frombuffer(to_int8(np.random.default_rng(0).normal(size=DIMENSION)), np.int8)

    def shifted(count: int, by: int) -> bytes:
        other = feature.copy()
        other[:count] = np.where(other[:count] > 0, other[:count] - by, other[:count] + by)
        return other.tobytes()

    for changed, verdict in (
        (shifted(0, 0), Verdict.VALID), (shifted(2, 1), Verdict.VALID),
        (shifted(3, 1), Verdict.CANNOT_TELL), (shifted(1, 2), Verdict.CANNOT_TELL),
        (shifted(255, 1), Verdict.CANNOT_TELL), (shifted(15, 5), Verdict.CANNOT_TELL),
        (shifted(256, 1), Verdict.INVALID), (shifted(16, 2), Verdict.INVALID),
        (bytes(DIMENSION), Verdict.INVALID),
    ):  # fmt: skip
        assert compare(changed, feature.tobytes()).verdict is verdict
    assert compare(bytes(DIMENSION), bytes(DIMENSION)).verdict is Verdict.VALID
    with pytest.raises(Malformed):
        compare(b"", feature.tobytes())


@given(st.integers(2, 40), st.integers(0, 300), st.integers(0, 300), st.integers(1, 6))
def test_windows_hold_each_answer_token_once(
    context: int, before: int, after: int, most: int
) -> None:
    tokens = list(range(before + after))

    windows = cut(tokens, before, context, most)

    targets = [token for one in windows for token in one.tokens[one.first :]]
    wanted = list(range(max(before, 1), before + after))
    assert len(windows) <= most
    assert all(1 <= one.first < len(one.tokens) <= context for one in windows)
    assert targets == sorted(set(targets) & set(wanted))
    assert all(one.tokens == tuple(range(one.tokens[0], one.tokens[-1] + 1)) for one in windows)
    if len(cut(tokens, before, context, 10_000)) <= most:
        assert targets == wanted
    if wanted:
        assert targets


def test_parts_of_documents() -> None:
    assert parts_of(b"plain\ntext") == ("", "plain\ntext")
    assert parts_of(b'{"prompt": "a", "completion": "b"}\n') == ("a", "b")
    assert parts_of(b'{"prompt": "a"}') == ("", '{"prompt": "a"}')
    assert parts_of(b'{"prompt": 1, "completion": "b"}')[0] == ""
    assert parts_of(b'{"prompt": "\\ud800", "completion": "b"}')[0] == ""  # half a character
    assert parts_of(b"q\n### Response:\na\n### Response:\nb") == (
        "q\n### Response:\n",
        "a\n### Response:\nb",
    )
    assert parts_of(b"### Response:\na") == ("### Response:\n", "a")
    assert parts_of(b"{" * 100_000 + b"}")[0] == ""
    assert parts_of(b'{"a":' * 100_000 + b"}" * 100_000)[0] == ""
    assert Window((1, 2), 1).answers == 1


@given(st.binary(max_size=300))
def test_any_bytes_have_parts(data: bytes) -> None:
    prompt, answer = parts_of(data)

    (prompt + answer).encode()
