"""Which parts of an answer stand word for word in the corpus, and whose words they are."""

from dataclasses import dataclass

from attribution.corpus import Corpus, Place
from protocol.parameters import Parameters
from protocol.text import SEPARATOR, word_starts


@dataclass(frozen=True, slots=True)
class Span:
    """A maximal span of an answer: the bytes [start, start + length)."""

    start: int
    length: int
    echo: int  # 1 + where the same bytes stand in the prompt, or 0
    who: tuple[Place, ...]  # the first distinct contributors, in global order


def spans_of(corpus: Corpus, prompt: bytes, output: bytes, parameters: Parameters) -> list[Span]:
    """The kept spans of `output` by the rule of PROTOCOL.md 3, in order of their starts."""
    found, reach = [], 0
    for start in word_starts(output):
        cap = start + parameters.span_max
        separator = output.find(SEPARATOR, start, cap)
        needle = output[start : cap if separator < 0 else separator]
        if len(needle) < parameters.span_min or start + len(needle) <= reach:
            continue
        length = corpus.longest(needle)
        if length < parameters.span_min or start + length <= reach:
            continue
        reach = start + length
        span = needle[:length]
        who = tuple(corpus.holders(span, parameters.holders_max))
        found.append(Span(start, length, prompt.find(span) + 1, who))
    return found
