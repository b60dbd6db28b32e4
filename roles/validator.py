"""Validator: recomputes what others post, says what it found, refutes what is wrong on chain."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ClassVar

import trio

from datanet.fraud import Examined, find_shard_fraud
from protocol.calls import RefuteEquivocation
from protocol.errors import Malformed, Temporary
from protocol.ledger import BatchRecord, Ledger, ShardRecord, Status
from protocol.messages import FeatureVerdict, Finding, Message, PaidAnswer, Verdict
from protocol.refute import Refutation
from roles.answers import Answers
from roles.audits import audit_queries
from roles.batches import BatchBodies
from roles.corpora import Corpora
from roles.credits import collect_credits
from roles.curator import datanet_domain
from roles.demands import claim_unanswered, demand_withheld, demand_withheld_shard
from roles.disclosures import BATCHES
from roles.feature_judging import FeatureJudge
from roles.feature_sets import FeatureSets
from roles.intents import pursue, refused
from roles.judging import Judge, Read, Unreadable
from roles.objections import is_answer_due, is_late, object_to
from roles.ports import Ports

JUDGED, AUDITED, SAID = b"judged/", b"audited/", b"verdict/"
# How far a batch was found to be right: in all that is exact; in a sample of the rest, in all of
# it; and where the rest cannot be told.
EXACT, SAMPLED, WHOLE, BLIND = b"exact", b"valid", b"whole", b"blind"
REFUTE_SECONDS = 10  # until a refused refutation is tried again
AGAIN_SECONDS = 6  # until a body that was missing is asked for again


@dataclass(frozen=True)
class Told:
    """What one look could not tell, and why."""

    trouble: dict[str, str] = field(default_factory=dict)

    async def of(self, name: str, look: Callable[..., Awaitable[None]], *about: object) -> None:
        try:
            await look(*about)
        except (Temporary, Malformed) as error:
            self.trouble[name] = str(error)


Look = Callable[[Ports, Told], Awaitable[None]]


@dataclass(frozen=True)
class Validator:
    consumes: ClassVar[tuple[type[Message], ...]] = (PaidAnswer,)
    emits: ClassVar[tuple[type[Message], ...]] = (Verdict, FeatureVerdict)

    corpora: Corpora = field(default_factory=Corpora)
    answers: Answers = field(default_factory=Answers)
    bodies: BatchBodies = field(default_factory=BatchBodies)
    feature_sets: FeatureSets = field(default_factory=FeatureSets)

    trouble: dict[str, str] = field(default_factory=dict)  # what cannot be told, and why
    judge: Judge = field(init=False)
    features: FeatureJudge = field(init=False)
    _found: dict[bytes, Refutation] = field(default_factory=dict)  # by the batch's data root
    _false: dict[bytes, str] = field(default_factory=dict)  # what an audit found, by data root
    _missing: dict[bytes, int] = field(default_factory=dict)  # when to look again, by data root

    def __post_init__(self) -> None:
        judge = Judge(self.corpora, self.feature_sets, self.bodies)
        object.__setattr__(self, "judge", judge)
        object.__setattr__(self, "features", FeatureJudge(self.corpora, self.feature_sets))

    async def run(self, ports: Ports) -> None:
        """What can be proven never waits for what has to be computed by a model."""
        self.answers.load(ports)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.answers.collect, ports)
            for look in (self._prove, self._prove_features, self._recompute):
                nursery.start_soon(self._watch, ports, look)

    async def _watch(self, ports: Ports, look: Look) -> None:
        """Look at each head, and tell what this look could not tell."""
        said = set[str]()
        async with ports.chain.heads() as heads:
            async for _ in heads:
                told = Told()
                await look(ports, told)
                for name in said - told.trouble.keys():
                    self.trouble.pop(name, None)
                self.trouble.update(told.trouble)
                said = set(told.trouble)

    async def _prove(self, ports: Ports, told: Told) -> None:
        """Each subject by itself: one that cannot be judged keeps nobody from the next."""
        ledger = ports.chain.ledger
        self.answers.admit(ports)
        for batch in ledger.pending_batches():
            await told.of(f"batch {batch.batch}", self._judge, ports, batch)
            if self._refuted(ports, batch):
                break  # those that stand on it end with it
        for shard in pending_shards(ledger):
            await told.of(f"shard {shard.datanet}/{shard.index}", self._audit, ports, shard)
        await self._convict_hosts(ports)
        await told.of("demands", claim_unanswered, ports)
        await collect_credits(ports)

    async def _prove_features(self, ports: Ports, told: Told) -> None:
        for row in list(ports.chain.ledger.feature_sets.values()):
            if row.status is Status.PENDING:
                await told.of(f"feature set {row.id}", self.features.judge, ports, row)

    async def _recompute(self, ports: Ports, told: Told) -> None:
        """What is right as far as it is exact; with a base model this may take long."""
        ledger = ports.chain.ledger
        for batch in ledger.pending_batches():
            name = f"features of batch {batch.batch}"
            await told.of(name, self._audit_queries, ports, batch)
        for row in list(ledger.feature_sets.values()):
            if row.status is Status.PENDING:
                await told.of(f"examples of feature set {row.id}", self.features.audit, ports, row)

    def _refuted(self, ports: Ports, batch: BatchRecord) -> bool:
        """Whether the proof against the batch is on its way."""
        found = self._found.get(batch.header.data_root)
        return found is not None and not refused(ports, _stem(batch, found))

    async def _judge(self, ports: Ports, batch: BatchRecord) -> None:
        """Recompute a batch until the chain has decided about it; only what is valid is final."""
        ledger, root = ports.chain.ledger, batch.header.data_root
        if ports.store.get(_key(batch)) is not None:
            return
        found = self._found.get(root)
        if found is None or refused(ports, _stem(batch, found)):
            if ledger.time < self._missing.get(root, 0):
                raise Temporary("its body is missing, and soon asked for again")
            read = await self._read(ports, batch)
            self._require_parents(ports, batch)
            found = await self._find(ports, batch, read)
            if found is None:
                exact = any(read.body.queries)
                if not exact:
                    await self._say(ports, batch, Finding.VALID)
                ports.store.write({_key(batch): EXACT if exact else WHOLE}, sync=True)
                return
        self._found[root] = found
        await pursue(ports, _stem(batch, found), found, REFUTE_SECONDS)
        await self._say(ports, batch, Finding.INVALID)

    def _require_parents(self, ports: Ports, batch: BatchRecord) -> None:
        """Nothing is judged on top of a body that is missing."""
        for other in ports.chain.ledger.pending_batches():
            missing = self._missing.get(other.header.data_root, 0) > ports.chain.ledger.time
            if missing and other.batch < batch.batch:
                raise Temporary(f"it stands on batch {other.batch}, whose body is missing")

    async def _read(self, ports: Ports, batch: BatchRecord) -> Read:
        try:
            return await self.judge.read(ports, batch)
        except Unreadable:
            await self._give_up(ports, batch)
            raise

    async def _find(self, ports: Ports, batch: BatchRecord, read: Read) -> Refutation | None:
        try:
            return await self.judge.find(ports, batch, read)
        except Unreadable:
            await self._give_up(ports, batch)
            raise
        except (Temporary, Malformed):
            await self._say(ports, batch, Finding.CANNOT_TELL)
            await self._stop_late(ports, batch)
            raise

    async def _stop_late(self, ports: Ports, batch: BatchRecord) -> None:
        """What could not be judged in time, by a corpus or features that nobody has: object."""
        ledger = ports.chain.ledger
        window = ledger.parameters[batch.version].window
        if is_late(ledger, batch.deadline, window) and not is_answer_due(ledger, batch, window):
            await object_to(ports, batch)

    async def _give_up(self, ports: Ports, batch: BatchRecord) -> None:
        """For now: ask the poster on chain; in the end, do not let it become final."""
        ledger = ports.chain.ledger
        await self._say(ports, batch, Finding.CANNOT_TELL)
        await demand_withheld(ports, batch)
        await self._stop_late(ports, batch)
        self._missing[batch.header.data_root] = ledger.time + AGAIN_SECONDS

    async def _audit_queries(self, ports: Ports, batch: BatchRecord) -> None:
        """All that is exact is right: what remains is whether the features are the answers'."""
        judged = ports.store.get(_key(batch))
        doubted = bool(ports.chain.ledger.objections.get((BATCHES, batch.batch)))
        if judged != EXACT and not (judged == SAMPLED and doubted):
            return
        if batch.header.data_root not in self._false:
            read = await self.judge.read(ports, batch)
            audit = await audit_queries(ports, batch, read.body, every=doubted)
            await self._say(ports, batch, audit.finding)
            if audit.finding is not Finding.INVALID:
                valid = audit.finding is Finding.VALID
                done = (WHOLE if doubted else SAMPLED) if valid else BLIND
                ports.store.write({_key(batch): done}, sync=True)
                return
            self._false[batch.header.data_root] = audit.reason
        await object_to(ports, batch)
        raise Temporary(f"{self._false[batch.header.data_root]}: objected to")

    async def _say(self, ports: Ports, batch: BatchRecord, finding: Finding) -> None:
        """Gossip a verdict once."""
        key = SAID + batch.header.data_root + bytes((finding,))
        if ports.store.get(key) is None:
            await ports.gossip.publish(Verdict(batch.batch, batch.header.answers_root, finding))
            ports.store.write({key: b"1"}, sync=True)

    async def _audit(self, ports: Ports, row: ShardRecord) -> None:
        """Rebuild a published shard; refute what breaks a rule of its Datanet."""
        roots = row.shard.text_root + row.shard.document_root
        key = AUDITED + row.publication.to_bytes(8, "big") + roots
        if ports.store.get(key) is not None:
            return
        ledger = ports.chain.ledger
        rows = list(ledger.shards[row.datanet][: row.index])
        try:
            held = await self.corpora.shard(ports, row.shard)
        except (Temporary, Malformed):
            await demand_withheld_shard(ports, row)
            raise
        before = [(await self.corpora.shard(ports, other.shard)).documents for other in rows]
        shard = Examined(row.datanet, row.index, held.text, held.documents)
        where, signers = datanet_domain(ledger), dict(ledger.signers)
        refutation = await ports.compute(find_shard_fraud, shard, before, where, signers)
        if refutation is None:
            ports.store.write({key: b"valid"}, sync=True)
        else:
            stem = f"refute-shard/{row.publication}/{roots.hex()}"
            await pursue(ports, stem, refutation, REFUTE_SECONDS)

    async def _convict_hosts(self, ports: Ports) -> None:
        """Two receipts of one host for one part of a voucher cost him his bond, once."""
        for host, (first, second) in list(self.answers.contradictions.items()):
            if host in ports.chain.ledger.nodes:
                one, two = self.answers.by_digest[first], self.answers.by_digest[second]
                call = RefuteEquivocation(one.receipt, one.signature, two.receipt, two.signature)
                await pursue(ports, f"equivocation/{host.hex()}", call)


def pending_shards(ledger: Ledger) -> list[ShardRecord]:
    rows = (row for shards in ledger.shards.values() for row in shards)
    return [row for row in rows if row.status is Status.PENDING]


def _stem(batch: BatchRecord, found: Refutation) -> str:
    tag = hashlib.sha256(repr(found).encode()).hexdigest()[:16]
    return f"refute/{batch.batch}/{batch.header.data_root.hex()[:16]}/{tag}"


def _key(batch: BatchRecord) -> bytes:
    return JUDGED + batch.batch.to_bytes(8, "big") + batch.header.data_root
