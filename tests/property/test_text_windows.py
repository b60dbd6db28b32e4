"""A window of committed text is read through just the leaves that hold it, and no others."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from protocol.merkle import TEXT, TEXT_LEAF, ByteTree
from protocol.windows import WINDOW_MAX, TextOpening, Window, open_text

TEXTS = [random.Random(n).randbytes(n) for n in (1, 255, 256, 257, 513, 1024, 1025, 4000, 8200)]
TREES = [ByteTree(TEXT, text) for text in TEXTS]


def pieces(text: bytes) -> st.SearchStrategy[tuple[int, int]]:
    """(start, end) of windows."""
    starts = st.integers(0, len(text) - 1)
    return starts.flatmap(
        lambda at: st.tuples(st.just(at), st.integers(at + 1, min(len(text), at + WINDOW_MAX)))
    )


@given(st.integers(0, len(TEXTS) - 1), st.data())
def test_what_is_opened_is_read(number: int, data: st.DataObject) -> None:
    text, tree = TEXTS[number], TREES[number]
    start, end = data.draw(pieces(text))

    opening = open_text(tree, text, start, end, before=False)

    assert Window(tree.root, len(text)).read(start, end, opening) == text[start:end]
    assert len(opening.proof) <= max(tree.depth, 2 * tree.depth - 2)


@given(st.integers(0, len(TEXTS) - 1), st.data())
def test_nothing_else_opens(number: int, data: st.DataObject) -> None:
    """A bit of a leaf, a hash of the way up, a byte or a hash more or fewer, another window."""
    text, tree = TEXTS[number], TREES[number]
    start, end = data.draw(pieces(text))
    opening = open_text(tree, text, start, end, before=False)
    at = data.draw(st.integers(0, len(opening.leaves) - 1))
    flipped = bytes([opening.leaves[at] ^ 1])
    wrong = [
        replace(opening, leaves=opening.leaves[:at] + flipped + opening.leaves[at + 1 :]),
        replace(opening, leaves=opening.leaves[:-1]),
        replace(opening, leaves=opening.leaves + b"\0"),
        replace(opening, proof=(*opening.proof, bytes(32))),
        TextOpening(),
    ]
    if opening.proof:
        place = data.draw(st.integers(0, len(opening.proof) - 1))
        way = list(opening.proof)
        way[place] = bytes(32)
        wrong += [replace(opening, proof=tuple(way)), replace(opening, proof=opening.proof[:-1])]
    if start // TEXT_LEAF == (end - 1) // TEXT_LEAF and start + TEXT_LEAF < len(text):
        wrong.append(open_text(tree, text, start, start + TEXT_LEAF, before=False))
        if wrong[-1].leaves == opening.leaves:
            wrong.pop()
    for bad in wrong:
        with pytest.raises(Malformed):
            Window(tree.root, len(text)).read(start, end, bad)


def test_the_way_up_of_two_leaves_is_shared() -> None:
    """Twice the way only as far as the two are no siblings."""
    text = bytes(64 * TEXT_LEAF)
    tree = ByteTree(TEXT, text)

    lengths = [
        len(open_text(tree, text, TEXT_LEAF * n, TEXT_LEAF * n + 257, before=False).proof)
        for n in range(8)
    ]

    assert tree.depth == 6
    assert lengths == [5, 6, 5, 7, 5, 6, 5, 8]
