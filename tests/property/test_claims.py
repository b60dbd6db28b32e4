"""Spans, ownership and amounts equal their plain, slow definitions."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from attribution.claims import Answered, build_body
from attribution.corpus import Corpus, corpus_of
from attribution.fraud import same_leaves
from attribution.spans import Span, spans_of
from protocol.batch import Text
from protocol.claims import owned_intervals, split
from protocol.datanet import Document, assemble
from protocol.merkle import TEXT, byte_root
from protocol.parameters import Parameters
from protocol.receipt import Receipt
from protocol.text import is_word_start, word_starts
from tests.strategies import receipts

PARAMETERS = Parameters(span_min=3, span_max=12, holders_max=2)
pieces = st.lists(
    st.sampled_from(["ab", "ba", "abc", " ", "a", "é", ".", "_x", "\n", "0"]), max_size=14
).map(lambda parts: "".join(parts).encode())


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    shards = []
    for _ in range(draw(st.integers(0, 2))):
        texts = draw(st.lists(pieces.filter(bool), min_size=1, max_size=4))
        text, starts = assemble(texts)
        table = [
            Document(
                start,
                len(data),
                draw(st.integers(1, 3)),
                0,
                byte_root(TEXT, data),
                bytes(32),
                bytes(65),
            )
            for start, data in zip(starts, texts, strict=True)
        ]
        shards.append((text, table))
    return corpus_of(shards)


def plain_longest(corpus: Corpus, needle: bytes) -> int:
    return max(
        (
            size
            for shard in corpus.shards
            for at in word_starts(shard.text)
            for size in range(len(needle) + 1)
            if shard.text[at : at + size] == needle[:size]
        ),
        default=0,
    )


def plain_holders(corpus: Corpus, span: bytes, limit: int) -> list[tuple[int, int, int]]:
    found: dict[int, tuple[int, int, int]] = {}
    for number, shard in enumerate(corpus.shards):
        for at in word_starts(shard.text):
            if shard.text[at : at + len(span)] == span:
                row = next(d for d in shard.documents if d.start <= at < d.end)
                found.setdefault(row.contributor, (number, at, row.contributor))
    return list(found.values())[:limit]


@given(st.binary(max_size=40))
def test_word_starts_are_the_positions_that_are_word_starts(data: bytes) -> None:
    assert word_starts(data) == [at for at in range(len(data)) if is_word_start(data, at)]


@given(corpora(), pieces, pieces)
def test_spans_are_the_maximal_matches(corpus: Corpus, prompt: bytes, output: bytes) -> None:
    expected, reach = [], 0
    for start in word_starts(output):
        length = plain_longest(corpus, output[start : start + PARAMETERS.span_max])
        if length >= PARAMETERS.span_min and start + length > reach:
            reach = start + length
            span = output[start:reach]
            who = plain_holders(corpus, span, PARAMETERS.holders_max)
            expected.append((start, length, prompt.find(span) + 1, who))

    found = spans_of(corpus, prompt, output, PARAMETERS)

    assert expected == [
        (s.start, s.length, s.echo, [(p.shard, p.position, p.contributor) for p in s.who])
        for s in found
    ]


@st.composite
def maximal_spans(draw: st.DrawFn) -> list[tuple[int, int]]:
    """(start, length) with starts and ends both increasing."""
    count = draw(st.integers(0, 8))
    starts = sorted(draw(st.lists(st.integers(0, 60), min_size=count, max_size=count, unique=True)))
    spans, reach = [], 0
    for start in starts:
        end = max(reach, start) + draw(st.integers(1, 12))
        spans.append((start, end - start))
        reach = end
    return spans


@given(maximal_spans())
def test_each_byte_belongs_to_the_longest_span_over_it(spans: list[tuple[int, int]]) -> None:
    owner = {}
    for at in range(100):
        over = [j for j, (start, length) in enumerate(spans) if start <= at < start + length]
        if over:
            owner[at] = max(over, key=lambda j: (spans[j][1], -j))

    found = owned_intervals(spans)

    owned = [(at, j) for j, (start, end, _, _) in enumerate(found) for at in range(start, end)]
    assert sorted(owned) == sorted(owner.items())
    for j, (start, end, left, right) in enumerate(found):
        assert start == (spans[j][0] if left == j else sum(spans[left]))
        assert end == (sum(spans[j]) if right == j else spans[right][0])


@given(st.integers(0, 10**20), st.integers(1, 4))
def test_only_the_earliest_is_paid(amount: int, holders: int) -> None:
    """A copy of a text, whole or in pieces, can neither steal from it nor dilute it."""
    assert split(amount, holders) == [amount, *[0] * (holders - 1)]


@given(corpora(), st.lists(st.tuples(pieces, pieces.filter(bool)), max_size=4), st.data())
def test_a_body_pays_out_exactly_the_contributors_share(
    corpus: Corpus, texts: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    answered, digests = [], []
    for number, (prompt, output) in enumerate(texts):
        text = Text(prompt, output)
        receipt: Receipt = data.draw(receipts(text))
        spans: list[Span] = spans_of(corpus, prompt, output, PARAMETERS)
        answered.append(Answered(receipt, bytes(64) + b"\x1b", text, tuple(spans)))
        digests.append(number.to_bytes(32, "big"))

    body = build_body(answered, digests, {1: 5}, PARAMETERS)

    shares = [PARAMETERS.contributors_share(item.receipt.amount) for item in answered]
    trees = body.trees()
    assert sum(entry.value for _, entry in body.entries) == sum(shares) == trees.entries.root.sum
    assert trees.totals.root.sum == sum(shares) + 5
    assert type(body).decode(body.encode()) == body


@given(
    corpora(), st.lists(st.tuples(pieces, pieces.filter(bool)), min_size=1, max_size=3), st.data()
)
def test_only_other_leaves_make_another_batch(
    corpus: Corpus, texts: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    """A body whose entries stand in another order has the same roots: it is honest."""
    answered = []
    for prompt, output in texts:
        text = Text(prompt, output)
        spans = tuple(spans_of(corpus, prompt, output, PARAMETERS))
        answered.append(Answered(data.draw(receipts(text)), bytes(64) + b"\x1b", text, spans))
    digests = [number.to_bytes(32, "big") for number in range(len(answered))]
    body = build_body(answered, digests, {}, PARAMETERS)
    entries = tuple(data.draw(st.permutations(body.entries)))

    other = replace(body, entries=entries)

    assert same_leaves(body, other)
    assert other.trees().entries.root == body.trees().entries.root
    if body.totals:
        assert not same_leaves(body, replace(body, totals=body.totals[:-1]))
