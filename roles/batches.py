"""The bodies of final batches: what was attributed already, and what everybody has earned."""

from dataclasses import dataclass, field

from protocol.batch import Body
from protocol.codec import require
from protocol.errors import Malformed, Temporary
from protocol.ledger import BatchRecord, Ledger, Status
from protocol.receipt import Receipt, overlaps
from roles.answers import Voucher, voucher_of
from roles.ports import Ports

BODY_BYTES_MAX = 1 << 30  # as the contract bounds it


async def fetch_body(ports: Ports, batch: BatchRecord) -> bytes:
    """The posted bytes; `Malformed` for a size that nobody needs, `Temporary` if not to be had."""
    require(0 < batch.header.data_size <= BODY_BYTES_MAX, "a body of an impossible size")
    return await ports.bodies.fetch(batch.header.body)


def final_batches(ledger: Ledger) -> list[BatchRecord]:
    """Oldest first."""
    return [batch for batch in ledger.batches.values() if batch.status is Status.FINAL]


@dataclass
class FinalBodies:
    """Decoded once; a final batch never changes, and a reorg brings other data roots."""

    _bodies: dict[bytes, Body] = field(default_factory=dict)

    async def of(self, ports: Ports, batch: BatchRecord) -> Body:
        """The body of one final batch; `Temporary` while nobody gives it, or for ever."""
        root = batch.header.data_root
        if root not in self._bodies:
            try:
                self._bodies[root] = Body.decode(await fetch_body(ports, batch))
            except Malformed as error:
                raise Temporary(f"the body of final batch {batch.batch}: {error}") from None
        return self._bodies[root]

    async def all(self, ports: Ports) -> list[tuple[BatchRecord, Body]]:
        batches = final_batches(ports.chain.ledger)
        return [(batch, await self.of(ports, batch)) for batch in batches]

    async def totals_before(self, ports: Ports, batch: int) -> dict[int, int]:
        """Cumulative wei by contributor when batch number `batch` was, or will be, posted."""
        before = [b for b in final_batches(ports.chain.ledger) if b.batch < batch]
        return dict((await self.of(ports, before[-1])).totals) if before else {}


@dataclass
class Taken:
    """Parts of vouchers that answers were attributed for."""

    _receipts: dict[Voucher, list[Receipt]] = field(default_factory=dict)

    def take(self, receipt: Receipt) -> bool:
        """Whether nothing has been attributed for this part yet; from now on it has."""
        rows = self._receipts.setdefault(voucher_of(receipt), [])
        if any(overlaps(receipt, row) for row in rows):
            return False
        rows.append(receipt)
        return True
