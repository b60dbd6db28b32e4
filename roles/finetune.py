"""Fine-tuning as durable jobs: asked for once, trained again after a crash, registered once."""

import hashlib
import json
import math
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import trio

from protocol.calls import RegisterAdapter
from protocol.datanet import datanet_root, decode_table
from protocol.errors import Malformed, NodeError, Refused, Temporary
from protocol.merkle import BODY, Commitment, byte_root
from roles.intents import pursue, refused, why
from roles.ports import Ports

PREFIX = b"host/finetune/"
JOBS_MAX = 1_000
CONFIRM_SECONDS = 2.0  # between looks at the ledger
RETRY_SECONDS = 120.0  # until a job that met a full disk or an absent body is tried again
STOP_SECONDS = 5.0  # for which a stopped training is waited for; then the next waits for it

Train = Callable[..., Any]  # modelfactory.finetune.train_adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What the training of one adapter came to; hashes in hex."""

    adapter: str  # sha256 of the weights
    base: str
    weights_root: str
    weights_size: int
    config_hash: str
    manifest_hash: str


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
    made: Made | None = None  # from `registering` on

    @property
    def adapter(self) -> str:
        return self.made.adapter if self.made else ""

    def encode(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Job":
        row = json.loads(data)
        made = row.pop("made", None)
        return cls(**row, made=Made(**made) if made else None)


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
    _training: threading.Lock = field(default_factory=threading.Lock)

    def submit(self, ports: Ports, job: Job) -> Job:
        """Keep the job durably; the same name again is the same job, unless that one failed."""
        ledger = ports.chain.ledger
        known = self.jobs(ports)
        if job.name in known and known[job.name].status != "failed":
            return known[job.name]
        if ledger.adapter_named(job.name):
            raise Refused(f"an adapter named {job.name} is registered already")
        available = len(ledger.final_shards(job.datanet))
        if not 1 <= job.shards <= available:
            raise Refused(f"datanet {job.datanet} has {available} final shards, not {job.shards}")
        if len(known.keys() - {job.name}) >= JOBS_MAX:
            raise Refused(f"{JOBS_MAX} jobs are kept, limit is reached")
        self._keep(ports, job)
        self._wake.set()
        return job

    def jobs(self, ports: Ports) -> dict[str, Job]:
        found = (Job.decode(value) for _, value in ports.store.scan(PREFIX))
        return {job.name: job for job in found}

    async def run(self, ports: Ports) -> None:
        """Work off the jobs one by one; one that a crash cut off goes on where it was durable."""
        while True:
            self._wake, waiting = trio.Event(), False
            for job in self.jobs(ports).values():
                if job.status not in ("succeeded", "failed"):
                    waiting |= not await self._work(ports, job)
            with trio.move_on_after(RETRY_SECONDS if waiting else math.inf):
                await self._wake.wait()

    async def _work(self, ports: Ports, job: Job) -> bool:
        """Whether the job has ended, well or not; what is temporary must not stop the host."""
        job = replace(job, error="")
        while not ports.chain.live:  # the past has fewer shards and no fees
            await ports.clock.sleep(CONFIRM_SECONDS)
        try:
            if job.made is None:
                self._keep(ports, replace(job, status="running"))
                job = replace(job, status="registering", made=await self._make(ports, job))
                self._keep(ports, job)
            await self._register(ports, job)
        except (Refused, Malformed) as error:
            self._keep(ports, replace(job, status="failed", error=str(error)))
        except Temporary as error:
            status = "registering" if job.made else "queued"
            self._keep(ports, replace(job, status=status, error=str(error)))
            return False
        else:
            self._keep(ports, replace(job, status="succeeded"))
        return True

    async def _make(self, ports: Ports, job: Job) -> Made:
        """Train the adapter and keep its weights."""
        shards = ports.chain.ledger.final_shards(job.datanet)[: job.shards]
        if len(shards) < job.shards:
            raise Refused(f"datanet {job.datanet} has {len(shards)} final shards now")
        texts = list[str]()
        for shard in shards:
            text = await ports.bodies.fetch(shard.text)
            table = decode_table(await ports.bodies.fetch(shard.table))
            texts += [_text(text[row.start : row.end], row.start) for row in table]
        source = self.source(datanet=job.datanet, shards=job.shards, root=datanet_root(shards))
        made, weights = await self._trained(ports, job, texts, source)
        root = bytes.fromhex(made.weights_root)
        await ports.bodies.offer(Commitment(BODY, made.weights_size, root), weights)
        return made

    async def _trained(
        self, ports: Ports, job: Job, texts: list[str], source: Any
    ) -> tuple[Made, bytes]:
        """Train in a worker.  When cancelled, tell it to stop and wait a while until it has: it
        writes into the folder that the next attempt uses."""

        def progress(step: int, total: int, loss: float) -> None:
            self.progress[job.name] = (step, total, loss if math.isfinite(loss) else 0.0)

        stop, ending = threading.Event(), trio.CancelScope(shield=True)
        folder = self.folder / hashlib.sha256(job.name.encode()).hexdigest()  # names no other

        def work() -> tuple[Made, bytes]:
            given = {"source": source, "recipe": self.recipe(job), "progress": progress}
            try:
                with self._training:
                    folder.parent.mkdir(parents=True, exist_ok=True)
                    manifest = self.train(
                        self.base_dir, texts, folder, should_stop=stop.is_set, **given
                    )
                    return _made(manifest, folder)
            except OSError as error:
                raise Temporary(f"fine-tuning {job.name}: {error}") from None

        async def stop_when_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                stop.set()
                ending.deadline = trio.current_time() + STOP_SECONDS

        made: tuple[Made, bytes] | NodeError = Temporary("the training was stopped")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_when_cancelled)
            with ending:
                try:
                    made = await ports.compute(work)
                except NodeError as error:
                    made = error
            nursery.cancel_scope.cancel()
        if isinstance(made, NodeError):
            raise made
        return made

    async def _register(self, ports: Ports, job: Job) -> None:
        """Until the chain names the adapter ours; `Refused` when an attempt of now is refused."""
        assert job.made is not None
        stem, adapter, tried = f"adapter/{job.adapter}", bytes.fromhex(job.adapter), False
        while (row := ports.chain.ledger.adapters.get(adapter)) is None:
            if tried and refused(ports, stem):
                raise Refused(f"the registration was refused: {why(ports, stem)}")
            fee = ports.chain.ledger.current.model_fee
            attempted = await pursue(ports, stem, _registration(job, job.made, fee))
            tried |= attempted or not refused(ports, stem)
            await ports.clock.sleep(CONFIRM_SECONDS)
        if row.owner != ports.signer.address:
            raise Refused(f"these weights belong to 0x{row.owner.hex()}, who registered them first")
        if row.name != job.name:
            raise Refused(f"these weights are registered already, as {row.name}")

    def _keep(self, ports: Ports, job: Job) -> None:
        ports.store.write({PREFIX + job.name.encode(): job.encode()}, sync=True)


def _registration(job: Job, made: Made, fee: int) -> RegisterAdapter:
    return RegisterAdapter(
        adapter=bytes.fromhex(made.adapter),
        base=bytes.fromhex(made.base),
        datanet=job.datanet,
        shard_count=job.shards,
        weights_root=bytes.fromhex(made.weights_root),
        weights_size=made.weights_size,
        config_hash=bytes.fromhex(made.config_hash),
        manifest_hash=bytes.fromhex(made.manifest_hash),
        host_bps=job.host_bps,
        name=job.name,
        value=fee,
    )


def _made(manifest: Any, folder: Path) -> tuple[Made, bytes]:
    """What the trainer wrote into `folder`, and the weights."""
    weights = (folder / "adapter_model.safetensors").read_bytes()
    config = (folder / "adapter_config.json").read_bytes()
    made = Made(
        adapter=manifest.adapter.hex(),
        base=manifest.base.hex(),
        weights_root=byte_root(BODY, weights).hex(),
        weights_size=len(weights),
        config_hash=hashlib.sha256(config).hexdigest(),
        manifest_hash=hashlib.sha256(manifest.encode()).hexdigest(),
    )
    return made, weights


def _text(document: bytes, start: int) -> str:
    try:
        return document.decode()
    except UnicodeDecodeError:  # a curator may publish what its contributors signed, whatever it is
        raise Refused(f"the document at byte {start} of its shard is not UTF-8") from None
