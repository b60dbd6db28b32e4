"""What a contributor earned, in pages, the newest batch first."""

from dataclasses import dataclass
from typing import Any, Final

from node.why.as_json import money
from node.why.earnings import Payment, payments_of, titled
from node.why.held import Held
from node.why.library import Library
from node.why.shelf import Earned
from node.why.standing import NAMES
from protocol.errors import Malformed, Refused, Temporary
from protocol.ledger import Ledger
from protocol.sumtree import ID_BITS
from roles.answers import receipt_domain
from roles.ports import Ports

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 200  # payments of one page
ADAPTERS_MAX: Final = 8  # whose corpora are read for the titles of one page
BATCHES_READ_MAX: Final = 16  # bodies that one page may make us decode


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a page begins: payment `first` of `batch`.  As text, `batch.first`."""

    batch: int
    first: int

    @classmethod
    def read(cls, text: str) -> "Mark":
        batch, _, first = text.partition(".")
        if not all(
            part.isascii() and part.isdigit() and len(part) <= 10 for part in (batch, first)
        ):
            raise Malformed("`after` is what `next` of the page before says, as 12.50")
        return cls(int(batch), int(first))

    def __str__(self) -> str:
        return f"{self.batch}.{self.first}"


@dataclass(frozen=True)
class Paying:
    held: Held

    async def earnings(
        self, ports: Ports, contributor: int, after: Mark | None, limit: int
    ) -> dict[str, Any]:
        """One page as docs/why.md has it.  Raises `Refused`, `Temporary`."""
        if contributor >> ID_BITS:
            raise Refused(f"no contributor has number {contributor}")
        await self.held.shelf.freshen(ports)
        earned, ledger = self.held.shelf.earned(ports, contributor), ports.chain.ledger
        rows, following = await self._page(ports, contributor, earned, after, limit)
        payout = ledger.payouts.get(contributor)
        return {
            "contributor": contributor,
            "payout": None if payout is None else "0x" + payout.hex(),
            "totals": _totals(earned, ledger, contributor),
            "payments": sum(one.payments for one in earned),
            "earnings": rows,
            "next": None if following is None else str(following),
            "missing": self.held.shelf.told_missing(ports),
        }

    async def _page(
        self,
        ports: Ports,
        contributor: int,
        earned: list[Earned],
        after: Mark | None,
        limit: int,
    ) -> tuple[list[dict[str, Any]], Mark | None]:
        """The rows, and where the next page begins."""
        rows, read = list[dict[str, Any]](), 0
        for one in earned:
            first = 0
            if after is not None and one.batch.batch >= after.batch:
                if one.batch.batch > after.batch:
                    continue
                first = after.first
            if len(rows) == limit or read == BATCHES_READ_MAX:
                return rows, Mark(one.batch.batch, first)
            found = await self._payments(ports, one, contributor, first, limit - len(rows))
            rows, read = rows + found, read + 1
            if len(rows) == limit and first + len(found) < one.payments:
                return rows, Mark(one.batch.batch, first + len(found))
        return rows, None

    async def _payments(
        self, ports: Ports, one: Earned, contributor: int, first: int, count: int
    ) -> list[dict[str, Any]]:
        where = receipt_domain(ports.chain.ledger)
        head = {"batch": one.batch.batch, "status": NAMES[one.batch.status]}
        try:
            body = await self.held.shelf.body(ports, one.batch)
        except Temporary as error:
            rest = {"kind": "unreadable", "reason": str(error), "amount": money(one.amount)}
            return [head | rest] if first == 0 else []
        found = await ports.compute(payments_of, body, contributor, where, first, count)
        libraries = await self._libraries(ports, found, one.batch.header.as_of)
        return [head | titled(row, libraries.get(row.adapter, Library())) for row in found]

    async def _libraries(
        self, ports: Ports, found: list[Payment], as_of: int
    ) -> dict[bytes, Library]:
        adapters = list(dict.fromkeys(row.adapter for row in found))[:ADAPTERS_MAX]
        return {name: await self.held.library(ports, name, as_of) for name in adapters}


def _totals(earned: list[Earned], ledger: Ledger, contributor: int) -> dict[str, Any]:
    """By the status of the batches; `due` is what the pool owes as far as it is final."""
    sums = dict.fromkeys(("final", "pending"), 0)
    for one in earned:
        sums[NAMES[one.batch.status]] += one.amount
    claimed = ledger.claimed.get(contributor, 0)
    rest = {"claimed": claimed, "due": max(0, sums["final"] - claimed)}
    return {name: money(value) for name, value in (sums | rest).items()}
