"""The corpora that answers are attributed to, fetched by their commitments and kept indexed."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from attribution.bodies import mapped
from attribution.corpus import Corpus, CorpusShard
from attribution.shelf import Shelf
from protocol.codec import require
from protocol.datanet import Shard, decode_table
from protocol.errors import Malformed, Temporary
from protocol.ledger import AdapterRecord
from protocol.merkle import DOCUMENT_LEAF
from roles.ports import Ports

TEXT_BYTES_MAX = 1 << 30
CORPORA_MAX = 8  # shards kept in memory per node, beside their indexes
MAPPED_MAX = 4096  # shards kept open as maps of files


@dataclass(frozen=True)
class Corpora:
    """Shards are immutable, so what was verified once stays valid.

    With a `folder` bodies stay in their files and indexes go to files there, both mapped: a corpus
    may be larger than memory. Without one all is in memory.
    """

    folder: Path | None = None
    _shards: "OrderedDict[Shard, CorpusShard]" = field(default_factory=OrderedDict)

    @cached_property
    def _shelf(self) -> Shelf:
        return Shelf(self.folder)

    async def of_adapter(self, ports: Ports, adapter: AdapterRecord, as_of: int) -> Corpus:
        """What `adapter` was trained on, without what was down by `as_of` (unix seconds).

        `Temporary` while a body cannot be had.
        """
        shards = ports.chain.ledger.final_shards(adapter.datanet)[: adapter.shard_count]
        if len(shards) < adapter.shard_count:
            raise Temporary(f"{adapter.name}: its shards are not final here yet")
        down = ports.chain.ledger.down(adapter.datanet, as_of)
        held = [await self.shard(ports, shard) for shard in shards]
        return await ports.compute(_indexed, held, down, self._shelf)

    async def shard(self, ports: Ports, shard: Shard) -> CorpusShard:
        if known := self._shards.get(shard):
            self._shards.move_to_end(shard)
            return known
        require(shard.text_size <= TEXT_BYTES_MAX, "a shard of an impossible size")
        require(shard.document_count * DOCUMENT_LEAF <= TEXT_BYTES_MAX, "too many documents")
        if self.folder is None:
            text = await ports.bodies.fetch(shard.text)
            table = await ports.bodies.fetch(shard.table)
            built = await ports.compute(_loaded, shard, text, table)
        else:
            built = await self._mapped(ports, shard, self.folder)
        self._shards[shard] = built
        while len(self._shards) > (CORPORA_MAX if self.folder is None else MAPPED_MAX):
            self._shards.popitem(last=False)
        return built

    async def _mapped(self, ports: Ports, shard: Shard, folder: Path) -> CorpusShard:
        text = await ports.bodies.fetch_file(shard.text)
        table = await ports.bodies.fetch_file(shard.table)
        try:
            return await ports.compute(mapped, shard, text, table, folder)
        except Malformed:  # damaged on our disk: `fetch` looks, and takes a sound one from peers
            await ports.bodies.fetch(shard.text)
            await ports.bodies.fetch(shard.table)
            return await ports.compute(mapped, shard, text, table, folder)


def _loaded(shard: Shard, text: bytes, table: bytes) -> CorpusShard:
    held = CorpusShard(text, decode_table(table))
    held.check(shard)
    return held


def _indexed(held: list[CorpusShard], down: Mapping[int, frozenset[int]], shelf: Shelf) -> Corpus:
    """Built off the event loop."""
    rows = (shard.without(down.get(n, frozenset())) for n, shard in enumerate(held))
    corpus = Corpus(tuple(rows), shelf)
    _ = corpus.tiers
    return corpus
