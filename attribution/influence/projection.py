"""The sketch: whitened gradients of any size to 2048 numbers, by signs and samples from a seed.

A block subsampled randomised Hadamard transform (Balabanov, Grigori, Nouy 2022).  The vector is cut
into blocks of BLOCK coordinates; of the last, and only of it, the size N may be smaller: the least
power of two that is at least 2048 and holds it.  With the stream

    S = SHAKE-256("openledger sketch 1" | seed 32 | block number u64 | N u64)   big-endian

its first N/8 bytes are signs d (most significant bit first, 1 is +1, 0 is -1), the next 8 N bytes
are N keys u64; rows are the indices of the 2048 smallest keys, by key, ties by index.  Then

    y[i] = sum over the blocks of (H (d * z))[rows[i]]      H[a, b] = (-1)^popcount(a & b)

so E[y . y'] = 2048 z . z'.  It costs O(p log p); nothing of size p x 2048 is ever held.
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

BLOCK = 1 << 14
SEED_BYTES = 32
SIZE_MAX = 1 << 31  # coordinates of a gradient
NAME = b"openledger sketch 1"


@dataclass(frozen=True, slots=True)
class _Block:
    signs: Tensor  # [N] in the type of use
    rows: Tensor  # [2048] indices


class Sketch:
    """The projection of vectors of `size` coordinates that `seed` draws."""

    def __init__(
        self, seed: bytes, size: int, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> None:
        require(len(seed) == SEED_BYTES, f"a seed has {SEED_BYTES} bytes")
        require(1 <= size <= SIZE_MAX, f"gradients of {size} coordinates")
        self.size = size
        self._blocks = []
        for number, begin in enumerate(range(0, size, BLOCK)):
            signs, rows = block_of(seed, number, block_size(size - begin))
            self._blocks.append(
                _Block(torch.from_numpy(signs).to(device, dtype), torch.from_numpy(rows).to(device))
            )

    def apply(self, vectors: Tensor) -> Tensor:
        """[n, size] -> [n, 2048]."""
        assert vectors.shape[1] == self.size
        out = vectors.new_zeros(len(vectors), DIMENSION)
        for number, block in enumerate(self._blocks):
            part = vectors[:, number * BLOCK : (number + 1) * BLOCK]
            padded = vectors.new_zeros(len(vectors), len(block.signs))
            padded[:, : part.shape[1]] = part * block.signs[: part.shape[1]]
            out += hadamard(padded)[:, block.rows]
        return out


def block_size(left: int) -> int:
    """N of the block that begins where `left` coordinates are left."""
    if left >= BLOCK:
        return BLOCK
    return max(DIMENSION, 1 << (left - 1).bit_length())


def block_of(seed: bytes, number: int, size: int) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Signs [size] and rows [2048] of a block."""
    name = NAME + seed + number.to_bytes(8, "big") + size.to_bytes(8, "big")
    stream = hashlib.shake_256(name).digest(size // 8 + 8 * size)
    bits = np.unpackbits(np.frombuffer(stream, np.uint8, size // 8))
    keys = np.frombuffer(stream, ">u8", offset=size // 8).astype(np.uint64)
    rows = np.argsort(keys, kind="stable")[:DIMENSION].astype(np.int64)
    return bits.astype(np.int8) * 2 - 1, rows


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
