"""Validator: recomputes what others post, says what it found, refutes what is wrong on chain."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import trio

from attribution.corpus import Corpus
from attribution.fraud import find_fraud, find_plain_fraud
from attribution.openings import Case
from datanet.fraud import Examined, find_shard_fraud
from protocol.batch import Body
from protocol.calls import RefuteEquivocation
from protocol.errors import Malformed, Temporary
from protocol.ledger import BatchRecord, Ledger, ShardRecord, Status
from protocol.messages import Finding, Message, PaidAnswer, Verdict
from protocol.parameters import Parameters
from protocol.refute import Refutation
from roles.answers import Answers, receipt_domain
from roles.batches import FinalBodies, Taken, fetch_body
from roles.corpora import Corpora
from roles.curator import datanet_domain
from roles.demands import claim_unanswered, demand_withheld, demand_withheld_shard
from roles.intents import pursue, refused
from roles.ports import Ports

JUDGED, AUDITED, SAID = b"judged/", b"audited/", b"verdict/"
REFUTE_SECONDS = 10  # until a refused refutation is tried again


@dataclass(frozen=True)
class Validator:
    consumes: ClassVar[tuple[type[Message], ...]] = (PaidAnswer,)
    emits: ClassVar[tuple[type[Message], ...]] = (Verdict,)

    corpora: Corpora = field(default_factory=Corpora)
    answers: Answers = field(default_factory=Answers)
    final: FinalBodies = field(default_factory=FinalBodies)

    trouble: dict[str, str] = field(default_factory=dict)  # what cannot be told, and why
    _found: dict[bytes, Refutation] = field(default_factory=dict)  # by the batch's data root

    async def run(self, ports: Ports) -> None:
        self.answers.load(ports)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.answers.collect, ports)
            async with ports.chain.heads() as heads:
                async for _ in heads:
                    self.answers.admit(ports)
                    await self._look(ports)

    async def _look(self, ports: Ports) -> None:
        """Each subject by itself: one that cannot be judged keeps nobody from the next."""
        ledger = ports.chain.ledger
        self.trouble.clear()
        if batch := ledger.pending_batch():
            await self._try(f"batch {batch.batch}", self._judge, ports, batch)
        for shard in pending_shards(ledger):
            await self._try(f"shard {shard.datanet}/{shard.index}", self._audit, ports, shard)
        await self._convict_hosts(ports)
        await self._try("demands", claim_unanswered, ports)

    async def _try(self, name: str, look: Callable[..., Awaitable[None]], *about: object) -> None:
        try:
            await look(*about)
        except (Temporary, Malformed) as error:
            self.trouble[name] = str(error)

    async def _judge(self, ports: Ports, batch: BatchRecord) -> None:
        """Recompute a batch until the chain has decided about it; only what is valid is final."""
        if ports.store.get(_key(batch)) is not None:
            return
        found = self._found.get(batch.header.data_root)
        if found is None or refused(ports, _stem(batch, found)):
            try:
                found = await self._find(ports, batch)
            except (Temporary, Malformed):
                await self._say(ports, batch, Finding.CANNOT_TELL)
                await demand_withheld(ports, batch)
                raise
        if found is None:
            await self._say(ports, batch, Finding.VALID)
            ports.store.write({_key(batch): b"valid"}, sync=True)
            return
        self._found[batch.header.data_root] = found
        await pursue(ports, _stem(batch, found), found, REFUTE_SECONDS)
        await self._say(ports, batch, Finding.INVALID)

    async def _find(self, ports: Ports, batch: BatchRecord) -> Refutation | None:
        """What convicts the batch.  `Temporary` while something for that cannot be had."""
        ledger, body, wire = ports.chain.ledger, *await self._body(ports, batch)
        held, missing = await self._corpora(ports, body)
        old = await self.final.totals_before(ports, batch.batch)
        digests = tuple(a.receipt.digest(receipt_domain(ledger)) for a in body.answers)
        rules = ledger.parameters[batch.version]
        case = await ports.compute(build_case, batch, body, wire, digests, held, old, rules)
        redeemed, final = dict(ledger.redeemed), await self._overlapping(ports, batch, body)
        if missing is None:
            return await ports.compute(find_fraud, case, redeemed, final)
        found = await ports.compute(find_plain_fraud, case, redeemed, final)
        if found is None:
            raise missing
        return found

    async def _body(self, ports: Ports, batch: BatchRecord) -> tuple[Body, bytes]:
        wire = await fetch_body(ports, batch)
        return await ports.compute(Body.decode, wire), wire

    async def _corpora(
        self, ports: Ports, body: Body
    ) -> tuple[dict[bytes, Corpus], Temporary | Malformed | None]:
        """By adapter; and why one is missing."""
        adapters, held = ports.chain.ledger.adapters, dict[bytes, Corpus]()
        missing: Temporary | Malformed | None = None
        for name in {answer.receipt.adapter for answer in body.answers} & adapters.keys():
            try:
                held[name] = await self.corpora.of_adapter(ports, adapters[name])
            except (Temporary, Malformed) as error:
                missing = error
        return held, missing

    async def _overlapping(self, ports: Ports, batch: BatchRecord, body: Body) -> list[Case]:
        """Earlier final batches that were paid by a part of the same vouchers."""
        found, rules = [], ports.chain.ledger.current
        for record, old in await self.final.all(ports):
            if record.batch < batch.batch and overlap(body, old):
                trees = await ports.compute(old.trees)
                found.append(Case(record.batch, old, trees, (), {}, {}, rules))
        return found

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
        except Temporary:
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


def overlap(body: Body, old: Body) -> bool:
    """Whether some answers of two batches are paid by the same part of a voucher."""
    taken = Taken()
    for row in old.answers:
        taken.take(row.receipt)
    return not all(taken.take(row.receipt) for row in body.answers)


def _stem(batch: BatchRecord, found: Refutation) -> str:
    tag = hashlib.sha256(repr(found).encode()).hexdigest()[:16]
    return f"refute/{batch.batch}/{batch.header.data_root.hex()[:16]}/{tag}"


def _key(batch: BatchRecord) -> bytes:
    return JUDGED + batch.batch.to_bytes(8, "big") + batch.header.data_root


def build_case(
    batch: BatchRecord,
    body: Body,
    wire: bytes,
    digests: tuple[bytes, ...],
    corpora: Mapping[bytes, Corpus],
    old_totals: Mapping[int, int],
    parameters: Parameters,
) -> Case:
    """A case over the posted trees; `Malformed` if the body does not give them."""
    trees = body.trees()
    if trees.header(wire) != batch.header:
        raise Malformed("the body that was published has other roots than the batch")
    for answer, text in zip(body.answers, body.texts, strict=True):
        if not text.matches(answer.receipt):
            raise Malformed("a text that is not what its receipt commits to")
    return Case(batch.batch, body, trees, digests, corpora, old_totals, parameters)
