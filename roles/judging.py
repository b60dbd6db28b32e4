"""What a validator holds against a posted batch: its body, its trees, and all that judges them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from attribution.corpus import Corpus
from attribution.fraud import find_fraud, find_plain_fraud
from attribution.influence.store import FeatureSet
from attribution.openings import Case
from protocol.batch import Body, Trees
from protocol.codec import require
from protocol.errors import Malformed, Temporary
from protocol.ledger import BatchRecord
from protocol.refute import Refutation, Transition
from roles.answers import receipt_domain
from roles.batches import BatchBodies, fetch_body
from roles.corpora import Corpora
from roles.demands import slice_of
from roles.feature_sets import FeatureSets
from roles.ports import Ports


class Unreadable(Temporary):
    """The body of the batch is not to be had, gives other roots, or is wrong beyond all proof."""


@dataclass(frozen=True, slots=True)
class Read:
    """A body that gives the roots of its batch."""

    body: Body
    trees: Trees


@dataclass(frozen=True)
class Judge:
    """Finds what convicts a batch."""

    corpora: Corpora
    feature_sets: FeatureSets = field(default_factory=FeatureSets)
    bodies: BatchBodies = field(default_factory=BatchBodies)

    async def read(self, ports: Ports, batch: BatchRecord) -> Read:
        """`Unreadable` if the body cannot be had or does not give the posted roots."""
        wire: bytes | None = None
        try:
            with slice_of(ports.chain.ledger.parameters[batch.version].window):
                wire = await fetch_body(ports, batch)
            if wire is None:
                raise Temporary("its body is given slowly")
            return await ports.compute(read_body, batch, wire)
        except (Temporary, Malformed) as error:
            raise Unreadable(str(error)) from error

    async def find(self, ports: Ports, batch: BatchRecord, read: Read) -> Refutation | None:
        """What convicts the batch.  `Temporary` while something for that cannot be had."""
        ledger, body = ports.chain.ledger, read.body
        redeemed, rules = dict(ledger.redeemed), ledger.parameters[batch.version]
        corpora, features, missing = await self._held(ports, batch, body)
        old = await self.bodies.totals_before(ports, batch.batch)
        before = await self._earlier(ports, batch, body)
        where = receipt_domain(ledger)
        digests = tuple(answer.receipt.digest(where) for answer in body.answers)
        case = Case(
            batch.batch,
            body,
            read.trees,
            digests,
            corpora,
            old,
            rules,
            features,
            batch.header.as_of,
            begun=bool(ledger.ancestors(batch.batch)),
        )
        if read.trees.entries.root.sum != batch.header.total:  # nothing can be opened under it
            proof = case.old_total(0), case.subtotal(0), case.new_total(0)
            return Transition(batch.batch, 0, *proof)
        if missing is not None:
            found = await ports.compute(find_plain_fraud, case, redeemed, before)
            if found is None:
                raise Temporary(str(missing)) from missing
            return found
        try:
            return await ports.compute(find_fraud, case, redeemed, before)
        except Malformed as error:  # nothing convicts it, and it is not the honest one
            raise Unreadable(str(error)) from error

    async def _held(
        self, ports: Ports, batch: BatchRecord, body: Body
    ) -> tuple[Mapping[bytes, Corpus], Mapping[bytes, FeatureSet], Exception | None]:
        """Corpora and feature sets by adapter, as of the batch; and why one is missing."""
        ledger, as_of = ports.chain.ledger, batch.header.as_of
        corpora, features = dict[bytes, Corpus](), dict[bytes, FeatureSet]()
        missing: Exception | None = None
        for name in {answer.receipt.adapter for answer in body.answers} & ledger.adapters.keys():
            try:
                corpora[name] = await self.corpora.of_adapter(ports, ledger.adapters[name], as_of)
                if (held := await self.feature_sets.in_force(ports, name, as_of)) is not None:
                    features[name] = held
            except (Temporary, Malformed) as error:
                missing = error
        return corpora, features, missing

    async def _earlier(self, ports: Ports, batch: BatchRecord, body: Body) -> list[Case]:
        """An earlier live batch that was paid by a part of the same vouchers."""
        found = await self.bodies.overlapping(ports, batch.batch, body)
        if found is None:
            return []
        record, old = found
        trees, rules = await ports.compute(old.trees), ports.chain.ledger.current
        return [Case(record.batch, old, trees, (), {}, {}, rules)]


def read_body(batch: BatchRecord, wire: bytes) -> Read:
    """`Malformed` if the body does not give the posted trees; their sum is judged later."""
    body = Body.decode(wire)
    trees = body.trees()
    have = replace(trees.header(wire, batch.header.as_of), total=batch.header.total)
    require(have == batch.header, "the body that was published has other roots than the batch")
    for answer, text in zip(body.answers, body.texts, strict=True):
        require(text.matches(answer.receipt), "a text that is not what its receipt commits to")
    return Read(body, trees)
