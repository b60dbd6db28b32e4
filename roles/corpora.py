"""The corpora that answers are attributed to, fetched by their commitments and kept indexed."""

from collections import OrderedDict
from dataclasses import dataclass, field

from attribution.corpus import Corpus, CorpusShard
from protocol.codec import require
from protocol.datanet import Shard, decode_table
from protocol.errors import Temporary
from protocol.ledger import AdapterRecord
from protocol.merkle import DOCUMENT_LEAF
from roles.ports import Ports

TEXT_BYTES_MAX = 1 << 30
CORPORA_MAX = 8  # shards kept in memory per node, with their suffix arrays


@dataclass(frozen=True)
class Corpora:
    """Shards are immutable, so what was verified once stays valid."""

    _shards: "OrderedDict[Shard, CorpusShard]" = field(default_factory=OrderedDict)

    async def of_adapter(self, ports: Ports, adapter: AdapterRecord, as_of: int) -> Corpus:
        """What `adapter` was trained on, without what was down by `as_of` (unix seconds).

        `Temporary` while a body cannot be had.
        """
        shards = ports.chain.ledger.final_shards(adapter.datanet)[: adapter.shard_count]
        if len(shards) < adapter.shard_count:
            raise Temporary(f"{adapter.name}: its shards are not final here yet")
        down = ports.chain.ledger.down(adapter.datanet, as_of)
        held = [await self.shard(ports, shard) for shard in shards]
        return Corpus(tuple(each.without(down.get(n, frozenset())) for n, each in enumerate(held)))

    async def shard(self, ports: Ports, shard: Shard) -> CorpusShard:
        if known := self._shards.get(shard):
            self._shards.move_to_end(shard)
            return known
        require(shard.text_size <= TEXT_BYTES_MAX, "a shard of an impossible size")
        require(shard.document_count * DOCUMENT_LEAF <= TEXT_BYTES_MAX, "too many documents")
        text = await ports.bodies.fetch(shard.text)
        table = await ports.bodies.fetch(shard.table)
        built = await ports.compute(_index, text, table)
        built.check(shard)
        self._shards[shard] = built
        while len(self._shards) > CORPORA_MAX:
            self._shards.popitem(last=False)
        return built


def _index(text: bytes, table: bytes) -> CorpusShard:
    shard = CorpusShard(text, decode_table(table))
    _ = shard.text_tree, shard.document_tree  # build them off the event loop
    return shard
