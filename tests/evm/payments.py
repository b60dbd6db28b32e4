"""The model of the money in plain Python: stake, nodes, payments; `test_money` adds the batches.

Split arithmetic of `protocol.parameters`, exact fractions for the stakers' shares.  Every rule
compares what it moved.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from protocol import calls
from protocol.calls import ClaimCredit, SignedVoucher
from protocol.events import Redeemed, Slashed
from protocol.parameters import BPS, OPEN
from protocol.receipt import Voucher, domain
from protocol.signature import sign
from tests.evm.bank import (
    ADAPTER,
    CONTRIBUTORS,
    HOST_BPS,
    KEYS,
    OWNER,
    PEOPLE,
    RULES,
    prepared,
)
from tests.evm.embedded import DEPLOYER, TREASURY, Reverted

people = st.sampled_from(PEOPLE)
amounts = st.integers(1, 50 * OPEN)
parts = st.integers(0, 1000)


@dataclass(frozen=True, slots=True)
class Pending:
    number: int
    poster: bytes
    bond: int
    totals: dict[int, int]  # after it
    root: bytes
    posted: int
    validators: int  # wei behind them at its posting


class Payments(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.chain = prepared()
        self._anchor = self.chain.env.anchor()
        self._anchor.__enter__()
        self.total = sum(self.chain.balance(a) for a in self.chain.addresses.values())
        self.fees = 2 * RULES.model_fee + RULES.datanet_fee
        self.free = dict.fromkeys(PEOPLE, 0)
        self.locked = dict.fromkeys(PEOPLE, 0)
        self.unbonding = dict.fromkeys(PEOPLE, 0)
        self.earned_share = dict.fromkeys(PEOPLE, Fraction())  # of the stakers' shares, ever
        self.taken_share = dict.fromkeys(PEOPLE, 0)
        self.credit: dict[tuple[str, bytes], int] = {}
        self.burn = 0
        self.deposits: dict[tuple[bytes, bytes], int] = {}
        self.redeemed: dict[tuple[bytes, bytes], int] = {}
        self.earned: dict[bytes, int] = {}
        self.nodes: dict[bytes, int] = {}  # bonds
        self.since: dict[bytes, int] = {}
        self.funded = self.allocated = 0
        self.totals: dict[int, int] = {}  # under the pool's root
        self.claimed: dict[int, int] = {}
        self.pending: list[Pending] = []
        self.root = bytes(32)  # the pool's
        self.held: dict[int, Pending] = {}  # died by objection, bond not yet released
        self.objected: dict[tuple[int, bytes], int] = {}
        self.batches = self.demand_bonds = 0

    def teardown(self) -> None:
        self._anchor.__exit__(None, None, None)

    # ------------------------------------------------------------ the model's bookkeeping

    def send(self, call: Any, sender: bytes) -> list[Any]:
        """Money that moves between people and contracts is counted by the people's balances."""
        outside = (*PEOPLE, OWNER, TREASURY, *CONTRIBUTORS.values(), b"\0" * 18 + b"\xde\xad")
        before = sum(map(self.chain.balance, set(outside)))
        events = self.chain.send(call, sender)
        self.total += before - sum(map(self.chain.balance, set(outside)))
        return events

    def refuse(self, call: Any, sender: bytes, why: str = "") -> None:
        with pytest.raises(Reverted, match=why):
            self.chain.send(call, sender)

    def credits(self, contract: str, who: bytes, amount: int) -> None:
        self.credit[contract, who] = self.credit.get((contract, who), 0) + amount

    def lock(self, who: bytes, bond: int) -> None:
        self.free[who] -= bond
        self.locked[who] += bond

    def unlock(self, who: bytes, bond: int) -> None:
        self.lock(who, -bond)

    def slash(self, events: list[Any], who: bytes, bond: int, challenger: bytes) -> None:
        self.locked[who] -= bond
        reward, treasury = bond * RULES.challenger_bps // BPS, bond * RULES.treasury_bps // BPS
        self.credits("StakeVault", challenger, reward)
        self.credits("StakeVault", TREASURY, treasury)
        self.burn += bond - reward - treasury
        slashed = next(e for e in events if isinstance(e, Slashed))
        assert slashed.operator == who
        assert (slashed.amount, slashed.reward, slashed.treasury, slashed.burned) == (
            bond,
            reward,
            treasury,
            bond - reward - treasury,
        )

    def share(self, amount: int) -> None:
        """The stakers' share of a fee."""
        stake = {who: self.free[who] + self.locked[who] for who in PEOPLE}
        everything = sum(stake.values())
        if not everything:
            self.credits("StakeVault", TREASURY, amount)
            return
        for who in PEOPLE:
            self.earned_share[who] += Fraction(amount * stake[who], everything)

    # ------------------------------------------------------------ stake and nodes

    @rule(who=people, amount=st.integers(1, 300 * OPEN))
    def stake(self, who: bytes, amount: int) -> None:
        self.send(calls.Stake(who, value=amount), who)
        self.free[who] += amount

    @rule(who=people, part=parts)
    def unbond(self, who: bytes, part: int) -> None:
        amount = self.free[who] * part // 1000
        self.refuse(calls.StartUnbond(self.free[who] + 1), who, "InsufficientFree")
        if amount:
            self.send(calls.StartUnbond(amount), who)
            self.free[who] -= amount
            self.unbonding[who] += amount
            self.refuse(calls.WithdrawStake(), who, "StillUnbonding")

    @precondition(lambda self: any(self.unbonding.values()) and not self.pending)
    @rule(who=people)
    def withdraw_stake(self, who: bytes) -> None:
        self.chain.warp(RULES.unbonding)
        before = self.chain.balance(who)
        if not self.unbonding[who]:
            self.refuse(calls.WithdrawStake(), who, "NothingToDo")
            return
        self.send(calls.WithdrawStake(), who)
        assert self.chain.balance(who) - before == self.unbonding[who]
        self.unbonding[who] = 0

    @rule(who=people)
    def register_node(self, who: bytes) -> None:
        call = calls.RegisterNode(15, who, "", value=RULES.bond_min)
        if who in self.nodes:
            self.refuse(call, who, "AlreadyRegistered")
            return
        self.send(call, who)
        self.free[who] += RULES.bond_min
        self.lock(who, RULES.bond_min)
        self.nodes[who] = RULES.bond_min
        self.since[who] = self.chain.time

    @precondition(lambda self: self.nodes and not self.pending)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.nodes)))
        self.send(calls.LeaveNode(), who)
        self.refuse(calls.ReleaseNode(who), who, "StillLeaving")
        self.chain.warp(RULES.unbonding)
        self.send(calls.ReleaseNode(who), who)
        self.unlock(who, self.nodes.pop(who))

    @rule(who=people)
    def take_share(self, who: bytes) -> None:
        due = self.chain.read("StakeVault", "rewardsOf", who)
        if not due:
            self.refuse(calls.ClaimStakeRewards(), who, "NothingToDo")
            return
        before = self.chain.balance(who)
        self.send(calls.ClaimStakeRewards(), who)
        assert self.chain.balance(who) - before == due
        self.taken_share[who] += due

    @precondition(lambda self: self.burn)
    @rule()
    def flush(self) -> None:
        self.send(calls.FlushBurn(), DEPLOYER)
        self.burn = 0
        self.refuse(calls.FlushBurn(), DEPLOYER, "NothingToDo")

    # ------------------------------------------------------------ payments

    @rule(payer=people, host=people, amount=amounts)
    def deposit(self, payer: bytes, host: bytes, amount: int) -> None:
        self.send(calls.Deposit(host, value=amount), payer)
        self.deposits[payer, host] = self.deposits.get((payer, host), 0) + amount

    @precondition(lambda self: any(self.deposits.values()))
    @rule(data=st.data(), part=parts, wrong=st.booleans())
    def redeem(self, data: st.DataObject, part: int, wrong: bool) -> None:
        pair = data.draw(st.sampled_from(sorted(p for p, has in self.deposits.items() if has)))
        payer, host = pair
        amount = self.deposits[pair] * part // 1000
        voucher = Voucher(payer, host, ADAPTER, self.redeemed.get(pair, 0) + amount)
        where = domain(self.chain.id, self.chain.addresses["InferenceEscrow"])
        secret = KEYS[next(p for p in PEOPLE if p != payer) if wrong else payer]
        signed = SignedVoucher.of(voucher, sign(secret, voucher.digest(where)))
        call = calls.Redeem((signed,))
        if wrong or not amount:
            self.refuse(call, host, "BadSigner" if wrong else "NotMonotonic")
            return
        events = self.send(call, host)
        self.refuse(call, host, "NotMonotonic")

        contributors, platform = (
            RULES.contributors_share(amount),
            amount * RULES.platform_bps // BPS,
        )
        stakers, model = (amount * bps // BPS for bps in (RULES.stakers_bps, RULES.model_bps))
        owner = model * (BPS - HOST_BPS) // BPS
        for_host = amount - contributors - platform - stakers - owner
        redeemed = next(e for e in events if isinstance(e, Redeemed))
        assert (redeemed.contributors, redeemed.owner) == (contributors, owner)
        assert (redeemed.platform, redeemed.stakers) == (platform, stakers)
        assert (redeemed.amount, redeemed.host_share) == (amount, for_host)
        self.deposits[pair] -= amount
        self.redeemed[pair] = voucher.cumulative
        self.funded += contributors
        for who, what in ((TREASURY, platform), (OWNER, owner), (host, for_host)):
            self.earned[who] = self.earned.get(who, 0) + what
        if stakers:
            self.share(stakers)

    @precondition(lambda self: any(self.deposits.values()) and not self.pending)
    @rule(data=st.data(), part=st.integers(1, 1000))
    def withdraw_deposit(self, data: st.DataObject, part: int) -> None:
        payer, host = data.draw(
            st.sampled_from(sorted(p for p, has in self.deposits.items() if has))
        )
        amount = max(1, self.deposits[payer, host] * part // 1000)
        self.send(calls.Thaw(host, amount), payer)
        self.refuse(calls.WithdrawDeposit(host), payer, "StillThawing")
        self.chain.warp(RULES.window)
        before = self.chain.balance(payer)
        self.send(calls.WithdrawDeposit(host), payer)
        assert self.chain.balance(payer) - before == amount
        self.deposits[payer, host] -= amount

    @precondition(lambda self: any(self.earned.values()))
    @rule(data=st.data(), to=people)
    def take_earned(self, data: st.DataObject, to: bytes) -> None:
        who = data.draw(st.sampled_from(sorted(w for w, due in self.earned.items() if due)))
        before = self.chain.balance(to)
        self.send(calls.ClaimEarned(to), who)
        assert self.chain.balance(to) - before == self.earned.pop(who)
        self.refuse(calls.ClaimEarned(to), who, "NothingToDo")

    @precondition(lambda self: any(self.credit.values()))
    @rule(data=st.data(), to=people)
    def take_credit(self, data: st.DataObject, to: bytes) -> None:
        contract, who = data.draw(
            st.sampled_from(sorted(c for c, due in self.credit.items() if due))
        )
        before = self.chain.balance(to)
        self.send(ClaimCredit(contract, to), who)
        assert self.chain.balance(to) - before == self.credit.pop((contract, who))
        self.refuse(ClaimCredit(contract, to), who, "NothingTo")

    @rule(contract=st.sampled_from(("ModelRegistry", "DatanetRegistry")))
    def collect_fees(self, contract: str) -> None:
        due = self.chain.balance(self.chain.addresses[contract])
        before = self.chain.balance(TREASURY)
        self.send(calls.CollectFees(contract), DEPLOYER)
        assert self.chain.balance(TREASURY) - before == due
        self.fees -= due
