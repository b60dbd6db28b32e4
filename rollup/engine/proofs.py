"""Merkle proofs of accounts and storage slots (EIP-1186)."""

from collections.abc import Mapping
from typing import Any, Final

import rlp
from eth.exceptions import StateRootNotFound
from eth_hash.auto import keccak
from trie.hexary import HexaryTrie

from rollup.engine.errors import INVALID_PARAMS, Failure
from rollup.engine.formats import data, hexadecimal, quantity
from rollup.engine.values import EMPTY_TRIE

SLOTS_MAX: Final = 1_024
EMPTY_CODE: Final = keccak(b"")
NODE_HASHED_BYTES: Final = 32
"""A node of fewer bytes stands inside its parent and is not a proof element of its own; a root
never has as few, since it holds a hashed key or two hashes."""


def read_slot(value: Any) -> int:
    """A slot as a quantity, or as 32 bytes of data. Raises `Failure`."""
    if isinstance(value, str) and len(value) > 66:
        raise Failure(INVALID_PARAMS, "invalid argument: slot is over 32 bytes")
    return quantity(value, name="slot")


def read_slots(value: Any) -> list[Any]:
    """The storage keys of eth_getProof, as sent. Raises `Failure`."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > SLOTS_MAX:
        raise Failure(
            INVALID_PARAMS, f"invalid argument: storage keys must be a list of at most {SLOTS_MAX}"
        )
    for key in value:
        read_slot(key)
    return value


def prove(
    nodes: Mapping[bytes, bytes], state_root: bytes, address: bytes, keys: list[Any]
) -> dict[str, Any]:
    """The answer of eth_getProof; of an absent account or slot, the proof that it is absent.

    Raises one of `MISSING_STATE` when the state under `state_root` is not kept.
    """
    encoded, path = _open(nodes, state_root, address)
    fields = rlp.decode(encoded) if encoded else [b"", b"", EMPTY_TRIE, EMPTY_CODE]
    nonce, balance, storage_root, code_hash = fields
    return {
        "address": hexadecimal(address),
        "accountProof": path,
        "balance": hex(int.from_bytes(balance, "big")),
        "codeHash": hexadecimal(code_hash),
        "nonce": hex(int.from_bytes(nonce, "big")),
        "storageHash": hexadecimal(storage_root),
        "storageProof": [_slot(nodes, storage_root, key) for key in keys],
    }


def _slot(nodes: Mapping[bytes, bytes], storage_root: bytes, key: Any) -> dict[str, Any]:
    slot = read_slot(key)
    encoded, path = _open(nodes, storage_root, slot.to_bytes(32, "big"))
    value = int.from_bytes(rlp.decode(encoded), "big") if encoded else 0
    as_sent = isinstance(key, str) and len(key) == 66
    return {
        "key": hexadecimal(data(key, 32)) if as_sent else hex(slot),
        "value": hex(value),
        "proof": path,
    }


def _open(nodes: Mapping[bytes, bytes], root: bytes, key: bytes) -> tuple[bytes, list[str]]:
    """What the secure trie under `root` holds at `key` (empty: nothing), and the nodes to it."""
    if root == EMPTY_TRIE:
        return b"", []
    trie: Any = HexaryTrie(nodes, root)
    path = keccak(key)
    try:
        encoded = [rlp.encode(node) for node in trie.get_proof(path)]
        value = bytes(trie[path])
    except KeyError as error:
        raise StateRootNotFound(f"a node under {root.hex()} is missing") from error
    kept = [node for node in encoded if len(node) >= NODE_HASHED_BYTES]
    return value, [hexadecimal(node) for node in kept]
