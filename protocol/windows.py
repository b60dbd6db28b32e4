"""Windows of committed text: what a judge reads of it through one or two opened leaves."""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.codec import require
from protocol.errors import Malformed
from protocol.merkle import (
    HASH,
    LEAF_BYTES,
    TEXT,
    TEXT_LEAF,
    ByteTree,
    Commitment,
    Hash,
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
    """One leaf of a text tree, or two adjacent ones joined, with one way up for both."""

    leaves: bytes = b""
    proof: tuple[bytes, ...] = ()  # see `fold_pair`


def fold_pair(
    hash_: Hash, left: bytes, right: bytes, index: int, depth: int, proof: Sequence[bytes]
) -> bytes:
    """The root above two adjacent nodes, numbers `index` and `index + 1` of their row.

    While the left one is a right child, `proof` has its sibling and then the other's; where it is
    a left child the two are siblings, and from there on it is the way up of one node.
    """
    rest = iter(proof)
    for height in range(depth):
        if index & 1 == 0:
            node = hash_(b"\x01" + left + right)
            require(len(proof) == height + depth - 1, "a proof of the wrong length")
            return fold(hash_, node, index >> 1, rest)
        require(len(proof) >= 2 * height + 2, "a proof of the wrong length")
        left = hash_(b"\x01" + next(rest) + left)
        right = hash_(b"\x01" + right + next(rest))
        index >>= 1
    raise Malformed("two leaves of which the second is outside the tree")


@dataclass(frozen=True, slots=True)
class Window:
    """A committed text of `size` bytes, read through openings."""

    root: bytes
    size: int

    def read(self, start: int, end: int, opening: TextOpening) -> bytes:
        """Bytes [start, end), at most WINDOW_MAX of them."""
        require(0 <= start < end <= self.size and end - start <= WINDOW_MAX, "a bad window")
        first, text = start // TEXT_LEAF, Commitment(TEXT, self.size, self.root)
        offset = start - first * TEXT_LEAF
        if offset + end - start <= TEXT_LEAF:
            verify_leaf(text, first, opening.leaves, opening.proof)
        else:
            verify_pair(text, first, opening)
        return opening.leaves[offset : offset + end - start]

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


def verify_pair(text: Commitment, index: int, opening: TextOpening) -> None:
    """Raise `Malformed` unless these are leaves `index` and `index + 1` of a text tree."""
    size = min(2 * TEXT_LEAF, text.size - index * TEXT_LEAF)
    require(len(opening.leaves) == size and index + 1 < text.count, "leaves of the wrong size")
    left, right = leaf(TEXT, opening.leaves[:TEXT_LEAF]), leaf(TEXT, opening.leaves[TEXT_LEAF:])
    root = fold_pair(HASH[TEXT], left, right, index, text.depth, opening.proof)
    require(root == text.root, f"leaves {index} and {index + 1} are not committed")


def open_text(
    tree: ByteTree, data: bytes, start: int, end: int, *, before: bool = True
) -> TextOpening:
    """The leaves that hold bytes [start, end) of `data` and, if wanted, the byte before them."""
    start = max(0, start - before)
    first, last = start // TEXT_LEAF, max(start, end - 1) // TEXT_LEAF
    leaves = data[TEXT_LEAF * first : TEXT_LEAF * (last + 1)]
    left = tree.siblings(first)
    if first == last:
        return TextOpening(leaves, tuple(left))
    right, pairs = tree.siblings(last), 0
    while first >> pairs & 1:
        pairs += 1
    below = (node for pair in zip(left[:pairs], right[:pairs], strict=True) for node in pair)
    return TextOpening(leaves, (*below, *left[pairs + 1 :]))
