"""Prover: works out whose data shaped each paid answer, posts the claims with a bond, finalizes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import trio

from attribution.claims import Answered, build_body
from attribution.corpus import Corpus
from attribution.spans import spans_of
from protocol.batch import Body, Header
from protocol.calls import FinalizeBatch, PostBatch
from protocol.errors import Temporary
from protocol.ledger import Ledger, Status
from protocol.merkle import BODY, Commitment
from protocol.messages import Message, PaidAnswer
from protocol.parameters import Parameters
from protocol.receipt import overlaps
from roles.answers import attributable, collect, kept
from roles.corpora import Corpora
from roles.ports import Ports

BATCH_ANSWERS_MAX = 1_000

Composer = Callable[[Sequence[Answered], Sequence[bytes], Mapping[int, int], Parameters], Body]


@dataclass(frozen=True)
class Prover:
    consumes: ClassVar[tuple[type[Message], ...]] = (PaidAnswer,)
    emits: ClassVar[tuple[type[Message], ...]] = ()

    corpora: Corpora = field(default_factory=Corpora)
    compose: Composer = build_body  # the tests and the demonstration put a liar's here

    async def run(self, ports: Ports) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect, ports)
            async for _ in ports.chain.heads():
                await self._finalize(ports)
                if ports.chain.ledger.pending_batch() is None:
                    await self._post(ports)

    async def _finalize(self, ports: Ports) -> None:
        ledger = ports.chain.ledger
        batch = ledger.pending_batch()
        if batch and batch.poster == ports.signer.address and ledger.time >= batch.deadline:
            await ports.chain.intend(f"finalize/{batch.batch}", FinalizeBatch(batch.batch))

    async def _post(self, ports: Ports) -> None:
        ledger = ports.chain.ledger
        number = len(ledger.batches) + 1
        previous = await final_bodies(ports)
        chosen = choose(list(kept(ports.store)), ledger, previous)
        if not chosen:
            return
        answered = []
        for _, answer in chosen:
            adapter = ledger.adapters[answer.receipt.adapter]
            corpus = await self.corpora.of_adapter(ports, adapter)
            answered.append(await ports.compute(attribute, corpus, answer, ledger.current))
        old = dict(previous[-1].totals) if previous else {}
        digests = [digest for digest, _ in chosen]
        body = await ports.compute(self.compose, answered, digests, old, ledger.current)
        wire = body.encode()
        header = body.trees().header(wire)
        if ledger.allocated + header.total > ledger.funded:
            raise Temporary(f"the pool holds {ledger.funded} wei, batch {number} needs more")
        await ports.bodies.offer(Commitment(BODY, len(wire), header.data_root), wire)
        await ports.chain.intend(f"post/{number}/{_name(header)}", PostBatch(header))


def _name(header: Header) -> str:
    return header.data_root.hex()[:16]


def attribute(corpus: Corpus, answer: PaidAnswer, parameters: Parameters) -> Answered:
    """The spans of one answer."""
    text = answer.text
    spans = spans_of(corpus, text.prompt, text.output, parameters)
    return Answered(answer.receipt, answer.signature, text, tuple(spans))


def choose(
    answers: Sequence[tuple[bytes, PaidAnswer]], ledger: Ledger, final: Sequence[Body]
) -> list[tuple[bytes, PaidAnswer]]:
    """The answers of the next batch: redeemed, never attributed before, none paid twice."""
    taken = [answer.receipt for body in final for answer in body.answers]
    chosen = list[tuple[bytes, PaidAnswer]]()
    for digest, answer in answers:
        receipt = answer.receipt
        if not attributable(receipt, ledger) or any(overlaps(receipt, old) for old in taken):
            continue
        taken.append(receipt)
        chosen.append((digest, answer))
        if len(chosen) == BATCH_ANSWERS_MAX:
            break
    return chosen


async def final_bodies(ports: Ports) -> list[Body]:
    """The bodies of all final batches, oldest first."""
    batches = ports.chain.ledger.batches.values()
    final = [batch.header for batch in batches if batch.status is Status.FINAL]
    return [Body.decode(await ports.bodies.fetch(header.body)) for header in final]
