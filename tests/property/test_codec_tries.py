"""Roots in one pass equal those of the `trie` library; proofs prove what is there and no more."""

from collections.abc import Mapping
from typing import Any

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st
from trie import HexaryTrie

from protocol.errors import Malformed
from rollup.codec.trie import (
    EMPTY_ROOT,
    root_of,
    secure_root,
    spelled_out,
    trie_root,
    verify_path,
    verify_proof,
)

# Few digits and short values make branches, extensions and nodes within nodes.
keys = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), min_size=4, max_size=4).map(bytes)
contents = st.dictionaries(keys, st.binary(min_size=1, max_size=40), max_size=24)


def library(pairs: Mapping[bytes, bytes]) -> Any:
    trie = HexaryTrie({})
    for key, value in pairs.items():
        trie[key] = value
    return trie


def proof(trie: Any, key: bytes) -> list[bytes]:
    """As eth_getProof gives it: nodes within another node are not listed."""
    nodes = [rlp.encode(node) for node in trie.get_proof(key)]
    return [node for at, node in enumerate(nodes) if at == 0 or len(node) >= 32]


@given(contents)
def test_the_root_is_the_librarys(pairs: dict[bytes, bytes]) -> None:
    assert root_of(pairs.items()) == library(pairs).root_hash


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=140))
def test_the_root_of_a_list_is_the_librarys(items: list[bytes]) -> None:
    """Indices past 127 take another form."""
    pairs = {rlp.encode(index): item for index, item in enumerate(items)}

    assert trie_root(items) == library(pairs).root_hash


def test_an_empty_root() -> None:
    """The well-known constant."""
    assert trie_root([]) == root_of([]) == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert verify_path(EMPTY_ROOT, b"\1", []) is verify_path(EMPTY_ROOT, b"\1", [b"\x80"]) is None


@given(contents, keys)
def test_a_proof_proves_what_the_trie_holds(pairs: dict[bytes, bytes], key: bytes) -> None:
    """There or not there, with short nodes listed or left out."""
    trie = library(pairs)
    nodes = proof(trie, key) if pairs else []

    assert verify_path(trie.root_hash, key, nodes) == pairs.get(key)
    for present in pairs:
        assert verify_path(trie.root_hash, present, proof(trie, present)) == pairs[present]


@given(contents.filter(bool), st.data())
def test_a_changed_proof_is_malformed(pairs: dict[bytes, bytes], data: st.DataObject) -> None:
    """Every flip, cut, tail and swap: no list of nodes but the one."""
    key = data.draw(st.sampled_from(sorted(pairs)))
    trie = library(pairs)
    nodes = proof(trie, key)
    at = data.draw(st.integers(0, len(nodes) - 1))
    flipped = bytearray(nodes[at])
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    bad = [
        [*nodes[:at], bytes(flipped), *nodes[at + 1 :]],
        nodes[:-1],
        [*nodes, b"\x80"],
        [*nodes, *nodes],
        [],
    ]

    for wrong in bad:
        with pytest.raises(Malformed):
            verify_path(trie.root_hash, key, wrong)


@given(st.lists(st.binary(max_size=60), max_size=4), st.binary(min_size=32, max_size=32), keys)
def test_any_nodes_prove_nothing_or_are_malformed(
    nodes: list[bytes], root: bytes, key: bytes
) -> None:
    with pytest.raises(Malformed):
        verify_path(root, key, nodes)


@given(contents.filter(bool), st.data())
def test_spelled_out_proofs_hold_too(pairs: dict[bytes, bytes], data: st.DataObject) -> None:
    """The portal's form of a proof of a hashed key is a proof."""
    key = data.draw(st.sampled_from(sorted(pairs)))
    hashed = HexaryTrie({})
    for name, value in pairs.items():
        hashed[_keccak(name)] = value
    nodes = proof(hashed, _keccak(key))

    assert secure_root(pairs.items()) == hashed.root_hash
    listed = spelled_out(hashed.root_hash, key, nodes)
    assert verify_proof(hashed.root_hash, key, listed) == pairs[key]
    assert set(nodes) <= set(listed)


def _keccak(data: bytes) -> bytes:
    from eth_hash.auto import keccak

    return bytes(keccak(data))
