"""The feature store: the rows of an adapter's examples as arrays over one file, under one root.

body = row 0 | row 1 | ...        row, 2096 bytes, big-endian:
shard u32 | document u32 | contributor u32 | duplicate of u32 | content root 32 | phi 2048 x i8
"""

import mmap
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from protocol.codec import require
from protocol.errors import Malformed
from protocol.features import DIMENSION, ROWS_MAX, FeatureRow
from protocol.merkle import FEATURE, FEATURE_LEAF, HASH, Commitment, depth_of

ROW = np.dtype(
    [
        ("shard", ">u4"),
        ("document", ">u4"),
        ("contributor", ">u4"),
        ("duplicate_of", ">u4"),
        ("content_root", "V32"),
        ("phi", "i1", (DIMENSION,)),
    ]
)
NORM_ROWS = 4096  # rows whose squares are held at a time
HASH_BYTES = 32

assert ROW.itemsize == FEATURE_LEAF


class FeatureSet:
    """Rows of features; arrays are views of the body, so a mapped file costs no memory.

    Nothing is judged here but the shape: whether rows are right is asked by `protocol.features`
    and the refutations.  The Merkle tree is hashed on first use and holds 64 bytes a row.
    """

    def __init__(self, body: bytes | mmap.mmap) -> None:
        """`Malformed` unless `body` is a whole number of rows."""
        size = len(body)
        require(size % FEATURE_LEAF == 0, f"features of {size} bytes, rows have {FEATURE_LEAF}")
        self.rows = size // FEATURE_LEAF
        require(self.rows <= ROWS_MAX, f"{self.rows} rows of features, limit is {ROWS_MAX}")
        self._body = body
        self._rows = np.frombuffer(body, ROW) if size else np.zeros(0, ROW)

    @classmethod
    def open(cls, path: Path, commitment: Commitment | None = None) -> Self:
        """Map a file; `Malformed` if it is missing, cut or, where given, not what is committed."""
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                body = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
        except (OSError, ValueError) as error:
            raise Malformed(f"cannot read features from {path}: {error}") from None
        made = cls(body)
        if commitment is not None:
            require(made.commitment == commitment, f"{path} does not hold the committed features")
        return made

    @property
    def phi(self) -> NDArray[np.int8]:
        """[rows, 2048], a view."""
        return self._rows["phi"]

    @cached_property
    def shards(self) -> NDArray[np.int64]:
        return self._rows["shard"].astype(np.int64)

    @cached_property
    def documents(self) -> NDArray[np.int64]:
        """[rows] numbers within the shard."""
        return self._rows["document"].astype(np.int64)

    @cached_property
    def contributors(self) -> NDArray[np.int64]:
        return self._rows["contributor"].astype(np.int64)

    @cached_property
    def duplicate_of(self) -> NDArray[np.int64]:
        """[rows] the first earlier row that is near, or `protocol.features.NO_EXAMPLE`."""
        return self._rows["duplicate_of"].astype(np.int64)

    @cached_property
    def norms2(self) -> NDArray[np.int64]:
        """[rows] squared lengths; at most 2048 * 128**2, exact."""
        out = np.empty(self.rows, np.int64)
        for at in range(0, self.rows, NORM_ROWS):
            block = self.phi[at : at + NORM_ROWS].astype(np.int32)
            out[at : at + NORM_ROWS] = np.einsum("nk,nk->n", block, block)
        return out

    def row(self, index: int) -> bytes:
        """The leaf's payload."""
        assert 0 <= index < self.rows
        return bytes(self._body[index * FEATURE_LEAF : (index + 1) * FEATURE_LEAF])

    def decoded(self, index: int) -> FeatureRow:
        return FeatureRow.decode(self.row(index))

    @property
    def root(self) -> bytes:
        return self._levels[-1]

    @property
    def commitment(self) -> Commitment:
        return Commitment(FEATURE, self.rows * FEATURE_LEAF, self.root)

    def siblings(self, index: int, *, height: int = 0) -> list[bytes]:
        """The way up from node `index` of row `height`, bottom first; as `merkle.Tree` has it."""
        assert 0 <= index < max(self.rows >> height, len(self._levels[height]) // HASH_BYTES)
        path = []
        for level, padding in zip(self._levels[height:-1], self._paddings[height:-1], strict=True):
            at = (index ^ 1) * HASH_BYTES
            path.append(level[at : at + HASH_BYTES] or padding)
            index >>= 1
        return path

    @cached_property
    def _paddings(self) -> list[bytes]:
        hash_ = HASH[FEATURE]
        out = [hash_(b"\x02")]
        for _ in range(depth_of(self.rows)):
            out.append(hash_(b"\x01" + out[-1] + out[-1]))
        return out

    @cached_property
    def _levels(self) -> list[bytes]:
        """Hashes of each height, concatenated; the last is the root."""
        hash_, head = HASH[FEATURE], bytes((0, FEATURE))
        row = bytearray()
        for at in range(0, len(self._body), FEATURE_LEAF):
            row += hash_(head + self._body[at : at + FEATURE_LEAF])
        levels = [bytes(row) or self._paddings[0]]
        for padding in self._paddings[:-1]:
            below = levels[-1]
            if len(below) % (2 * HASH_BYTES):
                below += padding
            step = 2 * HASH_BYTES
            pairs = (below[at : at + step] for at in range(0, len(below), step))
            levels.append(b"".join(hash_(b"\x01" + pair) for pair in pairs))
        return levels


def write_features(path: Path, rows: Iterable[FeatureRow]) -> Commitment:
    """Write `rows` so that `path` holds all of them or is as it was, even after a power cut."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        for row in rows:
            file.write(row.encode())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return FeatureSet.open(path).commitment


def rows_of(
    phi: NDArray[np.int8],
    duplicate_of: NDArray[np.int32],
    documents: Sequence[tuple[int, int, int, bytes]],
) -> Iterable[FeatureRow]:
    """Rows of features [n, 2048] of documents (shard, number, contributor, content root)."""
    assert phi.shape == (len(documents), DIMENSION)
    for feature, first, (shard, number, contributor, root) in zip(
        phi, duplicate_of.tolist(), documents, strict=True
    ):
        twin = first & 0xFFFFFFFF  # -1, none, is NO_EXAMPLE
        yield FeatureRow(shard, number, contributor, twin, root, feature.tobytes())
