"""The upper part of a body's Merkle tree, enough to prove whole chunks of it."""

from collections.abc import Callable, Iterable
from pathlib import Path

from protocol.codec import require
from protocol.merkle import CHUNK_HEIGHT, HASH, Commitment, Tree, split_leaves

BODY_BYTES_MAX = 16 * 1024**3  # served from one file


class ChunkTree:
    """One node per chunk and the rows above: 64 bytes for each `commitment.chunk_bytes`.

    The whole tree would be a quarter of a corpus; this is 1/4096 of it or less.
    """

    def __init__(self, commitment: Commitment, chunks: Iterable[bytes]) -> None:
        """`Malformed` unless `chunks`, in order, are the committed body."""
        hash_, height = HASH[commitment.kind], min(CHUNK_HEIGHT, commitment.depth)
        self._padding = [hash_(b"\x02")]
        for _ in range(commitment.depth):
            self._padding.append(hash_(b"\x01" + self._padding[-1] * 2))
        row = [self._node(commitment.kind, chunk, height) for chunk in chunks]
        require(len(row) == commitment.chunks, f"{len(row)} chunks, not {commitment.chunks}")
        self._height, self._rows = height, [row]
        for level in range(height, commitment.depth):
            row = self._rows[-1]
            if len(row) & 1:
                row = [*row, self._padding[level]]
            pairs = zip(row[::2], row[1::2], strict=True)
            self._rows.append([hash_(b"\x01" + left + right) for left, right in pairs])
        require(self._rows[-1] == [commitment.root], "the body is not what was committed")

    def siblings(self, index: int) -> list[bytes]:
        """What `Commitment.verify_chunk` wants beside chunk `index`, bottom first."""
        path = []
        for level, row in enumerate(self._rows[:-1], start=self._height):
            path.append(row[index ^ 1] if index ^ 1 < len(row) else self._padding[level])
            index >>= 1
        return path

    def _node(self, kind: int, chunk: bytes, height: int) -> bytes:
        tree = Tree(kind, split_leaves(kind, chunk))
        node = tree.root
        for level in range(tree.depth, height):
            node = HASH[kind](b"\x01" + node + self._padding[level])
        return node


def chunk_tree(commitment: Commitment, body: Path | bytes) -> ChunkTree:
    """Read and hash a whole body: 2 ms a chunk, so call it in a thread."""
    size = len(body) if isinstance(body, bytes) else body.stat().st_size
    require(size == commitment.size, f"{size} bytes, {commitment.size} were committed")
    require(size <= BODY_BYTES_MAX, f"a body of {size} bytes, limit is {BODY_BYTES_MAX}")
    read = reader(body)
    return ChunkTree(commitment, (read(commitment, index) for index in range(commitment.chunks)))


def reader(body: Path | bytes) -> Callable[[Commitment, int], bytes]:
    """How to get chunk `index` out of a file or out of memory."""

    def from_memory(commitment: Commitment, index: int) -> bytes:
        assert isinstance(body, bytes)
        start = index * commitment.chunk_bytes
        return body[start : start + commitment.chunk_size(index)]

    def from_file(commitment: Commitment, index: int) -> bytes:
        assert isinstance(body, Path)
        with body.open("rb") as file:
            file.seek(index * commitment.chunk_bytes)
            return file.read(commitment.chunk_size(index))

    return from_memory if isinstance(body, bytes) else from_file
