"""Validator: recomputes what others post, says what it found, refutes what is wrong on chain."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import trio

from attribution.corpus import Corpus
from attribution.fraud import find_fraud
from attribution.openings import Case
from datanet.fraud import Examined, find_shard_fraud
from protocol.batch import Body
from protocol.calls import RefuteEquivocation
from protocol.errors import Malformed, Temporary
from protocol.ledger import BatchRecord, Ledger, ShardRecord, Status
from protocol.messages import Finding, Message, PaidAnswer, Verdict
from protocol.parameters import Parameters
from roles.answers import Answers, receipt_domain
from roles.batches import FinalBodies, final_batches
from roles.corpora import Corpora
from roles.curator import datanet_domain
from roles.ports import Ports

JUDGED, AUDITED = b"judged/", b"audited/"


@dataclass(frozen=True)
class Validator:
    consumes: ClassVar[tuple[type[Message], ...]] = (PaidAnswer,)
    emits: ClassVar[tuple[type[Message], ...]] = (Verdict,)

    corpora: Corpora = field(default_factory=Corpora)
    answers: Answers = field(default_factory=Answers)
    final: FinalBodies = field(default_factory=FinalBodies)

    async def run(self, ports: Ports) -> None:
        self.answers.load(ports)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.answers.collect, ports)
            seen = 0
            async for _ in ports.chain.heads():
                batch = ports.chain.ledger.pending_batch()
                if batch is not None and not _judged(ports, batch):
                    await self._judge(ports, batch)
                for shard in pending_shards(ports.chain.ledger):
                    await self._audit(ports, shard)
                if len(self.answers.by_digest) != seen:
                    seen = len(self.answers.by_digest)
                    await self._convict_hosts(ports)

    async def _judge(self, ports: Ports, batch: BatchRecord) -> None:
        """Recompute a batch; the verdict is written down only after what follows from it."""
        try:
            case = await self._examine(ports, batch)
        except Malformed as error:  # its roots are not those of any body that we can have
            await _say(ports, batch, Finding.CANNOT_TELL)
            raise Temporary(f"batch {batch.batch}: {error}") from None
        redeemed = dict(ports.chain.ledger.redeemed)
        earlier = [b for b in final_batches(ports.chain.ledger) if b.batch < batch.batch]
        final = [await self._examine(ports, old) for old in earlier]
        refutation = await ports.compute(find_fraud, case, redeemed, final)
        if refutation is not None:
            await ports.chain.intend(_intent(batch), refutation)
        await _say(ports, batch, Finding.INVALID if refutation else Finding.VALID)
        ports.store.write({_key(batch): type(refutation).__name__.encode()}, sync=True)

    async def _examine(self, ports: Ports, batch: BatchRecord) -> Case:
        """Fetch all that a batch is judged by.

        `Temporary` while something cannot be had, `Malformed` if the body is not what was posted.
        """
        ledger = ports.chain.ledger
        wire = await ports.bodies.fetch(batch.header.body)
        body = Body.decode(wire)
        needed = {answer.receipt.adapter for answer in body.answers} & ledger.adapters.keys()
        held = {
            name: await self.corpora.of_adapter(ports, ledger.adapters[name]) for name in needed
        }
        old = await self.final.totals_before(ports, batch.batch)
        digests = tuple(a.receipt.digest(receipt_domain(ledger)) for a in body.answers)
        rules = ledger.parameters[batch.version]
        return await ports.compute(build_case, batch, body, wire, digests, held, old, rules)

    async def _audit(self, ports: Ports, row: ShardRecord) -> None:
        """Rebuild a published shard; refute what breaks a rule of its Datanet."""
        key = AUDITED + row.publication.to_bytes(8, "big")
        if ports.store.get(key) is not None:
            return
        ledger = ports.chain.ledger
        held = await self.corpora.shard(ports, row.shard)
        before = [
            (await self.corpora.shard(ports, other.shard)).documents
            for other in ledger.shards[row.datanet][: row.index]
        ]
        shard = Examined(row.datanet, row.index, held.text, held.documents)
        where, signers = datanet_domain(ledger), dict(ledger.signers)
        refutation = await ports.compute(find_shard_fraud, shard, before, where, signers)
        if refutation is not None:
            await ports.chain.intend(f"refute-shard/{row.publication}", refutation)
        ports.store.write({key: type(refutation).__name__.encode()}, sync=True)

    async def _convict_hosts(self, ports: Ports) -> None:
        """Two receipts of one host for one part of a voucher cost him his bond."""
        for first, second in self.answers.contradictions():
            one, two = self.answers.by_digest[first], self.answers.by_digest[second]
            call = RefuteEquivocation(one.receipt, one.signature, two.receipt, two.signature)
            await ports.chain.intend(f"equivocation/{first.hex()[:16]}/{second.hex()[:16]}", call)


def pending_shards(ledger: Ledger) -> list[ShardRecord]:
    rows = (row for shards in ledger.shards.values() for row in shards)
    return [row for row in rows if row.status is Status.PENDING]


def _intent(batch: BatchRecord) -> str:
    return f"refute/{batch.batch}/{batch.header.data_root.hex()[:16]}"


def _key(batch: BatchRecord) -> bytes:
    return JUDGED + batch.batch.to_bytes(8, "big") + batch.header.data_root


def _judged(ports: Ports, batch: BatchRecord) -> bool:
    return ports.store.get(_key(batch)) is not None


async def _say(ports: Ports, batch: BatchRecord, finding: Finding) -> None:
    await ports.gossip.publish(Verdict(batch.batch, batch.header.answers_root, finding))


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
