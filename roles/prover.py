"""Prover: works out whose data shaped each paid answer, posts the claims with a bond, finalizes."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import trio

from attribution.claims import Answered, build_body
from attribution.corpus import Corpus
from attribution.spans import spans_of
from protocol.batch import Body
from protocol.calls import FinalizeBatch, PostBatch
from protocol.errors import Malformed, Temporary
from protocol.merkle import BODY, Commitment
from protocol.messages import Message, PaidAnswer
from protocol.parameters import Parameters
from roles.answers import Answers
from roles.batches import FinalBodies, Taken
from roles.corpora import Corpora
from roles.demands import answer_demands, own_case
from roles.intents import pursue
from roles.ports import Ports

BATCH_ANSWERS_MAX = 1_000
FINALIZE_GRACE = 60  # seconds that a batch's own poster has before others finalize it
RETRY_SECONDS = 20  # a refused finalization (an open demand) is tried again so often
POSTING = b"prover/posting"

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
    trouble: dict[str, str] = field(default_factory=dict)  # what keeps it from attributing

    async def run(self, ports: Ports) -> None:
        self.answers.load(ports)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.answers.collect, ports)
            seen: object = None
            async with ports.chain.heads() as heads:
                async for _ in heads:
                    self.answers.admit(ports)
                    await self._finalize(ports)
                    await self._answer_demands(ports)
                    news = self._news(ports)
                    if news != seen and await self._try_to_post(ports):
                        seen = news

    def _news(self, ports: Ports) -> object:
        """What a new batch could be made of: while it is the same, there is nothing to post."""
        ledger, me = ports.chain.ledger, ports.signer.address
        paid = (len(self.answers.by_digest), dict(ledger.redeemed), ledger.funded)
        return (*paid, len(ledger.batches), ledger.stakes.get(me, 0), ledger.current_version)

    async def _finalize(self, ports: Ports) -> None:
        ledger = ports.chain.ledger
        batch = ledger.pending_batch()
        if batch is None:
            return
        mine = batch.poster == ports.signer.address
        if ledger.time >= batch.deadline + (0 if mine else FINALIZE_GRACE):
            await pursue(
                ports, f"finalize/{batch.batch}", FinalizeBatch(batch.batch), RETRY_SECONDS
            )

    async def _answer_demands(self, ports: Ports) -> None:
        """Who does not open what is demanded of his batch loses its bond."""
        try:
            await answer_demands(ports, functools.partial(own_case, ports))
        except (Temporary, Malformed) as error:
            self.trouble["demands"] = str(error)

    async def _try_to_post(self, ports: Ports) -> bool:
        """Whether there is nothing more to do for now."""
        ledger = ports.chain.ledger
        posting = ports.store.get(POSTING)
        if posting is not None and ports.chain.pending(posting.decode()):
            return False  # a second batch beside it would attribute the same answers
        if ledger.pending_batch() or ledger.time < ledger.last_post + self.interval:
            return False
        try:
            return await self._post(ports)
        except (Temporary, Malformed) as error:
            self.trouble["posting"] = str(error)
            return False

    async def _post(self, ports: Ports) -> bool:
        ledger = ports.chain.ledger
        number, version, rules = len(ledger.batches) + 1, ledger.current_version, ledger.current
        old = await self.final.totals_before(ports, number)
        digests, answered = await self._attributed(ports, rules)
        if not answered:
            return True
        body = await ports.compute(self.compose, answered, digests, old, rules)
        if body is None:
            return True
        wire = body.encode()
        header = (await ports.compute(body.trees)).header(wire)
        if ledger.allocated + header.total > ledger.funded:
            raise Temporary(f"the pool holds {ledger.funded} wei, batch {number} needs more")
        await ports.bodies.offer(Commitment(BODY, len(wire), header.data_root), wire)
        # The contract refuses it if another batch or version came between.
        key = (
            f"post/{number}/{version}/{header.data_root.hex()[:16]}/{ledger.time // RETRY_SECONDS}"
        )
        ports.store.write({POSTING: key.encode()}, sync=True)
        await ports.chain.intend(key, PostBatch(number, version, header))
        self.trouble.clear()
        return True

    async def _attributed(
        self, ports: Ports, rules: Parameters
    ) -> tuple[list[bytes], list[Answered]]:
        """The answers of the next batch with their spans; those of a lost corpus have to wait."""
        digests, answered, ledger = list[bytes](), list[Answered](), ports.chain.ledger
        for digest, answer in await self._choose(ports):
            adapter = ledger.adapters[answer.receipt.adapter]
            try:
                corpus = await self.corpora.of_adapter(ports, adapter)
            except (Temporary, Malformed) as error:
                self.trouble[adapter.name] = str(error)
                continue
            self.trouble.pop(adapter.name, None)
            digests.append(digest)
            answered.append(await ports.compute(attribute, corpus, answer, rules))
        return digests, answered

    async def _choose(self, ports: Ports) -> list[tuple[bytes, PaidAnswer]]:
        """Paid, never attributed before, none twice."""
        taken = Taken()
        for _, body in await self.final.all(ports):
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
