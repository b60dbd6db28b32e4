"""What a validator holds against a published feature set: its rows, its order, its features."""

from dataclasses import dataclass, field

from attribution.corpus import Corpus
from attribution.fraud_features import find_features_fraud
from attribution.influence.duplicates import duplicates_of
from attribution.influence.store import FeatureSet
from protocol.codec import require
from protocol.errors import Malformed, Temporary
from protocol.ledger import FeatureSetRecord
from protocol.messages import FeatureVerdict, Finding
from protocol.refute_features import FeatureRefutation
from roles.audits import audit_rows
from roles.corpora import Corpora
from roles.demands import demand_withheld_features, slice_of
from roles.disclosures import FEATURES
from roles.feature_sets import BASIS_BYTES_MAX, FeatureSets, is_counted
from roles.intents import pursue
from roles.objections import is_late, object_to
from roles.ports import Ports

JUDGED, SAID = b"judged-features/", b"feature-verdict/"
# How far a set was found to be right: in all that is exact; in a sample of the rest, in all of it;
# and where the rest cannot be told.
EXACT, SAMPLED, WHOLE, BLIND = b"exact", b"valid", b"whole", b"blind"
REFUTE_SECONDS = 10  # until a refused refutation is tried again


@dataclass(frozen=True)
class FeatureJudge:
    corpora: Corpora
    feature_sets: FeatureSets = field(default_factory=FeatureSets)
    _false: dict[bytes, str] = field(default_factory=dict)  # what an audit found, by set

    async def judge(self, ports: Ports, record: FeatureSetRecord) -> None:
        """Refute what is exactly wrong.  `Temporary` or `Malformed` while it cannot be told."""
        if ports.store.get(_key(record)) is not None:
            return
        ledger, features = ports.chain.ledger, await self._read(ports, record)
        corpus = await self._corpus(ports, record)
        bps = ledger.parameters[record.version].duplicate_bps
        twins = await ports.compute(duplicates_of, features.phi, bps)
        found = await ports.compute(find_features_fraud, record.id, features, corpus, twins)
        if found is not None:
            await self._refute(ports, record, found)
            return
        ports.store.write({_key(record): EXACT}, sync=True)

    async def audit(self, ports: Ports, record: FeatureSetRecord) -> None:
        """Object to what is wrong by recomputation; for sets that are right where it is exact."""
        key = _key(record)
        judged = ports.store.get(key)
        doubted = bool(ports.chain.ledger.objections.get((FEATURES, record.id)))
        if judged != EXACT and not (judged == SAMPLED and doubted):
            return
        if key not in self._false:
            features = await self.feature_sets.of(ports, record)
            corpus = await self._corpus(ports, record)
            audit = await audit_rows(ports, record, features, corpus, every=doubted)
            await self._say(ports, record, audit.finding)
            if audit.finding is not Finding.INVALID:
                valid = audit.finding is Finding.VALID
                done = (WHOLE if doubted else SAMPLED) if valid else BLIND
                ports.store.write({key: done}, sync=True)
                return
            self._false[key] = audit.reason
        await object_to(ports, record)
        raise Temporary(f"{self._false[key]}: objected to")

    async def _corpus(self, ports: Ports, record: FeatureSetRecord) -> Corpus:
        adapter = ports.chain.ledger.adapters[record.adapter]
        try:
            return await self.corpora.of_adapter(ports, adapter, record.posted_at)
        except (Temporary, Malformed):
            await self._say(ports, record, Finding.CANNOT_TELL)
            raise

    async def _read(self, ports: Ports, record: FeatureSetRecord) -> FeatureSet:
        """Rows and basis, or else: ask the poster on chain, and in the end object."""
        ledger = ports.chain.ledger
        window = ledger.parameters[record.version].datanet_window
        try:
            with slice_of(window):
                return await self._fetched(ports, record)
            raise Temporary(f"feature set {record.id} is given slowly")
        except (Temporary, Malformed):
            await self._say(ports, record, Finding.CANNOT_TELL)
            await demand_withheld_features(ports, record)
            if is_late(ledger, record.deadline, window):
                await object_to(ports, record)
            raise

    async def _fetched(self, ports: Ports, record: FeatureSetRecord) -> FeatureSet:
        if not 0 < record.basis.size <= BASIS_BYTES_MAX:
            raise Malformed(f"a basis of {record.basis.size} bytes")
        require(is_counted(ports.chain.ledger, record), "not one row for each document")
        features = await self.feature_sets.of(ports, record)
        await ports.bodies.fetch_file(record.basis)
        return features

    async def _refute(
        self, ports: Ports, record: FeatureSetRecord, found: FeatureRefutation
    ) -> None:
        stem = f"refute-features/{record.id}/{record.features.root.hex()}"
        await pursue(ports, stem, found, REFUTE_SECONDS)
        await self._say(ports, record, Finding.INVALID)

    async def _say(self, ports: Ports, record: FeatureSetRecord, finding: Finding) -> None:
        """Gossip a verdict once."""
        key = SAID + record.features.root + bytes((finding,))
        if ports.store.get(key) is None:
            await ports.gossip.publish(FeatureVerdict(record.id, record.features.root, finding))
            ports.store.write({key: b"1"}, sync=True)


def _key(record: FeatureSetRecord) -> bytes:
    return JUDGED + record.id.to_bytes(8, "big") + record.features.root
