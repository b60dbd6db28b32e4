"""Which receipts are paid by a common part of one voucher, also where no `Receipt` could say it."""

from types import SimpleNamespace

import pytest

from protocol.receipt import overlaps


def part(amount: int, cumulative: int, payer: bytes = b"p") -> SimpleNamespace:
    return SimpleNamespace(
        payer=payer, host=b"h", adapter=b"a", amount=amount, cumulative=cumulative
    )


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (part(5, 5), part(5, 10), False),  # (0, 5] and (5, 10]
        (part(5, 5), part(6, 10), True),
        (part(5, 10), part(2, 8), True),
        (part(5, 5), part(5, 5, b"q"), False),
        (part(0, 5), part(10, 10), False),  # an amount of 0 takes nothing
        (
            part(9, 5),
            part(5, 5),
            True,
        ),  # more than its cumulative: from 0 on, as Receipts.sol has it
        (part(5, 0), part(5, 0), False),
    ],
)
def test_overlaps(one: SimpleNamespace, other: SimpleNamespace, common: bool) -> None:
    assert overlaps(one, other) is common
    assert overlaps(other, one) is common
