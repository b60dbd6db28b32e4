"""The hexary Merkle-Patricia trie, many changes at once: reads from and adds to hash -> node.

Only keys of one length (hashes), so no node has a value and a path below it: what the state and the
storage of an account are. Items stay in their RLP form: a branch is rewritten by joining seventeen
slices, which is what makes this several times faster than decoding every node to lists and back.
Yellow Paper, appendix D. Nibbles are the characters of a hexadecimal string.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from eth_hash.auto import keccak

EMPTY: Final = b"\x80"
HASH_ITEM: Final = 0xA0  # the RLP head of 32 bytes
BRANCH_ITEMS: Final = 17
NODES_CACHED_MAX: Final = 50_000
DIGITS: Final = {digit: value for value, digit in enumerate("0123456789abcdef")}

Get = Callable[[bytes], bytes]
Items = tuple[bytes, ...]
Changes = list[tuple[str, bytes | None]]


class Nodes:
    """Nodes by hash, split into their items; `get` raises KeyError for one that is not there.

    A `cache` may be shared by all readers of one store: a hash means the same node to everyone.
    """

    def __init__(self, get: Get, cache: dict[bytes, Items] | None = None) -> None:
        self._get = get
        self._split = {} if cache is None else cache

    def items(self, reference: bytes) -> Items:
        """The items of the node that an item of its parent refers to (hash, or itself)."""
        if reference[0] != HASH_ITEM:
            return split(reference)
        found = self._split.get(reference)
        if found is None:
            found = split(self._get(reference[1:]))
            if len(self._split) >= NODES_CACHED_MAX:
                self._split.clear()
            self._split[reference] = found
        return found


class Writer:
    """Applies changes below one root; the nodes they make gather in `added`."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self.added: dict[bytes, bytes] = {}

    def _items(self, reference: bytes) -> Items:
        if reference[0] == HASH_ITEM and reference[1:] in self.added:
            return split(self.added[reference[1:]])
        return self._nodes.items(reference)

    def update(self, root: bytes, changes: Mapping[bytes, bytes | None]) -> bytes:
        """The root after setting (or with None deleting) each key; keys of one length."""
        ordered: Changes = sorted((key.hex(), value) for key, value in changes.items())
        reference = self._update(_reference(root), ordered) if ordered else _reference(root)
        if reference[0] == HASH_ITEM:
            return reference[1:]
        node = EMPTY if reference == EMPTY else reference  # a root is a hash, however short
        root_hash = keccak(node)
        self.added[root_hash] = node
        return root_hash

    def _update(self, reference: bytes, changes: Changes) -> bytes:
        if reference == EMPTY:
            return self._build([(path, value) for path, value in changes if value is not None])
        items = self._items(reference)
        if len(items) == BRANCH_ITEMS:
            return self._update_branch(list(items), changes)
        path, is_leaf = _path(items[0])
        if is_leaf:
            entries = {path: payload(items[1])} | dict(changes)
            return self._build(sorted((p, v) for p, v in entries.items() if v is not None))
        size = len(path)
        if all(value is None and key[:size] != path for key, value in changes):
            return reference  # nothing to delete here: the child may be one that nobody has
        return self._update_extension(path, items[1], changes)

    def _update_branch(self, items: list[bytes], changes: Changes) -> bytes:
        start = 0
        while start < len(changes):
            digit = changes[start][0][0]
            end = start
            while end < len(changes) and changes[end][0][0] == digit:
                end += 1
            below = [(path[1:], value) for path, value in changes[start:end]]
            place = DIGITS[digit]
            items[place] = self._update(items[place], below)
            start = end
        filled = [place for place, item in enumerate(items[:-1]) if item != EMPTY]
        if len(filled) > 1:
            return self._node(b"".join(items))
        if not filled:
            return EMPTY
        return self._extend(f"{filled[0]:x}", items[filled[0]])

    def _update_extension(self, path: str, child: bytes, changes: Changes) -> bytes:
        size = len(path)
        inside: Changes = [(p[size:], v) for p, v in changes if p[:size] == path]
        outside: Changes = [(p, v) for p, v in changes if p[:size] != path and v is not None]
        if inside:
            child = self._update(child, inside)
        if not outside:
            return self._extend(path, child)
        if child == EMPTY:
            return self._build([(p, v) for p, v in outside if v is not None])
        shared = min(_shared(path, outside[0][0]), _shared(path, outside[-1][0]))
        items = [EMPTY] * BRANCH_ITEMS
        # As it was it is a branch, and need not be read; what changes made of it may be anything.
        below = (self._extend if inside else self._before)(path[shared + 1 :], child)
        items[DIGITS[path[shared]]] = below
        branch = self._update_branch(items, [(p[shared:], v) for p, v in outside])
        return self._extend(path[:shared], branch)

    def _build(self, entries: list[tuple[str, bytes]]) -> bytes:
        """The node over sorted, distinct paths of one length."""
        if not entries:
            return EMPTY
        first = entries[0][0]
        if len(entries) == 1:
            return self._short(_leaf(first), string(entries[0][1]))
        shared = _shared(first, entries[-1][0])
        items = [EMPTY] * BRANCH_ITEMS
        below: dict[str, list[tuple[str, bytes]]] = {}
        for path, value in entries:
            below.setdefault(path[shared], []).append((path[shared + 1 :], value))
        for digit, part in below.items():
            items[DIGITS[digit]] = self._build(part)
        return self._extend(first[:shared], self._node(b"".join(items)))

    def _before(self, path: str, branch: bytes) -> bytes:
        """`path` before what is a branch, which need not be read: nobody may have it."""
        return self._short(_extension(path), branch) if path else branch

    def _extend(self, path: str, child: bytes) -> bytes:
        """`path` before `child`: one node with it, where both are short nodes."""
        if child == EMPTY or not path:
            return child
        items = self._items(child)
        if len(items) == BRANCH_ITEMS:
            return self._short(_extension(path), child)
        below, is_leaf = _path(items[0])
        head = (_leaf if is_leaf else _extension)(path + below)
        return self._short(head, items[1])

    def _short(self, head: bytes, value: bytes) -> bytes:
        return self._node(string(head) + value)

    def _node(self, content: bytes) -> bytes:
        node = _head(0xC0, len(content)) + content
        if len(node) < 32:
            return node
        node_hash = keccak(node)
        self.added[node_hash] = node
        return b"\xa0" + node_hash


def get(nodes: Nodes, root: bytes, key: bytes) -> bytes | None:
    """The value of `key`; KeyError if a node on the way is not there."""
    reference, path = _reference(root), key.hex()
    while reference != EMPTY:
        items = nodes.items(reference)
        if len(items) == BRANCH_ITEMS:
            reference, path = items[DIGITS[path[0]]], path[1:]
            continue
        below, is_leaf = _path(items[0])
        if is_leaf:
            return payload(items[1]) if below == path else None
        if path[: len(below)] != below:
            return None
        reference, path = items[1], path[len(below) :]
    return None


def split(node: bytes) -> Items:
    """The items of a node (an RLP list), each with its head; from our own store, so well formed."""
    start = 1 if node[0] < 0xF8 else 1 + node[0] - 0xF7
    items = []
    while start < len(node):
        head = node[start]
        if head < 0x80:
            size = 1
        elif head < 0xB8:
            size = head - 0x7F
        elif head < 0xC0:
            width = head - 0xB7
            size = 1 + width + int.from_bytes(node[start + 1 : start + 1 + width], "big")
        else:  # a node within a node has fewer than 32 bytes
            size = head - 0xBF
        items.append(node[start : start + size])
        start += size
    return tuple(items)


def string(value: bytes) -> bytes:
    """RLP of a byte string."""
    if len(value) == 1 and value[0] < 0x80:
        return value
    return _head(0x80, len(value)) + value


def payload(item: bytes) -> bytes:
    """The inverse of `string`."""
    if item[0] < 0x80:
        return item
    return item[1:] if item[0] < 0xB8 else item[1 + item[0] - 0xB7 :]


def list_of(items: Iterable[bytes]) -> bytes:
    """RLP of a list of items that are RLP already."""
    content = b"".join(items)
    return _head(0xC0, len(content)) + content


def _head(kind: int, size: int) -> bytes:
    if size < 56:
        return bytes([kind + size])
    width = (size.bit_length() + 7) // 8
    return bytes([kind + 55 + width]) + size.to_bytes(width, "big")


def _shared(path: str, other: str) -> int:
    """How many nibbles two paths begin with in common."""
    count = 0
    for one, two in zip(path, other, strict=False):
        if one != two:
            break
        count += 1
    return count


def _reference(root: bytes) -> bytes:
    return EMPTY if root == EMPTY_ROOT else b"\xa0" + root


def _leaf(path: str) -> bytes:
    return bytes.fromhex(("3" if len(path) & 1 else "20") + path)


def _extension(path: str) -> bytes:
    return bytes.fromhex(("1" if len(path) & 1 else "00") + path)


def _path(item: bytes) -> tuple[str, bool]:
    digits = payload(item).hex()
    flag = digits[0]
    return (digits[1:] if flag in "13" else digits[2:]), flag in "23"


EMPTY_ROOT: Final = keccak(EMPTY)
