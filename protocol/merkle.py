"""Positional Merkle trees whose depth follows from the number of leaves.

leaf = H(00 | kind | payload)    node = H(01 | left | right)    padding leaf = H(02)

Bit i of an index says whether the node at height i is a right child.  OpenZeppelin's sorted pairs
cannot prove a position, hence these thirty lines (PROTOCOL.md 1).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from eth_hash.auto import keccak

from protocol.codec import require

TEXT, DOCUMENT, ANSWER, CLAIM, ENTRY, TOTAL, BODY = range(1, 8)
FEATURE, INFLUENCE = 11, 12  # 8, 9 and 10 are demands' names for trees of kind TEXT
TEXT_LEAF, DOCUMENT_LEAF, BODY_LEAF = 256, 157, 1024  # bytes of one leaf of a byte tree
FEATURE_LEAF = 48 + 2048  # an example's numbers, content root and coordinates
LEAF_BYTES = {
    TEXT: TEXT_LEAF,
    DOCUMENT: DOCUMENT_LEAF,
    BODY: BODY_LEAF,
    FEATURE: FEATURE_LEAF,
}
CHUNK_HEIGHT = 10  # a chunk on the wire is the 2**10 leaves under one node
CHUNK_HEIGHTS = dict.fromkeys(LEAF_BYTES, CHUNK_HEIGHT) | {FEATURE: 8}
SIZE_MAX = 1 << 40  # bytes of one committed body

Hash = Callable[[bytes], bytes]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


HASH: dict[int, Hash] = {
    TEXT: sha256,
    DOCUMENT: sha256,
    BODY: sha256,
    ANSWER: keccak,
    CLAIM: keccak,
    ENTRY: keccak,
    TOTAL: keccak,
    FEATURE: sha256,
    INFLUENCE: keccak,
}


def depth_of(count: int) -> int:
    """The height of the tree over `count` leaves: 0 for none or one."""
    return max(count - 1, 0).bit_length()


def leaf(kind: int, payload: bytes) -> bytes:
    return HASH[kind](bytes((0, kind)) + payload)


def fold(hash_: Hash, node: bytes, index: int, siblings: Iterable[bytes]) -> bytes:
    """The root above `node`, which is number `index` of its row."""
    for sibling in siblings:
        pair = sibling + node if index & 1 else node + sibling
        node = hash_(b"\x01" + pair)
        index >>= 1
    return node


class Tree:
    """All rows of a tree over hashed leaves; holds about 64 bytes a leaf."""

    def __init__(self, kind: int, leaves: Sequence[bytes]) -> None:
        """`leaves` are leaf hashes (see `leaf`), not payloads."""
        hash_ = HASH[kind]
        self.count, self.depth = len(leaves), depth_of(len(leaves))
        self._padding = [hash_(b"\x02")]
        self.rows = [list(leaves) or [self._padding[0]]]
        for _ in range(self.depth):
            row, padding = self.rows[-1], self._padding[-1]
            if len(row) & 1:
                row = [*row, padding]
            pairs = zip(row[::2], row[1::2], strict=True)
            self.rows.append([hash_(b"\x01" + left + right) for left, right in pairs])
            self._padding.append(hash_(b"\x01" + padding + padding))
        self.root = self.rows[-1][0]

    @classmethod
    def of(cls, kind: int, payloads: Iterable[bytes]) -> Self:
        return cls(kind, [leaf(kind, payload) for payload in payloads])

    def siblings(self, index: int, *, height: int = 0) -> list[bytes]:
        """The way up from node `index` of row `height`, bottom first."""
        assert 0 <= index < max(self.count >> height, len(self.rows[height]))
        path = []
        for row, padding in zip(self.rows[height:-1], self._padding[height:-1], strict=True):
            path.append(row[index ^ 1] if index ^ 1 < len(row) else padding)
            index >>= 1
        return path


@dataclass(frozen=True, slots=True)
class Commitment:
    """A body of `size` bytes cut into leaves of `LEAF_BYTES[kind]` under `root`."""

    kind: int
    size: int
    root: bytes

    def __post_init__(self) -> None:
        require(self.kind in LEAF_BYTES, f"no byte tree has kind {self.kind}")
        require(0 <= self.size <= SIZE_MAX, f"body of {self.size} bytes, limit is {SIZE_MAX}")
        require(len(self.root) == 32, "a root has 32 bytes")

    @property
    def count(self) -> int:
        return -(-self.size // LEAF_BYTES[self.kind])

    @property
    def depth(self) -> int:
        return depth_of(self.count)

    @property
    def chunk_bytes(self) -> int:
        return LEAF_BYTES[self.kind] << CHUNK_HEIGHTS[self.kind]

    @property
    def chunks(self) -> int:
        return max(1, -(-self.size // self.chunk_bytes))

    def chunk_size(self, index: int) -> int:
        return min(self.chunk_bytes, self.size - index * self.chunk_bytes)

    def verify_chunk(self, index: int, chunk: bytes, siblings: Sequence[bytes]) -> None:
        """Raise `Malformed` unless `chunk` is number `index` of the committed body."""
        require(0 <= index < self.chunks, f"chunk {index} of {self.chunks}")
        require(len(chunk) == self.chunk_size(index), f"chunk {index} has {len(chunk)} bytes")
        height = min(CHUNK_HEIGHTS[self.kind], self.depth)
        require(len(siblings) == self.depth - height, "the proof has the wrong length")
        require(all(len(sibling) == 32 for sibling in siblings), "a sibling has 32 bytes")
        node = _node_over(self.kind, chunk, height)
        hash_ = HASH[self.kind]
        require(fold(hash_, node, index, siblings) == self.root, f"chunk {index} is not committed")


def _node_over(kind: int, data: bytes, height: int) -> bytes:
    """The node at `height` over the leaves of `data`, padded on the right."""
    hash_, row, padding = HASH[kind], split_leaves(kind, data), HASH[kind](b"\x02")
    row = row or [padding]
    for _ in range(height):
        if len(row) & 1:
            row.append(padding)
        row = [hash_(b"\x01" + a + b) for a, b in zip(row[::2], row[1::2], strict=True)]
        padding = hash_(b"\x01" + padding + padding)
    return row[0]


def split_leaves(kind: int, data: bytes) -> list[bytes]:
    """The leaf hashes of a body."""
    step = LEAF_BYTES[kind]
    return [leaf(kind, data[at : at + step]) for at in range(0, len(data), step)]


class ByteTree(Tree):
    """The tree over a body, which can open single leaves and prove whole chunks."""

    def __init__(self, kind: int, data: bytes) -> None:
        super().__init__(kind, split_leaves(kind, data))
        self.commitment = Commitment(kind, len(data), self.root)

    def chunk_siblings(self, index: int) -> list[bytes]:
        """What `Commitment.verify_chunk` wants beside chunk `index`."""
        return self.siblings(index, height=min(CHUNK_HEIGHTS[self.commitment.kind], self.depth))


def byte_root(kind: int, data: bytes) -> bytes:
    return _node_over(kind, data, depth_of(-(-len(data) // LEAF_BYTES[kind])))
