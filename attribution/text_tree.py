"""A byte tree that keeps few rows: what lies below them is hashed again from the body."""

from protocol.merkle import (
    HASH,
    LEAF_BYTES,
    ByteTree,
    Commitment,
    depth_of,
    split_leaves,
)

LOWEST = 6  # height of the lowest row that is kept, below every chunk's: 32 bytes for 64 leaves


class SparseTree(ByteTree):
    """As `ByteTree`, in 64 bytes per 64 leaves beside the body, which may be a memory map."""

    def __init__(self, kind: int, data: bytes, row: bytes | None = None) -> None:
        """`row`: the nodes at LOWEST, joined, where they are known; what they say is taken."""
        hash_ = HASH[kind]
        self._kind, self._data = kind, data
        self.count = -(-len(data) // LEAF_BYTES[kind])
        self.depth = depth_of(self.count)
        self._lowest = min(LOWEST, self.depth)
        self._padding = [hash_(b"\x02")]
        for _ in range(self.depth):
            self._padding.append(hash_(b"\x01" + 2 * self._padding[-1]))
        if row is None:
            group = LEAF_BYTES[kind] << self._lowest
            groups = range(0, max(len(data), 1), group)
            nodes = [self._below(number)[-1][0] for number in range(len(groups))]
        else:
            nodes = [row[at : at + 32] for at in range(0, len(row), 32)]
        self.rows = [nodes]  # rows[i] is the row at height _lowest + i
        for height in range(self._lowest, self.depth):
            self.rows.append(self._above(self.rows[-1], height))
        self.root = self.rows[-1][0]
        self.commitment = Commitment(kind, len(data), self.root)

    @property
    def lowest_row(self) -> bytes:
        return b"".join(self.rows[0])

    def siblings(self, index: int, *, height: int = 0) -> list[bytes]:
        """The way up from node `index` of row `height`, bottom first."""
        assert 0 <= index < max(self.count >> height, 1) or index << height < self.count
        path = []
        if height < self._lowest:
            rows = self._below(index >> (self._lowest - height))
            for at in range(height, self._lowest):
                row, inside = rows[at], (index ^ 1) & ((1 << (self._lowest - at)) - 1)
                path.append(row[inside] if inside < len(row) else self._padding[at])
                index >>= 1
            height = self._lowest
        for row, padding in zip(
            self.rows[height - self._lowest : -1], self._padding[height:-1], strict=True
        ):
            path.append(row[index ^ 1] if index ^ 1 < len(row) else padding)
            index >>= 1
        return path

    def sound(self, group: int) -> bool:
        """Whether the body's bytes under a node of the lowest kept row are those it was made of."""
        return self._below(group)[-1][0] == self.rows[0][group]

    def _below(self, group: int) -> list[list[bytes]]:
        """The rows under one node of the lowest kept row, and that node last."""
        size = LEAF_BYTES[self._kind] << self._lowest
        leaves = split_leaves(self._kind, self._data[group * size : (group + 1) * size])
        rows = [leaves or [self._padding[0]]]
        for height in range(self._lowest):
            rows.append(self._above(rows[-1], height))
        return rows

    def _above(self, row: list[bytes], height: int) -> list[bytes]:
        hash_ = HASH[self._kind]
        if len(row) & 1:
            row = [*row, self._padding[height]]
        return [hash_(b"\x01" + row[at] + row[at + 1]) for at in range(0, len(row), 2)]
