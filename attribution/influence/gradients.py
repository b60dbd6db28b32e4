"""Per-example gradients of the loss with respect to LoRA matrices, by what passes their layers.

For y += s B A x with x [T, inputs], and g = dL/dy [T, outputs] of one example,

    dL/dA = s (g B)^T x   [rank, inputs]        dL/dB = s g^T (x A^T)   [outputs, rank]

so one backward pass to the layers' outputs gives the gradients of all examples in it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attribution.influence.adapter import Lora
from attribution.influence.model import layers_of
from attribution.influence.precision import computing_in
from attribution.influence.tokens import Window

Example = Sequence[Window]


@dataclass(frozen=True, slots=True)
class Factor:
    """One LoRA matrix; its gradients are kept as [rank, width], so B's is transposed."""

    layer: str
    side: str  # "A" or "B"
    rank: int
    width: int

    @property
    def size(self) -> int:
        return self.rank * self.width


@dataclass(frozen=True, slots=True)
class _Passed:
    """What passed a layer once: x, A x [B, T, .], and the adapter's addition to its output."""

    number: int
    inputs: Tensor
    hidden: Tensor
    added: Tensor


class Gradients:
    """The gradients of one adapter on one base; the model's own weights are left alone."""

    def __init__(self, model: Any, loras: Sequence[Lora], dtype: torch.dtype) -> None:
        self._model, self.dtype = model, dtype
        self._modules = layers_of(model, loras)
        self.device = next(model.parameters()).device
        self._loras = [
            Lora(lora.layer, self._moved(lora.down), self._moved(lora.up), lora.scale)
            for lora in loras
        ]
        self.factors = tuple(
            factor
            for lora in loras
            for factor in (
                Factor(lora.layer, "A", lora.rank, int(lora.down.shape[1])),
                Factor(lora.layer, "B", lora.rank, int(lora.up.shape[0])),
            )
        )
        self.size = sum(factor.size for factor in self.factors)

    def of(self, examples: Sequence[Example], *, batch: int = 1) -> list[Tensor]:
        """For each factor [examples, rank, width]: of the mean loss per answer token.

        `batch` windows are run at once, padded on the right, where a causal model does not see it.
        With a batch of one nothing is padded, so that no example depends on its neighbours; that
        is how audits compute.  An example without windows has gradient zero.
        """
        out = [
            torch.zeros(len(examples), f.rank, f.width, dtype=self.dtype, device=self.device)
            for f in self.factors
        ]
        runs = [
            (number, window, 1 / sum(one.answers for one in example))
            for number, example in enumerate(examples)
            for window in example
        ]
        runs.sort(key=lambda run: len(run[1].tokens))  # stable: alike lengths pad little
        for at in range(0, len(runs), batch):
            if not self._add(runs[at : at + batch], out):
                for run in runs[at : at + batch]:
                    self._add([run], out)
        return out

    def losses(self, examples: Sequence[Example]) -> list[float]:
        """Mean loss per answer token of each example, in nats; 0 without windows."""
        found = []
        for example in examples:
            total = 0.0
            answers = sum(window.answers for window in example)
            for window in example:
                with torch.no_grad(), self._hooked([]):
                    total += float(self._loss([window], [1 / answers]))
            found.append(total)
        return found

    def _add(self, runs: Sequence[tuple[int, Window, float]], out: Sequence[Tensor]) -> bool:
        """Add the runs' gradients to their examples' rows; False, and nothing, if they mix."""
        passed: list[_Passed] = []
        numbers = torch.tensor([number for number, _, _ in runs], device=self.device)
        with torch.enable_grad(), self._hooked(passed):
            loss = self._loss([run[1] for run in runs], [run[2] for run in runs])
        added = [one.added for one in passed]
        if any(_per_run(tensor, len(runs)) is None for tensor in added):
            return False
        gradients = torch.autograd.grad(loss, added, allow_unused=True)
        for one, gradient in zip(passed, gradients, strict=True):
            if gradient is None:
                continue
            lora = self._loras[one.number]
            parts = [_per_run(tensor, len(runs)) for tensor in (gradient, one.inputs, one.hidden)]
            g, x, h = (part for part in parts if part is not None)
            g = g * lora.scale
            out[2 * one.number].index_add_(0, numbers, (g @ lora.up).transpose(1, 2) @ x)
            out[2 * one.number + 1].index_add_(0, numbers, h.transpose(1, 2) @ g)
        return True

    def _loss(self, windows: Sequence[Window], weights: Sequence[float]) -> Tensor:
        """Sum over the windows of weight * (sum of the losses of its answer tokens)."""
        longest = max(len(window.tokens) for window in windows)
        ids = torch.zeros(len(windows), longest, dtype=torch.long)
        weight = torch.zeros(len(windows), longest, dtype=self.dtype)
        for row, window in enumerate(windows):
            ids[row, : len(window.tokens)] = torch.tensor(window.tokens)
            weight[row, window.first : len(window.tokens)] = weights[row]
        ids, weight = ids.to(self.device), weight.to(self.device)
        with computing_in(self.dtype):
            logits = self._model(input_ids=ids, use_cache=False).logits[:, :-1]
            taken = weight[:, 1:] != 0
            chosen = torch.log_softmax(logits[taken], -1)
            chosen = chosen.gather(-1, ids[:, 1:][taken][:, None])[:, 0]
        loss: Tensor = -(chosen * weight[:, 1:][taken]).sum()
        return loss

    @contextmanager
    def _hooked(self, passed: list[_Passed]) -> Iterator[None]:
        """Inside, the layers add what the adapter says, and tell it."""
        handles = []

        def hook(number: int) -> Any:
            lora = self._loras[number]

            def add(module: Any, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
                x: Tensor = arguments[0]
                hidden = x @ lora.down.T
                added = lora.scale * (hidden @ lora.up.T)
                if torch.is_grad_enabled():
                    if not added.requires_grad:
                        added.requires_grad_()
                    passed.append(_Passed(number, x.detach(), hidden.detach(), added))
                return output + added

            return add

        try:
            for number, module in enumerate(self._modules):
                handles.append(module.register_forward_hook(hook(number)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(device=self.device, dtype=self.dtype)


def _per_run(tensor: Tensor, runs: int) -> Tensor | None:
    """[runs, tokens, width] of what a layer saw; None where it mixes examples, as experts do."""
    if runs == 1:
        return tensor.reshape(1, -1, tensor.shape[-1])
    return tensor if tensor.dim() == 3 and tensor.shape[0] == runs else None
