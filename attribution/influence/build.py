"""Makes the features of all examples of an adapter, and the basis they stand in."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attribution.influence.basis import Basis
from attribution.influence.featurizer import BATCH, Featurizer, batch_of
from attribution.influence.gradients import Example, Gradients
from attribution.influence.model import context_of, open_adapter, open_base
from attribution.influence.precision import dtype_of
from attribution.influence.projection import Spread, anchors_most, anchors_of
from attribution.influence.tokens import example_windows
from attribution.influence.whitening import Passes, Turn, fit, whitened
from protocol.errors import Refused, Temporary
from protocol.features import DIMENSION

CONTEXT = 1024  # tokens of a window, where the model holds as many
WINDOWS = 4  # of one document
SAMPLE_MAX = 2048  # examples that make the basis, spread over all
CACHE_BYTES = 1 << 30  # gradients held rather than computed again
CHUNK_BYTES = 256 << 20  # gradients of one step

Progress = Callable[[str, int, int], None]  # what is done, examples so far, of how many
ShouldStop = Callable[[], bool]


class Stopped(Temporary):
    """The work was stopped on request."""


@dataclass(frozen=True, slots=True)
class Built:
    """basis: its published form; phi [n, 2048] int8 in the order of the documents."""

    basis: bytes
    phi: NDArray[np.int8]


def silent(doing: str, done: int, total: int) -> None:
    """The progress nobody watches."""


def never() -> bool:
    return False


def build_features(
    base_dir: Path,
    adapter_file: Path,
    documents: Sequence[bytes],
    seed: bytes,
    *,
    progress: Progress = silent,
    should_stop: ShouldStop = never,
    dtype: str = "float64",
    device: str = "cpu",
    context: int = CONTEXT,
    windows: int = WINDOWS,
) -> Built:
    """Basis and features of `documents` under an adapter.

    Raises `Refused` for a base or adapter that cannot be used or no documents, `Stopped` when
    `should_stop()` turns true.
    """
    if not documents:
        raise Refused("an adapter without documents has no features")
    data, loras = open_adapter(adapter_file)
    kind = dtype_of(dtype)
    model, tokenizer = open_base(base_dir, kind, device)
    gradients = Gradients(model, loras, kind)
    context = context_of(model, context)
    examples = [example_windows(tokenizer, text, context, windows) for text in documents]
    source = _Source(gradients, batch_of(dtype), progress, should_stop)
    sample = examples[:: -(-len(examples) // SAMPLE_MAX)]
    passes = source.passes(sample)
    turns = fit(gradients.factors, passes)
    few = len(examples) <= anchors_most(gradients.size)  # then the sample is all of them
    anchors = _anchors(gradients, turns, passes if few else tuple, seed)
    basis = Basis(hashlib.sha256(data).digest(), seed, context, windows, tuple(turns), anchors)
    featurizer = Featurizer(gradients, tokenizer, basis, source.batch)
    phi = np.zeros((len(examples), DIMENSION), np.int8)
    for at in range(0, len(examples), source.chunk):
        source.check("features", at, len(examples))
        made = featurizer.features(examples[at : at + source.chunk])
        phi[at : at + len(made)] = np.frombuffer(b"".join(made), np.int8).reshape(-1, DIMENSION)
    source.check("features", len(examples), len(examples))
    return Built(basis.encode(), phi)


def _anchors(gradients: Gradients, turns: Sequence[Turn], passes: Passes, seed: bytes) -> Tensor:
    """E of the examples that `passes` runs over."""
    spread = Spread(seed, gradients.size, gradients.dtype, gradients.device)
    here = [turn.to(gradients.dtype, gradients.device) for turn in turns]
    rows = [spread.apply(whitened(here, batch)).to("cpu", torch.float64) for batch in passes()]
    return anchors_of(torch.cat(rows) if rows else torch.zeros(0, spread.width))


@dataclass(frozen=True, slots=True)
class _Source:
    """Gradients in chunks, told to `progress`."""

    gradients: Gradients
    batch: int
    progress: Progress
    should_stop: ShouldStop

    @property
    def chunk(self) -> int:
        """Examples whose gradients are held at a time."""
        return max(1, min(16 * BATCH, CHUNK_BYTES // (8 * self.gradients.size)))

    def check(self, doing: str, done: int, total: int) -> None:
        if self.should_stop():
            raise Stopped(f"building features was stopped at {doing} {done} of {total}")
        self.progress(doing, done, total)

    def passes(self, examples: Sequence[Example]) -> Callable[[], Iterator[list[Tensor]]]:
        """Runs over the examples' gradients, kept in memory where they are few enough."""
        keep = 8 * self.gradients.size * len(examples) <= CACHE_BYTES
        held: list[list[Tensor]] = []

        def run() -> Iterator[list[Tensor]]:
            if held:
                yield from held
                return
            fresh = []
            for at in range(0, len(examples), self.chunk):
                self.check("basis", at, len(examples))
                found = self.gradients.of(examples[at : at + self.chunk], batch=self.batch)
                if keep:
                    fresh.append(found)
                yield found
            held.extend(fresh)

        return run
