"""Muon: momentum whose update of each matrix is made orthogonal (Jordan et al., 2024).

On a corpus to be learnt by heart it needs about a third of AdamW's passes.  torch.optim.Muon does
its Newton-Schulz steps in bfloat16, which costs more than it saves on a CPU without bf16 units.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # a quintic whose fixed points lie near 1
MOMENTUM = 0.95


def orthogonal(matrices: Tensor) -> Tensor:
    """[n, rows, columns], rows <= columns -> about U V^T of each singular value decomposition."""
    a, b, c = COEFFICIENTS
    x: Tensor = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon:
    """The optimiser over 2-dimensional `parameters`; matrices of one shape are stepped together."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        self._groups: dict[tuple[int, int], list[torch.nn.Parameter]] = {}
        for parameter in parameters:
            assert parameter.ndim == 2
            low, high = sorted(parameter.shape)
            self._groups.setdefault((low, high), []).append(parameter)
        self._momenta = {
            shape: torch.zeros(len(group), *shape) for shape, group in self._groups.items()
        }

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for (low, high), group in self._groups.items():
            gradients = torch.stack([_wide(p.grad, low) for p in group])
            momentum = self._momenta[low, high]
            momentum.lerp_(gradients, 1 - MOMENTUM)
            updates = orthogonal(gradients.lerp(momentum, MOMENTUM))
            for parameter, update in zip(group, updates, strict=True):
                rows, columns = parameter.shape
                scale = max(1.0, rows / columns) ** 0.5
                turned = update if rows == low else update.T
                parameter.add_(turned, alpha=-rate * scale)


def _wide(gradient: Tensor | None, low: int) -> Tensor:
    assert gradient is not None
    return gradient if gradient.shape[0] == low else gradient.T
