"""Lies about receipts: not signed, not paid, or attributed twice."""

from collections.abc import Iterator, Mapping, Sequence

from attribution.openings import Case
from attribution.vouchers import Account, account_of
from protocol.errors import Malformed
from protocol.refute import Forged, Refutation, Repeated, Unfunded
from protocol.signature import recover

Redeemed = Mapping[Account, int]  # wei that vouchers have paid


def receipt_frauds(case: Case, redeemed: Redeemed, earlier: Sequence[Case]) -> Iterator[Refutation]:
    """Receipts that their host did not sign, that nobody paid, or that were attributed before.

    `earlier` are the final batches, and the pending ones before this.
    """
    for number, answer in enumerate(case.body.answers):
        receipt = answer.receipt
        if _signer(case.digests[number], answer.signature) != receipt.host:
            yield Forged(case.batch, case.answer(number))
        if not receipt.amount or redeemed.get(account_of(receipt), 0) < receipt.cumulative:
            yield Unfunded(case.batch, case.answer(number))
    for one, other in case.vouchers.twins():
        yield Repeated(case.batch, case.answer(one), case.batch, case.answer(other))
    for old in earlier:
        for account in case.vouchers.rows.keys() & old.vouchers.rows.keys():
            for _, _, number in case.vouchers.rows[account]:
                place = old.vouchers.overlapping(case.body.answers[number].receipt)
                if place is not None:
                    opening = old.answer(place)
                    yield Repeated(case.batch, case.answer(number), old.batch, opening)


def _signer(digest: bytes, signature: bytes) -> bytes | None:
    try:
        return recover(digest, signature)
    except Malformed:
        return None
