"""Prover: works out whose data shaped each paid answer, posts the claims with a bond, finalizes."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import trio

from attribution.claims import Answered, build_body
from protocol.batch import BODY_CLAIMS_MAX, Body, Header
from protocol.calls import FinalizeBatch, PostBatch
from protocol.claims import ANSWERS_MAX
from protocol.errors import Malformed, Temporary
from protocol.ledger import BatchRecord
from protocol.merkle import BODY, Commitment
from protocol.messages import Message, PaidAnswer
from protocol.parameters import BPS, Parameters
from roles.answers import Answers
from roles.attributing import Attributor, Paid
from roles.availability import put_body
from roles.batches import BatchBodies
from roles.corpora import Corpora
from roles.credits import collect_credits
from roles.demands import answer_demands, own_case
from roles.feature_sets import FeatureSets
from roles.intents import pursue
from roles.ports import Ports

BATCH_ANSWERS_MAX = ANSWERS_MAX
BATCH_BYTES_MAX = 256 << 20  # of prompts, outputs and features
PENDING_MAX, PENDING_PLAIN = 16, 8  # batches that may pend; at the plain least bond
FINALIZE_GRACE = 60  # seconds that a batch's own poster has before others finalize it
UNSEEN_SECONDS = 600  # until a batch that was posted is not waited for: a reorg may have taken it
RETRY_SECONDS = 20  # a refused finalization (an open demand) is tried again so often
POSTING = b"prover/posting"

Composed = Body | None  # None posts nothing
Composer = Callable[[Sequence[Answered], Sequence[bytes], Mapping[int, int], Parameters], Composed]


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the chain of batches the next one goes, and the time it is composed for."""

    number: int
    version: int
    parent: BatchRecord | None
    as_of: int

    @classmethod
    def now(cls, ports: Ports) -> "Place":
        ledger = ports.chain.ledger
        parent = ledger.newest_live_batch()
        return cls(len(ledger.batches) + 1, ledger.current_version, parent, ledger.time)

    def gone(self, ports: Ports) -> bool:
        """Whether another batch, or the end of one, or other parameters came between."""
        now = Place.now(ports)
        roots = [row and (row.batch, row.header.data_root) for row in (self.parent, now.parent)]
        return (self.number, self.version) != (now.number, now.version) or roots[0] != roots[1]


@dataclass(frozen=True)
class Prover:
    consumes: ClassVar[tuple[type[Message], ...]] = (PaidAnswer,)
    emits: ClassVar[tuple[type[Message], ...]] = ()

    compose: Composer = build_body  # the tests and the demonstration put a liar's here
    corpora: Corpora = field(default_factory=Corpora)
    answers: Answers = field(default_factory=Answers)
    bodies: BatchBodies = field(default_factory=BatchBodies)
    feature_sets: FeatureSets = field(default_factory=FeatureSets)
    answers_max: int = BATCH_ANSWERS_MAX
    interval: float = 0  # seconds between the newest batch and ours: fewer, larger batches
    trouble: dict[str, str] = field(default_factory=dict)  # what keeps it from attributing
    attributor: Attributor = field(init=False)

    def __post_init__(self) -> None:
        made = Attributor(self.corpora, self.feature_sets, self.trouble)
        object.__setattr__(self, "attributor", made)

    async def run(self, ports: Ports) -> None:
        self.answers.load(ports)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.answers.collect, ports)
            nursery.start_soon(self._attend, ports)
            seen: object = None
            async with ports.chain.heads() as heads:
                async for _ in heads:
                    self.answers.admit(ports)
                    news = self._news(ports)
                    if news != seen and await self._try_to_post(ports):
                        seen = news

    async def _attend(self, ports: Ports) -> None:
        """What does not wait for a long attribution: finalizing, answering, collecting."""
        async with ports.chain.heads() as heads:
            async for _ in heads:
                await self._finalize(ports)
                await self._answer_demands(ports)
                await collect_credits(ports)
                await self._forget(ports)

    def _news(self, ports: Ports) -> object:
        """What a new batch could be made of: while it is the same, there is nothing to post."""
        ledger, me = ports.chain.ledger, ports.signer.address
        paid = (len(self.answers.by_digest), dict(ledger.redeemed), ledger.funded)
        newest = ledger.newest_live_batch()
        batches = (len(ledger.batches), newest and newest.batch, len(ledger.pending_batches()))
        return (*paid, *batches, ledger.stakes.get(me, 0), ledger.current_version)

    async def _finalize(self, ports: Ports) -> None:
        """The oldest one: batches become final in order."""
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
        else:
            self.trouble.pop("demands", None)

    async def _forget(self, ports: Ports) -> None:
        try:
            await self.attributor.forget(ports, self.bodies)
        except Temporary as error:
            self.trouble["final batches"] = str(error)
        else:
            self.trouble.pop("final batches", None)

    async def _try_to_post(self, ports: Ports) -> bool:
        """Whether there is nothing more to do for now."""
        if self._posting(ports):
            return False  # a second batch beside it would attribute the same answers
        try:
            return await self._post(ports)
        except (Temporary, Malformed) as error:
            self.trouble["posting"] = str(error)
            return False

    def _posting(self, ports: Ports) -> bool:
        """Whether our last batch is on its way, or on chain and not in the ledger yet."""
        key = (ports.store.get(POSTING) or b"").decode()
        if not key:
            return False
        ledger, outcome = ports.chain.ledger, ports.chain.outcome(key)
        number, as_of = int(key.split("/")[1]), int(key.rpartition("/")[2])
        unseen = number > len(ledger.batches) and ledger.time < as_of + UNSEEN_SECONDS
        return ports.chain.pending(key) or (unseen and outcome is not None and outcome.succeeded)

    async def _post(self, ports: Ports) -> bool:
        ledger = ports.chain.ledger
        paid = await self._choose(ports, len(ledger.batches) + 1)
        complete = await self.attributor.work(ports, paid)
        if ledger.time < ledger.last_post + self.interval:
            return False
        place = Place.now(ports)
        answered = await self._answered(ports, place, paid)
        if not answered:
            self.trouble.pop("posting", None)
            return complete
        old = await self.bodies.totals_before(ports, place.number)
        made = await self._compose(ports, place, answered, old)
        if made is None:
            return complete
        header, wire = made
        self._check(ports, place, header)
        await ports.bodies.offer(Commitment(BODY, len(wire), header.data_root), wire)
        commitment = await self._put(ports, wire)
        if place.gone(ports):
            return False  # composed for nothing: again, for what is now
        # The contract refuses it if another batch or version comes between.
        key = f"post/{place.number}/{place.version}/{header.data_root.hex()[:16]}/{place.as_of}"
        root = place.parent.header.totals_root if place.parent else bytes(32)
        ports.store.write({POSTING: key.encode()}, sync=True)
        call = PostBatch(place.number, place.version, root, header, commitment)
        await ports.chain.intend(key, call)
        self.trouble.pop("posting", None)
        return complete and len(answered) == len(paid)

    async def _choose(self, ports: Ports, number: int) -> list[Paid]:
        """Paid, not attributed by any live batch below that number, none twice."""
        taken = await self.bodies.taken_before(ports, number)
        found = self.answers.attributable(ports.chain.ledger, taken.paid_up_to)
        fresh = [(digest, answer) for digest, answer in found if taken.take(answer.receipt)]
        # Answers that wait for a lost corpus, or that pay next to nothing, take nobody's place.
        waits = self.attributor.waiting
        fresh.sort(key=lambda r: (r[1].receipt.adapter in waits, -r[1].receipt.amount, r[0]))
        return fresh[: self.answers_max]

    async def _answered(
        self, ports: Ports, place: Place, paid: Sequence[Paid]
    ) -> list[tuple[bytes, Answered]]:
        """Those of the chosen answers that are ready, as many as a batch can hold.

        To be called at the head that `place` is of: later others may be ready, by other rules.
        """
        ready = self.attributor.ready(ports.chain.ledger, paid, place.as_of)
        taken = await self.bodies.taken_before(ports, place.number)
        rows, claims, size = list[tuple[bytes, Answered]](), 0, 0
        for digest, answer in paid:
            answered = ready.get(digest)
            if answered is None or taken.holds(answer.receipt):
                continue
            claims += len(answered.spans)
            size += len(answer.text.prompt) + len(answer.text.output) + len(answered.query)
            if claims > BODY_CLAIMS_MAX or size > BATCH_BYTES_MAX:
                break
            rows.append((digest, answered))
        return rows

    async def _compose(
        self,
        ports: Ports,
        place: Place,
        rows: Sequence[tuple[bytes, Answered]],
        old: Mapping[int, int],
    ) -> tuple[Header, bytes] | None:
        digests, answered = [digest for digest, _ in rows], [item for _, item in rows]
        rules = ports.chain.ledger.parameters[place.version]
        return await ports.compute(_made, self.compose, answered, digests, old, rules, place.as_of)

    def _check(self, ports: Ports, place: Place, header: Header) -> None:
        """`Temporary` where the contract would refuse it for now."""
        ledger, parent = ports.chain.ledger, place.parent
        allocated = (parent.allocated if parent else ledger.allocated) + header.total
        if allocated > ledger.funded:
            raise Temporary(
                f"the pool holds {ledger.funded} wei, batch {place.number} needs {allocated}"
            )
        pending = len(ledger.pending_batches())
        if pending >= PENDING_MAX:
            raise Temporary(f"{pending} batches are pending, the limit is reached")
        bond = bond_of(ledger.parameters[place.version], header.total, pending)
        free = ledger.stakes.get(ports.signer.address, 0)
        if free < bond:
            raise Temporary(f"the bond of batch {place.number} is {bond} wei, free stake {free}")

    async def _put(self, ports: Ports, wire: bytes) -> bytes:
        """Where the body lies in data availability; empty, and told, where it does not."""
        if ports.availability is None:
            return b""
        try:
            commitment = await put_body(ports.availability, wire)
        except Temporary as error:
            self.trouble["availability"] = f"{error}; the batch is posted without"
            return b""
        self.trouble.pop("availability", None)
        return commitment


def bond_of(rules: Parameters, total: int, pending: int) -> int:
    """Wei that a batch locks; from the ninth pending one on, the least bond doubles."""
    least = rules.bond_min << max(0, pending - PENDING_PLAIN + 1)
    return max(least, total * rules.bond_bps // BPS)


def _made(
    compose: Composer,
    answered: Sequence[Answered],
    digests: Sequence[bytes],
    old: Mapping[int, int],
    rules: Parameters,
    as_of: int,
) -> tuple[Header, bytes] | None:
    body = compose(answered, digests, old, rules)
    if body is None:
        return None
    wire = body.encode()
    return body.trees().header(wire, as_of), wire
