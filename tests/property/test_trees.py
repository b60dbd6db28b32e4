"""Only what was committed can be opened, and only where it stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from protocol.merkle import (
    BODY,
    CLAIM,
    HASH,
    TEXT,
    ByteTree,
    Tree,
    byte_root,
    depth_of,
    fold,
    leaf,
)
from protocol.sumtree import (
    ENTRY_ABSENT,
    ENTRY_DEPTH,
    SUM_MAX,
    Node,
    entry_leaf,
    entry_position,
    entry_tree,
    opens,
    total_leaf,
    total_tree,
)

payloads = st.lists(st.binary(max_size=8), min_size=1, max_size=20)


def flip(word: bytes) -> bytes:
    return bytes((word[0] ^ 1,)) + word[1:]


def test_the_depth_follows_from_the_count() -> None:
    assert [depth_of(count) for count in (0, 1, 2, 3, 4, 5, 256, 257)] == [0, 0, 1, 2, 2, 3, 8, 9]


@given(payloads, st.data())
def test_a_leaf_opens_only_where_it_stands(items: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(items) - 1))
    tree = Tree.of(CLAIM, items)
    node, path, hash_ = leaf(CLAIM, items[index]), tree.siblings(index), HASH[CLAIM]
    assert len(path) == tree.depth
    assert fold(hash_, node, index, path) == tree.root

    assert fold(hash_, flip(node), index, path) != tree.root
    assert fold(hash_, leaf(BODY, items[index]), index, path) != tree.root
    for height in range(len(path)):
        wrong = [*path[:height], flip(path[height]), *path[height + 1 :]]
        assert fold(hash_, node, index, wrong) != tree.root
        if path[height] != fold(hash_, node, index, path[:height]):
            assert fold(hash_, node, index ^ 1 << height, path) != tree.root


@given(st.binary(max_size=2000))
def test_byte_root_is_the_root_of_the_byte_tree(data: bytes) -> None:
    assert byte_root(TEXT, data) == ByteTree(TEXT, data).root
    assert byte_root(TEXT, data) != byte_root(BODY, data) or not data


SIZES = [0, 1, 255, 256, 257, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 5 << 17]


@pytest.mark.parametrize("size", SIZES)
def test_every_chunk_verifies_and_no_other_bytes_do(size: int) -> None:
    data = bytes(at * 7 % 251 for at in range(size))
    tree = ByteTree(TEXT, data)
    commitment = tree.commitment
    for index in range(commitment.chunks):
        chunk = data[index * commitment.chunk_bytes :][: commitment.chunk_bytes]
        proof = tree.chunk_siblings(index)
        commitment.verify_chunk(index, chunk, proof)
        wrongs = [
            (index, chunk + b"x", proof),
            (index + 1, chunk, proof),
            (index, chunk, [*proof, bytes(32)]),
        ]
        if chunk:
            wrongs += [(index, flip(chunk), proof), (index, chunk[:-1], proof)]
        for wrong in wrongs:
            with pytest.raises(Malformed):
                commitment.verify_chunk(*wrong)


amounts = st.dictionaries(st.integers(0, 2**24 - 1), st.integers(0, 2**90), max_size=12)


@given(amounts, st.integers(0, 2**24 - 1))
def test_totals_open_to_what_is_owed_and_nothing_else(values: dict[int, int], who: int) -> None:
    tree = total_tree(values)
    path = tree.siblings(who)
    assert tree.root.sum == sum(values.values())
    assert opens(tree.root, total_leaf(values.get(who, 0)), who, path, 24)
    assert not opens(tree.root, total_leaf(values.get(who, 0) + 1), who, path, 24)
    assert not opens(tree.root, total_leaf(values.get(who, 0)), who + (1 << 24), path, 24)
    assert not opens(tree.root, total_leaf(values.get(who, 0)), who, path[:-1], 24)


@given(amounts, st.data())
def test_sums_on_a_path_cannot_be_moved(values: dict[int, int], data: st.DataObject) -> None:
    """Over-payment is impossible: what a sibling gains, the root would have to announce."""
    tree, who = total_tree(values), data.draw(st.integers(0, 2**24 - 1))
    height, more = data.draw(st.integers(0, 23)), data.draw(st.integers(1, 2**64))
    path = tree.siblings(who)
    path[height] = Node(path[height].hash, path[height].sum + more)
    assert not opens(tree.root, total_leaf(values.get(who, 0)), who, path, 24)


def test_a_sum_never_leaves_128_bits() -> None:
    with pytest.raises(Malformed, match="128 bits"):
        total_tree({1: SUM_MAX, 2: 1})


def test_an_absent_entry_opens_as_absent_and_a_present_one_does_not() -> None:
    tree = entry_tree({entry_position(5, 2): entry_leaf(0, 1, 0, 9)})
    absent, present = entry_position(5, 3), entry_position(5, 2)
    assert opens(tree.root, ENTRY_ABSENT, absent, tree.siblings(absent), ENTRY_DEPTH)
    assert not opens(tree.root, ENTRY_ABSENT, present, tree.siblings(present), ENTRY_DEPTH)
    assert opens(tree.root, entry_leaf(0, 1, 0, 9), present, tree.siblings(present), ENTRY_DEPTH)
    assert tree.node(5, 20).sum == 9
