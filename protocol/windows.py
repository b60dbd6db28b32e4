"""Windows of committed text: what a judge reads of it through one or two opened leaves."""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.codec import require
from protocol.merkle import (
    HASH,
    LEAF_BYTES,
    TEXT,
    TEXT_LEAF,
    ByteTree,
    Commitment,
    depth_of,
    fold,
    leaf,
)

WINDOW_MAX = 257  # a span and the byte before it: two text leaves always hold them


def require_leaf(
    kind: int, root: bytes, count: int, index: int, payload: bytes, proof: Sequence[bytes]
) -> None:
    """Raise `Malformed` unless `payload` is leaf `index` of the tree of `count` leaves."""
    require(index < count and len(proof) == depth_of(count), "a proof of the wrong length")
    node = leaf(kind, payload)
    require(fold(HASH[kind], node, index, proof) == root, f"leaf {index} is not committed")


@dataclass(frozen=True, slots=True)
class TextOpening:
    """Up to two adjacent leaves of a text tree; the second is empty where one is enough."""

    leaf0: bytes = b""
    proof0: tuple[bytes, ...] = ()
    leaf1: bytes = b""
    proof1: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """A committed text of `size` bytes, read through openings."""

    root: bytes
    size: int

    def read(self, start: int, end: int, opening: TextOpening) -> bytes:
        """Bytes [start, end), at most WINDOW_MAX of them."""
        require(0 <= start < end <= self.size and end - start <= WINDOW_MAX, "a bad window")
        first, text = start // TEXT_LEAF, Commitment(TEXT, self.size, self.root)
        verify_leaf(text, first, opening.leaf0, opening.proof0)
        data, offset = opening.leaf0, start - first * TEXT_LEAF
        if offset + end - start > TEXT_LEAF:
            verify_leaf(text, first + 1, opening.leaf1, opening.proof1)
            data += opening.leaf1
        return data[offset : offset + end - start]

    def read_after(self, start: int, end: int, opening: TextOpening) -> tuple[bytes, bytes]:
        """Also the byte before them, or none at the beginning."""
        require(start < end, "a bad window")
        data = self.read(max(0, start - 1), end, opening)
        return (data[:1], data[1:]) if start else (b"", data)


def verify_leaf(body: Commitment, index: int, data: bytes, proof: Sequence[bytes]) -> None:
    """Raise `Malformed` unless `data` is leaf `index` of a byte tree."""
    step = LEAF_BYTES[body.kind]
    require(len(data) == min(step, body.size - index * step), f"leaf {index} of the wrong size")
    require_leaf(body.kind, body.root, body.count, index, data, proof)


def open_text(
    tree: ByteTree, data: bytes, start: int, end: int, *, before: bool = True
) -> TextOpening:
    """The leaves that hold bytes [start, end) of `data` and, if wanted, the byte before them."""
    start = max(0, start - before)
    first, last = start // TEXT_LEAF, max(start, end - 1) // TEXT_LEAF
    leaves = [
        (data[TEXT_LEAF * at : TEXT_LEAF * (at + 1)], tuple(tree.siblings(at)))
        for at in (first, last)
    ]
    return TextOpening(*leaves[0], *(leaves[1] if last > first else (b"", ())))
