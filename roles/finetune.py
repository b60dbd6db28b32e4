"""Fine-tuning as durable jobs: asked for once, trained again after a crash, registered once."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import trio

from protocol.calls import RegisterAdapter
from protocol.datanet import datanet_root, decode_table
from protocol.errors import Malformed, Refused
from protocol.merkle import BODY, Commitment, byte_root
from roles.ports import Ports

PREFIX = b"host/finetune/"
JOBS_MAX = 1_000
CONFIRM_SECONDS = 2.0  # between looks at the ledger

Train = Callable[..., Any]  # modelfactory.finetune.train_adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One adapter to be made from a Datanet's final shards."""

    name: str
    datanet: int
    shards: int
    host_bps: int
    steps: int
    seed: int
    status: str = "queued"  # queued, running, registering, succeeded, failed
    error: str = ""
    adapter: str = ""  # sha256 of the weights, hex

    def encode(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Job":
        return cls(**json.loads(data))


@dataclass
class Finetunes:
    """The jobs of one host.  `train` is the engine, a plain function in a worker thread."""

    train: Train
    recipe: Callable[[Job], Any]
    source: Callable[..., Any]  # modelfactory.manifest.Source
    base_dir: Path
    folder: Path
    progress: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    _wake: trio.Event = field(default_factory=trio.Event)

    def submit(self, ports: Ports, job: Job) -> Job:
        """Keep the job durably; the same name again is the same job."""
        ledger = ports.chain.ledger
        known = self.jobs(ports)
        if job.name in known:
            return known[job.name]
        if ledger.adapter_named(job.name):
            raise Refused(f"an adapter named {job.name} is registered already")
        available = len(ledger.final_shards(job.datanet))
        if not 1 <= job.shards <= available:
            raise Refused(f"datanet {job.datanet} has {available} final shards, not {job.shards}")
        if len(known) >= JOBS_MAX:
            raise Refused(f"{JOBS_MAX} jobs are kept, limit is reached")
        self._keep(ports, job)
        self._wake.set()
        return job

    def jobs(self, ports: Ports) -> dict[str, Job]:
        found = (Job.decode(value) for _, value in ports.store.scan(PREFIX))
        return {job.name: job for job in found}

    async def run(self, ports: Ports) -> None:
        """Work off the jobs one by one; a job that a crash cut off begins again."""
        while True:
            self._wake = trio.Event()
            for job in self.jobs(ports).values():
                if job.status not in ("succeeded", "failed"):
                    await self._work(ports, job)
            await self._wake.wait()

    async def _work(self, ports: Ports, job: Job) -> None:
        try:
            asked = _asked(ports, job)
            adapter = bytes.fromhex(job.adapter) if asked else await self._make(ports, job)
            key = _key(adapter)
            while adapter not in ports.chain.ledger.adapters:
                outcome = ports.chain.outcome(key)
                if outcome is not None and not outcome.succeeded:
                    raise Refused(f"the registration was refused: {outcome.reason}")
                await ports.clock.sleep(CONFIRM_SECONDS)
        except (Refused, Malformed) as error:
            self._keep(ports, replace(job, status="failed", error=str(error)))
        else:
            self._keep(ports, replace(job, status="succeeded", adapter=adapter.hex()))

    async def _make(self, ports: Ports, job: Job) -> bytes:
        """Train, keep and register; the adapter's id."""
        self._keep(ports, replace(job, status="running"))
        shards = ports.chain.ledger.final_shards(job.datanet)[: job.shards]
        texts = list[str]()
        for shard in shards:
            text = await ports.bodies.fetch(shard.text)
            table = decode_table(await ports.bodies.fetch(shard.table))
            texts += [_text(text[row.start : row.end], row.start) for row in table]

        def progress(step: int, total: int, loss: float) -> None:
            self.progress[job.name] = (step, total, loss if math.isfinite(loss) else 0.0)

        source = self.source(datanet=job.datanet, shards=job.shards, root=datanet_root(shards))
        folder = self.folder / job.name
        manifest = await ports.compute(
            _trained, self.train, self.base_dir, texts, folder, source, self.recipe(job), progress
        )
        weights = (folder / "adapter_model.safetensors").read_bytes()
        config = (folder / "adapter_config.json").read_bytes()
        root = byte_root(BODY, weights)
        await ports.bodies.offer(Commitment(BODY, len(weights), root), weights)
        self._keep(ports, replace(job, status="registering", adapter=manifest.adapter.hex()))
        call = RegisterAdapter(
            adapter=manifest.adapter,
            base=manifest.base,
            datanet=job.datanet,
            shard_count=job.shards,
            weights_root=root,
            weights_size=len(weights),
            config_hash=hashlib.sha256(config).digest(),
            manifest_hash=hashlib.sha256(manifest.encode()).digest(),
            host_bps=job.host_bps,
            name=job.name,
            value=ports.chain.ledger.current.model_fee,
        )
        await ports.chain.intend(_key(manifest.adapter), call)
        adapter: bytes = manifest.adapter
        return adapter

    def _keep(self, ports: Ports, job: Job) -> None:
        ports.store.write({PREFIX + job.name.encode(): job.encode()}, sync=True)


def _key(adapter: bytes) -> str:
    return f"adapter/{adapter.hex()}"


def _asked(ports: Ports, job: Job) -> bool:
    """Whether the chain was asked before a crash: what is trained twice could be paid twice."""
    if job.status != "registering":
        return False
    adapter = bytes.fromhex(job.adapter)
    known = adapter in ports.chain.ledger.adapters
    key = _key(adapter)
    return known or ports.chain.pending(key) or ports.chain.outcome(key) is not None


def _text(document: bytes, start: int) -> str:
    try:
        return document.decode()
    except UnicodeDecodeError:  # a curator may publish what its contributors signed, whatever it is
        raise Refused(f"the document at byte {start} of its shard is not UTF-8") from None


def _trained(
    train: Train, base: Path, texts: list[str], folder: Path, source: Any, recipe: Any,
    progress: Callable[[int, int, float], None],
) -> Any:  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    return train(base, texts, folder, source=source, recipe=recipe, progress=progress)
