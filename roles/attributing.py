"""Attribution ahead of posting: spans, features and influences of paid answers, in chunks."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from attribution.claims import Answered
from attribution.corpus import Corpus
from attribution.influence.scores import Scored, influences_of_many
from attribution.influence.store import FeatureSet
from attribution.openings import down_examples
from attribution.spans import spans_of
from protocol.batch import Body
from protocol.codec import require, uint
from protocol.errors import Malformed, Refused, Temporary
from protocol.features import well_formed
from protocol.ledger import AdapterRecord, FeatureSetRecord, Ledger
from protocol.messages import PaidAnswer
from protocol.parameters import Parameters
from protocol.signature import Domain
from roles.answers import receipt_domain
from roles.batches import BatchBodies, final_batches
from roles.corpora import Corpora
from roles.feature_sets import FeatureSets, lens_of
from roles.ports import Ports

CHUNK = 64  # answers that are worked on at a time
KEPT_MAX = 40_000  # attributed answers in memory: four batches
RETRY_SECONDS = 20  # until an adapter whose corpus or features were missing is tried again
FORGOTTEN = b"psi-forgotten"  # number of the last final batch that was cleaned up after
FEATURE = b"psi/"  # features of answers, by receipt; they cost more than all else

Paid = tuple[bytes, PaidAnswer]  # with the receipt's digest


@dataclass(frozen=True, slots=True)
class Ground:
    """All that an attribution depends on beside the answer and its adapter."""

    rules: Parameters
    features: int  # id of the set in force, 0 without
    down: frozenset[tuple[int, frozenset[int]]]


def ground_of(ledger: Ledger, adapter: AdapterRecord, as_of: int) -> Ground:
    record = ledger.features_in_force(adapter.adapter, as_of)
    down = frozenset(
        (shard, rows)
        for shard, rows in ledger.down(adapter.datanet, as_of).items()
        if shard < adapter.shard_count
    )
    return Ground(ledger.current, record.id if record else 0, down)


@dataclass(frozen=True)
class Attributor:
    """What was attributed for one ground is never used for another."""

    corpora: Corpora
    feature_sets: FeatureSets = field(default_factory=FeatureSets)
    trouble: dict[str, str] = field(default_factory=dict)  # by adapter: why its answers wait
    _done: "OrderedDict[bytes, tuple[Ground, Answered]]" = field(default_factory=OrderedDict)
    _again: dict[bytes, int] = field(default_factory=dict)  # when to try an adapter

    async def work(self, ports: Ports, paid: Sequence[Paid]) -> bool:
        """Attribute what is not yet; whether all of it is.  Those of a lost corpus have to wait."""
        ledger, complete = ports.chain.ledger, True
        for name in dict.fromkeys(answer.receipt.adapter for _, answer in paid):
            adapter = ledger.adapters[name]
            rows = [row for row in paid if row[1].receipt.adapter == name]
            if ledger.time < self._again.get(name, 0):
                complete = False
                continue
            try:
                await self._work(ports, adapter, rows)
            except (Temporary, Malformed, Refused) as error:
                self._again[name] = ledger.time + RETRY_SECONDS
                self.trouble[adapter.name], complete = str(error), False
            else:
                self._again.pop(name, None)
                self.trouble.pop(adapter.name, None)
        return complete

    @property
    def waiting(self) -> Collection[bytes]:
        """Adapters whose answers could not be attributed when it was last tried."""
        return self._again.keys()

    def ready(self, ledger: Ledger, paid: Sequence[Paid], as_of: int) -> dict[bytes, Answered]:
        """Of these answers those that are attributed as they are to be at that time."""
        names = {answer.receipt.adapter for _, answer in paid}
        grounds = {name: ground_of(ledger, ledger.adapters[name], as_of) for name in names}
        found = dict[bytes, Answered]()
        for digest, answer in paid:
            ground, answered = self._done.get(digest, (None, None))
            if answered is not None and ground == grounds[answer.receipt.adapter]:
                found[digest] = answered
        return found

    async def _work(self, ports: Ports, adapter: AdapterRecord, rows: Sequence[Paid]) -> None:
        ledger = ports.chain.ledger
        while todo := self._todo(ledger, adapter, rows)[:CHUNK]:
            as_of = ledger.time
            ground = ground_of(ledger, adapter, as_of)
            record = ledger.features_in_force(adapter.adapter, as_of)
            corpus = await self.corpora.of_adapter(ports, adapter, as_of)
            queries, features = [b""] * len(todo), None
            if record is not None:
                features = await self.feature_sets.of(ports, record)
                queries = await self._queries(ports, record, todo)
            answers = [answer for _, answer in todo]
            made = await ports.compute(attribute, corpus, answers, queries, features, ground.rules)
            for (digest, _), answered in zip(todo, made, strict=True):
                self._done[digest] = ground, answered
                self._done.move_to_end(digest)
            while len(self._done) > KEPT_MAX:
                self._done.popitem(last=False)

    def _todo(self, ledger: Ledger, adapter: AdapterRecord, rows: Sequence[Paid]) -> Sequence[Paid]:
        ground, none = ground_of(ledger, adapter, ledger.time), (None, None)
        return [row for row in rows if self._done.get(row[0], none)[0] != ground]

    async def _queries(
        self, ports: Ports, record: FeatureSetRecord, rows: Sequence[Paid]
    ) -> list[bytes]:
        """Those that were computed before come from disk."""
        root, found = record.features.root, dict[bytes, bytes]()
        for digest, _ in rows:
            kept = ports.store.get(FEATURE + digest)
            if kept is not None and kept.startswith(root):
                found[digest] = kept[len(root) :]
        missing = [row for row in rows if row[0] not in found]
        if missing:
            featurizer, lens = await lens_of(ports, record)
            pairs = [(answer.text.prompt, answer.text.output) for _, answer in missing]
            made = await featurizer.queries(lens, pairs)
            require(all(map(well_formed, made)), "the featurizer made what is no feature")
            found |= {digest: psi for (digest, _), psi in zip(missing, made, strict=True)}
            ports.store.write({FEATURE + d: root + found[d] for d, _ in missing}, sync=True)
        return [found[digest] for digest, _ in rows]

    async def forget(self, ports: Ports, bodies: BatchBodies) -> None:
        """What was made for answers that a final batch has attributed."""
        done = int.from_bytes(ports.store.get(FORGOTTEN) or b"")
        where = receipt_domain(ports.chain.ledger)
        for batch in final_batches(ports.chain.ledger):
            if batch.batch > done:
                body = await bodies.of(ports, batch)
                digests = await ports.compute(_digests, body, where)
                for digest in digests:
                    self._done.pop(digest, None)
                kept: dict[bytes, bytes | None] = {FEATURE + digest: None for digest in digests}
                ports.store.write(kept | {FORGOTTEN: uint(batch.batch, 8)})


def _digests(body: Body, where: Domain) -> list[bytes]:
    return [answer.receipt.digest(where) for answer in body.answers]


def attribute(
    corpus: Corpus,
    answers: Sequence[PaidAnswer],
    queries: Sequence[bytes],
    features: FeatureSet | None,
    parameters: Parameters,
) -> list[Answered]:
    """Spans and influences; without `features` the queries are empty."""
    lists: list[list[Scored]] = [[] for _ in answers]
    if features is not None:
        down = down_examples(corpus, features)
        lists = influences_of_many(features, queries, parameters, down)
    found = list[Answered]()
    for answer, query, listed in zip(answers, queries, lists, strict=True):
        text = answer.text
        spans = spans_of(corpus, text.prompt, text.output, parameters)
        found.append(
            Answered(answer.receipt, answer.signature, text, tuple(spans), query, tuple(listed))
        )
    return found
