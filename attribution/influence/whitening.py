"""Whitening of LoRA gradients by an eigen-corrected Kronecker basis (Grosse et al. 2023, EKFAC).

For the gradients g_j [rank, width] of one LoRA matrix over the examples j,

    U  [rank, rank]   eigenvectors of sum_j g_j g_j^T
    V  [kept, width]  the first eigenvectors of sum_j g_j^T g_j, as rows
    t_j = U^T g_j     r_j = t_j V^T            the rest  e_j = t_j - r_j V
    a [rank, kept] = mean_j r_j^2              b [rank] = mean_j |e_j|^2 / (width - kept), by row
    m = mean of all rank * width variances (a, and width - kept times b)
    top = 1 / sqrt(a + DAMPING m)              rest = 1 / sqrt(b + DAMPING m)

and, since directions beyond the kept ones are taken to be alike, the whitened gradient is

    z_j = U (rest * t_j + ((top - rest) * r_j) V)  [rank, width]

turned back on both sides: so the sign of an eigenvector does not matter, nor, where their weights
are alike, which of a plane's vectors were found; who builds the basis again gets the same features.
Where kept = width there is no rest.  All weights are divided by the largest of all matrices, which
changes no feature, so that they lie in [0, 1].
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attribution.influence.gradients import Factor

DAMPING = 0.03
KEPT_MAX = 1024  # directions of one matrix
BASIS_BYTES_AIM = 320 << 20  # a basis keeps fewer directions where it would be larger
KEPT_MIN = 8
OVERSAMPLED = 8  # more directions are sought than kept

Passes = Callable[[], Iterable[Sequence[Tensor]]]  # each call: all gradients again, in batches


@dataclass(frozen=True, slots=True)
class Turn:
    """The whitening of one matrix; float32 values, on the device and in the type of use."""

    rows: Tensor  # U [rank, rank]
    kept: Tensor  # V [kept, width]
    top: Tensor  # [rank, kept]
    rest: Tensor  # [rank]

    def apply(self, gradients: Tensor) -> Tensor:
        """[n, rank, width] -> whitened [n, rank, width]."""
        turned = self.rows.T @ gradients
        seen = turned @ self.kept.T
        rest = self.rest[:, None]
        return self.rows @ (rest * turned + ((self.top - rest) * seen) @ self.kept)

    def to(self, dtype: torch.dtype, device: torch.device | str) -> "Turn":
        rows, kept, top, rest = (
            part.to(device=device, dtype=dtype)
            for part in (self.rows, self.kept, self.top, self.rest)
        )
        return Turn(rows, kept, top, rest)


def whitened(turns: Sequence[Turn], gradients: Sequence[Tensor]) -> Tensor:
    """Per matrix [n, rank, width] -> [n, coordinates of all]."""
    parts = [turn.apply(g).flatten(1) for turn, g in zip(turns, gradients, strict=True)]
    return torch.cat(parts, 1)


def kept_of(factors: Sequence[Factor]) -> list[int]:
    """How many directions each matrix keeps: as many as a basis of the bounded size holds."""
    most = KEPT_MAX
    while most > KEPT_MIN and 4 * sum(_floats(f, min(f.width, most)) for f in factors) > (
        BASIS_BYTES_AIM
    ):
        most //= 2
    return [min(factor.width, most) for factor in factors]


def _floats(factor: Factor, kept: int) -> int:
    return factor.rank * factor.rank + kept * factor.width + factor.rank * (kept + 1)


def fit(
    factors: Sequence[Factor],
    passes: Passes,
    *,
    kept: Sequence[int] | None = None,
    damping: float = DAMPING,
) -> list[Turn]:
    """The basis of the examples that `passes` runs over: three times, twice if nothing is cut.

    Matrices that keep all directions get them from the whole covariance; of others the subspace is
    found by two steps of a power iteration from a fixed start (Halko et al. 2011).
    """
    kept = list(kept or kept_of(factors))
    seekers = [_seeker(number, factor, kept[number]) for number, factor in enumerate(factors)]
    rows, wide = _covariances(factors, passes, seekers)
    if any(seeker is not None for seeker in seekers):
        seekers = [
            None if seeker is None else torch.linalg.qr(seen)[0]
            for seeker, seen in zip(seekers, wide, strict=True)
        ]
        again = _covariances(factors, passes, seekers)[1]
        wide = [seen if seeker is None else new for seeker, seen, new in zip(
            seekers, wide, again, strict=True)]  # fmt: skip
    turns = []
    for number, factor in enumerate(factors):
        axes = _directions(wide[number], seekers[number], kept[number])
        turns.append((_eigenvectors(rows[number]), axes, factor))
    variances = _variances([turn[:2] for turn in turns], passes)
    return _weighed(turns, variances, damping)


def _seeker(number: int, factor: Factor, kept: int) -> Tensor | None:
    """Random signs [width, kept + OVERSAMPLED] to start from; None where all is kept."""
    size = kept + OVERSAMPLED
    if size >= factor.width or kept == factor.width:
        return None
    seed = b"openledger range " + number.to_bytes(4, "big")
    bits = np.unpackbits(
        np.frombuffer(hashlib.shake_256(seed).digest(-(-factor.width * size // 8)), np.uint8)
    )
    signs = bits[: factor.width * size].reshape(factor.width, size).astype(np.float64) * 2 - 1
    return torch.from_numpy(signs)


def _covariances(
    factors: Sequence[Factor], passes: Passes, seekers: Sequence[Tensor | None]
) -> tuple[list[Tensor], list[Tensor]]:
    """Sums over the examples: g g^T [rank, rank], and g^T g [width, width] or times its seeker."""
    rows = [torch.zeros(f.rank, f.rank, dtype=torch.float64) for f in factors]
    wide = [
        torch.zeros(f.width, f.width if s is None else s.shape[1], dtype=torch.float64)
        for f, s in zip(factors, seekers, strict=True)
    ]
    for batch in passes():
        for number, part in enumerate(batch):
            g = part.to("cpu", torch.float64)
            rows[number] += torch.einsum("nrw,nsw->rs", g, g)
            flat, seeker = g.reshape(-1, g.shape[2]), seekers[number]
            wide[number] += flat.T @ (flat if seeker is None else flat @ seeker)
    return rows, wide


def _directions(wide: Tensor, seeker: Tensor | None, kept: int) -> Tensor:
    """The first eigenvectors, as rows [kept, width], of what `_covariances` gave."""
    if seeker is None:
        return _eigenvectors(wide).T[:kept]
    small = seeker.T @ wide
    return _signed(seeker @ _eigenvectors((small + small.T) / 2)).T[:kept]


def _eigenvectors(matrix: Tensor) -> Tensor:
    """As columns, the largest first."""
    scale = matrix.abs().max()
    vectors = torch.linalg.eigh(matrix / scale if scale > 0 else matrix)[1]
    return _signed(vectors.flip(1))


def _signed(columns: Tensor) -> Tensor:
    """Each column with its largest entry positive: an eigenvector has no sign of its own."""
    largest = columns.gather(0, columns.abs().argmax(0)[None])
    return columns * torch.where(largest < 0, -1.0, 1.0)


def _variances(
    turns: Sequence[tuple[Tensor, Tensor]], passes: Passes
) -> list[tuple[Tensor, Tensor]]:
    """For each matrix the means of r^2 [rank, kept] and of |e|^2 [rank]."""
    count = 0
    sums = [
        (torch.zeros(len(rows), len(axes), dtype=torch.float64), torch.zeros(len(rows)).double())
        for rows, axes in turns
    ]
    for batch in passes():
        count += len(batch[0])
        for (rows, axes), part, (top, rest) in zip(turns, batch, sums, strict=True):
            turned = rows.T @ part.to("cpu", torch.float64)
            seen = turned @ axes.T
            top += (seen**2).sum(0)
            rest += (turned**2).sum((0, 2)) - (seen**2).sum((0, 2))
    return [(top / max(count, 1), (rest / max(count, 1)).clamp(min=0)) for top, rest in sums]


def _weighed(
    turns: Sequence[tuple[Tensor, Tensor, Factor]],
    variances: Sequence[tuple[Tensor, Tensor]],
    damping: float,
) -> list[Turn]:
    weights = []
    for (_, axes, factor), (top, rest) in zip(turns, variances, strict=True):
        beyond = factor.width - len(axes)
        damped = damping * (top.sum() + rest.sum()) / factor.size
        low = _inverse_root(rest / beyond, damped) if beyond else torch.zeros_like(rest)
        weights.append((_inverse_root(top, damped), low))
    largest = max(float(part.max()) for pair in weights for part in pair if part.numel())
    made = []
    for (rows, axes, _), pair in zip(turns, weights, strict=True):
        top, rest = (part / largest if largest else part for part in pair)
        made.append(Turn(rows.float(), axes.float().contiguous(), top.float(), rest.float()))
    return made


def _inverse_root(variance: Tensor, damping: Tensor) -> Tensor:
    """1 / sqrt(variance + damping); 0 where there is no gradient at all."""
    whole = variance + damping
    return torch.where(whole > 0, whole.clamp(min=1e-300).rsqrt(), 0.0)
