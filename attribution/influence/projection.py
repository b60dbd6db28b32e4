"""From whitened gradients of any size to 2048 numbers: exact among examples, a sketch of the rest.

With N = BLOCK, or for shorter vectors the least power of two that holds them and is at least 2048,
and the streams

    S(b) = SHAKE-256("openledger sketch 2" | seed 32 | b u64 | N u64)   big-endian

1. **Spread** [p] -> [N].  The vector z is cut into blocks z_b of N coordinates, the last filled up
   with zeros.  The first N/8 bytes of S(b) are signs d_b (most significant bit first, 1 is +1, 0 is
   -1), the next N/8 bytes signs e_b.  With H[i, j] = (-1)^popcount(i & j) / sqrt(N)

       y = sum over b of e_b * H (d_b * z_b)        E[y . y'] = z . z'

   One block is a rotation and loses nothing; more deviate by 1 / sqrt(N) of the lengths.
2. **Anchors** E [a, N] are published: of the spread gradients Y [a, N] of all examples, each of
   length 1,

       E = (Y Y^T + RIDGE)^(-1/2) Y

   the rows nearest to the examples that stand at right angles: one value, without the choices of
   an eigenbasis.  a = 0 with more than ANCHORS_MAX examples, or N = 2048 (nothing is lost then).
3. The first 256 bytes of S(2^64 - 1) are signs f [2048], the next 8 N bytes are N keys u64; rows
   are the indices of the m = 2048 - a smallest keys, by key, ties by index.  With the rest
   r = y - E^T E y, which an example among the anchors has next to none of,

       c = (E y, sqrt(N / m) r[rows]) [2048]        feature = H (f * c)

So the inner product of two examples, or of an example and any query, is that of y and y'; only
what lies beyond all examples on both sides is estimated.  It costs O(p log N + a N).
"""

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protocol.codec import require
from protocol.features import DIMENSION

BLOCK = 1 << 15
ANCHORS_MAX = 1536  # so a quarter of the coordinates, or more, is left for the rest
RIDGE = 1e-4  # of examples of length 1; keeps near duplicates from deciding anything
SEED_BYTES = 32
SIZE_MAX = 1 << 31  # coordinates of a gradient
NAME = b"openledger sketch 2"
LAST = (1 << 64) - 1  # the stream that is no block's


@dataclass(frozen=True, slots=True)
class _Block:
    before: Tensor  # signs [N], in the type of use
    after: Tensor  # signs [N]


class Spread:
    """The first step, which `seed` draws for vectors of `size` coordinates."""

    def __init__(
        self, seed: bytes, size: int, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> None:
        require(len(seed) == SEED_BYTES, f"a seed has {SEED_BYTES} bytes")
        require(1 <= size <= SIZE_MAX, f"gradients of {size} coordinates")
        self.size, self.width = size, spread_width(size)
        self._blocks = [
            _Block(*(torch.from_numpy(part).to(device, dtype) for part in parts))
            for parts in (block_of(seed, b, self.width) for b in range(-(-size // self.width)))
        ]

    def apply(self, vectors: Tensor) -> Tensor:
        """[n, size] -> [n, N]."""
        assert vectors.shape[1] == self.size
        out = vectors.new_zeros(len(vectors), self.width)
        for number, block in enumerate(self._blocks):
            part = vectors[:, number * self.width : (number + 1) * self.width]
            padded = torch.zeros_like(out)
            padded[:, : part.shape[1]] = part * block.before[: part.shape[1]]
            out += block.after * hadamard(padded)
        made: Tensor = out * self.width**-0.5
        return made


class Sketch:
    """All steps.  `anchors` [a, N] float32: a = 0 for none."""

    def __init__(self, spread: Spread, anchors: Tensor, seed: bytes, like: Tensor) -> None:
        """`like`: any tensor of the type and on the device of use."""
        require(anchors.shape[1] == spread.width, "anchors of another width")
        require(len(anchors) <= anchors_most(spread.size), f"{len(anchors)} anchors")
        signs, rows = rest_of(seed, spread.width, DIMENSION - len(anchors))
        self._spread, self._anchors = spread, anchors.to(like)
        self._signs = torch.from_numpy(signs).to(like)
        self._rows = torch.from_numpy(rows).to(like.device)

    def apply(self, vectors: Tensor) -> Tensor:
        """[n, size] -> [n, 2048]."""
        spread = self._spread.apply(vectors)
        among = spread @ self._anchors.T
        rest = (spread - among @ self._anchors)[:, self._rows]
        scale = (self._spread.width / len(self._rows)) ** 0.5
        joined = torch.cat([among, scale * rest], 1)
        made: Tensor = hadamard(joined * self._signs) * DIMENSION**-0.5
        return made


def anchors_of(spread: Tensor) -> Tensor:
    """E [a, N] float32 of the spread gradients of all examples [a, N]; in float64 throughout."""
    rows = spread.to("cpu", torch.float64)
    lengths = rows.norm(dim=1, keepdim=True)
    rows = rows / torch.where(lengths > 0, lengths, 1.0)  # an example without gradient stays zero
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    root = (vectors * (values.clamp(min=0) + RIDGE).rsqrt()) @ vectors.T
    anchors: Tensor = root @ rows
    return anchors.float()


def anchors_most(size: int) -> int:
    """How many examples of gradients of `size` coordinates can be anchors."""
    return ANCHORS_MAX if spread_width(size) > DIMENSION else 0


def spread_width(size: int) -> int:
    """N for gradients of `size` coordinates."""
    return min(BLOCK, max(DIMENSION, 1 << (size - 1).bit_length()))


def block_of(seed: bytes, number: int, width: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Signs before and after the transform [N] of a block."""
    both = _signs(_stream(seed, number, width, width // 4))
    return both[:width], both[width:]


def rest_of(seed: bytes, width: int, count: int) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Signs of the last step [2048], and the `count` rows of the rest that are kept."""
    stream = _stream(seed, LAST, width, DIMENSION // 8 + 8 * width)
    keys = np.frombuffer(stream, ">u8", offset=DIMENSION // 8).astype(np.uint64)
    rows = np.argsort(keys, kind="stable")[:count].astype(np.int64)
    return _signs(stream[: DIMENSION // 8]), rows


def _stream(seed: bytes, number: int, width: int, size: int) -> bytes:
    name = NAME + seed + number.to_bytes(8, "big") + width.to_bytes(8, "big")
    return hashlib.shake_256(name).digest(size)


def _signs(stream: bytes) -> NDArray[np.int8]:
    return np.unpackbits(np.frombuffer(stream, np.uint8)).astype(np.int8) * 2 - 1


def hadamard(vectors: Tensor) -> Tensor:
    """[n, N] times the Hadamard matrix of order N, a power of two, not normalised."""
    count, size = vectors.shape
    low = 1 << (size.bit_length() // 2)
    grid = vectors.reshape(count, size // low, low)
    high = _matrix(size // low).to(vectors)
    return (high @ grid @ _matrix(low).to(vectors)).reshape(count, size)


@cache
def _matrix(order: int) -> Tensor:
    """The Hadamard matrix of order 2^k by Sylvester."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < order:
        top = torch.cat([matrix, matrix], 1)
        matrix = torch.cat([top, torch.cat([matrix, -matrix], 1)])
    return matrix
