"""Features: publishes the examples' features of adapters whose base model is at hand.

Each step is durable before the next begins: the seed is on chain, the computed bytes are kept by
`bodies` before the intent is made; so kill -9 costs at most the computation that was under way.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar, overload

import numpy as np
import trio
from numpy.typing import NDArray

from attribution.corpus import Corpus
from attribution.influence.duplicates import duplicates_of
from attribution.influence.store import rows_of
from protocol.calls import DrawSeed, FinalizeFeatures, PublishFeatures
from protocol.codec import require
from protocol.errors import Malformed, Refused, Temporary
from protocol.ledger import AdapterRecord, Ledger, Status
from protocol.merkle import BODY, FEATURE, FEATURE_LEAF, Commitment, byte_root
from protocol.messages import Message
from roles.corpora import Corpora
from roles.credits import collect_credits
from roles.demands import answer_feature_demands
from roles.feature_sets import FeatureSets
from roles.intents import pursue, refused, why
from roles.ports import Lens, Ports

EXAMPLES_MAX = 1 << 18  # documents of one adapter; their features are 0.5 GiB in memory
BASIS_BYTES_MAX = 1 << 30  # as the contract bounds it
PENDING_MAX = 4  # sets of one adapter that may pend; the bond doubles with each
OTHERS_SECONDS = 3_600  # that an adapter's owner has before others publish for it
FINALIZE_GRACE = 60  # seconds that a set's own poster has before others finalize it
RETRY_SECONDS = 60  # until what was temporary is tried again
SEED_SECONDS = 20  # until a refused draw is tried again
RULES_SECONDS = 3_600  # for which the rule of duplicates must be known to stay
JOB = b"features/"  # what was computed for an adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A computed feature set, whose bytes `bodies` keeps; hashes in hex."""

    seed: str
    duplicate_bps: int
    features_root: str
    example_count: int
    basis_root: str
    basis_size: int

    @property
    def features(self) -> Commitment:
        root = bytes.fromhex(self.features_root)
        return Commitment(FEATURE, self.example_count * FEATURE_LEAF, root)

    @property
    def basis(self) -> Commitment:
        return Commitment(BODY, self.basis_size, bytes.fromhex(self.basis_root))

    def call(self, adapter: bytes) -> PublishFeatures:
        features, basis = self.features, self.basis
        return PublishFeatures(adapter, features.root, self.example_count, basis.root, basis.size)


class Documents(Sequence[bytes]):
    """The documents of a corpus in their order, read one at a time."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        rows = ((n, len(shard.documents)) for n, shard in enumerate(corpus.shards))
        self.places = [(shard, row) for shard, count in rows for row in range(count)]

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        shard, row = self.places[at]
        held = self._corpus.shards[shard]
        place = held.documents[row]
        return bytes(held.text[place.start : place.end])

    def names(self) -> list[tuple[int, int, int, bytes]]:
        """(shard, number, contributor, content root) of each."""
        found = []
        for shard, row in self.places:
            document = self._corpus.shards[shard].documents[row]
            found.append((shard, row, document.contributor, document.content_root))
        return found


@dataclass(frozen=True)
class Features:
    consumes: ClassVar[tuple[type[Message], ...]] = ()
    emits: ClassVar[tuple[type[Message], ...]] = ()

    corpora: Corpora = field(default_factory=Corpora)
    feature_sets: FeatureSets = field(default_factory=FeatureSets)
    trouble: dict[str, str] = field(default_factory=dict)  # what is not published, and why
    progress: dict[str, tuple[int, int]] = field(default_factory=dict)  # by adapter: done, all
    _seen: dict[bytes, int] = field(default_factory=dict)  # when an adapter was first seen
    _again: dict[bytes, int] = field(default_factory=dict)  # when to try one again

    async def run(self, ports: Ports) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._attend, ports)
            async with ports.chain.heads() as heads:
                async for _ in heads:
                    for adapter in self.wanted(ports):
                        await self._try(ports, adapter)

    async def _attend(self, ports: Ports) -> None:
        """What does not wait for a long computation."""
        async with ports.chain.heads() as heads:
            async for _ in heads:
                await self._finalize(ports)
                await collect_credits(ports)
                try:
                    await answer_feature_demands(ports, self.feature_sets)
                except (Temporary, Malformed) as error:
                    self.trouble["demands"] = str(error)
                else:
                    self.trouble.pop("demands", None)

    async def _finalize(self, ports: Ports) -> None:
        ledger = ports.chain.ledger
        for row in list(ledger.feature_sets.values()):
            grace = 0 if row.poster == ports.signer.address else FINALIZE_GRACE
            if row.status is Status.PENDING and ledger.time >= row.deadline + grace:
                call = FinalizeFeatures(row.id)
                await pursue(ports, f"finalize-features/{row.id}", call, SEED_SECONDS)

    def wanted(self, ports: Ports) -> list[AdapterRecord]:
        """Adapters of base models that are here without a feature set, ours first."""
        ledger, me, found = ports.chain.ledger, ports.signer.address, list[AdapterRecord]()
        if ports.featurizer is None or not ports.chain.live:
            return []
        mine = {row.adapter for row in ledger.feature_sets.values() if row.poster == me}
        for row in ledger.adapters.values():
            since = self._seen.setdefault(row.adapter, ledger.time)
            due = since + (0 if row.owner == me else OTHERS_SECONDS)
            due = max(due, self._again.get(row.adapter, 0))
            live = ledger.live_feature_sets(row.adapter)
            if not ports.featurizer.has(row.base) or any(
                one.status is Status.FINAL or one.poster == me for one in live
            ):
                continue
            if row.adapter in mine:
                self.trouble[row.name] = "our feature set for it was slashed or voided"
            elif len(live) >= PENDING_MAX:
                self.trouble[row.name] = f"{len(live)} feature sets pend, the limit is reached"
            elif ledger.time >= due:
                found.append(row)
        return sorted(found, key=lambda row: row.owner != me)

    async def _try(self, ports: Ports, adapter: AdapterRecord) -> None:
        ledger = ports.chain.ledger
        try:
            await self._publish(ports, adapter)
        except (Temporary, Malformed, Refused) as error:
            self.trouble[adapter.name] = str(error)
            self._again[adapter.adapter] = ledger.time + RETRY_SECONDS
        else:
            self.trouble.pop(adapter.name, None)
        finally:
            self.progress.pop(adapter.name, None)

    async def _publish(self, ports: Ports, adapter: AdapterRecord) -> None:
        """The next step toward a set of the adapter."""
        ledger = ports.chain.ledger
        seed = ledger.seeds.get(adapter.adapter)
        if seed is None:
            await draw_seed(ports, adapter.adapter)
            return
        pending = len(ledger.live_feature_sets(adapter.adapter))
        bond = ledger.current.datanet_bond << pending
        free = ledger.stakes.get(ports.signer.address, 0)
        if free < bond:
            raise Temporary(f"a feature set's bond is {bond} wei, the free stake is {free}")
        bps = steady_bps(ledger)
        job = self._job(ports, adapter, seed)
        if job is None or job.duplicate_bps != bps or not await self._held(ports, job):
            job = await self._compute(ports, adapter, seed, bps)
            ports.store.write({JOB + adapter.adapter: json.dumps(asdict(job)).encode()}, sync=True)
        stem = f"publish-features/{adapter.adapter.hex()}/{job.features_root}"
        if steady_bps(ports.chain.ledger) == bps:
            await pursue(ports, stem, job.call(adapter.adapter))
        if refused(ports, stem):
            raise Temporary(f"the publication was refused: {why(ports, stem)}")

    def _job(self, ports: Ports, adapter: AdapterRecord, seed: bytes) -> Job | None:
        row = ports.store.get(JOB + adapter.adapter)
        job = Job(**json.loads(row)) if row else None
        return job if job and job.seed == seed.hex() else None

    async def _held(self, ports: Ports, job: Job) -> bool:
        try:
            await ports.bodies.fetch_file(job.features)
            await ports.bodies.fetch_file(job.basis)
        except Temporary:
            return False
        return True

    async def _compute(self, ports: Ports, adapter: AdapterRecord, seed: bytes, bps: int) -> Job:
        featurizer, as_of = ports.featurizer, ports.chain.ledger.time
        assert featurizer is not None
        corpus = await self.corpora.of_adapter(ports, adapter, as_of)
        texts = Documents(corpus)
        if not 0 < len(texts) <= EXAMPLES_MAX:
            raise Refused(f"{len(texts)} documents, the limit is {EXAMPLES_MAX}")
        weights = await ports.bodies.fetch_file(adapter.weights)

        def progress(done: int, of: int) -> None:
            self.progress[adapter.name] = done, of

        progress(0, len(texts))
        lens = Lens(adapter.base, adapter.adapter, weights, None, seed)
        built = await featurizer.build(lens, texts, progress)
        require(0 < len(built.basis) <= BASIS_BYTES_MAX, f"a basis of {len(built.basis)} bytes")
        body = await ports.compute(encode_rows, texts, built.phi, bps)
        roots = [await ports.compute(byte_root, FEATURE, body)]
        roots.append(await ports.compute(byte_root, BODY, built.basis))
        job = Job(
            seed=seed.hex(),
            duplicate_bps=bps,
            features_root=roots[0].hex(),
            example_count=len(texts),
            basis_root=roots[1].hex(),
            basis_size=len(built.basis),
        )
        await ports.bodies.offer(job.features, body)
        await ports.bodies.offer(job.basis, built.basis)
        return job


async def draw_seed(ports: Ports, adapter: bytes) -> None:
    """Ask for the block whose hash makes the seed, and take that hash once it is there."""
    ledger = ports.chain.ledger
    target = ledger.seed_blocks.get(adapter)
    if target is None or ledger.number > target:
        stem = f"draw/{adapter.hex()}/{target}"
        await pursue(ports, stem, DrawSeed(adapter), SEED_SECONDS)


def steady_bps(ledger: Ledger) -> int:
    """The cosine of duplicates now; `Temporary` if a publication might be judged by another."""
    bps = ledger.current.duplicate_bps
    for version, at in ledger.effective.items():
        soon = ledger.time < at <= ledger.time + RULES_SECONDS
        if soon and ledger.parameters[version].duplicate_bps != bps:
            raise Temporary("the rule of duplicates is about to change")
    return bps


def encode_rows(texts: Documents, phi: NDArray[np.int8], bps: int) -> bytes:
    """The body of the set."""
    rows = rows_of(phi, duplicates_of(phi, bps), texts.names())
    return b"".join(row.encode() for row in rows)
