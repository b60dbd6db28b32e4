"""Which examples of the training moved an answer, and the line that they had to pass."""

from collections.abc import Sequence
from typing import Protocol

from node.why.library import Library
from node.why.split import NORM2, least_score, sigmas_of
from node.why.values import ExampleWhy, Line
from protocol.features import DIMENSION, norm2
from protocol.influences import Influence
from protocol.parameters import Parameters

COVERED = "the spans cover every byte of the answer"


class Features(Protocol):
    """Of a set in force, what the threshold line needs."""

    @property
    def examples(self) -> int: ...

    def norm2(self, example: int) -> int | None:
        """None for an example that there is not."""

    def under(self, query: bytes, listed: frozenset[int]) -> "Sequence[Runner]":
        """The best examples of a positive score that are not listed, best first, a few of them."""


class Runner(Protocol):
    """An example that got nothing."""

    @property
    def example(self) -> int: ...
    @property
    def contributor(self) -> int: ...
    @property
    def score(self) -> int: ...
    @property
    def unpaid(self) -> str: ...


def examples_why(
    influences: Sequence[Influence], query: bytes, library: Library, features: Features | None
) -> tuple[ExampleWhy, ...]:
    """The influences of one answer; amounts are what the batch says."""
    found, before, size = [], 0, _norm2(query)
    for one in influences:
        amount, before = one.paid - before, one.paid
        who = (one.example, one.contributor, one.score)
        found.append(_example(*who, amount, "", size, library, features))
    return tuple(found)


def line_of(
    query: bytes,
    listed: Sequence[ExampleWhy],
    library: Library,
    features: Features | None,
    parameters: Parameters,
    *,
    nothing_left: bool,
) -> Line | None:
    """The threshold, with the best examples that got nothing where the features are at hand.

    `nothing_left`: spans cover the whole answer, so no example is paid whatever its score.
    """
    if not query:
        return None
    size, under = _norm2(query), tuple[ExampleWhy, ...]()
    if features is not None:
        rest = features.under(query, frozenset(one.example for one in listed))
        under = tuple(
            _example(
                row.example,
                row.contributor,
                row.score,
                0,
                COVERED if nothing_left else row.unpaid,
                size,
                library,
                features,
            )
            for row in rest
        )
    return Line(
        sigmas=parameters.influence_sigma,
        score=least_score(size, parameters),
        listed_max=parameters.influences_max,
        examples=None if features is None else features.examples,
        under=under,
    )


def _example(
    example: int,
    contributor: int,
    score: int,
    amount: int,
    unpaid: str,
    norm2_psi: int,
    library: Library,
    features: Features | None,
) -> ExampleWhy:
    known = None if features is None else features.norm2(example)
    shard, document = library.place(example) or (None, None)
    text = None if shard is None or document is None else library.excerpt(shard, document)
    sigmas = sigmas_of(score, NORM2 if known is None else known, norm2_psi)
    exact = known is not None
    place = (example, contributor, shard, document)
    return ExampleWhy(*place, text, score, sigmas, exact, amount, unpaid)


def _norm2(query: bytes) -> int:
    """A liar's query may have any length."""
    return norm2(query) if len(query) == DIMENSION else 0
