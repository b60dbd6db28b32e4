"""Which parts of an answer stand word for word in the corpus, and whose words they are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from attribution.corpus import Corpus, Place
from attribution.index import frozen
from attribution.suffixes import word_starts_in
from protocol.parameters import Parameters
from protocol.text import SEPARATOR

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Span:
    """A maximal span of an answer: the bytes [start, start + length)."""

    start: int
    length: int
    echo: int  # 1 + where the same bytes stand in the prompt, or 0
    who: tuple[Place, ...]  # the first distinct contributors, in global order


def spans_of(corpus: Corpus, prompt: bytes, output: bytes, parameters: Parameters) -> list[Span]:
    """The kept spans of `output` by the rule of PROTOCOL.md 3, in order of their starts."""
    data = frozen(np.frombuffer(output, dtype=np.uint8))
    starts, ends = _needles(data, parameters)
    kept = _maximal(starts, corpus.longest_at(data, starts, ends), parameters.span_min)
    unlike = {output[start:end]: (start, end) for start, end in kept}  # equal spans are asked once
    asked = np.array(list(unlike.values()), np.int64).reshape(-1, 2)
    limit = parameters.holders_max
    found = corpus.holders_at(data, asked[:, 0].copy(), asked[:, 1].copy(), limit)
    who = {span: tuple(places) for span, places in zip(unlike, found, strict=True)}
    echoes = {span: prompt.find(span) + 1 for span in unlike}
    spans = ((start, output[start:end]) for start, end in kept)
    return [Span(start, len(span), echoes[span], who[span]) for start, span in spans]


def _needles(data: Array, parameters: Parameters) -> tuple[Array, Array]:
    """What could be a span: from a word start up to span_max bytes or byte FF.  int64 [q] each."""
    starts = word_starts_in(data)
    separators = np.append(np.flatnonzero(data == SEPARATOR), len(data))
    ends = separators[np.searchsorted(separators, starts)]
    ends = np.minimum(ends, starts + parameters.span_max)
    long = ends - starts >= parameters.span_min
    return starts[long], ends[long]


def _maximal(starts: Array, lengths: Array, least: int) -> list[tuple[int, int]]:
    """(start, end) of the matches that end beyond all that were kept before them."""
    kept, reach = list[tuple[int, int]](), 0
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        if length >= least and start + length > reach:
            reach = start + length
            kept.append((start, reach))
    return kept
