"""A version of a Datanet as attribution sees it: shards of text, searched all at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from attribution.bodies import mapped
from attribution.index import whole
from attribution.shards import CorpusShard
from attribution.shelf import Shelf
from attribution.tiers import Place, Tier, plan
from protocol.datanet import Document, Shard
from protocol.errors import Temporary
from protocol.text import SEPARATOR

__all__ = ["Corpus", "CorpusShard", "Place", "corpus_of"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Corpus:
    """Shards in their order. What it finds does not depend on how they are grouped for search."""

    shards: tuple[CorpusShard, ...]
    shelf: Shelf = field(default_factory=Shelf, compare=False, repr=False)

    @classmethod
    def open(
        cls,
        folder: Path,
        bodies: Sequence[tuple[Shard, Path, Path]],
        down: Mapping[int, frozenset[int]] = MappingProxyType({}),
    ) -> Self:
        """A corpus on disk: shards with the files of their text and table; indexes in `folder`.

        What is missing or damaged in `folder` is built. `Malformed` if a body is not the shard's.
        """
        shards = [mapped(*body, folder) for body in bodies]
        rows = (shard.without(down.get(n, frozenset())) for n, shard in enumerate(shards))
        return cls(tuple(rows), Shelf(folder))

    @cached_property
    def tiers(self) -> list[tuple[int, Tier]]:
        """Indexes over consecutive shards, each with the number of its first shard."""
        groups = plan([len(shard.text) for shard in self.shards], self.shelf.tier_bytes)
        tier = self.shelf.tier
        return [(group.start, tier(self.shards[group.start : group.stop])) for group in groups]

    def longest(self, needle: bytes) -> int:
        """Bytes of the longest prefix of `needle` without FF that stands at a word start."""
        data, starts, ends = whole(needle.partition(bytes((SEPARATOR,)))[0])
        return int(self.longest_at(data, starts, ends)[0])

    def longest_at(self, data: Array, starts: Array, ends: Array) -> Array:
        """`longest` of each data[start:end], none with a byte FF.  int64 [q]."""
        best = np.zeros(len(starts), np.int64)
        for _, tier in self.tiers:
            tier.index.raise_longest(data, starts, ends, best)
        return best

    def first_place(self, needle: bytes) -> Place | None:
        """The first word start in global order that holds `needle`."""
        return next(iter(self.holders(needle, 1)), None)

    def holders(self, needle: bytes, limit: int) -> list[Place]:
        """The first `limit` distinct contributors that hold `needle`, in global order."""
        if SEPARATOR in needle:
            return []
        return self.holders_at(*whole(needle), limit)[0]

    def holders_at(self, data: Array, starts: Array, ends: Array, limit: int) -> list[list[Place]]:
        """`holders` of each data[start:end], none with a byte FF."""
        found = [dict[int, Place]() for _ in starts]
        wanted = np.arange(len(starts))
        for first, tier in self.tiers:
            if not len(wanted):
                break
            lows, highs = tier.index.bounds(data, starts[wanted], ends[wanted])
            for row, low, high in zip(wanted.tolist(), lows.tolist(), highs.tolist(), strict=True):
                if low < high:
                    span = data[starts[row] : ends[row]].tobytes()
                    for shard, at, document, whose in tier.holders(low, high, limit):
                        if len(found[row]) < limit:
                            place = Place(first + shard, at, document, whose)
                            self._check(place, span, first, tier)
                            found[row].setdefault(whose, place)
            wanted = np.array([row for row in wanted.tolist() if len(found[row]) < limit], np.int64)
        return [list(places.values()) for places in found]

    def _check(self, place: Place, span: bytes, first: int, tier: Tier) -> None:
        """An index that says what is not so costs a prover his bond: he must not repeat it."""
        text = self.shards[place.shard].text
        if text[place.position : place.position + len(span)] != span:
            self.shelf.drop(self.shards[first : first + len(tier.columns.offsets)])
            raise Temporary(f"the index of shard {place.shard} is damaged: it is built anew")

    def place(self, shard: int, position: int) -> Place:
        document = self.shards[shard].document_at(position)
        contributor = self.shards[shard].documents[document].contributor
        return Place(shard, position, document, contributor)


def corpus_of(bodies: Sequence[tuple[bytes, Sequence[Document]]]) -> Corpus:
    return Corpus(tuple(CorpusShard(text, tuple(documents)) for text, documents in bodies))
