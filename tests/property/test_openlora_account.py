"""The account never promises more than a voucher covers, and its receipts tile what is used."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from openlora.account import RESERVED_MAX, Account
from openlora.pricing import (
    NotThePayer,
    PaymentRequired,
    Price,
    SignedVoucher,
    check_voucher,
    required,
)
from protocol.errors import Malformed, Refused
from protocol.parameters import Parameters
from protocol.receipt import Voucher

PAYER, HOST, ADAPTER = b"\1" * 20, b"\2" * 20, b"\3" * 32
PRICE = Price(input=10**7, output=3 * 10**7, platform=10**4)
BACKED = 10**9
grains = st.integers(0, 10**6)
prices = st.builds(
    lambda i, o, p: Price(input=i * 10**7, output=o * 10**7, platform=p * 10**4),
    grains, grains, grains,
)  # fmt: skip


def signed(cumulative: int, **other: Any) -> SignedVoucher:
    fields = {"payer": PAYER, "host": HOST, "adapter": ADAPTER, "cumulative": cumulative}
    return SignedVoucher(Voucher(**(fields | other)), bytes(65), PAYER)


def admit(account: Account, voucher: SignedVoucher, tokens: int = 10) -> Account:
    return account.admit(
        voucher,
        host=HOST,
        adapter=ADAPTER,
        price=PRICE,
        input_tokens=1,
        output_tokens_max=tokens,
        backed=BACKED,
    )


class Accounts(RuleBasedStateMachine):
    """Requests come, end and fail in any order; the host may crash at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.account, self.stored = Account(), Account().encode()
        self.receipts: list[tuple[int, int]] = []

    @rule(more=st.integers(0, 10**7), tokens=st.integers(1, 100))
    def ask(self, more: int, tokens: int) -> None:
        account = self.account
        voucher = signed(account.served + more)
        needed = required(account.cumulative, PRICE, 1, tokens)
        enough = needed <= voucher.voucher.cumulative <= BACKED
        if enough and len(account.reserved) < RESERVED_MAX:
            self.account = admit(account, voucher, tokens)
            self.stored = self.account.encode()
            return
        with pytest.raises(Refused):
            admit(account, voucher, tokens)

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.account.reserved:
            worst = data.draw(st.sampled_from(self.account.reserved))
            amount = data.draw(st.integers(0, worst))
            before = self.account.served
            self.account = self.account.settle(worst, amount)
            self.stored = self.account.encode()
            self.receipts.append((before, self.account.served))

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        if self.account.reserved:
            self.account = self.account.release(data.draw(st.sampled_from(self.account.reserved)))

    @rule()
    def crash(self) -> None:
        self.account = Account.decode(self.stored)

    @invariant()
    def the_voucher_covers_all_that_is_promised(self) -> None:
        if self.account.served or self.account.reserved:
            assert self.account.best is not None
            assert self.account.cumulative <= self.account.best.voucher.cumulative

    @invariant()
    def receipts_tile(self) -> None:
        ends = [0, *(high for _, high in self.receipts)]
        assert [low for low, _ in self.receipts] == ends[:-1]
        assert self.account.served == ends[-1]


TestAccounts = Accounts.TestCase


@given(prices, st.integers(0, 10**5), st.integers(0, 10**5))
def test_every_split_of_a_fee_is_exact(price: Price, inputs: int, outputs: int) -> None:
    fee = price.fee(inputs, outputs)
    assert fee == inputs * price.input // 1000 + outputs * price.output // 1000 + price.platform
    for bps in (1000, 2000, Parameters().contributors_bps):
        assert fee * bps % 10_000 == 0


@pytest.mark.parametrize("name", ["input", "output", "platform"])
def test_prices_off_the_grain_are_refused(name: str) -> None:
    with pytest.raises(Malformed, match="is not a multiple of"):
        Price(**({"input": 0, "output": 0} | {name: 5 * 10**3}))


@given(st.integers(0, 2**128 - 1), st.binary(min_size=65, max_size=65), st.booleans())
def test_accounts_round_trip(served: int, signature: bytes, present: bool) -> None:
    best = replace(signed(served), signature=signature) if present else None
    account = Account(served=served, best=best)
    data = account.encode()
    assert Account.decode(data) == account
    with pytest.raises(Malformed):
        Account.decode(data + b"\0")
    for cut in range(len(data)):
        with pytest.raises(Malformed):
            Account.decode(data[:cut])


def test_what_is_wrong_with_a_voucher_is_told_apart() -> None:
    good = signed(50)
    known: Any = {"host": HOST, "adapter": ADAPTER, "cumulative": 10, "required": 50, "backed": 50}
    check_voucher(good, **known)
    with pytest.raises(PaymentRequired, match="needs 51") as caught:
        check_voucher(good, **(known | {"required": 51}))
    assert (caught.value.required, caught.value.cumulative) == (51, 10)
    with pytest.raises(PaymentRequired, match="backs only 49"):
        check_voucher(good, **(known | {"backed": 49}))
    for bad, message in (
        (replace(good, signer=HOST), "is signed by 0x0202"),
        (signed(50, host=PAYER), "pays host 0x0101"),
        (signed(50, adapter=bytes(32)), "is for adapter 00"),
    ):
        with pytest.raises(NotThePayer, match=message):
            check_voucher(bad, **known)


def test_a_smaller_voucher_never_replaces_a_higher_one() -> None:
    high, low = signed(10**8), signed(10**7)
    assert admit(admit(Account(), high), low).best == high


def test_answers_at_once_are_bounded() -> None:
    account = Account()
    for _ in range(RESERVED_MAX):
        account = admit(account, signed(BACKED))
    with pytest.raises(Refused, match="that is the limit"):
        admit(account, signed(BACKED))
