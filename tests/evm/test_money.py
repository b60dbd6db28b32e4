"""What came in is what is owed, to the wei, after every step of any story.

The batches of the model in `payments`, by the Merkle-sum tree of `protocol.sumtree`; and the laws.
"""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from protocol import calls
from protocol.calls import RewardProof
from protocol.events import BatchData, BatchVoided, Claimed, Objected
from protocol.parameters import BPS
from protocol.sumtree import SumTree, total_tree
from tests.evm.bank import (
    CONTRIBUTORS,
    HOLDERS,
    PEOPLE,
    RULES,
    claim_unanswered,
    demand_call,
    header,
    least_bond,
)
from tests.evm.embedded import DEPLOYER
from tests.evm.payments import Payments, Pending, parts, people

PENDING_MAX = 16


class Money(Payments):
    def newest(self) -> tuple[dict[int, int], bytes]:
        """Totals and root that the next batch adds to."""
        last = self.pending[-1] if self.pending else None
        return (last.totals, last.root) if last else (self.totals, self.root)

    @rule(poster=people, shares=st.lists(parts, min_size=5, max_size=5))
    def post(self, poster: bytes, shares: list[int]) -> None:
        before, parent = self.newest()
        left = self.funded - sum(before.values())
        if not left:
            return
        room = left // 10
        new = {n: before.get(n, 0) + room * part // 1000 for n, part in enumerate(shares)}
        total = sum(new.values()) - sum(before.values())
        bond = max(least_bond(len(self.pending)), total * RULES.bond_bps // BPS)
        root = total_tree(new).root.hash
        call = self.posting(root, total)
        if len(self.pending) == PENDING_MAX:
            self.refuse(call, poster, "TooManyPending")
            return
        if self.free[poster] < bond:
            self.refuse(call, poster, "InsufficientFree")
            return
        self.refuse(self.posting(root, left + 1), poster, "Overallocated")
        self.refuse(replace(call, expected=self.batches), poster, "Stale")
        self.refuse(replace(call, version=2), poster, "Stale")
        self.refuse(replace(call, parent_root=b"\x03" * 32), poster, "Stale")
        late = replace(call.header, as_of=self.chain.time)
        self.refuse(replace(call, header=late), poster, "Stale")
        events = self.send(call, poster)
        self.refuse(call, poster, "Stale")
        self.lock(poster, bond)
        self.batches += 1
        assert BatchData(self.batches, b"here") in events
        validators = sum(self.nodes.values())
        now = self.chain.time
        batch = Pending(self.batches, poster, bond, new, root, now, validators)
        self.pending.append(batch)
        assert parent == self.chain.read("AttributionOracle", "batchOf", self.batches).old_root

    @precondition(lambda self: self.free)
    @rule(poster=people, shares=st.lists(parts, min_size=5, max_size=5), count=st.integers(2, 4))
    def post_several(self, poster: bytes, shares: list[int], count: int) -> None:
        for turn in range(count):
            self.post(poster, shares[turn:] + shares[:turn])

    def posting(self, root: bytes, total: int) -> calls.PostBatch:
        made = header(root, total, self.chain.time - 1)
        return calls.PostBatch(self.batches + 1, 1, self.newest()[1], made, b"here")

    @precondition(lambda self: self.pending)
    @rule()
    def finalize(self) -> None:
        first = self.pending[0]
        due = first.posted + RULES.window - self.chain.time
        if due > 0:
            self.refuse(calls.FinalizeBatch(first.number), first.poster, "WindowOpen")
            self.chain.warp(due)
        for later in self.pending[1:]:
            self.refuse(calls.FinalizeBatch(later.number), first.poster, "ParentPending")
        self.send(calls.FinalizeBatch(first.number), first.poster)
        self.unlock(first.poster, first.bond)
        del self.pending[0]
        self.totals, self.root = first.totals, first.root
        self.allocated = sum(first.totals.values())

    def dies(self, place: int, events: list[Any]) -> Pending:
        """The batch, and those after it, whose bonds are back; the caller knows why it died."""
        batch, *later = self.pending[place:]
        del self.pending[place:]
        for other in later:
            self.unlock(other.poster, other.bond)
        numbers = {e.id for e in events if isinstance(e, BatchVoided)}
        assert numbers - {batch.number} == {other.number for other in later}
        for other in (batch, *later):
            self.refuse(calls.FinalizeBatch(other.number), other.poster, "NotPending")
        return batch

    @precondition(lambda self: self.pending)
    @rule(challenger=people, data=st.data())
    def withhold(self, challenger: bytes, data: st.DataObject) -> None:
        """Nobody answers a demand: the bond is slashed, the demand's bond comes back."""
        place = data.draw(st.integers(0, len(self.pending) - 1))
        batch = self.pending[place]
        demand = demand_call(batch.number, RULES.demand_bond)
        late = self.chain.time + RULES.response - batch.posted - RULES.window
        if late > 0:
            self.refuse(demand, challenger, "TooLate|WindowClosed")
            return
        self.send(demand, challenger)
        self.refuse(demand, challenger, "AlreadyDemanded")
        self.refuse(claim_unanswered(batch.number), challenger, "ResponseOpen")
        self.chain.warp(RULES.response)
        events = self.send(claim_unanswered(batch.number), challenger)
        self.slash(events, batch.poster, batch.bond, challenger)
        self.credits("AttributionOracle", challenger, RULES.demand_bond)
        self.dies(place, events)

    @precondition(lambda self: self.pending and self.nodes)
    @rule(who=people, data=st.data())
    def object_to(self, who: bytes, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.pending) - 1))
        batch = self.pending[place]
        call = calls.Object("AttributionOracle", batch.number)
        if self.chain.time >= batch.posted + RULES.window:
            self.refuse(call, who, "WindowClosed")
        elif who not in self.nodes or self.since[who] >= batch.posted:
            self.refuse(call, who, "NoVote")
        elif (batch.number, who) in self.objected:
            self.refuse(call, who, "AlreadyObjected")
        else:
            events = self.send(call, who)
            self.objected[batch.number, who] = weight = self.nodes[who]
            told = Objected("AttributionOracle", batch.number, who, weight, batch.validators)
            assert told in events
            weight = sum(w for (n, _), w in self.objected.items() if n == batch.number)
            if 2 * weight > batch.validators:
                self.dies(place, events)
                self.held[batch.number] = batch
                self.refuse(self.release_call(batch), who, "NotReleasable")

    def release_call(self, batch: Pending) -> calls.ReleaseBond:
        return calls.ReleaseBond("AttributionOracle", batch.number)

    @precondition(lambda self: self.held and not self.pending)
    @rule(who=people)
    def release(self, who: bytes) -> None:
        """The bond of what the validators objected to is back as late as stake that leaves."""
        batch = self.held.pop(min(self.held))
        due = batch.posted + RULES.unbonding - self.chain.time
        if due > 0:
            self.refuse(self.release_call(batch), who, "NotReleasable")
            self.chain.warp(due)
        self.send(self.release_call(batch), who)
        self.unlock(batch.poster, batch.bond)
        self.refuse(self.release_call(batch), who, "NotReleasable")

    @precondition(lambda self: self.totals)
    @rule(number=st.integers(0, 4), lie=st.integers(0, 2))
    def claim(self, number: int, lie: int) -> None:
        tree: SumTree = total_tree(self.totals)
        due = self.totals.get(number, 0) - self.claimed.get(number, 0)
        proof = RewardProof(number, self.totals.get(number, 0) + lie, tuple(tree.siblings(number)))
        if lie or not due:
            self.refuse(calls.Claim((proof,)), DEPLOYER, "BadProof" if lie else "NothingToClaim")
            return
        before = self.chain.balance(CONTRIBUTORS[number])
        events = self.send(calls.Claim((proof,)), DEPLOYER)
        assert events == [Claimed(number, CONTRIBUTORS[number], due, proof.cumulative, False)]
        assert self.chain.balance(CONTRIBUTORS[number]) - before == due
        self.claimed[number] = proof.cumulative
        self.refuse(calls.Claim((proof,)), DEPLOYER, "NothingToClaim")

    # ------------------------------------------------------------ laws

    @invariant()
    def contracts_hold_what_came_in(self) -> None:
        held = {name: self.chain.balance(self.chain.addresses[name]) for name in HOLDERS}
        assert sum(held.values()) == self.total
        assert held["NodeRegistry"] == held["Parameters"] == 0
        assert held["ModelRegistry"] + held["DatanetRegistry"] == self.fees

    @invariant()
    def every_contract_owes_what_it_holds(self) -> None:
        owed = dict.fromkeys(HOLDERS, 0)
        for (contract, _), due in self.credit.items():
            owed[contract] += due
        stake = sum(sum(kind.values()) for kind in (self.free, self.locked, self.unbonding))
        shares = sum(self.earned_share.values()) - sum(self.taken_share.values())
        assert shares.denominator == 1
        owed["StakeVault"] += stake + self.burn + int(shares)
        owed["InferenceEscrow"] += sum(self.deposits.values()) + sum(self.earned.values())
        owed["RewardPool"] += self.funded - sum(self.claimed.values())
        for name in ("StakeVault", "InferenceEscrow", "RewardPool", "AttributionOracle"):
            assert self.chain.balance(self.chain.addresses[name]) == owed[name], name

    @invariant()
    def stakers_get_their_share(self) -> None:
        """To the wei: below the exact fraction by less than one, above it never by one."""
        for who in PEOPLE:
            exact = self.earned_share[who] - self.taken_share[who]
            assert -1 < exact - self.chain.read("StakeVault", "rewardsOf", who) < 2

    @invariant()
    def the_pool_never_promises_more_than_it_has(self) -> None:
        read = self.chain.read
        assert read("RewardPool", "funded") == self.funded
        assert read("RewardPool", "allocated") == self.allocated <= self.funded
        assert read("RewardPool", "claimedTotal") == sum(self.claimed.values()) <= self.allocated

    @invariant()
    def accounts_are_the_models(self) -> None:
        for who in PEOPLE:
            free, locked, unbonding, _ = self.chain.read("StakeVault", "accounts", who)
            assert (free, locked, unbonding) == (
                self.free[who],
                self.locked[who],
                self.unbonding[who],
            )


TestMoney = Money.TestCase
TestMoney.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
