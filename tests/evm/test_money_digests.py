"""What Python signs is what the escrow recovers, field by field."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import calls
from protocol.calls import RefuteEquivocation, RewardProof, SignedVoucher
from protocol.events import NodeSlashed, Redeemed
from protocol.parameters import OPEN
from protocol.receipt import PROMPT_MAX, Receipt, Voucher, domain
from protocol.signature import Domain, address_of, sign
from protocol.sumtree import total_tree
from tests.evm.bank import ADAPTER, OWNER, PEOPLE, RULES, prepared
from tests.evm.embedded import Reverted, key

words, addresses = st.binary(min_size=32, max_size=32), st.binary(min_size=20, max_size=20)
sizes = st.integers(0, PROMPT_MAX)
u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    cumulative = draw(st.integers(0, 2**128 - 1))
    hashes = [draw(words) for _ in range(5)]
    return Receipt(
        *(*hashes, draw(sizes), draw(words), draw(sizes)),
        *(draw(words), draw(u32), draw(u32), draw(st.integers(0, cumulative)), cumulative),
        *(draw(u64), draw(st.integers(0, 255)), draw(u64), draw(u64)),
        *(draw(addresses), draw(addresses)),
    )


def escrow() -> Domain:
    chain = prepared()
    return domain(chain.id, chain.addresses["InferenceEscrow"])


@settings(max_examples=30, deadline=None)
@given(receipts())
def test_a_receipts_digest_is_the_contracts(receipt: Receipt) -> None:
    assert prepared().read("InferenceEscrow", "receiptDigest", receipt) == receipt.digest(escrow())


@settings(max_examples=30, deadline=None)
@given(addresses, addresses, words, st.integers(0, 2**128 - 1))
def test_a_vouchers_digest_is_the_contracts(
    payer: bytes, host: bytes, adapter: bytes, total: int
) -> None:
    voucher = Voucher(payer, host, adapter, total)
    signed = SignedVoucher.of(voucher, b"")

    assert prepared().read("InferenceEscrow", "voucherDigest", signed) == voucher.digest(escrow())


def test_every_bit_of_a_voucher_is_signed() -> None:
    chain, payer, host = prepared(), PEOPLE[0], PEOPLE[1]
    voucher = Voucher(payer, host, ADAPTER, OPEN)
    signature = sign(key("ann"), voucher.digest(escrow()))
    with chain.env.anchor():
        chain.send(calls.Deposit(host, value=3 * OPEN), payer)
        for item in fields(Voucher):
            value = getattr(voucher, item.name)
            other = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
            forged = SignedVoucher.of(replace(voucher, **{item.name: other}), signature)
            with pytest.raises(Reverted, match="BadSigner"):
                chain.send(calls.Redeem((forged,)), host)
        events = chain.send(calls.Redeem((SignedVoucher.of(voucher, signature),)), host)
        assert any(isinstance(event, Redeemed) for event in events)


def equivocation(a: Receipt, b: Receipt) -> RefuteEquivocation:
    secret = key("bob")
    return RefuteEquivocation(
        a, sign(secret, a.digest(escrow())), b, sign(secret, b.digest(escrow()))
    )


def receipt(amount: int, cumulative: int, request: bytes = bytes(32)) -> Receipt:
    blank: dict[str, Any] = {
        name: bytes(32) if kind == "bytes32" else 0 for kind, name in Receipt.members()
    }
    paid = {"amount": amount, "cumulative": cumulative, "request": request, "adapter": ADAPTER}
    return Receipt(**{**blank, **paid, "host": address_of(key("bob")), "payer": PEOPLE[0]})


def test_two_receipts_over_one_voucher_cost_the_hosts_bond() -> None:
    chain, host = prepared(), address_of(key("bob"))
    with chain.env.anchor():
        chain.send(calls.RegisterNode(4, b"peer", "", value=RULES.bond_min), host)
        with pytest.raises(Reverted, match="NotEquivocation"):
            chain.send(equivocation(receipt(3, 10), receipt(3, 13)), OWNER)
        events = chain.send(equivocation(receipt(3, 10), receipt(3, 12)), OWNER)
        assert NodeSlashed(host, OWNER, RULES.bond_min) in events
        assert chain.read("NodeRegistry", "rolesOf", host) == 0
        assert chain.read("NodeRegistry", "rolesEver", host) == 4


def test_a_payee_that_rejects_value_stops_nobody() -> None:
    """The pool itself accepts no plain value: as a payee it is credited, the next one is paid."""
    chain = prepared()
    with chain.env.anchor():
        pool = chain.addresses["RewardPool"]
        chain.send(calls.MovePayout(1, pool), bytes([0xC1]) * 20)
        chain.send(calls.Deposit(PEOPLE[1], value=10 * OPEN), PEOPLE[0])
        voucher = Voucher(PEOPLE[0], PEOPLE[1], ADAPTER, 10 * OPEN)
        signed = SignedVoucher.of(voucher, sign(key("ann"), voucher.digest(escrow())))
        chain.send(calls.Redeem((signed,)), PEOPLE[1])
        tree = total_tree({1: OPEN, 2: OPEN})
        entry = chain.bindings.query("RewardPool", "setRoot", tree.root.hash, tree.root.sum)
        chain.execute(*entry, 0, chain.addresses["AttributionOracle"])
        proofs = [RewardProof(n, OPEN, tuple(tree.siblings(n))) for n in (1, 2)]
        events = chain.send(calls.Claim(tuple(proofs)), OWNER)

        assert [(e.id, e.credited) for e in events] == [(1, True), (2, False)]
        assert chain.read("RewardPool", "credit", pool) == OPEN
        assert chain.balance(bytes([0xC2]) * 20) == OPEN
