"""Consecutive shards under one index, so that thousands of epochs are not thousands of searches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from attribution.holders import Earliest
from attribution.index import Index, frozen
from attribution.shards import CorpusShard
from attribution.suffixes import squeeze, suffix_order
from protocol.parameters import HOLDERS_MAX
from protocol.text import SEPARATOR

Array = npt.NDArray[Any]
FANOUT = 4  # indexes that are merged into one
TIER_BYTES_MAX = 1 << 28  # text of a merged index; a larger shard has one of its own


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the corpus and whose document it stands in."""

    shard: int
    position: int
    document: int
    contributor: int


@dataclass(frozen=True, slots=True)
class Columns:
    """The documents of a tier, as its joined text counts bytes."""

    offsets: Array  # int64 [shards]: where each shard begins
    rows: Array  # int64 [shards]: the number of its first document
    starts: Array  # int32 [documents]
    ends: Array  # int32 [documents]
    contributors: Array  # int64 [documents]
    down: Array  # bool [documents]

    @classmethod
    def of(cls, shards: Sequence[CorpusShard]) -> Self:
        sizes = [len(shard.text) + 1 for shard in shards]  # a separator between two
        offsets = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        counts = [len(shard.columns.starts) for shard in shards]
        starts, ends, contributors, down = [], [], [], []
        for shard, offset in zip(shards, offsets.tolist(), strict=True):
            starts.append(shard.columns.starts + offset)
            ends.append(shard.columns.ends + offset)
            contributors.append(shard.columns.contributors)
            flags = np.zeros(len(starts[-1]), bool)
            flags[[row for row in shard.down if row < len(flags)]] = True
            down.append(flags)
        return cls(
            offsets,
            np.cumsum([0, *counts[:-1]], dtype=np.int64),
            frozen(np.concatenate(starts).astype(np.int32)),
            np.concatenate(ends).astype(np.int32),
            frozen(np.concatenate(contributors)),
            np.concatenate(down),
        )

    def document_at(self, positions: Array) -> Array:
        """The number of the document that holds each position; -1 before the first."""
        return np.searchsorted(self.starts, positions, side="right") - 1

    def counts(self, positions: Array) -> Array:
        """Whether a match may begin there: within a document, one that is not down."""
        rows = self.document_at(positions)
        found: Array = (rows >= 0) & (positions < self.ends[rows]) & ~self.down[rows]
        return found

    def place(self, position: int) -> tuple[int, int, int, int]:
        """(shard, position, document) within the tier's shards, and the contributor."""
        row = int(self.document_at(np.array([position]))[0])
        shard = int(np.searchsorted(self.offsets, position, side="right")) - 1
        at, document = position - int(self.offsets[shard]), row - int(self.rows[shard])
        return shard, at, document, int(self.contributors[row])


@dataclass(frozen=True, slots=True)
class Tier:
    """An index over shards [first, first + len(offsets)) of a corpus."""

    index: Index
    columns: Columns
    earliest: Earliest

    @classmethod
    def build(cls, shards: Sequence[CorpusShard]) -> Self:
        columns, text = Columns.of(shards), joined(shards)
        order = suffix_order(text)
        if len(columns.starts):
            order.resize(squeeze(order, columns.counts), refcheck=False)
        else:
            order = order[:0]
        index = Index.of(text, order)
        return cls(index, columns, earliest_of(index, columns))

    def holders(self, low: int, high: int, limit: int) -> list[tuple[int, int, int, int]]:
        """The first holders of ranks [low, high), as `Columns.place`, at most `limit` of them."""
        order = self.index.order
        if high - low == 1:
            return [self.columns.place(int(order[low]))]
        if limit > HOLDERS_MAX:
            found = np.sort(order[low:high])
        else:
            found = np.sort(self.earliest.candidates(order, low, high))
        whose = self.columns.contributors[self.columns.document_at(found)]
        first = dict[int, int]()
        for at, who in zip(found.tolist(), whose.tolist(), strict=True):
            first.setdefault(who, at)
            if len(first) == limit:
                break
        return [self.columns.place(at) for at in first.values()]


def earliest_of(index: Index, columns: Columns) -> Earliest:
    return Earliest.build(index.order, columns.starts, columns.contributors, index.search)


def joined(shards: Sequence[CorpusShard]) -> Array:
    """The texts with a separator between two, which no match crosses.  uint8 [n]."""
    if len(shards) == 1:
        return frozen(np.frombuffer(shards[0].text, dtype=np.uint8))
    text = np.full(sum(len(shard.text) + 1 for shard in shards) - 1, SEPARATOR, np.uint8)
    at = 0
    for shard in shards:
        text[at : at + len(shard.text)] = np.frombuffer(shard.text, dtype=np.uint8)
        at += len(shard.text) + 1
    return frozen(text)


def plan(sizes: Sequence[int], limit: int = TIER_BYTES_MAX) -> Iterator[range]:
    """Which shards share an index, by the bytes of each: consecutive ones, in their order.

    Shard by shard, the last FANOUT groups become one while the first of them is no larger than the
    others together and all of them stay within `limit`. So a byte is sorted anew O(log n) times as
    a corpus grows, and beside the full groups O(log n) remain: each is larger than the next three.
    """
    groups = list[tuple[range, int]]()
    for number, size in enumerate(sizes):
        groups.append((range(number, number + 1), size + 1))
        while len(groups) >= FANOUT:
            (head, most), *others = groups[-FANOUT:]
            rest = sum(size for _, size in others)
            if most > rest or most + rest > limit:
                break
            groups[-FANOUT:] = [(range(head.start, others[-1][0].stop), most + rest)]
    return (group for group, _ in groups)
