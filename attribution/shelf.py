"""Keeps the indexes of shards between corpora: in memory, or in a folder as maps of files."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from attribution import index_files
from attribution.holders import Earliest
from attribution.index import KEYS, Index, frozen
from attribution.index_files import Damaged
from attribution.search import search_of
from attribution.shards import CorpusShard
from attribution.suffixes import word_starts_at
from attribution.tiers import TIER_BYTES_MAX, Columns, Tier, joined
from protocol.codec import uint
from protocol.parameters import HOLDERS_MAX

Array = npt.NDArray[Any]
MEMORY_BYTES_MAX = 1 << 30  # of indexes that have no folder
MAPPED_MAX = 4096  # indexes open at once
SAMPLES = 256  # neighbours of an order that are compared when it is opened
COMPARED = 256  # bytes of each
BUCKETS = {(1 << 8 * key_bytes) + 1 for _, key_bytes in KEYS}


@dataclass(frozen=True)
class Shelf:
    """`folder` None: in memory.  `checked`: whether whole files are hashed when they are opened."""

    folder: Path | None = None
    tier_bytes: int = TIER_BYTES_MAX
    checked: bool = True
    _held: "OrderedDict[bytes, Tier]" = field(default_factory=OrderedDict)

    def tier(self, shards: Sequence[CorpusShard]) -> Tier:
        """The index over these shards: from here, from its file, or built."""
        key = key_of(shards)
        held = self._held.pop(key, None)  # two threads may build one index: either is right
        if held is None:
            held = Tier.build(shards) if self.folder is None else self._on_disk(key, shards)
        self._held[key] = held
        while len(self._held) > 1 and self._full():
            self._held.popitem(last=False)
        return held

    def drop(self, shards: Sequence[CorpusShard]) -> None:
        """Forget an index that was caught with a wrong answer: the next one is built anew."""
        key = key_of(shards)
        self._held.pop(key, None)
        if self.folder is not None:
            self._path(key).unlink(missing_ok=True)

    def _full(self) -> bool:
        if self.folder is not None:
            return len(self._held) > MAPPED_MAX
        sizes = (t.index.order.nbytes + t.index.first.nbytes for t in self._held.values())
        return sum(sizes) > MEMORY_BYTES_MAX

    def _on_disk(self, key: bytes, shards: Sequence[CorpusShard]) -> Tier:
        path = self._path(key)
        try:
            return opened(path, key, shards, checked=self.checked)
        except Damaged:
            index_files.write(path, key, sections_of(Tier.build(shards), len(shards)))
        return opened(path, key, shards, checked=False)  # written just now

    def _path(self, key: bytes) -> Path:
        assert self.folder is not None
        return self.folder / f"{key.hex()}.index"


def key_of(shards: Sequence[CorpusShard]) -> bytes:
    """What an index is of: texts, documents, and what of them is down."""
    digest = hashlib.sha256(uint(len(shards), 4))
    for shard in shards:
        for tree in (shard.text_tree, shard.document_tree):
            digest.update(tree.root + uint(tree.commitment.size, 8))
        digest.update(uint(len(shard.down), 4))
        digest.update(b"".join(uint(row, 4) for row in sorted(shard.down)))
    return digest.digest()


def sections_of(tier: Tier, shards: int) -> list[Array]:
    """Order, buckets, holders of all levels; and the joined text, unless a shard's own is it."""
    levels = tier.earliest.levels
    rows = np.concatenate(levels) if levels else np.zeros((0, HOLDERS_MAX), np.int32)
    text = tier.index.text if shards > 1 else tier.index.text[:0]
    return [tier.index.order, tier.index.first, rows, text]


def opened(path: Path, key: bytes, shards: Sequence[CorpusShard], *, checked: bool) -> Tier:
    """The index in a file.  `Damaged` if it cannot be used."""
    sections = index_files.read(path, key, checked=checked)
    columns = Columns.of(shards)
    size = sum(len(shard.text) + 1 for shard in shards) - 1
    if len(sections) != 4 or any(each.nbytes % 4 for each in sections[:3]):
        raise Damaged(f"{path}: other sections than an index has")
    order, first, rows = (section.view(np.int32) for section in sections[:3])
    text = joined(shards) if len(shards) == 1 else sections[3]
    if len(text) != size or len(first) not in BUCKETS or len(order) > size:
        raise Damaged(f"{path}: sections of the wrong size")
    if first[0] != 0 or first[-1] != len(order):
        raise Damaged(f"{path}: buckets of another order")
    index = Index(text, order, first, search_of(len(order)))
    _look(index, columns, path)
    rows, levels = rows.reshape(-1, HOLDERS_MAX), list[Array]()
    for count in Earliest.rows_of(len(order) if len(columns.starts) else 0):
        levels.append(frozen(rows[:count]))
        rows = rows[count:]
    if len(rows) or (levels and len(levels[-1]) == 0):
        raise Damaged(f"{path}: holders of another order")
    return Tier(index, columns, Earliest(tuple(levels)))


def _look(index: Index, columns: Columns, path: Path) -> None:
    """Compare some neighbours: what a checksum cannot know is whether the order was ever right."""
    order, text = index.order, index.text
    if not len(order):
        return
    ranks = np.random.default_rng(len(order)).integers(0, len(order), SAMPLES)
    at = order[ranks]
    inside = (at >= 0) & (at < len(text))
    if not inside.all() or not (word_starts_at(text, at) & columns.counts(at)).all():
        raise Damaged(f"{path}: positions that are no word starts")
    for rank in ranks[ranks > 0].tolist():
        before, here = (int(order[each]) for each in (rank - 1, rank))
        if not 0 <= before < len(text) or before == here:
            raise Damaged(f"{path}: a position twice")
        one, other = (text[p : p + COMPARED].tobytes() for p in (before, here))
        key = int.from_bytes(other[: index.key_bytes].ljust(index.key_bytes, b"\0"))
        if one > other or not index.first[key] <= rank < index.first[key + 1]:
            raise Damaged(f"{path}: an order that is none")
