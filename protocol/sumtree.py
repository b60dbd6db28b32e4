"""Merkle-sum trees: whatever leaves can be opened add up to at most the announced total.

node hash = keccak(01 | left | right | left sum u128 | right sum u128), its sum is both sums added.
A root says (hash, sum); every opening adds up the sums on its way, so over-payment is impossible
by construction, even under a root made by a liar (PROTOCOL.md 1).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eth_hash.auto import keccak

from protocol.codec import require, uint
from protocol.errors import Malformed
from protocol.merkle import ENTRY, TOTAL

ID_BITS, ENTRY_BITS = 24, 20  # contributors at most; entries of one contributor in one batch
TOTAL_DEPTH, ENTRY_DEPTH = ID_BITS, ID_BITS + ENTRY_BITS
SUM_MAX = (1 << 128) - 1


class Node(NamedTuple):
    hash: bytes
    sum: int


def parent(left: Node, right: Node) -> Node:
    """Raise `Malformed` when the sum leaves 128 bits."""
    total = left.sum + right.sum
    require(total <= SUM_MAX, "a sum over 128 bits")
    sums = uint(left.sum, 16) + uint(right.sum, 16)
    return Node(keccak(b"\x01" + left.hash + right.hash + sums), total)


def total_leaf(value: int) -> Node:
    """A contributor's cumulative amount; who has none has zero."""
    return Node(keccak(bytes((0, TOTAL)) + uint(value, 16)), value)


def entry_leaf(answer: int, claim: int, slot: int, value: int) -> Node:
    """One payment: `value` wei for holder `slot` of claim `claim` of answer `answer`."""
    where = uint(answer, 4) + uint(claim, 4) + uint(slot, 1)
    return Node(keccak(bytes((0, ENTRY)) + where + uint(value, 16)), value)


ENTRY_ABSENT = Node(keccak(b"\x02"), 0)


class SumTree:
    """A sparse tree of fixed depth; `leaves` maps positions to nodes, the rest is `absent`."""

    def __init__(self, depth: int, leaves: Mapping[int, Node], absent: Node) -> None:
        require(all(0 <= at < 1 << depth for at in leaves), "a position outside the tree")
        self.depth = depth
        self._absent = [absent]
        self.rows: list[dict[int, Node]] = [dict(leaves)]
        for _ in range(depth):
            row, nothing = self.rows[-1], self._absent[-1]
            above = {
                at: parent(row.get(2 * at, nothing), row.get(2 * at + 1, nothing))
                for at in {at >> 1 for at in row}
            }
            self.rows.append(above)
            self._absent.append(parent(nothing, nothing))
        self.root = self.node(0, depth)

    def node(self, at: int, height: int = 0) -> Node:
        return self.rows[height].get(at, self._absent[height])

    def siblings(self, at: int, height: int = 0) -> list[Node]:
        """The way up from the node at `height`, bottom first."""
        return [self.node((at >> up) ^ 1, height + up) for up in range(self.depth - height)]


def total_tree(values: Mapping[int, int]) -> SumTree:
    """Cumulative amounts in wei by contributor id."""
    leaves = {who: total_leaf(value) for who, value in values.items() if value}
    return SumTree(TOTAL_DEPTH, leaves, total_leaf(0))


def entry_tree(leaves: Mapping[int, Node]) -> SumTree:
    """The payments of a batch by `entry_position`."""
    return SumTree(ENTRY_DEPTH, leaves, ENTRY_ABSENT)


def entry_position(contributor: int, number: int) -> int:
    return contributor << ENTRY_BITS | number


def fold(node: Node, at: int, siblings: Sequence[Node], depth: int) -> Node:
    """The root above number `at` of the row `depth` below it; `Malformed` if there can be none."""
    require(len(siblings) == depth and at >> depth == 0, "a proof of the wrong length")
    for sibling in siblings:
        node = parent(sibling, node) if at & 1 else parent(node, sibling)
        at >>= 1
    return node


def opens(root: Node, node: Node, at: int, siblings: Sequence[Node], depth: int) -> bool:
    """Whether `node` is number `at` of the row `depth` below `root`."""
    try:
        return fold(node, at, siblings, depth) == root
    except Malformed:
        return False
