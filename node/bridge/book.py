"""What was asked of the bridge, on disk before anything is sent."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Protocol

from protocol.errors import Refused

# record/ number u64 -> one crossing, as JSON; bytes in hex
PREFIX: Final = b"record/"
CROSSINGS_MAX: Final = 10_000

Kind = Literal["deposit", "withdrawal"]


class Store(Protocol):
    """As `node.store.Store`: a write is on disk before it returns when `sync`."""

    def scan(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]: ...

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class Crossing:
    """One deposit or withdrawal of `amount` wei for `to`, made at `made_at` (Unix seconds).

    `ended` says how: empty while it goes on. What happens in between is read from the chains.
    """

    number: int
    kind: Kind
    amount: int
    to: bytes
    made_at: float
    ended: str = ""


class Book:
    """The crossings of one account; every write is synced."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[Crossing]:
        """In the order in which they were made."""
        return [_decode(value) for _, value in sorted(self._store.scan(PREFIX))]

    def open(self, kind: Kind) -> list[Crossing]:
        return [crossing for crossing in self.all() if crossing.kind == kind and not crossing.ended]

    def add(self, kind: Kind, amount: int, to: bytes, now: float) -> Crossing:
        number = max((crossing.number for crossing in self.all()), default=-1) + 1
        if number >= CROSSINGS_MAX:
            raise Refused(f"the bridge keeps {CROSSINGS_MAX} crossings; begin another data_dir")
        return self._write(Crossing(number, kind, amount, to, now))

    def end(self, crossing: Crossing, how: str) -> Crossing:
        return self._write(replace(crossing, ended=how))

    def _write(self, crossing: Crossing) -> Crossing:
        value = json.dumps({**asdict(crossing), "to": crossing.to.hex()}).encode()
        self._store.write({PREFIX + crossing.number.to_bytes(8, "big"): value}, sync=True)
        return crossing


def _decode(value: bytes) -> Crossing:
    fields: dict[str, Any] = json.loads(value)
    return Crossing(**{**fields, "to": bytes.fromhex(fields["to"])})
