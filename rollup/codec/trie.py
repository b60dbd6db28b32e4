"""Merkle-Patricia tries: the root of given pairs in one pass, and proofs against a root.

(Ethereum yellow paper, appendix D.)
"""

from collections.abc import Iterable, Sequence
from typing import Final

from eth_hash.auto import keccak

from protocol.codec import require
from rollup.codec import strict
from rollup.codec.strict import Item

EMPTY_ROOT: Final = keccak(strict.encode(b""))
PROOF_NODES_MAX: Final = 65  # 64 nibbles of a hashed key and its value
NODE_BYTES_MAX: Final = 1 << 24  # a leaf of a transaction trie holds a whole transaction

BRANCH_ITEMS, SHORT_ITEMS = 17, 2
EMPTY: Final = b"\x80"


def trie_root(items: Sequence[bytes]) -> bytes:
    """The root of a list, as of a block's transactions or receipts: RLP of the index leads."""
    return root_of((strict.encode(index), item) for index, item in enumerate(items))


def secure_root(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The root of a trie whose keys are hashed first, as of accounts or of storage."""
    return root_of((keccak(key), value) for key, value in pairs)


def root_of(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The root of a trie of distinct keys, none of which starts another, and no empty values."""
    # Hex digits stand for nibbles: slicing and comparing text is C.
    leaves = sorted((key.hex(), value) for key, value in pairs)
    if not leaves:
        return EMPTY_ROOT
    return keccak(_node(leaves, 0, len(leaves), 0))


def _node(leaves: list[tuple[str, bytes]], start: int, end: int, depth: int) -> bytes:
    """RLP of the node over `leaves[start:end]`, which agree in their first `depth` digits."""
    first = leaves[start][0]
    if end - start == 1:
        return _short(first[depth:], strict.encode(leaves[start][1]), is_leaf=True)
    last = leaves[end - 1][0]
    shared = depth  # the leaves are sorted: what the outer two share, all share
    while first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        return _short(first[depth:shared], _child(leaves, start, end, shared), is_leaf=False)
    children = [EMPTY] * BRANCH_ITEMS
    while start < end:
        digit = leaves[start][0][depth]
        stop = start + 1
        while stop < end and leaves[stop][0][depth] == digit:
            stop += 1
        children[int(digit, 16)] = _child(leaves, start, stop, depth + 1)
        start = stop
    return _list(b"".join(children))


def _child(leaves: list[tuple[str, bytes]], start: int, end: int, depth: int) -> bytes:
    """How a node stands in its parent: itself when it is short, else RLP of its hash."""
    node = _node(leaves, start, end, depth)
    return node if len(node) < 32 else b"\xa0" + keccak(node)


def _short(digits: str, value: bytes, *, is_leaf: bool) -> bytes:
    """RLP of a leaf or extension: hex-prefix path, then the value's RLP."""
    flag = 2 * is_leaf + len(digits) % 2
    path = bytes.fromhex(f"{flag}{digits}" if len(digits) % 2 else f"{flag}0{digits}")
    return _list(strict.encode(path) + value)


def _list(payload: bytes) -> bytes:
    """RLP of a list whose items are encoded already."""
    if len(payload) < 56:
        return bytes([0xC0 + len(payload)]) + payload
    size = len(payload).to_bytes((len(payload).bit_length() + 7) // 8, "big")
    return bytes([0xF7 + len(size)]) + size + payload


def verify_proof(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes | None:
    """What the trie of hashed keys under `root` holds at `key`, by the nodes from its root on.

    None when the nodes prove that it holds nothing; `Malformed` when they prove neither.  The key
    of an account is its address, that of a storage slot its 32 bytes (as in eth_getProof).
    """
    return verify_path(root, keccak(key), nodes)


def verify_path(root: bytes, path: bytes, nodes: Sequence[bytes]) -> bytes | None:
    """The same for a trie whose keys are not hashed, such as that of a block's transactions."""
    return _walk(root, path, nodes)[0]


def spelled_out(root: bytes, key: bytes, nodes: Sequence[bytes]) -> tuple[bytes, ...]:
    """A proof of a hashed key with those nodes listed too that are so short that others hold them.

    eth_getProof leaves them out, the portal's MerkleTrie.sol asks for them.
    """
    return _walk(root, keccak(key), nodes)[1]


def _walk(
    root: bytes, path: bytes, nodes: Sequence[bytes]
) -> tuple[bytes | None, tuple[bytes, ...]]:
    """The value at `path`, and every node on the way."""
    require(len(nodes) <= PROOF_NODES_MAX, f"proof of {len(nodes)} nodes")
    if root == EMPTY_ROOT:
        require(list(nodes) in ([], [EMPTY]), "proof with nodes of an empty trie")
        return None, ()
    digits: str | None = path.hex()
    child: Item = root
    used, passed = 0, []
    while digits is not None and child != b"":
        if isinstance(child, bytes):
            require(used < len(nodes), "proof ends above the key")
            passed.append(nodes[used])
            child, used = _opened(nodes[used], child), used + 1
        else:
            passed.append(strict.encode(child))
            used += used < len(nodes) and nodes[used] == passed[-1]
        child, digits = _step(child, digits)
    require(used == len(nodes), f"{len(nodes) - used} nodes of the proof are not on the path")
    return strict.as_bytes(child, name="value") or None, tuple(passed)


def _opened(node: bytes, digest: bytes) -> list[Item]:
    require(len(node) <= NODE_BYTES_MAX, f"trie node of {len(node)} bytes")
    require(keccak(node) == digest, "trie node has another hash")
    return strict.as_list(strict.decode(node), name="trie node")


def _step(node: list[Item], digits: str) -> tuple[Item, str | None]:
    """The child or value below `node` on the way of `digits`, and the digits that are left.

    None are left when the way ends here, with a value or without one.
    """
    if len(node) == BRANCH_ITEMS:
        if digits == "":
            return node[-1], None
        return node[int(digits[0], 16)], digits[1:]
    require(len(node) == SHORT_ITEMS, f"trie node of {len(node)} items")
    fragment, is_leaf = _path(strict.as_bytes(node[0], name="path"))
    if is_leaf:
        return node[1] if fragment == digits else b"", None
    require(fragment != "", "an extension without a path")
    if digits.startswith(fragment):
        return node[1], digits[len(fragment) :]
    return b"", None


def _path(encoded: bytes) -> tuple[str, bool]:
    """The digits of a hex-prefix path, and whether it ends in a leaf."""
    text = encoded.hex()
    require(text[:1] in ("0", "1", "2", "3"), "a path with an unknown flag")
    is_odd = text[0] in "13"
    require(is_odd or text[1] == "0", "a path with padding that is not zero")
    return text[1 if is_odd else 2 :], text[0] in "23"
