"""What the rollup's drivers need from the world: L1, an engine, data availability, a sender."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple

from protocol.errors import Refused, Temporary
from rollup.codec.payload import PayloadAttributes, PayloadEnvelope
from rollup.codec.refs import L1Block, L1BlockRef, L2BlockRef

R = TypeVar("R")
Args = TypeVarTuple("Args")

VALID: Final = "VALID"
INVALID: Final = "INVALID"
SYNCING: Final = "SYNCING"
ACCEPTED: Final = "ACCEPTED"

Which = str | bytes | int  # a tag ("latest", "safe", "finalized", "earliest"), a hash, a number


@dataclass(frozen=True, slots=True)
class PayloadStatus:
    """What an engine thinks of a payload (Engine API, PayloadStatusV1)."""

    status: str
    latest_valid_hash: bytes | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Forkchoice:
    """The answer to a fork choice; the id when building was asked for and begun."""

    status: PayloadStatus
    payload_id: bytes | None = None


class InvalidCertificate(Refused):
    """The DA layer says that the commitment can never be read (eigenda-proxy's HTTP 418)."""


class InvalidAttributes(Refused):
    """The engine cannot build a block from these attributes, now or ever (-38003)."""


class FailOver(Temporary):
    """The DA layer takes nothing now and asks to use L1 instead (HTTP 503 on put)."""


class Call(Protocol):
    """JSON-RPC. Raises `Temporary`, `Malformed`, `Refused` (with `.code` where a node refused)."""

    async def call(self, method: str, *params: Any) -> Any: ...


class L1Source(Protocol):
    """L1 as one node tells it; blocks are checked against their hash, tags are believed."""

    async def head(self, tag: str) -> L1BlockRef:
        """The block at "latest", "safe" or "finalized". Raises `Temporary`."""

    async def ref_by_number(self, number: int) -> L1BlockRef | None:
        """The canonical block of a height now; None when there is none yet."""

    async def block(self, block_hash: bytes) -> L1Block:
        """The block with transactions and logs. Raises `Temporary`, `Malformed`."""


class Engine(Protocol):
    """The execution engine; all its methods raise `Temporary`, `Malformed`, `Refused`."""

    async def forkchoice(
        self,
        head: bytes,
        safe: bytes,
        finalized: bytes,
        attributes: PayloadAttributes | None = None,
    ) -> Forkchoice: ...

    async def get_payload(self, payload_id: bytes) -> PayloadEnvelope: ...

    async def new_payload(self, envelope: PayloadEnvelope) -> PayloadStatus: ...

    async def ref(self, which: Which) -> L2BlockRef | None: ...

    async def payload(self, which: Which) -> PayloadEnvelope:
        """A block of the engine as the payload that would import it."""

    async def output_root(self, number: int) -> bytes:
        """The version 0 output root of a canonical block, from proven values."""


class DataAvailability(Protocol):
    """An op-alt-da server. Both raise `Temporary`."""

    async def put(self, data: bytes) -> bytes:
        """Keep the data; its commitment without the leading transaction version byte 0x01.
        Raises `FailOver`."""

    async def get(self, commitment: bytes, l1_inclusion: int | None = None) -> bytes:
        """The data, checked as far as the commitment allows; `l1_inclusion` is the number of the
        L1 block that holds the commitment. Raises `InvalidCertificate`."""


class Blobs(Protocol):
    async def blobs(self, block: L1BlockRef, hashes: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The blobs of a block by their versioned hashes, checked. Raises `Temporary`."""


class Outcome(Protocol):
    """How a transaction to L1 ended, once confirmed."""

    @property
    def succeeded(self) -> bool: ...

    @property
    def transaction(self) -> bytes | None: ...

    @property
    def reason(self) -> str | None: ...


class L1Sender(Protocol):
    """The one sender of one L1 account; an intent is on disk when made, and sent in order."""

    def intend(
        self, key: str, to: bytes, data: bytes, value: int = 0, gas: int | None = None
    ) -> None:
        """Send once, whatever crashes. The same key with the same call again changes nothing;
        `Refused` for the same key with another call."""

    def result(self, key: str) -> Outcome | None:
        """How the intent ended; None while it has not. `Refused` for an unknown key."""


class Store(Protocol):
    """A durable ordered map; a write is atomic, and on disk before it returns when `sync`."""

    def get(self, key: bytes) -> bytes | None: ...

    def scan(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]: ...

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds."""

    async def sleep(self, seconds: float) -> None: ...


class Compute(Protocol):
    """Runs slow pure functions where they do not stall the loop."""

    async def __call__(self, job: Callable[[*Args], R], *args: *Args) -> R: ...


class Inline:
    """A `Compute` for tests and for who has nothing else to do."""

    async def __call__(self, job: Callable[[*Args], R], *args: *Args) -> R:
        return job(*args)


Publish = Callable[[PayloadEnvelope], None]  # hands a signed-off block to gossip; does not wait
