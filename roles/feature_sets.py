"""The feature sets of adapters, fetched by their commitments and kept mapped."""

from collections import OrderedDict
from dataclasses import dataclass, field

from attribution.influence.store import FeatureSet
from protocol.codec import require
from protocol.errors import Malformed, Temporary
from protocol.ledger import FeatureSetRecord, Ledger
from protocol.merkle import FEATURE_LEAF
from roles.ports import Featurizer, Lens, Ports

OPEN_MAX = 64  # sets that are kept mapped, with 64 bytes a row in memory once one is opened
BASIS_BYTES_MAX = 16 << 30


@dataclass(frozen=True)
class FeatureSets:
    """Sets are immutable, so what was verified once stays valid."""

    _open: "OrderedDict[bytes, FeatureSet]" = field(default_factory=OrderedDict)

    async def in_force(self, ports: Ports, adapter: bytes, as_of: int) -> FeatureSet | None:
        """The set that counts for the adapter at that time, None without one.

        `Temporary` while its body cannot be had.
        """
        record = ports.chain.ledger.features_in_force(adapter, as_of)
        return None if record is None else await self.of(ports, record)

    async def of(self, ports: Ports, record: FeatureSetRecord) -> FeatureSet:
        """`Temporary` while the body cannot be had, `Malformed` for one that can never be."""
        root = record.features.root
        if root not in self._open:
            have, want = record.features.size, record.example_count * FEATURE_LEAF
            require(0 < have == want, f"{record.example_count} examples are too many to be fetched")
            path = await ports.bodies.fetch_file(record.features)
            self._open[root] = await ports.compute(FeatureSet.open, path)
            while len(self._open) > OPEN_MAX:
                self._open.popitem(last=False)
        self._open.move_to_end(root)
        return self._open[root]


def is_counted(ledger: Ledger, record: FeatureSetRecord) -> bool:
    """Whether it says that it has a row for each document of its adapter's shards, and no more."""
    adapter = ledger.adapters[record.adapter]
    shards = ledger.final_shards(adapter.datanet)[: adapter.shard_count]
    return record.example_count == sum(shard.document_count for shard in shards)


async def lens_of(ports: Ports, record: FeatureSetRecord) -> tuple[Featurizer, Lens]:
    """What computes features as that set has them.

    `Temporary` without the base model, or while the weights or the basis cannot be had.
    """
    adapter = ports.chain.ledger.adapters[record.adapter]
    featurizer = ports.featurizer
    if featurizer is None or not featurizer.has(adapter.base):
        raise Temporary(f"the base model of adapter {adapter.name} is not here")
    if not 0 < record.basis.size <= BASIS_BYTES_MAX:
        raise Malformed(f"a basis of {record.basis.size} bytes")
    weights = await ports.bodies.fetch_file(adapter.weights)
    basis = await ports.bodies.fetch_file(record.basis)
    return featurizer, Lens(adapter.base, record.adapter, weights, basis, record.seed)
