"""Which money pays which answer: an account's vouchers, cut into the intervals of its receipts."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from protocol.batch import Body
from protocol.receipt import Receipt

Account = tuple[bytes, bytes, bytes]  # payer, host, adapter
Interval = tuple[int, int, int]  # (low, high] of an account's vouchers, and whose answer it pays


class Vouchers:
    """Which answer of a body is paid by which part of which account."""

    def __init__(self, body: Body) -> None:
        rows = defaultdict[Account, list[Interval]](list)
        for number, answer in enumerate(body.answers):
            low, high = _interval(answer.receipt)
            if low < high:
                rows[account_of(answer.receipt)].append((low, high, number))
        self.rows = {account: sorted(found) for account, found in rows.items()}
        # The widest reach of the intervals up to each: one look finds an overlap.
        self._reach = {account: _reaches(found) for account, found in self.rows.items()}

    def overlapping(self, receipt: Receipt) -> int | None:
        """An answer that is paid by a part of what pays `receipt`."""
        account, (low, high) = account_of(receipt), _interval(receipt)
        if account not in self.rows or low >= high:
            return None
        before = bisect_left(self.rows[account], (high,))
        if not before:
            return None
        reach, number = self._reach[account][before - 1]
        return number if reach > low else None

    def twins(self) -> Iterator[tuple[int, int]]:
        """Pairs of answers that are paid by the same money."""
        for account, found in self.rows.items():
            for (low, _, number), (reach, other) in zip(
                found[1:], self._reach[account], strict=False
            ):
                if reach > low:
                    yield other, number


def account_of(receipt: Receipt) -> Account:
    return receipt.payer, receipt.host, receipt.adapter


def _interval(receipt: Receipt) -> tuple[int, int]:
    return max(0, receipt.cumulative - receipt.amount), receipt.cumulative


def _reaches(found: Sequence[Interval]) -> list[tuple[int, int]]:
    return list(accumulate(((high, number) for _, high, number in found), max))
