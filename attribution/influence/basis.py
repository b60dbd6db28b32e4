"""The published form of a whitening basis: one value, one byte string, bounded before it is read.

    magic "OLBASIS2" | adapter 32 (sha256 of its file) | seed 32
    | context u32 | windows u32 | anchors u32 | matrices u32
    | for each matrix  rank u32 | width u32 | kept u32
    | for each matrix  U rank*rank | V kept*width | top rank*kept | rest rank   float32
    | E anchors*N   float32

Numbers are big-endian, floats little-endian.  Matrices stand in the order of the layers' names, A
before B; their formula is in `whitening`, that of E and N in `projection`.  context and windows say
how documents are cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from attribution.influence.gradients import Factor
from attribution.influence.projection import (
    ANCHORS_MAX,
    SEED_BYTES,
    SIZE_MAX,
    anchors_most,
    spread_width,
)
from attribution.influence.whitening import Turn
from protocol.codec import Reader, require, uint

MAGIC = b"OLBASIS2"
BASIS_BYTES_MAX = 1 << 30
MATRICES_MAX = 1 << 15
RANK_MAX = 1024
WIDTH_MAX = 1 << 20
CONTEXT_MAX = 1 << 16  # tokens
WINDOWS_MAX = 64
ENTRY_MAX = 1.001  # of an eigenvector, rounding included
HEAD_BYTES = len(MAGIC) + 32 + SEED_BYTES + 16


@dataclass(frozen=True, slots=True)
class Basis:
    """What turns the gradients of one adapter into features, under the seed it was made for."""

    adapter: bytes
    seed: bytes
    context: int  # tokens of a window
    windows: int  # of one document, at most
    turns: tuple[Turn, ...]  # float32, on the CPU
    anchors: torch.Tensor  # E [anchors, N] float32

    def __post_init__(self) -> None:
        require(len(self.adapter) == 32, "an adapter's hash has 32 bytes")
        require(len(self.seed) == SEED_BYTES, f"a seed has {SEED_BYTES} bytes")
        require(2 <= self.context <= CONTEXT_MAX, f"a context of {self.context} tokens")
        require(1 <= self.windows <= WINDOWS_MAX, f"{self.windows} windows of a document")
        require(1 <= len(self.turns) <= MATRICES_MAX, f"a basis of {len(self.turns)} matrices")
        size = sum(len(turn.top) * turn.kept.shape[1] for turn in self.turns)
        require(1 <= size <= SIZE_MAX, f"a basis of {size} coordinates")
        require(len(self.anchors) <= anchors_most(size), f"a basis of {len(self.anchors)} anchors")
        require(self.anchors.shape[1] == spread_width(size), "anchors of another width")

    def encode(self) -> bytes:
        numbers = (self.context, self.windows, len(self.anchors), len(self.turns))
        shapes = [n for turn in self.turns for n in (len(turn.top), *reversed(turn.kept.shape))]
        parts = [p for turn in self.turns for p in (turn.rows, turn.kept, turn.top, turn.rest)]
        floats = [
            (part.contiguous().numpy().astype("<f4") + np.float32(0)).tobytes()  # no -0.0
            for part in (*parts, self.anchors)
        ]
        head = b"".join(uint(number, 4) for number in (*numbers, *shapes))
        return b"".join((MAGIC, self.adapter, self.seed, head, *floats))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """`Malformed` for any other form, or for numbers that no basis has."""
        require(len(data) <= BASIS_BYTES_MAX, f"a basis of {len(data)} bytes")
        reader = Reader(data[:HEAD_BYTES])
        require(reader.take(len(MAGIC)) == MAGIC, "no basis, or of an unknown version")
        adapter, seed = reader.take(32), reader.take(SEED_BYTES)
        context, windows, anchors, count = (reader.uint(4) for _ in range(4))
        require(anchors <= ANCHORS_MAX, f"a basis of {anchors} anchors")
        require(1 <= count <= MATRICES_MAX, f"a basis of {count} matrices")
        reader = Reader(data[HEAD_BYTES : HEAD_BYTES + 12 * count])
        shapes = [(reader.uint(4), reader.uint(4), reader.uint(4)) for _ in range(count)]
        for rank, width, kept in shapes:
            require(1 <= rank <= RANK_MAX and 1 <= width <= WIDTH_MAX, "shape of a matrix")
            require(0 <= kept <= width, f"{kept} directions kept of {width}")
        at = HEAD_BYTES + 12 * count
        size = sum(r * w for r, w, _ in shapes)
        require(size <= SIZE_MAX, f"a basis of {size} coordinates")
        floats = sum(r * r + kept * w + r * kept + r for r, w, kept in shapes)
        whole = floats + anchors * spread_width(size)
        require(len(data) == at + 4 * whole, "a basis that is cut or too long")
        values = np.frombuffer(data, "<f4", offset=at)
        turns = tuple(_turns(values[:floats], shapes))
        last = _checked(values[floats:].reshape(anchors, spread_width(size)), -ENTRY_MAX, ENTRY_MAX)
        return cls(adapter, seed, context, windows, turns, last)

    def check(self, adapter: bytes, seed: bytes, factors: Sequence[Factor]) -> None:
        """`Malformed` unless it is made for that adapter, that seed and the matrices `factors`."""
        require(self.adapter == adapter, "the basis was made for another adapter")
        require(self.seed == seed, "the basis was made for another seed")
        shapes = [(len(turn.top), turn.kept.shape[1]) for turn in self.turns]
        require(shapes == [(f.rank, f.width) for f in factors], "the basis has other shapes")


def _turns(values: NDArray[np.float32], shapes: Sequence[tuple[int, int, int]]) -> list[Turn]:
    """Views of `values`, each part checked."""
    at, turns = 0, []
    for rank, width, kept in shapes:
        parts: list[torch.Tensor] = []
        for shape in ((rank, rank), (kept, width), (rank, kept), (rank,)):
            size = int(np.prod(shape))
            part = values[at : at + size].reshape(shape)
            least, most = (-ENTRY_MAX, ENTRY_MAX) if len(parts) < 2 else (0.0, 1.0)
            parts.append(_checked(part, least, most))
            at += size
        turns.append(Turn(*parts))
    return turns


def _checked(part: NDArray[np.float32], least: float, most: float) -> torch.Tensor:
    require(_within(part, least, most), "a basis with an entry out of its bounds")
    return torch.from_numpy(part.astype(np.float32))


def _within(part: NDArray[np.float32], least: float, most: float) -> bool:
    """NaN is within nothing, and -0.0 would be a second form of 0."""
    if not part.size:
        return True
    negative_zero = np.signbit(part) & (part == 0)
    return bool(part.min() >= least and part.max() <= most and not negative_zero.any())
