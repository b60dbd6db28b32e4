"""An explanation says exactly what a batch says, to the wei, whatever the batch says."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.claims import Answered, build_body
from attribution.corpus import Corpus, corpus_of
from attribution.influence.scores import influences_of
from attribution.influence.store import FeatureSet, rows_of
from attribution.spans import spans_of
from node.why.as_json import explained_json, money
from node.why.explain import UNQUERIED, Known, explain
from node.why.library import Library
from node.why.runners_up import HeldFeatures
from node.why.spans import pieces_of
from node.why.split import NORM2, least_score, sigmas_of, split_of
from node.why.values import Explanation, Standing
from node.why.visible import decoded, opening
from protocol.batch import Body, Text
from protocol.features import DIMENSION, credited
from protocol.merkle import TEXT, byte_root
from protocol.parameters import BPS, OPEN, Parameters
from protocol.receipt import Receipt
from tests.sim.story import corpus
from tests.strategies import bodies

RULES = Parameters(span_min=12, span_max=48, holders_max=3, influences_max=2)
FEE = 7 * OPEN + 1_234_567
DIGEST = bytes(range(32))
STANDING = Standing("pending", "batch 3 pends", 3, 0, b"\x01" * 20, None, 99, 9)
OUTPUT = (
    b"He said: Pack my box with five dozen liquor jugs: and so it was, "
    b"Sphinx of black quartz, judge my vow; and more words of nobody \xe2\x80\x94 here."
)
PROMPT = b"Quote this: Sphinx of black quartz, judge my vow; and I ask"


def held() -> Corpus:
    text, table, _ = corpus()
    return corpus_of([(text, table)])


def feature(random: np.random.Generator) -> Any:
    raw = random.standard_normal(DIMENSION)
    return np.rint(raw / np.linalg.norm(raw) * np.sqrt(NORM2)).astype(np.int8)


def mixed(one: Any, share: float, random: np.random.Generator) -> Any:
    """A feature with this cosine to `one`."""
    raw = share * one + np.sqrt(1 - share**2) * feature(random)
    return np.rint(raw / np.linalg.norm(raw) * np.sqrt(NORM2)).astype(np.int8)


def features() -> tuple[FeatureSet, bytes]:
    """Four documents, one of them a near copy, and the feature of an answer."""
    random = np.random.default_rng(5)
    psi = feature(random)
    rows = [mixed(psi, 0.5, random), mixed(psi, 0.2, random), mixed(psi, 0.03, random)]
    rows.append(mixed(rows[0], 0.999, random))
    documents = [(0, n, n + 1, row.content_root) for n, row in enumerate(corpus()[1])]
    duplicates = np.array([-1, -1, -1, 0], np.int32)
    body = b"".join(row.encode() for row in rows_of(np.stack(rows), duplicates, documents))
    return FeatureSet(body), psi.tobytes()


def receipt(prompt: bytes, output: bytes, fee: int = FEE) -> Receipt:
    text = byte_root(TEXT, prompt), len(prompt), byte_root(TEXT, output), len(output)
    return Receipt(
        bytes(32), bytes(32), b"\xad" * 32, bytes(32), *text, bytes(32), 5, 7, fee, fee, 0, 0, 1, 2,
        b"\x07" * 20, b"\x50" * 20,
    )  # fmt: skip


def batch(fee: int = FEE, output: bytes = OUTPUT) -> Body:
    shard, psi = features()
    spans = tuple(spans_of(held(), PROMPT, output, RULES))
    found = tuple(influences_of(shard, psi, RULES))
    text = Text(PROMPT, output)
    item = Answered(receipt(PROMPT, output, fee), bytes(64) + b"\x1b", text, spans, psi, found)
    return build_body([item], [DIGEST], {}, RULES)


def explained(body: Body, **known: Any) -> Explanation:
    return explain(body, 0, DIGEST, 1, RULES, Known(host_bps=5_000, **known))


def test_every_part_of_the_fee_is_named_and_nothing_is_left() -> None:
    made = explained(batch(), corpus=held())
    split = made.split

    assert split.fee == FEE
    assert split.platform + split.host + split.owner + split.stakers + split.contributors == FEE
    assert split.spans + split.influences + split.treasury == split.contributors
    assert split.spans == sum(source.amount for span in made.spans for source in span.sources)
    assert split.influences == sum(one.amount for one in made.examples) > 0
    paid = {(e.contributor, e.claim, e.slot): e.value for _, e in batch().entries}
    for span in made.spans:
        for slot, source in enumerate(span.sources):
            assert paid.get((source.contributor, span.claim, slot), 0) == source.amount


@given(st.integers(0, 2**100), st.integers(0, BPS))
def test_a_split_adds_up_for_any_fee(fee: int, host_bps: int) -> None:
    split = split_of(fee, Parameters(), host_bps, 0, 0)

    parts = (split.platform, split.host, split.owner, split.stakers, split.contributors)
    assert sum(parts) == fee
    assert min(parts) >= 0


def test_spans_name_their_sources_and_what_is_quoted_is_unpaid() -> None:
    made = explained(batch(), corpus=held())
    jugs = next(span for span in made.spans if b"jugs" in OUTPUT[span.start :][: span.length])
    vow = next(span for span in made.spans if span.quoted_at is not None)

    assert [source.contributor for source in jugs.sources] == [1, 3]
    assert jugs.sources[0].title == decoded(held().shards[0].text[1:86])
    assert (jugs.sources[0].amount, jugs.sources[1].amount) == (jugs.amount, 0)
    assert vow.amount == 0
    assert vow.quoted_at == PROMPT.find(OUTPUT[vow.start :][: vow.length])
    assert made.covered == sum(span.owned for span in made.spans)


def test_pieces_are_the_whole_answer_in_order() -> None:
    made = explained(batch())

    assert [piece.start for piece in made.pieces] == [0, *(p.end for p in made.pieces[:-1])]
    assert made.pieces[-1].end == len(OUTPUT)
    assert "".join(piece.text for piece in made.pieces) == OUTPUT.decode()
    owned = {(s.own_start, s.own_end) for s in made.spans if s.owned}
    assert {(p.start, p.end) for p in made.pieces if p.span is not None} == owned


def test_the_line_shows_who_passed_who_did_not_and_why() -> None:
    shard, _ = features()
    made = explained(batch(), corpus=held(), features=HeldFeatures(shard, RULES))
    assert made.line is not None

    assert [one.example for one in made.examples] == [0, 1]
    assert all(one.sigmas > made.line.sigmas and one.exact for one in made.examples)
    assert [(one.example, one.unpaid) for one in made.line.under] == [
        (3, "a near copy of the earlier example 0"),
        (2, "under the line"),
    ]
    assert made.line.under[1].sigmas < made.line.sigmas
    assert made.examples[0].text == decoded(held().shards[0].text[1:86])
    assert made.missing == ()


def test_without_corpus_and_features_the_rest_is_said() -> None:
    bare = explained(batch())
    whole = explained(batch(), corpus=held(), features=HeldFeatures(features()[0], RULES))

    assert bare.split == whole.split
    assert [one.amount for one in bare.examples] == [one.amount for one in whole.examples]
    assert bare.examples[0].text is None
    assert not bare.examples[0].exact
    assert abs(bare.examples[0].sigmas - whole.examples[0].sigmas) < 0.02 * bare.examples[0].sigmas


def test_a_taken_down_document_and_an_answer_with_no_byte_left() -> None:
    shard, psi = features()
    down = HeldFeatures(shard, RULES, frozenset({1})).under(psi, frozenset({0}))
    assert (1, "its document was taken down") in {(one.example, one.unpaid) for one in down}

    body = batch(output=b"Pack my box with five dozen liquor jugs")
    made = explained(body, features=HeldFeatures(shard, RULES))
    assert made.examples == ()
    assert made.line is not None
    assert {one.unpaid for one in made.line.under} == {"the spans cover every byte of the answer"}


@given(st.integers(1, 1 << 26), st.integers(100, 1_000))
def test_sigmas_and_the_least_score_agree_with_the_rule(score: int, sigma: int) -> None:
    rules = Parameters(influence_sigma=sigma)

    passed = credited(score, NORM2, NORM2, rules)
    assert passed == (score >= least_score(NORM2, rules))
    assert (sigmas_of(score, NORM2, NORM2) >= sigma) >= passed


@given(bodies(), st.sampled_from([None, 0]))
def test_any_body_that_decodes_is_explained(body: Body, shards: int | None) -> None:
    """A liar's, too: claims that are not there, spans beyond the end, amounts that fall."""
    rules, known = Parameters(), Known(corpus=None if shards is None else held())

    for number in range(len(body.answers)):
        made = explain(body, number, DIGEST, 1, rules, known)
        assert json.loads(json.dumps(explained_json(made, STANDING, {})))
        ends = [piece.end for piece in made.pieces]
        assert ends == sorted(ends)
        assert not ends or ends[-1] == len(made.output)


def test_an_adapter_without_features_says_so() -> None:
    body = batch()
    plain = replace(body, queries=(b"",), influences=())

    made = explained(plain)
    assert made.line is None
    assert UNQUERIED in made.missing


def test_money_is_exact_text() -> None:
    assert money(125 * 10**15) == {"wei": "125000000000000000", "open": "0.125"}
    assert money(-1)["open"] == "-0.000000000000000001"
    assert money(0)["open"] == "0"


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a‮b", "\x00", "\udc80", "\x9b31m", "\x7f"])
def test_nothing_shown_can_act(hostile: str) -> None:
    shown = decoded(f"fine {hostile}\n\ttext\r\nend".encode("utf-8", "surrogatepass"))

    assert "\n\ttext\nend" in shown
    assert not set(shown) & set("\x1b‮\x00\x9b\x7f\r")


@given(st.binary(max_size=80))
def test_openings_keep_their_bounds(data: bytes) -> None:
    text = opening(data, 40, 2)
    assert len(text) <= 44
    assert text.count("\n") <= 1


def test_places_of_examples_run_through_all_shards() -> None:
    text, table, _ = corpus()
    library = Library.of(corpus_of([(text, table), (text, table[:2])]))

    assert [library.place(n) for n in (0, 3, 4, 5)] == [(0, 0), (0, 3), (1, 0), (1, 1)]
    assert library.place(6) is None
    assert library.place(99) is None
    assert library.title(0, 9) is None
    assert library.title(7, 0) is None


def test_pieces_move_cuts_behind_the_character_they_fall_into() -> None:
    made = explained(batch())
    span = replace(made.spans[0], own_start=1, own_end=2)

    pieces = pieces_of("aéb".encode(), [span])
    assert "".join(piece.text for piece in pieces) == "aéb"
