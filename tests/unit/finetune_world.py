"""A host's fine-tuning jobs over a chain, a disk and a trainer in memory, all of which can fail."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trio
import trio.testing

from protocol import events as e
from protocol.calls import RegisterAdapter
from protocol.datanet import Shard
from protocol.errors import Refused, Temporary
from protocol.ledger import Ledger
from protocol.merkle import BODY, Commitment, byte_root
from protocol.parameters import Parameters
from roles.finetune import Finetunes, Job
from roles.ports import Ports
from tests.courtroom import shards
from tests.sim.chain import SimOutcome
from tests.sim.world import MemoryStore, Signer, inline
from tests.unit.test_shard_fraud import REGISTRY

BASE = b"\xba" * 32
BOOKS = shards(REGISTRY)  # two final shards
FEE = 77
US = Signer(b"\x07" * 32)


class Crash(Exception):
    """The process dies here."""


@dataclass
class Disk(MemoryStore):
    """Dies at write number `dies_at`, before or after it."""

    rows: dict[bytes, bytes] = field(default_factory=dict)
    writes: int = 0
    dies_at: int | None = None
    after: bool = False

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        assert sync, "a job that was accepted is not forgotten"
        dies = self.writes == self.dies_at
        self.writes += 1
        if not dies or self.after:
            super().write(puts)
        if dies:
            raise Crash


@dataclass
class Chain:
    """Confirms a registration when the clock is looked at; `refuses` says why it does not."""

    ledger: Ledger
    intents: dict[str, RegisterAdapter] = field(default_factory=dict)
    refuses: str = ""
    dies: bool = False
    live: bool = True
    owner: bytes = US.address

    async def intend(self, key: str, call: Any) -> None:
        await trio.lowlevel.checkpoint()
        if self.intents.setdefault(key, call) != call:
            raise Refused("exists with another call")
        if self.dies:
            self.dies = False
            raise Crash

    def pending(self, key: str) -> bool:
        return key in self.intents and self.outcome(key) is None

    def outcome(self, key: str) -> SimOutcome | None:
        if key not in self.intents:
            return None
        if self.refuses:
            return SimOutcome(False, reason=self.refuses)
        known = self.intents[key].adapter in self.ledger.adapters
        return SimOutcome(True) if known else None

    def confirm(self) -> None:
        for call in self.intents.values():
            if call.adapter not in self.ledger.adapters and not self.refuses:
                self.ledger.apply(
                    e.AdapterRegistered(
                        call.adapter, call.base, self.owner, call.datanet, call.shard_count,
                        call.weights_root, call.weights_size, call.config_hash,
                        call.manifest_hash, call.host_bps, call.name,
                    )
                )  # fmt: skip


@dataclass
class Factory:
    """A trainer: writes the two files that peft would, of what it was given."""

    runs: list[tuple[list[str], Any]] = field(default_factory=list)
    differs: bool = False  # another machine, another float
    fails: Exception | None = None
    outs: list[Path] = field(default_factory=list)
    block: Callable[[Callable[[], bool]], None] = lambda should_stop: None

    def train(
        self, base: Path, texts: list[str], out: Path, *, source: Any, recipe: Any,
        progress: Callable[[int, int, float], None], should_stop: Callable[[], bool],
    ) -> Any:  # fmt: skip
        self.runs.append((texts, source))
        self.outs.append(out)
        self.block(should_stop)
        if self.fails:
            raise self.fails
        progress(recipe["steps"], recipe["steps"], float("nan"))
        weights = json.dumps([texts, recipe, len(self.runs) * self.differs]).encode()
        out.mkdir(parents=True, exist_ok=True)
        (out / "adapter_model.safetensors").write_bytes(weights)
        (out / "adapter_config.json").write_bytes(b"{}")
        adapter = byte_root(BODY, weights)
        return SimpleNamespace(adapter=adapter, base=BASE, encode=lambda: b"manifest")


class Shop:
    """A host's jobs; `start` is what a restart of the process does."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.disk, self.factory = folder, Disk(), Factory()
        self.held: dict[bytes, bytes] = {}
        self.missing = False
        self.compute: Any = inline
        ledger = Ledger()
        ledger.apply(e.ParametersProposed(1, 0, Parameters(model_fee=FEE)))
        self.shards = [self.publish(ledger, number, *book) for number, book in enumerate(BOOKS)]
        self.chain = Chain(ledger)
        self.start()

    def publish(self, ledger: Ledger, index: int, text: bytes, table: Any) -> Shard:
        wire = b"".join(row.encode() for row in table)
        shard = Shard(byte_root(1, text), byte_root(2, wire), len(text), len(table))
        self.held |= {shard.text_root: text, shard.document_root: wire}
        roots = shard.text_root, shard.document_root, shard.text_size, shard.document_count
        ledger.apply(e.ShardPublished(1, index, bytes(20), *roots, 0, index + 1))
        ledger.apply(e.ShardFinalized(1, index))
        return shard

    def start(self) -> None:
        self.jobs = Finetunes(
            train=self.factory.train, recipe=lambda job: {"steps": job.steps, "seed": job.seed},
            source=lambda **given: given, base_dir=self.folder, folder=self.folder / "finetunes",
        )  # fmt: skip
        self.ports = Ports(
            gossip=None, bodies=self, chain=self.chain, store=self.disk,  # type: ignore[arg-type]
            signer=US, compute=self.compute, clock=self,
        )  # fmt: skip

    async def fetch(self, commitment: Commitment) -> bytes:
        await trio.lowlevel.checkpoint()
        if self.missing:
            raise Temporary("no peer has the body")
        return self.held[commitment.root]

    async def offer(self, commitment: Commitment, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        assert byte_root(commitment.kind, data) == commitment.root
        self.held[commitment.root] = data

    def now(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await trio.lowlevel.checkpoint()
        self.chain.confirm()

    def seen(self) -> dict[str, Job]:
        return self.jobs.jobs(self.ports)

    async def work(self) -> None:
        """Run until nothing is left to do."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.jobs.run, self.ports)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()


def job(name: str = "cat", shards: int = 1, **more: Any) -> Job:
    return Job(name=name, datanet=1, shards=shards, host_bps=5_000, steps=3, seed=4, **more)
