"""The bodies of live batches: what was attributed already, and what everybody has earned."""

from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass, field

from protocol.batch import Body
from protocol.codec import require, uint
from protocol.errors import Malformed, Temporary
from protocol.ledger import BatchRecord, Ledger, Status
from protocol.receipt import Receipt
from protocol.sumtree import total_tree
from roles.answers import Voucher, voucher_of
from roles.availability import get_body
from roles.ports import Ports

BODY_BYTES_MAX = 1 << 30  # as the contract bounds it
KEPT_BYTES_MAX = 128 << 20  # of encoded bodies that are kept decoded; the newest always is
ELSEWHERE = b"availability/"  # until when a body need not be looked for there, by its root
AGAIN_SECONDS = 120  # until data availability is asked again
LIED_SECONDS = 3_600  # likewise, when it gave something else: that may cost a GiB each time

Interval = tuple[int, int]  # wei of a voucher, [low, high)


async def fetch_body(ports: Ports, batch: BatchRecord) -> bytes:
    """The posted bytes, from peers or else from data availability.

    `Malformed` for a size that nobody needs, `Temporary` if not to be had.
    """
    body = batch.header.body
    require(0 < body.size <= BODY_BYTES_MAX, "a body of an impossible size")
    try:
        return await ports.bodies.fetch(body)
    except Temporary:
        found = await _from_availability(ports, batch)
        if found is None:
            raise
    await ports.bodies.offer(body, found)
    return found


async def _from_availability(ports: Ports, batch: BatchRecord) -> bytes | None:
    """None if nothing is there for now."""
    server, body = ports.availability, batch.header.body
    key, now = ELSEWHERE + body.root + batch.commitment, int(ports.clock.now())
    until = ports.store.get(key)
    if server is None or not batch.commitment or (until and int.from_bytes(until) > now):
        return None
    try:
        return await get_body(server, batch.commitment, body, ports.compute)
    except Temporary:
        ports.store.write({key: uint(now + AGAIN_SECONDS, 8)})
    except Malformed:
        ports.store.write({key: uint(now + LIED_SECONDS, 8)})
    return None


def final_batches(ledger: Ledger) -> list[BatchRecord]:
    """Oldest first."""
    return [batch for batch in ledger.batches.values() if batch.status is Status.FINAL]


@dataclass
class Taken:
    """Parts of vouchers that answers were attributed for: intervals that do not touch."""

    below: "Taken | None" = None  # what was taken before, and stays as it is
    _rows: dict[Voucher, list[Interval]] = field(default_factory=dict)

    def holds(self, receipt: Receipt) -> bool:
        """Whether something was attributed for a part of what pays the receipt."""
        if self.below is not None and self.below.holds(receipt):
            return True
        (low, high), rows = _interval(receipt), self._rows.get(voucher_of(receipt), [])
        at = bisect_left(rows, (high, 0))
        return low < high and at > 0 and rows[at - 1][1] > low

    def take(self, receipt: Receipt) -> bool:
        """Whether nothing has been attributed for this part yet; from now on it has."""
        if self.holds(receipt):
            return False
        low, high = _interval(receipt)
        if low < high:
            rows = self._rows.setdefault(voucher_of(receipt), [])
            at = bisect_left(rows, (low, high))
            first = at - 1 if at and rows[at - 1][1] == low else at
            last = at + 1 if at < len(rows) and rows[at][0] == high else at
            joint = [*rows[first:last], (low, high)]
            rows[first:last] = [(min(row[0] for row in joint), max(row[1] for row in joint))]
        return True

    def paid_up_to(self, voucher: Voucher) -> int:
        """Everything below that many wei was taken: where to go on looking."""
        rows = self._rows.get(voucher, [])
        own = rows[0][1] if rows and rows[0][0] == 0 else 0
        return max(own, self.below.paid_up_to(voucher) if self.below else 0)


def _interval(receipt: Receipt) -> Interval:
    return max(0, receipt.cumulative - receipt.amount), receipt.cumulative


@dataclass
class BatchBodies:
    """Decoded bodies of live batches, few at a time, and what was taken by all of them."""

    _bodies: "OrderedDict[bytes, tuple[int, Body]]" = field(default_factory=OrderedDict)
    _final: Taken = field(default_factory=Taken)
    _merged: list[bytes] = field(default_factory=list)  # data roots of the batches in `_final`
    _totals: tuple[bytes, dict[int, int]] = (b"", {})  # of one batch, by its data root

    async def of(self, ports: Ports, batch: BatchRecord) -> Body:
        """The body of one batch; `Temporary` while nobody gives it, or for ever."""
        root = batch.header.data_root
        if root not in self._bodies:
            wire = await fetch_body(ports, batch)
            try:
                body = await ports.compute(Body.decode, wire)
            except Malformed as error:
                raise Temporary(f"the body of batch {batch.batch}: {error}") from None
            self._keep(root, len(wire), body)
        self._bodies.move_to_end(root)
        return self._bodies[root][1]

    def _keep(self, root: bytes, size: int, body: Body) -> None:
        self._bodies[root] = size, body
        while len(self._bodies) > 1 and sum(n for n, _ in self._bodies.values()) > KEPT_BYTES_MAX:
            self._bodies.popitem(last=False)

    async def taken_before(self, ports: Ports, batch: int) -> Taken:
        """What the live batches below that number were attributed for; to be added to."""
        ancestors = ports.chain.ledger.ancestors(batch)
        final = [row for row in ancestors if row.status is Status.FINAL]
        roots = [row.header.data_root for row in final]
        if roots[: len(self._merged)] != self._merged:  # a reorg, or an earlier batch is judged
            self._final, self._merged = Taken(), []
        for row in final[len(self._merged) :]:
            body = await self.of(ports, row)
            for answer in body.answers:
                self._final.take(answer.receipt)
            self._merged.append(row.header.data_root)
        taken = Taken(self._final)
        for row in ancestors[len(final) :]:
            for answer in (await self.of(ports, row)).answers:
                taken.take(answer.receipt)
        return taken

    async def overlapping(
        self, ports: Ports, batch: int, body: Body
    ) -> tuple[BatchRecord, Body] | None:
        """The newest live batch below that number that is paid by a part of the same vouchers."""
        taken = await self.taken_before(ports, batch)
        if not any(taken.holds(answer.receipt) for answer in body.answers):
            return None
        for row in reversed(ports.chain.ledger.ancestors(batch)):
            old, found = await self.of(ports, row), Taken()
            for answer in old.answers:
                found.take(answer.receipt)
            if any(found.holds(answer.receipt) for answer in body.answers):
                return row, old
        return None

    async def totals_before(self, ports: Ports, batch: int) -> dict[int, int]:
        """Cumulative wei by contributor that batch number `batch` adds to.

        `Temporary` too if the body gives other totals than the chain holds.
        """
        before = ports.chain.ledger.ancestors(batch)
        if not before:
            return {}
        parent = before[-1]
        if self._totals[0] != parent.header.data_root:
            totals = dict((await self.of(ports, parent)).totals)
            if (await ports.compute(total_tree, totals)).root != parent.totals:
                raise Temporary(f"the body of batch {parent.batch} gives other totals than posted")
            self._totals = parent.header.data_root, totals
        return dict(self._totals[1])
