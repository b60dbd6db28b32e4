"""Prover: works out whose data shaped each paid answer, posts the claims with a bond, finalizes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import trio

from attribution.claims import Answered, build_body
from attribution.corpus import Corpus
from attribution.spans import spans_of
from protocol.batch import Body
from protocol.calls import FinalizeBatch, PostBatch
from protocol.errors import Temporary
from protocol.merkle import BODY, Commitment
from protocol.messages import Message, PaidAnswer
from protocol.parameters import Parameters
from roles.answers import Answers
from roles.batches import FinalBodies, Taken
from roles.corpora import Corpora
from roles.ports import Ports

BATCH_ANSWERS_MAX = 1_000
FINALIZE_GRACE = 60  # seconds that a batch's own poster has before others finalize it
RETRY_SECONDS = 120  # a refused finalization (an open demand) is tried again so often

Composed = Body | None  # None posts nothing
Composer = Callable[[Sequence[Answered], Sequence[bytes], Mapping[int, int], Parameters], Composed]


@dataclass(frozen=True)
class Prover:
    consumes: ClassVar[tuple[type[Message], ...]] = (PaidAnswer,)
    emits: ClassVar[tuple[type[Message], ...]] = ()

    compose: Composer = build_body  # the tests and the demonstration put a liar's here
    corpora: Corpora = field(default_factory=Corpora)
    answers: Answers = field(default_factory=Answers)
    final: FinalBodies = field(default_factory=FinalBodies)
    answers_max: int = BATCH_ANSWERS_MAX
    interval: float = 0  # seconds between the newest batch and ours: fewer, larger batches

    async def run(self, ports: Ports) -> None:
        self.answers.load(ports)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.answers.collect, ports)
            seen: object = None
            async for _ in ports.chain.heads():
                await self._finalize(ports)
                ledger = ports.chain.ledger
                news = (len(self.answers.by_digest), len(ledger.batches), dict(ledger.redeemed))
                due = ledger.time >= ledger.last_post + self.interval
                if ledger.pending_batch() is None and due and news != seen:
                    await self._post(ports)
                    seen = news

    async def _finalize(self, ports: Ports) -> None:
        ledger = ports.chain.ledger
        batch = ledger.pending_batch()
        if batch is None:
            return
        mine = batch.poster == ports.signer.address
        if ledger.time >= batch.deadline + (0 if mine else FINALIZE_GRACE):
            attempt = (ledger.time - batch.deadline) // RETRY_SECONDS
            call = FinalizeBatch(batch.batch)
            await ports.chain.intend(f"finalize/{batch.batch}/{attempt}", call)

    async def _post(self, ports: Ports) -> None:
        ledger = ports.chain.ledger
        number, rules = len(ledger.batches) + 1, ledger.current
        chosen = await self._choose(ports)
        if not chosen:
            return
        answered = []
        for _, answer in chosen:
            adapter = ledger.adapters[answer.receipt.adapter]
            corpus = await self.corpora.of_adapter(ports, adapter)
            answered.append(await ports.compute(attribute, corpus, answer, rules))
        old = await self.final.totals_before(ports, number)
        digests = [digest for digest, _ in chosen]
        body = await ports.compute(self.compose, answered, digests, old, rules)
        if body is None:
            return
        wire = body.encode()
        header = (await ports.compute(body.trees)).header(wire)
        if ledger.allocated + header.total > ledger.funded:
            raise Temporary(f"the pool holds {ledger.funded} wei, batch {number} needs more")
        await ports.bodies.offer(Commitment(BODY, len(wire), header.data_root), wire)
        name = f"post/{number}/{header.data_root.hex()[:16]}"
        await ports.chain.intend(name, PostBatch(header))

    async def _choose(self, ports: Ports) -> list[tuple[bytes, PaidAnswer]]:
        """The answers of the next batch: paid, never attributed before, none twice."""
        taken = Taken()
        for body in await self.final.all(ports):
            for row in body.answers:
                taken.take(row.receipt)
        found = self.answers.attributable(ports.chain.ledger)
        fresh = [(digest, answer) for digest, answer in found if taken.take(answer.receipt)]
        return sorted(fresh, key=lambda row: row[0])[: self.answers_max]


def attribute(corpus: Corpus, answer: PaidAnswer, parameters: Parameters) -> Answered:
    """The spans of one answer."""
    text = answer.text
    spans = spans_of(corpus, text.prompt, text.output, parameters)
    return Answered(answer.receipt, answer.signature, text, tuple(spans))
