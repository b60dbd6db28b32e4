"""However an answer is cut into tokens, what is shown is its text up to the first stop string."""

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from openlora.text import BROKEN, Transcript, overlap

ALPHABET = "abä€😀 "
texts = st.text(ALPHABET, max_size=30)
stops = st.lists(st.text(ALPHABET, min_size=1, max_size=4), max_size=3)
BIG = 10**6


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[low:high] for low, high in itertools.pairwise(places)]


def play(tokens: Sequence[bytes], stops: Sequence[str], bytes_max: int = BIG) -> Transcript:
    """Tokens are pieces of UTF-8, as those of a byte-level tokenizer; shown text is `text`."""

    def decode(ids: Sequence[int]) -> str:
        return b"".join(tokens[at] for at in ids).decode("utf-8", "replace")

    transcript, shown = Transcript(decode, stops, bytes_max), ""
    for at in range(len(tokens)):
        shown += transcript.add(at)
        assert not any(stop in shown for stop in stops)
        if transcript.stopped or transcript.full:
            break
    shown += transcript.finish()
    assert shown == transcript.text
    return transcript


def before_stops(text: str, stops: Sequence[str]) -> str:
    """Up to the stop string that is complete first; of those that are so at once, the longest."""
    for end in range(len(text) + 1):
        met = [text[:end].find(stop) for stop in stops if stop in text[:end]]
        if met:
            return text[: min(met)]
    return text


@given(texts, st.lists(st.integers(0, 200), max_size=40))
def test_text_survives_any_cut_into_tokens(text: str, cuts: list[int]) -> None:
    assert play(pieces(text.encode(), cuts), ()).text == text


@given(texts, st.lists(st.integers(0, 200), max_size=40), stops)
def test_nothing_of_a_stop_string_is_shown(text: str, cuts: list[int], stops: list[str]) -> None:
    """Where a token completes two of them the one that begins first wins, so bounds only."""
    transcript = play(pieces(text.encode(), cuts), stops)
    assert text.startswith(transcript.text)
    assert transcript.stopped == any(stop in text for stop in stops)
    assert transcript.stopped or transcript.text == text


@given(texts, stops)
def test_character_by_character_the_first_stop_ends_it(text: str, stops: list[str]) -> None:
    tokens = [character.encode() for character in text]
    assert play(tokens, stops).text == before_stops(text, stops)


@given(texts, st.integers(0, 3), st.integers(0, 40))
def test_the_end_is_whole_characters(text: str, lost: int, bytes_max: int) -> None:
    """Cut in the middle of a character, by the model or by the bound on bytes."""
    data = text.encode()[: len(text.encode()) - lost]
    whole = data.decode("utf-8", "ignore")
    transcript = play([bytes((byte,)) for byte in data], (), bytes_max)
    assert BROKEN not in transcript.text
    assert transcript.text == whole.encode()[:bytes_max].decode("utf-8", "ignore")
    assert transcript.full == (len(whole.encode()) > bytes_max)


@given(st.binary(max_size=60))
def test_any_bytes_become_text(data: bytes) -> None:
    play([bytes((byte,)) for byte in data], ("ab",)).text.encode()


@given(st.text("ab", max_size=8), st.text("ab", min_size=1, max_size=5))
def test_overlap(text: str, stop: str) -> None:
    sizes = [n for n in range(len(stop)) if text.endswith(stop[:n])]
    assert overlap(text, stop) == max(sizes)
