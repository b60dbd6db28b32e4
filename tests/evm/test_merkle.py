"""The contracts open the very trees that Python builds, and no others."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol import calls
from protocol.batch import Header
from protocol.demands import AnswerDemand, AnswerEntryDemand, AnswerTotalDemand, Demand
from protocol.influences import Influence
from protocol.merkle import BODY, BODY_LEAF, ENTRY, INFLUENCE, TOTAL, ByteTree, Tree
from protocol.openings import EntryOpening, TotalOpening
from protocol.parameters import OPEN
from protocol.signature import address_of
from protocol.sumtree import ENTRY_BITS, entry_leaf, entry_tree, total_tree
from tests.courtroom import secret
from tests.strategies import influences

POSTER = address_of(secret("poster"))
RELAXED = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
WORD = b"\x01" * 32


class Desk:
    """Posts headers and answers demands for their leaves, each undone afterwards."""

    def __init__(self, chain: Any) -> None:
        self.chain = chain
        chain.give(POSTER)
        chain.send(calls.Stake(POSTER, value=10**6 * OPEN), POSTER)

    def opens(self, header: Header, tree: int, index: int, answer: Any) -> bool:
        with self.chain.env.anchor():
            header = replace(header, as_of=self.chain.time - 1)
            self.chain.send(calls.PostBatch(1, 1, bytes(32), header), POSTER)
            self.chain.send(Demand("AttributionOracle", 1, tree, index, OPEN), POSTER)
            try:
                self.chain.send(answer, POSTER)
            except Exception as error:
                if type(error).__name__ != "Reverted":
                    raise
                return False
        return True


@pytest.fixture(scope="module")
def desk(_deployed: Any) -> Any:
    with _deployed.env.anchor():
        yield Desk(_deployed)


def header(**roots: Any) -> Header:
    return replace(Header(*[WORD] * 6, 1, 0, 1, 0, 0, 0), **roots)


@RELAXED
@given(st.integers(1, 6000), st.data())
def test_leaves_of_a_body(desk: Desk, size: int, data: st.DataObject) -> None:
    body = data.draw(st.randoms()).randbytes(size)
    tree = ByteTree(BODY, body)
    index = data.draw(st.integers(0, tree.count - 1))
    leaf = body[index * BODY_LEAF : (index + 1) * BODY_LEAF]
    posted = header(data_root=tree.root, data_size=size)
    answer = AnswerDemand("AttributionOracle", 1, BODY, index, leaf, tuple(tree.siblings(index)))

    assert desk.opens(posted, BODY, index, answer)

    flipped = bytes((leaf[0] ^ 1,)) + leaf[1:]
    wrong = [replace(answer, leaf=flipped), replace(answer, leaf=leaf + b"\0")]
    wrong += [replace(answer, proof=(*answer.proof, WORD)), replace(answer, proof=(WORD,) * 3)]
    assert not any(desk.opens(posted, BODY, index, bad) for bad in wrong)
    assert tree.count == 1 or not desk.opens(
        posted, BODY, (index + 1) % tree.count, replace(answer, index=(index + 1) % tree.count)
    )


@RELAXED
@given(st.lists(influences, min_size=1, max_size=9), st.data())
def test_leaves_of_influences(desk: Desk, rows: list[Influence], data: st.DataObject) -> None:
    tree = Tree(INFLUENCE, [row.leaf() for row in rows])
    index = data.draw(st.integers(0, len(rows) - 1))
    posted = header(influences_root=tree.root, influence_count=len(rows))
    proof = tuple(tree.siblings(index))
    answer = AnswerDemand("AttributionOracle", 1, INFLUENCE, index, rows[index].words(), proof)

    assert desk.opens(posted, INFLUENCE, index, answer)

    other = replace(rows[index], score=rows[index].score ^ 1)
    wrong = [replace(answer, leaf=other.words()), replace(answer, leaf=answer.leaf + bytes(32))]
    dirty = b"\x01" + answer.leaf[1:]  # more than fits into the number
    wrong.append(replace(answer, leaf=dirty))
    assert not any(desk.opens(posted, INFLUENCE, index, bad) for bad in wrong)


amounts = st.integers(0, 2**100)


@RELAXED
@given(st.dictionaries(st.integers(0, 2**24 - 1), amounts, min_size=1, max_size=5), st.data())
def test_leaves_of_totals(desk: Desk, values: dict[int, int], data: st.DataObject) -> None:
    tree = total_tree(values)
    who = data.draw(st.sampled_from(sorted(values)) | st.integers(0, 2**24 - 1))
    opening = TotalOpening(values.get(who, 0), tuple(tree.siblings(who)))
    # The pool holds nothing here, so a tree with a sum cannot even be posted.
    posted = header(totals_root=tree.root.hash)

    assert desk.opens(posted, TOTAL, who, AnswerTotalDemand(1, who, opening)) == (
        tree.root.sum == 0
    )
    opening.opened(tree.root, who)


@RELAXED
@given(st.sets(st.integers(0, 2**44 - 1), max_size=4), st.data())
def test_leaves_of_entries(desk: Desk, places: set[int], data: st.DataObject) -> None:
    """Of no value, for the same reason; the refutations open those that have one."""
    tree = entry_tree({place: entry_leaf(1, 2, 3, 0) for place in places})
    here = st.sampled_from(sorted(places)) if places else st.just(5 << ENTRY_BITS)
    place = data.draw(here | st.integers(0, 2**44 - 1))
    present = place in places
    siblings = tuple(tree.siblings(place))
    opening = EntryOpening(place, present, 1, 2, 3, 0, siblings)
    posted = header(entries_root=tree.root.hash)

    assert desk.opens(posted, ENTRY, place, AnswerEntryDemand(1, opening))

    other = replace(opening, present=not present)
    assert not desk.opens(posted, ENTRY, place, AnswerEntryDemand(1, other))
    if present:
        assert not desk.opens(posted, ENTRY, place, AnswerEntryDemand(1, replace(opening, slot=4)))
