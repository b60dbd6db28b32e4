"""A version of a Datanet as attribution sees it: shards of text, searched all at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from attribution.index import whole
from attribution.shards import CorpusShard
from attribution.tiers import Place, Tier, plan
from protocol.datanet import Document
from protocol.text import SEPARATOR

__all__ = ["Corpus", "CorpusShard", "Place", "corpus_of"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Corpus:
    """Shards in their order. What it finds does not depend on how they are grouped for search."""

    shards: tuple[CorpusShard, ...]
    made: "Tiers | None" = field(default=None, compare=False, repr=False)

    @cached_property
    def tiers(self) -> list[tuple[int, Tier]]:
        """Indexes over consecutive shards, each with the number of its first shard."""
        groups = plan([len(shard.text) for shard in self.shards])
        build = Tier.build if self.made is None else self.made.tier
        return [(group.start, build(self.shards[group.start : group.stop])) for group in groups]

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
                    for shard, at, document, whose in tier.holders(low, high, limit):
                        if len(found[row]) < limit:
                            place = Place(first + shard, at, document, whose)
                            found[row].setdefault(whose, place)
            wanted = np.array([row for row in wanted.tolist() if len(found[row]) < limit], np.int64)
        return [list(places.values()) for places in found]

    def place(self, shard: int, position: int) -> Place:
        document = self.shards[shard].document_at(position)
        contributor = self.shards[shard].documents[document].contributor
        return Place(shard, position, document, contributor)


class Tiers:
    """Keeps indexes between corpora that share shards."""

    def tier(self, shards: Sequence[CorpusShard]) -> Tier:
        raise NotImplementedError


def corpus_of(bodies: Sequence[tuple[bytes, Sequence[Document]]]) -> Corpus:
    return Corpus(tuple(CorpusShard(text, tuple(documents)) for text, documents in bodies))
