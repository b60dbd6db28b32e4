"""The published form of a whitening basis: one value, one byte string, bounded before it is read.

    magic "OLBASIS1" | adapter 32 (sha256 of its file) | context u32 | windows u32 | matrices u32
    | for each matrix  rank u32 | width u32 | kept u32
    | for each matrix  U rank*rank | V kept*width | top rank*kept | rest rank   float32

Numbers are big-endian, floats little-endian.  Matrices stand in the order of the layers' names, A
before B; the formula is in `whitening`.  context and windows say how documents are cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from attribution.influence.gradients import Factor
from attribution.influence.whitening import Turn
from protocol.codec import Reader, require, uint

MAGIC = b"OLBASIS1"
BASIS_BYTES_MAX = 1 << 30
MATRICES_MAX = 1 << 15
RANK_MAX = 1024
WIDTH_MAX = 1 << 20
CONTEXT_MAX = 1 << 16  # tokens
WINDOWS_MAX = 64
ENTRY_MAX = 1.001  # of an eigenvector, rounding included
HEAD_BYTES = len(MAGIC) + 32 + 12


@dataclass(frozen=True, slots=True)
class Basis:
    """What turns the gradients of one adapter into features, beside the seed."""

    adapter: bytes
    context: int  # tokens of a window
    windows: int  # of one document, at most
    turns: tuple[Turn, ...]  # float32, on the CPU

    def __post_init__(self) -> None:
        require(len(self.adapter) == 32, "an adapter's hash has 32 bytes")
        require(2 <= self.context <= CONTEXT_MAX, f"a context of {self.context} tokens")
        require(1 <= self.windows <= WINDOWS_MAX, f"{self.windows} windows of a document")
        require(1 <= len(self.turns) <= MATRICES_MAX, f"a basis of {len(self.turns)} matrices")

    def encode(self) -> bytes:
        numbers = (self.context, self.windows, len(self.turns))
        shapes = [n for turn in self.turns for n in (len(turn.top), *reversed(turn.kept.shape))]
        floats = [
            (part.contiguous().numpy().astype("<f4") + np.float32(0)).tobytes()  # no -0.0
            for turn in self.turns
            for part in (turn.rows, turn.kept, turn.top, turn.rest)
        ]
        head = b"".join(uint(number, 4) for number in (*numbers, *shapes))
        return b"".join((MAGIC, self.adapter, head, *floats))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """`Malformed` for any other form, or for numbers that no basis has."""
        require(len(data) <= BASIS_BYTES_MAX, f"a basis of {len(data)} bytes")
        reader = Reader(data[:HEAD_BYTES])
        require(reader.take(len(MAGIC)) == MAGIC, "no basis, or of an unknown version")
        adapter = reader.take(32)
        context, windows, count = (reader.uint(4) for _ in range(3))
        require(1 <= count <= MATRICES_MAX, f"a basis of {count} matrices")
        reader = Reader(data[HEAD_BYTES : HEAD_BYTES + 12 * count])
        shapes = [(reader.uint(4), reader.uint(4), reader.uint(4)) for _ in range(count)]
        for rank, width, kept in shapes:
            require(1 <= rank <= RANK_MAX and 1 <= width <= WIDTH_MAX, "shape of a matrix")
            require(0 <= kept <= width, f"{kept} directions kept of {width}")
        at = HEAD_BYTES + 12 * count
        floats = sum(r * r + kept * w + r * kept + r for r, w, kept in shapes)
        require(len(data) == at + 4 * floats, "a basis that is cut or too long")
        values = np.frombuffer(data, "<f4", offset=at)
        return cls(adapter, context, windows, tuple(_turns(values, shapes)))

    def check(self, adapter: bytes, factors: Sequence[Factor]) -> None:
        """`Malformed` unless it is made for that adapter and the matrices `factors` of it."""
        require(self.adapter == adapter, "the basis was made for another adapter")
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
            require(_within(part, least, most), "a basis with an entry out of its bounds")
            parts.append(torch.from_numpy(part.astype(np.float32)))
            at += size
        turns.append(Turn(*parts))
    return turns


def _within(part: NDArray[np.float32], least: float, most: float) -> bool:
    """NaN is within nothing, and -0.0 would be a second form of 0."""
    if not part.size:
        return True
    negative_zero = np.signbit(part) & (part == 0)
    return bool(part.min() >= least and part.max() <= most and not negative_zero.any())
