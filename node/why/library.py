"""Titles and first lines of the documents that an answer was made from, as far as they are held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from node.why.visible import opening
from protocol.datanet import Document

TITLE_BYTES_MAX = 96
EXCERPT_BYTES_MAX, EXCERPT_LINES = 600, 6
TAKEN_DOWN = "(taken down)"


class HeldShard(Protocol):
    @property
    def text(self) -> bytes: ...

    @property
    def documents(self) -> Sequence[Document]: ...


class HeldCorpus(Protocol):
    @property
    def shards(self) -> Sequence[HeldShard]: ...


@dataclass(frozen=True, slots=True)
class Library:
    """The corpus of an adapter; without one, nothing is known.

    Of documents that were taken down by now nothing is shown, even of answers from before.
    """

    shards: Sequence[HeldShard] = ()
    hidden: Mapping[int, frozenset[int]] = field(default_factory=dict)  # documents, by shard

    @classmethod
    def of(
        cls, corpus: HeldCorpus | None, hidden: Mapping[int, frozenset[int]] | None = None
    ) -> "Library":
        return cls() if corpus is None else cls(corpus.shards, hidden or {})

    def title(self, shard: int, document: int) -> str | None:
        """The document's first line."""
        text = self._opening(shard, document, TITLE_BYTES_MAX, 1)
        return None if text is None else text.removesuffix("…").strip("# ")

    def excerpt(self, shard: int, document: int) -> str | None:
        """The document's first lines."""
        return self._opening(shard, document, EXCERPT_BYTES_MAX, EXCERPT_LINES)

    def place(self, example: int) -> tuple[int, int] | None:
        """(shard, document) of an example: examples are the documents in global order."""
        before = 0
        for number, count in enumerate(len(shard.documents) for shard in self.shards):
            if example < before + count:
                return number, example - before
            before += count
        return None

    def example(self, shard: int, document: int) -> int | None:
        """The inverse of `place`."""
        if not (0 <= shard < len(self.shards)):
            return None
        before = list(accumulate((len(row.documents) for row in self.shards), initial=0))
        return before[shard] + document

    def _opening(self, shard: int, document: int, limit: int, lines: int) -> str | None:
        """None for what is not held, and for places that a liar made up."""
        if not 0 <= shard < len(self.shards):
            return None
        held = self.shards[shard]
        if not 0 <= document < len(held.documents):
            return None
        if document in self.hidden.get(shard, ()):
            return TAKEN_DOWN
        row = held.documents[document]
        # A few bytes over the limit, so that `opening` sees whether there are more.
        return opening(
            bytes(held.text[row.start : min(row.end, row.start + limit + 4)]), limit, lines
        )
