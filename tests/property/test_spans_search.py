"""What is found does not depend on how a corpus is split, grouped, built or searched."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution import holders, tiers
from attribution.corpus import Corpus, CorpusShard, Place
from attribution.index import Index, whole
from attribution.search import PLAIN, Search, compiled
from attribution.spans import Span, spans_of
from attribution.suffixes import word_starts_at, word_starts_in
from attribution.tiers import Tier, plan
from protocol.datanet import Document, assemble
from protocol.parameters import Parameters
from protocol.text import SEPARATOR, word_starts

RULES = Parameters(span_min=3, span_max=12, holders_max=2)
PARTS = ["ab", "ba", "abc", " ", "a", "é", ".", "_x", "\n", "0", "\0", "aaaaaaaaaaaaaaaaaa"]
pieces = st.lists(st.sampled_from(PARTS), max_size=14).map(lambda parts: "".join(parts).encode())
searches = st.sampled_from([PLAIN, compiled() or PLAIN])
down = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=4)
brief = settings(max_examples=50, deadline=None)  # a shared machine has no even pace
books = st.lists(
    st.lists(st.tuples(pieces.filter(bool), st.integers(1, 4)), min_size=1, max_size=4), max_size=7
)


def shard(book: Sequence[tuple[bytes, int]], gone: frozenset[int] = frozenset()) -> CorpusShard:
    text, starts = assemble([data for data, _ in book])
    rows = zip(starts, book, strict=True)
    blank = (0, bytes(32), bytes(32), bytes(65))
    table = tuple(Document(start, len(data), whose, *blank) for start, (data, whose) in rows)
    return CorpusShard(text, table, gone)


def corpus(library: Sequence[Sequence[tuple[bytes, int]]], gone: set[tuple[int, int]]) -> Corpus:
    return Corpus(
        tuple(
            shard(book, frozenset(row for at, row in gone if at == number))
            for number, book in enumerate(library)
        )
    )


@dataclass(frozen=True)
class Judge:
    """The rule as it is written, word start by word start."""

    corpus: Corpus

    def places(self) -> Iterator[tuple[Place, bytes]]:
        for number, held in enumerate(self.corpus.shards):
            for at in word_starts(held.text):
                for row, document in enumerate(held.documents):
                    if document.start <= at < document.end and row not in held.down:
                        place = Place(number, at, row, document.contributor)
                        yield place, held.text[at : document.end]

    def longest(self, needle: bytes) -> int:
        sizes = range(len(needle), 0, -1)
        heads = [text for _, text in self.places()]
        return next((n for n in sizes if any(t.startswith(needle[:n]) for t in heads)), 0)

    def holders(self, span: bytes, limit: int) -> list[Place]:
        found = dict[int, Place]()
        for place, text in self.places():
            if text.startswith(span):
                found.setdefault(place.contributor, place)
        return list(found.values())[:limit]

    def spans(self, prompt: bytes, output: bytes) -> list[Span]:
        found, reach = [], 0
        for start in word_starts(output):
            needle = output[start : start + RULES.span_max].partition(b"\xff")[0]
            length = self.longest(needle)
            if length >= RULES.span_min and start + length > reach:
                reach = start + length
                who = tuple(self.holders(needle[:length], RULES.holders_max))
                found.append(Span(start, length, prompt.find(needle[:length]) + 1, who))
        return found


def grouped(made: Corpus, groups: Sequence[range], search: Search) -> Corpus:
    """The same corpus, its shards under these indexes, searched in that way."""
    built = []
    for group in groups:
        tier = Tier.build(made.shards[group.start : group.stop])
        built.append((group.start, replace(tier, index=replace(tier.index, search=search))))
    other = Corpus(made.shards)
    other.__dict__["tiers"] = built
    return other


@brief
@given(books, down, pieces, pieces, searches, st.data())
def test_spans_are_those_of_the_rule_however_a_corpus_is_grouped(
    library: list[list[tuple[bytes, int]]],
    gone: set[tuple[int, int]],
    prompt: bytes,
    output: bytes,
    search: Search,
    data: st.DataObject,
) -> None:
    made = corpus(library, gone)
    cuts = data.draw(st.sets(st.integers(1, 8), max_size=8))
    edges = [0, *sorted(cut for cut in cuts if cut < len(library)), len(library)]
    groups = [range(*pair) for pair in pairwise(edges) if pair[0] < pair[1]]
    output = data.draw(st.sampled_from([output, output + b"\xff" + prompt + output]))
    expected = Judge(made).spans(prompt, output)

    assert spans_of(grouped(made, groups, search), prompt, output, RULES) == expected
    assert spans_of(made, prompt, output, RULES) == expected


@brief
@given(books.filter(bool), down, st.lists(pieces, min_size=1, max_size=6), searches)
def test_any_needle_is_found_as_far_as_it_stands(
    library: list[list[tuple[bytes, int]]],
    gone: set[tuple[int, int]],
    needles: list[bytes],
    search: Search,
) -> None:
    made = grouped(corpus(library, gone), [range(len(library))], search)
    judge = Judge(made)

    for needle in needles:
        longest = made.longest(needle)
        assert longest == judge.longest(needle)
        for limit in (1, 2, 4, 9):
            assert made.holders(needle[:longest], limit) == judge.holders(needle[:longest], limit)
        assert made.first_place(needle) == next(iter(judge.holders(needle, 1)), None)


@brief
@given(st.binary(max_size=60), st.binary(max_size=12), searches)
def test_an_index_over_all_bytes_is_sorted_and_finds_all(
    text: bytes, needle: bytes, search: Search
) -> None:
    index = replace(Index.build(text, lambda data, at: np.ones(len(at), bool)), search=search)
    suffixes = [text[at:] for at in index.order.tolist()]

    assert suffixes == sorted(text[at:] for at in range(len(text)))
    sizes = range(len(needle) + 1)
    assert index.longest(needle) == max((n for n in sizes if needle[:n] in text), default=0) * bool(
        text
    )
    found = [at for at in range(len(text)) if text.startswith(needle, at)]
    assert index.positions(needle).tolist() == found


@brief
@given(st.binary(max_size=60))
def test_word_starts_are_the_protocols(text: bytes) -> None:
    data = np.frombuffer(text, np.uint8)
    found = word_starts_at(data, np.arange(len(data), dtype=np.int32))

    assert np.flatnonzero(found).tolist() == word_starts(text) == word_starts_in(data).tolist()


@brief
@given(st.integers(1, 40), st.integers(1, 8), st.integers(2, 6), st.integers(0, 1 << 20), searches)
def test_first_holders_of_any_range_of_ranks(
    documents: int, contributors: int, block: int, seed: int, search: Search
) -> None:
    """Blocks are made small, so that ranges cover whole rows of several levels."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(400).astype(np.int32)
    starts = np.unique(np.append(0, draw.integers(0, 400, documents))).astype(np.int32)
    whose = draw.integers(1, contributors + 1, len(starts)).astype(np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holders, "BLOCK", block)
        patch.setattr(holders, "FANOUT", 3)
        made = holders.Earliest.build(order, starts, whose, search)

        for _ in range(20):
            low, high = sorted(draw.integers(0, 401, 2).tolist())
            assert first(made.candidates(order, low, high), starts, whose) == first(
                order[low:high], starts, whose
            )


def first(positions: np.ndarray, starts: np.ndarray, whose: np.ndarray) -> list[tuple[int, int]]:
    found = dict[int, int]()
    for at in sorted(positions.tolist()):
        found.setdefault(int(whose[np.searchsorted(starts, at, side="right") - 1]), at)
    return sorted((at, who) for who, at in found.items())[:4]


@brief
@given(st.lists(st.integers(1, 5000), max_size=300), st.sampled_from([1000, 20_000, 1 << 40]))
def test_a_plan_covers_all_shards_with_few_groups(sizes: list[int], limit: int) -> None:
    groups = list(plan(sizes, limit))
    bytes_of = [sum(sizes[n] + 1 for n in group) for group in groups]

    assert [n for group in groups for n in group] == list(range(len(sizes)))
    assert all(
        size <= limit for size, group in zip(bytes_of, groups, strict=True) if len(group) > 1
    )
    full = 4 * sum(bytes_of) / limit
    assert len(groups) <= 4 + 2 * np.log2(sum(bytes_of) + 1) + full


@brief
@given(st.integers(0, 400))
def test_a_growing_corpus_keeps_most_of_its_indexes(count: int) -> None:
    before, after = (set(plan([100] * n)) for n in (count, count + 1))

    assert len(after - before) == 1
    assert sum(len(group) for group in after) == count + 1


def test_limits_name_what_they_bound() -> None:
    assert tiers.TIER_BYTES_MAX < 1 << 31  # positions of a tier are int32
    assert SEPARATOR not in b"".join(word.encode() for word in PARTS)


def test_both_searches_agree_on_a_large_index() -> None:
    """Two key bytes, several levels of holders, and needles from the text with one byte changed."""
    fast = compiled()
    if fast is None:
        pytest.skip("numba is not installed")
    draw = np.random.default_rng(1)
    words = ["".join(map(chr, draw.integers(97, 101, n))) for n in draw.integers(1, 7, 300)]
    texts = [" ".join(draw.choice(words, 4000)).encode() for _ in range(80)]
    made = corpus([[(text, n % 7 + 1) for n, text in enumerate(texts)]], {(0, 3)})
    groups = [range(1)]
    plain, quick = (grouped(made, groups, search) for search in (PLAIN, fast))
    output = bytearray(b"".join(text[k * 50 : k * 50 + 200] for k, text in enumerate(texts)))
    output[500::700] = b"!" * len(output[500::700])
    rules = Parameters()
    data = np.frombuffer(bytes(output), np.uint8)
    starts = word_starts_in(data)
    ends = np.minimum(starts + 256, len(data))

    assert spans_of(plain, b"", bytes(output), rules) == spans_of(quick, b"", bytes(output), rules)
    slow, sure = (each.longest_at(data, starts, ends) for each in (plain, quick))
    assert slow.tolist() == sure.tolist()
    for word in words[:50]:
        assert plain.holders(word.encode(), 4) == quick.holders(word.encode(), 4)
    assert plain.longest(bytes(output[:90])) == quick.longest(bytes(output[:90])) > 50
    assert whole(b"ab")[2].tolist() == [2]
