"""What a role needs from the world: `node` plugs in libp2p, chain, threads; tests memory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, TypeVarTuple

import trio

from protocol.ledger import Ledger
from protocol.merkle import Commitment
from protocol.messages import Message

M = TypeVar("M", bound=Message)
M_co = TypeVar("M_co", bound=Message, covariant=True)
R = TypeVar("R")
Args = TypeVarTuple("Args")


class Received(Protocol[M_co]):
    """A gossiped message and the operator who signed it."""

    @property
    def sender(self) -> bytes: ...

    @property
    def message(self) -> M_co: ...


class Gossip(Protocol):
    """Best effort: messages may be lost, repeated, reordered; never malformed."""

    def subscribe(self, kind: type[M]) -> "trio.MemoryReceiveChannel[Any]":
        """A bounded channel of `Received[kind]`."""

    async def publish(self, message: Message) -> None: ...


class Bodies(Protocol):
    """Corpora, adapters and batch bodies by their commitments, wherever they are."""

    async def offer(self, commitment: Commitment, data: bytes) -> None:
        """Keep the body durably and serve it to peers."""

    async def fetch(self, commitment: Commitment) -> bytes:
        """The body, verified; from here or from peers.  `Temporary` when nobody gives it."""

    async def fetch_file(self, commitment: Commitment) -> Path:
        """As `fetch`, for bodies that do not belong into memory."""


class Outcome(Protocol):
    """What became of an intended transaction."""

    @property
    def succeeded(self) -> bool: ...

    @property
    def transaction(self) -> bytes | None: ...

    @property
    def gas_used(self) -> int | None: ...

    @property
    def reason(self) -> str | None: ...


class Chain(Protocol):
    """The contracts as confirmed blocks tell them, and the one way to act on them."""

    @property
    def ledger(self) -> Ledger: ...

    def heads(self) -> "trio.MemoryReceiveChannel[int]":
        """The time of each newly confirmed block; a slow reader sees only the latest."""

    async def intend(self, key: str, call: object) -> None:
        """Send this call once, whatever crashes between.  The same key again changes nothing."""

    def outcome(self, key: str) -> Outcome | None:
        """How the intent ended, or None while it has not, or was never made."""

    def pending(self, key: str) -> bool:
        """Whether the intent was made and has not ended."""

    @property
    def live(self) -> bool:
        """Whether the ledger has caught up with the chain: before that it shows the past."""


class Store(Protocol):
    """A durable ordered map; a write is atomic, and on disk before it returns when `sync`."""

    def get(self, key: bytes) -> bytes | None: ...

    def scan(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]: ...

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None: ...


class Signer(Protocol):
    @property
    def address(self) -> bytes: ...

    def sign(self, digest: bytes) -> bytes:
        """65 bytes r | s | v over a 32-byte digest."""


class Compute(Protocol):
    """Runs slow pure functions where they do not stall the network."""

    async def __call__(self, job: Callable[[*Args], R], *args: *Args) -> R: ...


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds."""

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Lens:
    """What the features of an adapter's texts are computed with."""

    base: bytes  # id of the base model
    adapter: bytes
    weights: Path
    basis: Path | None  # None while it is still to be made
    seed: bytes


class Built(Protocol):
    """What came of the examples of an adapter."""

    @property
    def basis(self) -> bytes: ...

    @property
    def phi(self) -> Any:
        """int8 [n, 2048], one row an example."""


class Featurizer(Protocol):
    """Features of texts by a base model that is at hand (`attribution.influence`).

    All raise `Temporary` when it could not be done now, `Refused` when it never can.
    """

    def has(self, base: bytes) -> bool:
        """Whether that base model is here."""

    async def queries(self, lens: Lens, pairs: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """The features of answers, as (prompt, output)."""

    async def examples(self, lens: Lens, texts: Sequence[bytes]) -> list[bytes]:
        """The features of documents."""

    async def build(
        self, lens: Lens, texts: Sequence[bytes], progress: Callable[[int, int], None]
    ) -> Built:
        """A basis from these documents, and their features under it."""


class Availability(Protocol):
    """A server of data availability (`rollup.da`); both raise `Temporary` and `Malformed`."""

    async def put(self, data: bytes) -> bytes:
        """Keep at most 1 MiB; how to get it again.  `Refused` for what is never taken."""

    async def get(self, commitment: bytes) -> bytes:
        """The data, checked as far as the commitment allows."""


@dataclass(frozen=True)
class Ports:
    gossip: Gossip
    bodies: Bodies
    chain: Chain
    store: Store
    signer: Signer
    compute: Compute
    clock: Clock
    featurizer: Featurizer | None = None  # none where no base model is at hand
    availability: Availability | None = None  # none where no DA server is configured


class Role(Protocol):
    """A long-running duty: reads what it `consumes`, says only what it `emits`."""

    consumes: ClassVar[tuple[type[Message], ...]]
    emits: ClassVar[tuple[type[Message], ...]]

    async def run(self, ports: Ports) -> None: ...
