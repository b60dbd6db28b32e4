"""The parts of p2p that need no socket: buckets, recent envelopes, chunks, sync questions, ids."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.chunks import chunk_tree
from p2p.identity import from_text, key_pair, peer_id, to_text
from p2p.limits import Buckets, Rate
from p2p.recent import Recent
from p2p.sync import (
    ANSWER_BYTES_MAX,
    Question,
    decode_answer,
    encode_answer,
    fold_of,
)
from protocol.errors import Malformed
from protocol.merkle import BODY, DOCUMENT, TEXT, ByteTree, Commitment


def test_bucket_holds_its_burst_and_refills() -> None:
    """`burst` at once, then `per_second`; a refused amount is not spent."""
    buckets = Buckets(Rate(per_second=2.0, burst=3.0))
    assert [buckets.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b", 0.0)
    assert not buckets.take("a", 0.4)
    assert buckets.take("a", 0.5)
    assert not buckets.take("a", 1000.0, amount=4.0)
    assert buckets.take("a", 1000.0, amount=3.0)


def test_buckets_are_bounded() -> None:
    """A million names cost no more memory than `keys_max`."""
    buckets = Buckets(Rate(1.0, 1.0), keys_max=10)
    for name in range(1000):
        buckets.take(name, 0.0)
    assert len(buckets) == 10


def test_recent_keeps_the_newest_within_both_bounds() -> None:
    """Neither many small nor few large envelopes grow it; ids come newest first."""
    recent = Recent(envelopes_max=3, bytes_max=100)
    for number in range(5):
        recent.add("t", b"%d" % number, number, b"x" * 10)
    assert recent.ids("t", 0) == [b"4", b"3", b"2"]
    assert recent.ids("t", 4) == [b"4"]
    assert recent.ids("u", 0) == []
    recent.add("t", b"big", 9, b"x" * 95)
    assert recent.ids("t", 0) == [b"big"]
    assert recent.get("t", b"4") is None


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([TEXT, DOCUMENT, BODY]), st.integers(0, 3), st.integers(-2, 2))
def test_chunk_tree_proves_what_the_whole_tree_commits(kind: int, chunks: int, off: int) -> None:
    """The upper rows alone give the same siblings as the whole tree, around every edge."""
    size = max(0, chunks * Commitment(kind, 1, bytes(32)).chunk_bytes + off)
    data = bytes(size)
    whole = ByteTree(kind, data)
    tree = chunk_tree(whole.commitment, data)
    for index in range(whole.commitment.chunks):
        start = index * whole.commitment.chunk_bytes
        chunk = data[start : start + whole.commitment.chunk_size(index)]
        assert tree.siblings(index) == whole.chunk_siblings(index)
        whole.commitment.verify_chunk(index, chunk, tree.siblings(index))


def test_chunk_tree_refuses_another_body() -> None:
    """One bit of the body, or another size, is noticed."""
    commitment = ByteTree(BODY, b"body").commitment
    for other in [b"bodx", b"bod", b"bodyy"]:
        with pytest.raises(Malformed):
            chunk_tree(commitment, other)


SHORT = st.binary(min_size=8, max_size=8)
QUESTIONS = st.builds(
    Question,
    st.text(max_size=50),
    st.integers(0, 2**64 - 1),
    SHORT,
    st.lists(SHORT, max_size=20).map(tuple),
)


@given(QUESTIONS, st.data())
def test_question_round_trips_and_refuses_cut_and_tail(
    question: Question, data: st.DataObject
) -> None:
    """One value, one byte string; every cut and every tail is `Malformed`."""
    encoded = question.encode()
    assert Question.decode(encoded) == question
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for broken in [encoded[:cut], encoded + b"\x00"]:
        with pytest.raises(Malformed):
            Question.decode(broken)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_malformed(data: bytes) -> None:
    """What decodes encodes to the same bytes."""
    try:
        same, envelopes = decode_answer(data)
    except Malformed:
        return
    assert encode_answer(same, envelopes) == data


def test_answer_stops_at_its_bound() -> None:
    """More envelopes than fit are left for the next question."""
    answer = encode_answer(False, [b"x" * 60_000] * 100)
    assert len(answer) <= ANSWER_BYTES_MAX
    assert len(decode_answer(answer)[1]) == 17


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=10), st.randoms())
def test_fold_forgets_the_order(ids: list[bytes], random: object) -> None:
    """One set has one fold."""
    shuffled = list(ids)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold_of(ids) == fold_of(shuffled)


def test_identity_follows_from_its_secret() -> None:
    """The same secret is the same peer; its id has one text, and both convert."""
    peer = peer_id(b"\x07" * 32)
    assert peer == peer_id(b"\x07" * 32) != peer_id(b"\x08" * 32)
    assert from_text(to_text(peer)) == peer
    assert to_text(peer).startswith("12D3KooW")
    for secret in [b"", b"\x07" * 31, b"\x07" * 33]:
        with pytest.raises(Malformed):
            key_pair(secret)
    for text in ["", "0OIl", "hello world"]:
        with pytest.raises(Malformed):
            from_text(text)


def test_package_is_light() -> None:
    """Importing `p2p` itself, or its pure parts, does not load libp2p (4 s)."""
    code = (
        "import sys, p2p, p2p.score, p2p.limits, p2p.recent, p2p.chunks;"
        "assert 'libp2p' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
