"""The feature of an example and of an answer: gradient, whitening, sketch, eight bits."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attribution.influence.basis import Basis
from attribution.influence.gradients import Example, Gradients
from attribution.influence.model import open_adapter, open_base
from attribution.influence.precision import dtype_of
from attribution.influence.projection import Sketch, Spread
from attribution.influence.rounding import to_int8
from attribution.influence.tokens import example_windows, query_windows
from attribution.influence.whitening import whitened

BATCH = 16  # windows run at once on the fast path


def batch_of(dtype: str) -> int:
    """Audits run one window at a time, so that nothing is padded."""
    return 1 if dtype == "float64" else BATCH


class Featurizer:
    """Features under one adapter.  In float64, the default, no bit depends on the machine."""

    def __init__(self, gradients: Gradients, tokenizer: Any, basis: Basis, batch: int = 1) -> None:
        self._gradients, self._tokenizer, self._batch = gradients, tokenizer, batch
        self._context, self._windows = basis.context, basis.windows
        dtype, device = gradients.dtype, gradients.device
        self._turns = [turn.to(dtype, device) for turn in basis.turns]
        spread = Spread(basis.seed, gradients.size, dtype, device)
        self._sketch = Sketch(spread, basis.anchors, basis.seed, torch.empty(0).to(device, dtype))

    @classmethod
    def open(
        cls,
        base_dir: Path,
        adapter_file: Path,
        basis: bytes,
        seed: bytes,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        batch: int | None = None,
    ) -> Self:
        """`Malformed` for a basis that is not one of this adapter and seed, `Refused` for base or
        adapter.

        dtype "float32" is fast and off by one in a few coordinates of ten thousand; device as torch
        names it; batch: windows run at once, 1 in float64 unless said otherwise.
        """
        read = Basis.decode(basis)
        data, loras = open_adapter(adapter_file)
        kind = dtype_of(dtype)
        model, tokenizer = open_base(base_dir, kind, device)
        gradients = Gradients(model, loras, kind)
        read.check(hashlib.sha256(data).digest(), seed, gradients.factors)
        return cls(gradients, tokenizer, read, batch or batch_of(dtype))

    def example(self, text: bytes) -> bytes:
        """2048 int8 of a document; zero for one without an answer."""
        return self.examples([text])[0]

    def examples(self, texts: Sequence[bytes]) -> list[bytes]:
        return self.features(self.windows(texts))

    def windows(self, texts: Sequence[bytes]) -> list[Example]:
        """The tokens of documents as they are run."""
        context, most = self._context, self._windows
        return [example_windows(self._tokenizer, text, context, most) for text in texts]

    def query(self, prompt: bytes, output: bytes) -> bytes:
        """2048 int8 of an answer; zero for one without tokens."""
        return self.features([query_windows(self._tokenizer, prompt, output, self._context)])[0]

    def features(self, examples: Sequence[Example]) -> list[bytes]:
        return [to_int8(row) for row in self.sketches(examples)]

    def sketches(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """[n, 2048], before rounding."""
        sketched = self.project(self._gradients.of(examples, batch=self._batch))
        made: NDArray[np.float64] = sketched.to("cpu", torch.float64).numpy()
        return made

    def project(self, gradients: Sequence[Tensor]) -> Tensor:
        """Per matrix [n, rank, width] -> [n, 2048]."""
        return self._sketch.apply(whitened(self._turns, gradients))
