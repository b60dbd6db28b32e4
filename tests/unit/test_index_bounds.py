"""Texts and answers made to be slow to search: the work for them is bounded, the result exact."""

import numpy as np
import pytest

from attribution.corpus import Corpus, CorpusShard
from attribution.holders import BLOCK, FANOUT
from attribution.spans import spans_of
from attribution.tiers import Tier
from protocol.datanet import Document, assemble
from protocol.parameters import HOLDERS_MAX, Parameters

RULES = Parameters()
OUTPUT_BYTES = 24 << 10  # as many as a receipt allows
BLANK = (0, bytes(32), bytes(32), bytes(65))


def shard(texts: list[bytes], whose: list[int]) -> CorpusShard:
    text, starts = assemble(texts)
    rows = zip(starts, texts, whose, strict=True)
    return CorpusShard(text, tuple(Document(at, len(t), who, *BLANK) for at, t, who in rows))


def equal_words(count: int) -> CorpusShard:
    """One contributor's flood of a word, then three who wrote it once."""
    few = b"to be " * 60
    return shard([b"to be " * count, few, few, few], [7, 8, 9, 3])


@pytest.mark.parametrize("count", [40, 1 << 18])
def test_a_million_hits_are_answered_from_some_hundred_rows(count: int) -> None:
    held = equal_words(count)
    tier = Tier.build([held])
    span = (b"to be " * 60)[:256]
    lows, highs = tier.index.bounds(
        np.frombuffer(span, np.uint8), np.zeros(1, np.int64), np.full(1, 256)
    )
    low, high = int(lows[0]), int(highs[0])

    read = tier.earliest.candidates(tier.index.order, low, high)

    levels = max(1, len(tier.earliest.levels))
    assert len(read) <= 2 * BLOCK + levels * 2 * FANOUT * HOLDERS_MAX
    assert count == 40 or high - low > 1000 * HOLDERS_MAX
    found = Corpus((held,)).holders(span, 4)
    ends = [row.end for row in held.documents]
    if count > 40:
        assert [place.contributor for place in found] == [7, 8, 9, 3]
        assert [place.position for place in found] == [row.start for row in held.documents]
    assert all(place.position + 256 <= ends[place.document] for place in found)


def test_an_answer_of_one_phrase_asks_for_few_spans() -> None:
    """Eight thousand kept spans of 256 bytes are two different ones."""
    corpus = Corpus((equal_words(1 << 14),))
    output = (b"to be " * (OUTPUT_BYTES // 6 + 1))[:OUTPUT_BYTES]

    found = spans_of(corpus, output, output, RULES)

    assert len(found) > 8000
    assert [span.length for span in found[:-1]] == [256] * (len(found) - 1)
    assert {span.who for span in found[:-1]} == {found[0].who, found[1].who}
    assert {span.echo for span in found[:-1]} == {1, 4}


@pytest.mark.parametrize("byte", [b"a", b" ", b".", b"\xc3\xa9", b"\0"])
def test_a_text_of_one_byte(byte: bytes) -> None:
    """One word start, none, or one at each byte."""
    corpus = Corpus((shard([byte * 50_000], [5]),))
    output = byte * 1000

    found = spans_of(corpus, b"", output, RULES)

    if byte in (b" ", b"\0"):
        assert not found
    else:
        assert {place.position for span in found for place in span.who} == {1}
        assert all(span.length == 256 - 256 % len(byte) for span in found)


def test_nothing_in_nothing() -> None:
    assert spans_of(Corpus(()), b"", b"a b c" * 20, RULES) == []
    assert spans_of(Corpus((CorpusShard(b"", ()),)), b"", b"a b c" * 20, RULES) == []
    assert spans_of(Corpus((shard([b"abc"], [1]),)), b"", b"", RULES) == []
    assert Corpus(()).longest(b"abc") == 0
    assert Corpus((shard([b"abc"], [1]),)).longest(b"") == 0
    assert Corpus((shard([b"abc"], [1]),)).longest(b"ab\xffc") == 2
    assert Corpus((shard([b"abc"], [1]),)).holders(b"ab\xffc", 4) == []


def test_many_small_shards_are_few_searches() -> None:
    shards = [shard([b"the %d th book of sums" % n], [n % 9 + 1]) for n in range(300)]
    corpus = Corpus(tuple(shards))

    assert len(corpus.tiers) <= 12
    assert [p.shard for p in corpus.holders(b"th book of sums", 4)] == [0, 1, 2, 3]
    assert corpus.holders(b"299 th book of sums", 4)[0].shard == 299


def test_documents_that_do_not_tile_their_shard_hold_what_they_hold() -> None:
    """A shard is final because nobody refuted it, not because it is right."""
    text = b"\xffone fish two fish red fish"
    table = (Document(1, 8, 5, *BLANK), Document(19, 900, 6, *BLANK))
    corpus = Corpus((CorpusShard(text, table),))

    assert [place.position for place in corpus.holders(b"fish", 4)] == [5, 23]
    assert corpus.longest(b"two fish") == 0
    assert Corpus((CorpusShard(text, ()),)).longest(b"fish") == 0
