"""Demands for withheld data: who posts roots opens their leaves on chain, or loses the bond.

The rule.  A poster answers every demand at the first head at which he sees it.  A validator that
cannot have the body of a pending batch, or has one that does not give the posted roots, demands
one leaf, drawn where nobody can foresee it, of the tree that is in question; not before a quarter
of the window has passed, while an honest body may still be on its way, and only while an answer is
still due within the window.  It asks once a batch, and not while somebody's demand on that batch is
open: each validator stakes one demand bond, and they ask one after another.  When the time for the
answer is over, the one who asked claims the poster's bond; a while later everybody does, because
an open demand keeps the queue of batches closed.  Who holds the body of somebody else's batch may
answer for a poster that is silent for half of the time, and gets the demand's bond for it.  A
header that counts fewer leaves than its trees have opens them all: it is refuted, not asked.
The same holds for the texts and tables of shards, and for the rows and the basis of feature sets.

What it gives.  Who cannot or does not answer loses a bond of at least the batch's total, so roots
over nothing, over a lost body, or posted by a node that went away earn nothing.  Who answers is
safe, whoever asks: a griefer pays the demand's bond to him for each leaf.

What closes the rest.  A poster who keeps the whole body and opens every single leaf that is
demanded is not slashed, and earns the demands' bonds.  But he never becomes final: a validator that
still cannot judge the batch in the last eighth of its window objects to it on chain
(`roles.objections`), and more than half of the validators' bonds void it; what he did was in vain.
So is the leaf that a liar has lost among many, which a demand hits by chance only.  Bonds of
answered demands are credits on the contract, and `roles.credits` collects them.

What it does not give.  Until then such a poster holds up the batches that would stand on his, since
nobody else can compose on totals that he alone knows; and the objection takes nothing from him.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import trio

from attribution.openings import Case
from protocol.batch import Body
from protocol.codec import Reader, uint
from protocol.demands import ClaimUnanswered, Demand, RefundDemand
from protocol.errors import Malformed, Temporary
from protocol.ledger import BatchRecord, FeatureSetRecord, ShardRecord, Status
from protocol.merkle import BODY, DOCUMENT, FEATURE, TEXT
from protocol.refute import Refutation
from roles.batches import fetch_body
from roles.corpora import TEXT_BYTES_MAX
from roles.disclosures import (
    BATCHES,
    FEATURES,
    SHARDS,
    FeatureBodies,
    ShardBodies,
    disclose,
    disclose_features,
    disclose_shard,
)
from roles.doubts import Place, doubtful, leaf_of_body
from roles.feature_sets import FeatureSets, is_counted
from roles.intents import PURSUED, pursue, refused
from roles.ports import Ports

ANSWER_SECONDS = 10  # until a refused answer is tried again: there is little time
CLAIM_SECONDS = 10  # until a refused claim is tried again
PATIENCE = 4  # a body may be on its way for the first window / PATIENCE
MARGIN = 10  # seconds that a demand needs to be included, before the last moment for one
SLICES, SLICE_SECONDS = 32, 30  # parts of a window for one fetch; at least so many seconds
GRACE = 120  # seconds that who asked has before everybody claims a bond

DEMANDED = b"demanded/"  # what this node asked for: one leaf a subject
CONTRACTS = (BATCHES, SHARDS, FEATURES)

Examine = Callable[[BatchRecord], Awaitable[Case]]


# ---------------------------------------------------------------- who posted


async def answer_demands(ports: Ports, examine: Examine, *, others: bool = False) -> None:
    """Open what is demanded of our own pending batches.  Raises what `examine` raises.

    With `others` also of somebody else's, for who has judged them valid: once half of the time for
    the answer has passed.
    """
    for batch in ports.chain.ledger.pending_batches():
        mine, root = batch.poster == ports.signer.address, batch.header.data_root
        wait = 0 if mine else ports.chain.ledger.parameters[batch.version].response // 2
        open_ = _unanswered(ports, BATCHES, batch.batch, root, wait)
        if not open_ or not (mine or others):
            continue
        case = await examine(batch)
        for (tree, index), stem in open_:
            call = await ports.compute(disclose, case, tree, index)
            await pursue(ports, stem, call, ANSWER_SECONDS)


async def own_case(ports: Ports, batch: BatchRecord) -> Case:
    """An `examine` for posters: the body alone, from this node's own disk, gives every answer."""
    body = await ports.compute(Body.decode, await fetch_body(ports, batch))
    trees = await ports.compute(body.trees)
    return Case(batch.batch, body, trees, (), {}, {}, ports.chain.ledger.parameters[batch.version])


async def answer_shard_demands(ports: Ports, shards: Iterable[ShardRecord]) -> None:
    """Open what is demanded of those of `shards` that are ours and pending."""
    for row in shards:
        if row.status is not Status.PENDING or row.curator != ports.signer.address:
            continue
        open_ = _unanswered(ports, SHARDS, row.publication, row.shard.text_root)
        if not open_:
            continue
        text = await ports.bodies.fetch(row.shard.text)
        table = await ports.bodies.fetch(row.shard.table)
        held = ShardBodies(row.publication, text, table)
        for (tree, index), stem in open_:
            call = await ports.compute(disclose_shard, held, tree, index)
            await pursue(ports, stem, call, ANSWER_SECONDS)


async def answer_feature_demands(ports: Ports, sets: FeatureSets) -> None:
    """Open what is demanded of those pending feature sets that are ours."""
    for row in list(ports.chain.ledger.feature_sets.values()):
        if row.status is not Status.PENDING or row.poster != ports.signer.address:
            continue
        open_ = _unanswered(ports, FEATURES, row.id, row.features.root)
        if open_:
            features, basis = await sets.of(ports, row), await ports.bodies.fetch(row.basis)
            held = FeatureBodies(row.id, features, basis)
            for (tree, index), stem in open_:
                call = await ports.compute(disclose_features, held, tree, index)
                await pursue(ports, stem, call, ANSWER_SECONDS)


def _unanswered(
    ports: Ports, contract: str, subject: int, root: bytes, wait: int = 0
) -> list[tuple[Place, str]]:
    """Open demands on a subject without an answer under way, the most urgent first.

    Those that have more than `wait` seconds left are passed over, if that is not 0.

    Late is better than never: an answer counts until somebody claims the bond.
    """
    if not ports.chain.live:
        return []
    ledger, found = ports.chain.ledger, []
    for (where, what, tree, index), demand in ledger.demands.items():
        if (where, what) != (contract, subject) or (wait and ledger.time < demand.until - wait):
            continue
        stem = f"answer/{contract}/{subject}/{root.hex()[:16]}/{tree}/{index}"
        if not _under_way(ports, stem):
            found.append((demand.until, (tree, index), stem))
    return [(place, stem) for _, place, stem in sorted(found)]


def _under_way(ports: Ports, stem: str) -> bool:
    """Whether the last attempt under `stem` is open or has succeeded: nothing to compute for."""
    return _attempted(ports, stem) and not refused(ports, stem)


def _attempted(ports: Ports, stem: str) -> bool:
    """Whether an attempt under `stem` was really intended: kill -9 may have come before."""
    last = ports.store.get(PURSUED + stem.encode())
    key = last.decode().rpartition("@")[0] if last else ""
    return bool(key) and (ports.chain.pending(key) or ports.chain.outcome(key) is not None)


# ---------------------------------------------------------------- who misses something


def slice_of(window: int) -> trio.CancelScope:
    """How long one body is waited for at a time.

    One that is given slowly keeps nobody from others, nor from objecting while there is time.
    """
    return trio.move_on_after(max(SLICE_SECONDS, window // SLICES))


async def demand_withheld(ports: Ports, batch: BatchRecord) -> None:
    """Demand a leaf of a batch that cannot be judged; nothing while its body is here and whole.

    To be called at each head at which the body cannot be had or does not give the batch's roots.
    """
    rules = ports.chain.ledger.parameters[batch.version]
    subject = _Subject(BATCHES, batch.batch, batch.header.data_root)
    draw = _draw(ports, subject)
    if not subject.may_ask(ports, batch.deadline, rules.window, rules.response, draw):
        return
    wire: bytes | None = None
    with suppress(Temporary, Malformed), slice_of(rules.window):
        wire = await fetch_body(ports, batch)
    if wire is None:
        await subject.ask(ports, leaf_of_body(batch.header, draw), rules.demand_bond)
        return
    found = await ports.compute(doubtful, batch.batch, batch.header, wire, rules, draw)
    if isinstance(found, Refutation):
        await pursue(ports, f"miscount/{subject.stem}", found, CLAIM_SECONDS)
    elif found is not None:
        await subject.ask(ports, found, rules.demand_bond)


async def demand_withheld_shard(ports: Ports, row: ShardRecord) -> None:
    """Demand a leaf of a pending shard whose text or document table cannot be had."""
    rules = ports.chain.ledger.current
    subject = _Subject(SHARDS, row.publication, row.shard.text_root)
    draw = _draw(ports, subject)
    if not subject.may_ask(ports, row.deadline, rules.datanet_window, rules.response, draw):
        return
    for kind, body in ((TEXT, row.shard.text), (DOCUMENT, row.shard.table)):
        with suppress(Temporary), slice_of(rules.datanet_window):
            if body.size <= TEXT_BYTES_MAX:
                await ports.bodies.fetch(body)
                continue
        await subject.ask(ports, (kind, draw.randrange(max(1, body.count))), rules.demand_bond)
        return


async def demand_withheld_features(ports: Ports, row: FeatureSetRecord) -> None:
    """Demand a leaf of a pending feature set whose rows or basis cannot be had."""
    rules = ports.chain.ledger.parameters[row.version]
    subject = _Subject(FEATURES, row.id, row.features.root)
    draw = _draw(ports, subject)
    if not subject.may_ask(ports, row.deadline, rules.datanet_window, rules.response, draw):
        return
    count = {FEATURE: row.example_count, BODY: row.basis.count}
    for kind, body in ((FEATURE, row.features), (BODY, row.basis)):
        with suppress(Temporary), slice_of(rules.datanet_window):
            if body.size and is_counted(ports.chain.ledger, row):
                await ports.bodies.fetch_file(body)
                continue
        await subject.ask(ports, (kind, draw.randrange(max(1, count[kind]))), rules.demand_bond)
        return


@dataclass(frozen=True)
class _Subject:
    """What something is demanded of."""

    contract: str
    number: int
    root: bytes

    @property
    def key(self) -> bytes:
        return DEMANDED + self.contract.encode() + uint(self.number, 8) + self.root

    @property
    def stem(self) -> str:
        return f"demand/{self.contract}/{self.number}/{self.root.hex()}"

    def may_ask(
        self, ports: Ports, deadline: int, window: int, response: int, draw: Random
    ) -> bool:
        """Whether it is time; validators begin at drawn moments, to see each other's demands.

        One attempt is all: what refuses it is that the leaf was demanded, or the subject decided.
        """
        if not ports.chain.live or _attempted(ports, self.stem):
            return False
        first = deadline - window + window // PATIENCE
        last = deadline - response - MARGIN
        first += int(draw.random() * max(0, last - first) / 2)
        asked = any(key[:2] == (self.contract, self.number) for key in ports.chain.ledger.demands)
        return first <= ports.chain.ledger.time <= last and not asked

    async def ask(self, ports: Ports, place: Place, bond: int) -> None:
        """The first choice counts: after a restart, and when the body has changed meanwhile."""
        if known := ports.store.get(self.key):
            place = _place(known)
        else:
            ports.store.write({self.key: uint(place[0], 1) + uint(place[1], 8)}, sync=True)
        call = Demand(self.contract, self.number, *place, bond)
        await pursue(ports, self.stem, call, CLAIM_SECONDS)


def _draw(ports: Ports, subject: _Subject) -> Random:
    """The same after a restart, and foreseen by nobody: else a liar keeps just what we ask for."""
    digest = hashlib.sha256(subject.key + ports.signer.address).digest()
    return Random(hashlib.sha256(ports.signer.sign(digest)).digest())


def _place(row: bytes) -> Place:
    reader = Reader(row)
    return reader.uint(1), reader.uint(8)


# ---------------------------------------------------------------- afterwards


async def claim_unanswered(ports: Ports) -> None:
    """Take the bond of who was silent, and take back what was put behind idle demands."""
    ledger, me = ports.chain.ledger, ports.signer.address
    if not ports.chain.live:
        return
    for (contract, subject, tree, index), demand in list(ledger.demands.items()):
        if _poster(ports, contract, subject) in (me, None):
            continue
        if ledger.time >= demand.until + (0 if demand.by == me else GRACE):
            stem = f"claim/{contract}/{subject}/{tree}/{index}/{demand.until}"
            call = ClaimUnanswered(contract, subject, tree, index)
            await pursue(ports, stem, call, CLAIM_SECONDS)
    for key, row in list(ports.store.scan(DEMANDED)):
        await _refund(ports, key, _place(row))


async def _refund(ports: Ports, key: bytes, place: Place) -> None:
    """Once a subject is decided: nobody knows here whether a bond is left, so try it once."""
    named = (name for name in CONTRACTS if key.startswith(DEMANDED + name.encode()))
    contract = next(named)
    reader = Reader(key.removeprefix(DEMANDED + contract.encode()))
    subject = _Subject(contract, reader.uint(8), reader.take(32))
    if _poster(ports, contract, subject.number) is not None:
        return
    if _under_way(ports, subject.stem):
        call = RefundDemand(contract, subject.number, *place)
        await pursue(ports, f"refund/{subject.stem}", call)
    ports.store.write({key: None}, sync=True)


def _poster(ports: Ports, contract: str, subject: int) -> bytes | None:
    """Who answers for a pending subject; None when it is decided, or not known."""
    ledger = ports.chain.ledger
    if contract == BATCHES:
        batch = ledger.batches.get(subject)
        return batch.poster if batch and batch.status is Status.PENDING else None
    if contract == FEATURES:
        found = ledger.feature_sets.get(subject)
        return found.poster if found and found.status is Status.PENDING else None
    rows = (row for shards in ledger.shards.values() for row in shards)
    return next(
        (r.curator for r in rows if r.publication == subject and r.status is Status.PENDING), None
    )
