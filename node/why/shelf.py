"""Where each answer and each payment stands: an index over the bodies of batches, kept on disk.

    why/1/r/ ++ receipt digest ++ data root -> answer number[4]
    why/1/e/ ++ contributor[4] ++ data root -> payments[4] ++ wei[16]
    why/1/b/ ++ data root                   -> nothing: all rows of that body are written

A body that is not what its batch commits to is never indexed.
"""

import struct
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import trio

from protocol.batch import Body
from protocol.codec import require
from protocol.errors import Malformed, Temporary
from protocol.ledger import BatchRecord, Ledger, Status
from protocol.signature import Domain
from roles.answers import receipt_domain
from roles.batches import BatchBodies, fetch_body
from roles.ports import Ports

ANSWERS, EARNERS, BODIES = b"why/1/r/", b"why/1/e/", b"why/1/b/"
BATCHES_AT_ONCE: Final = 8  # that one look at the chain indexes
ROWS_AT_ONCE: Final = 2_000  # written before others get their turn
RETRY_SECONDS: Final = 60.0  # until a body that nobody gave is asked for again
SCANNED_MAX: Final = 4_096  # rows that a short digest may make us read
PATIENCE_SECONDS: Final = 5.0  # for which a question waits for bodies that are still to come
MISSING_SHOWN: Final = 8  # batches that are named as missing
PREFERRED: Final = (Status.FINAL, Status.PENDING, Status.SLASHED, Status.VOID)
_EARNED = struct.Struct(">IQQ")

Rows = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Place:
    """Answer `number` of `batch`."""

    batch: BatchRecord
    number: int


@dataclass(frozen=True, slots=True)
class Earned:
    """What one batch pays a contributor: so many payments, so many wei."""

    batch: BatchRecord
    payments: int
    amount: int


@dataclass
class Shelf:
    """The bodies of one node, and what they say of whom."""

    bodies: BatchBodies = field(default_factory=BatchBodies)  # a role's own, where there is one
    _again: dict[int, float] = field(default_factory=dict)  # when to try, by batch
    missing: dict[int, str] = field(default_factory=dict)  # why a batch is not indexed
    _numbers: dict[bytes, list[int]] = field(default_factory=dict)  # batches by data root
    _todo: set[int] = field(default_factory=set)  # batches that are not indexed
    _ledger: Ledger | None = None
    _seen: int = 0
    _turn: trio.Lock = field(default_factory=trio.Lock)  # of indexing
    _reading: trio.Lock = field(default_factory=trio.Lock)

    async def run(self, ports: Ports) -> None:
        async with ports.chain.heads() as heads:
            async for _ in heads:
                await self.catch_up(ports)

    async def freshen(self, ports: Ports) -> None:
        """Before a question: what nobody gives must not keep it waiting."""
        with trio.move_on_after(PATIENCE_SECONDS):
            await self.catch_up(ports)

    async def catch_up(self, ports: Ports) -> None:
        """Index batches that are not indexed yet, a few at a time, the newest first."""
        async with self._turn:
            ledger, now = self._followed(ports), ports.clock.now()
            due = [n for n in sorted(self._todo, reverse=True) if self._again.get(n, 0) <= now]
            for number in due[:BATCHES_AT_ONCE]:
                batch = ledger.batches[number]
                try:
                    await self._index(ports, batch)
                except (Temporary, Malformed) as error:
                    self._failed(batch, str(error), now)
                else:
                    self._todo.discard(number)
                    self.missing.pop(number, None)

    def _failed(self, batch: BatchRecord, why: str, now: float) -> None:
        """What nobody is paid by need not be had."""
        self._again[batch.batch], self.missing[batch.batch] = now + RETRY_SECONDS, why
        if batch.status in (Status.SLASHED, Status.VOID):
            self._todo.discard(batch.batch)

    def _followed(self, ports: Ports) -> Ledger:
        """The ledger, its new batches known; after a reorg it is another one."""
        ledger = ports.chain.ledger
        if ledger is not self._ledger:
            self._ledger, self._seen = ledger, 0
            for known in (self._numbers, self._todo, self._again, self.missing):
                known.clear()
        for number in range(self._seen + 1, len(ledger.batches) + 1):
            root = ledger.batches[number].header.data_root
            self._numbers.setdefault(root, []).append(number)
            self._seen = number
            if ports.store.get(BODIES + root) is None:
                self._todo.add(number)
        return ledger

    async def _index(self, ports: Ports, batch: BatchRecord) -> None:
        wire = await fetch_body(ports, batch)
        where = receipt_domain(ports.chain.ledger)
        rows = await ports.compute(read_rows, batch, wire, where)
        for at in range(0, len(rows), ROWS_AT_ONCE):
            ports.store.write(dict(rows[at : at + ROWS_AT_ONCE]))
            await trio.lowlevel.checkpoint()
        ports.store.write({BODIES + batch.header.data_root: b""})

    async def body(self, ports: Ports, batch: BatchRecord) -> Body:
        """The decoded body of a batch; `Temporary` if it cannot be had."""
        async with self._reading:  # a burst of questions decodes it once
            return await self.bodies.of(ports, batch)

    # ------------------------------------------------------------ questions

    def digests(self, ports: Ports, prefix: str) -> list[bytes]:
        """The receipts whose digests begin with these hex digits; two of them at most."""
        found = list[bytes]()
        self._followed(ports)
        rows = ports.store.scan(ANSWERS + bytes.fromhex(prefix[: len(prefix) // 2 * 2]))
        for key, _ in islice(rows, SCANNED_MAX):
            digest, root = key[len(ANSWERS) : -32], key[-32:]
            if root not in self._numbers:  # of a branch that is gone
                continue
            if digest.hex().startswith(prefix) and digest not in found:
                found.append(digest)
            if len(found) == 2:
                break
        return found

    def places(self, ports: Ports, digest: bytes) -> list[Place]:
        """All batches that have this answer, the one that counts first."""
        found, ledger = list[Place](), self._followed(ports)
        for key, value in ports.store.scan(ANSWERS + digest):
            for number in self._numbers.get(key[-32:], []):
                found.append(Place(ledger.batches[number], int.from_bytes(value, "big")))
        return sorted(found, key=lambda at: (PREFERRED.index(at.batch.status), -at.batch.batch))

    def earned(self, ports: Ports, contributor: int) -> list[Earned]:
        """What each batch that stands pays a contributor, the newest first."""
        found, ledger = list[Earned](), self._followed(ports)
        for key, value in ports.store.scan(EARNERS + contributor.to_bytes(4, "big")):
            payments, high, low = _EARNED.unpack(value)
            for number in self._numbers.get(key[-32:], []):
                batch = ledger.batches[number]
                if batch.status in (Status.FINAL, Status.PENDING):
                    found.append(Earned(batch, payments, high << 64 | low))
        return sorted(found, key=lambda row: -row.batch.batch)

    def told_missing(self, ports: Ports) -> list[str]:
        """Of the batches that stand, those whose bodies this node does not have, as sentences."""
        batches = ports.chain.ledger.batches
        lacking = [
            number
            for number in sorted(self.missing, reverse=True)
            if number in batches and batches[number].status in (Status.FINAL, Status.PENDING)
        ]
        told = [
            f"batch {n} cannot be read here: {self.missing[n]}" for n in lacking[:MISSING_SHOWN]
        ]
        if len(lacking) > MISSING_SHOWN:
            told.append(f"and {len(lacking) - MISSING_SHOWN} more batches cannot be read here")
        return told


def read_rows(batch: BatchRecord, wire: bytes, where: Domain) -> Rows:
    """The rows of the index for a body; `Malformed` unless the batch commits to it."""
    body, root = Body.decode(wire), batch.header.data_root
    made = body.trees().header(wire, batch.header.as_of)
    require(made == batch.header, "the body that was published has other roots than the batch")
    rows = [
        (ANSWERS + answer.receipt.digest(where) + root, number.to_bytes(4, "big"))
        for number, answer in enumerate(body.answers)
    ]
    payments, amounts = Counter[int](), Counter[int]()
    for _, entry in body.entries:
        payments[entry.contributor] += 1
        amounts[entry.contributor] += entry.value
    rows += [
        (
            EARNERS + who.to_bytes(4, "big") + root,
            _EARNED.pack(count, *divmod(amounts[who], 1 << 64)),
        )
        for who, count in payments.items()
    ]
    return rows
