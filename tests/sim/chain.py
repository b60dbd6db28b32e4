"""The contracts in plain Python, for simulated networks: the rules that decide about money.

Verdicts on refutations come from `protocol.refute`, whose equality with the EVM `tests/evm` holds.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from protocol import calls, events
from protocol.court import NO_ROOT
from protocol.errors import Refused
from protocol.ledger import BatchRecord, FeatureSetRecord, Ledger, RoleBit, Status
from protocol.receipt import domain
from protocol.refute import Refutation, convicts
from protocol.refute_features import FeatureRefutation
from protocol.signature import Domain
from protocol.sumtree import Node
from tests.sim.courts import DEMAND_CALLS, Court, DemandCourt
from tests.sim.registries import FeatureOffice

BLOCK = 2.0  # seconds
CHAIN_ID = 901
CONTRACTS = {"InferenceEscrow": b"\xe5" * 20, "DatanetRegistry": b"\xda" * 20}
PENDING_MAX, PENDING_PLAIN = 16, 8
AS_OF_AGE_MAX = 3_600
ORACLE = "AttributionOracle"


@dataclass(frozen=True)
class SimOutcome:
    succeeded: bool
    transaction: bytes | None = None
    gas_used: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class SimBlock:
    time: int
    events: Sequence[Any]


@dataclass(frozen=True)
class Bond:
    poster: bytes
    amount: int
    jury: int  # validators when it was posted


@dataclass
class SimChain:
    """One chain for all; transactions take a drawn time to be included, in any order."""

    setup: Sequence[Any]  # events before block 0: the deployment, registrations, stakes
    delay: Callable[[], float] = lambda: 0.0
    truth: Ledger = field(init=False)
    bonds: dict[tuple[str, int], Bond] = field(default_factory=dict)  # by contract and subject
    slashes: list[tuple[bytes, bytes, int]] = field(default_factory=list)  # who, by whom, kind
    voids: list[tuple[int, int]] = field(default_factory=list)  # batch, because of which
    collected: Counter[bytes] = field(default_factory=Counter)  # wei of credits
    refused: Counter[str] = field(default_factory=Counter)  # calls by name

    def __post_init__(self) -> None:
        self.truth = self.genesis()
        self._blocks = [SimBlock(0, tuple(self.setup))]
        for event in self.setup:
            self.truth.apply(event)
        self._pending: list[tuple[float, bytes, str, Any, dict[str, SimOutcome | None]]] = []
        self._news = trio.Event()
        self.demands = DemandCourt(self)
        self.office = FeatureOffice(self)

    def genesis(self) -> Ledger:
        return Ledger(chain_id=CHAIN_ID, contracts=CONTRACTS)

    @property
    def root(self) -> Node:
        """Of the pool."""
        final = self.truth.last_final_batch()
        return final.totals if final else NO_ROOT

    def earned(self, owner: bytes) -> int:
        """Wei of credits for demands, collected or not."""
        waiting = (wei for (_, who), wei in self.demands.credit.items() if who == owner)
        return self.collected[owner] + sum(waiting)

    @property
    def escrow(self) -> Domain:
        return domain(CHAIN_ID, CONTRACTS["InferenceEscrow"])

    async def run(self) -> None:
        for number in range(1, 10**9):
            await trio.sleep(BLOCK)
            now = trio.current_time()
            time = math.floor(now)
            self.truth.begin(number, time)
            due = [row for row in self._pending if row[0] <= now]
            self._pending = [row for row in self._pending if row[0] > now]
            happened = list[Any]()
            for _, sender, key, call, intents in sorted(due, key=lambda row: row[0]):
                intents[key] = self._include(sender, call, happened)
            self._blocks.append(SimBlock(time, tuple(happened)))
            self._news.set()
            self._news = trio.Event()

    async def block(self, number: int) -> SimBlock:
        while number >= len(self._blocks):
            await self._news.wait()
        return self._blocks[number]

    def submit(
        self, sender: bytes, key: str, call: Any, intents: dict[str, SimOutcome | None]
    ) -> None:
        due = trio.current_time() + self.delay()
        self._pending.append((due, sender, key, call, intents))

    def at(self, time: float, sender: bytes, sent: Sequence[Any]) -> None:
        """What somebody outside of the nodes sends at that time."""
        for number, call in enumerate(sent):
            self._pending.append((time + number / 1_000, sender, f"at {time} {number}", call, {}))

    def _include(self, sender: bytes, call: Any, happened: list[Any]) -> SimOutcome:
        try:
            found = self.execute(sender, call)
        except Refused as error:
            self.refused[type(call).__name__] += 1
            return SimOutcome(False, reason=str(error))
        for event in found:
            self.truth.apply(event)
        happened += found
        return SimOutcome(True, bytes(32), 0)

    def execute(self, sender: bytes, call: Any) -> list[Any]:
        """The events of a transaction, or `Refused` where it reverts."""
        if isinstance(call, DEMAND_CALLS):
            return self.demands.execute(sender, call)
        match call:
            case calls.PostBatch():
                return self._post(sender, call)
            case calls.FinalizeBatch():
                return self._finalize(call)
            case calls.Object():
                return self._object(sender, call)
            case calls.ReleaseBond():
                return self._release(call)
            case calls.ClaimCredit():
                return self._collect(sender, call)
            case Refutation():
                return self._refute(sender, call)
            case calls.RefuteEquivocation():
                return []
            case FeatureRefutation():
                return self.office.refute(sender, call)
            case _:
                return self.office.execute(sender, call)

    # ------------------------------------------------------------ bonds

    def lock(self, contract: str, subject: int, poster: bytes, amount: int) -> list[Any]:
        if self.truth.stakes.get(poster, 0) < amount:
            raise Refused("InsufficientFree")
        jury = sum(1 for _ in self.truth.by_role(RoleBit.VALIDATOR))
        self.bonds[contract, subject] = Bond(poster, amount, jury)
        return [events.Locked(bytes(20), poster, amount)]

    def unlock(self, contract: str, subject: int) -> list[Any]:
        bond = self.bonds.pop((contract, subject))
        return [events.Unlocked(bytes(20), bond.poster, bond.amount)]

    def slash(self, contract: str, subject: int, kind: int, challenger: bytes) -> list[Any]:
        """The bond is gone, and what was built on the subject ends without guilt."""
        found = self._void_after(subject) if contract == ORACLE else []
        bond = self.bonds.pop((contract, subject))
        self.slashes.append((bond.poster, challenger, kind))
        said = events.BatchSlashed if contract == ORACLE else events.FeaturesSlashed
        amounts = bond.amount, bond.amount * 3 // 10
        return [*found, said(subject, challenger, kind, *amounts)]

    def _void_after(self, subject: int) -> list[Any]:
        """Newest first."""
        found = list[Any]()
        for later in reversed(self.truth.pending_batches()):
            if later.batch > subject:
                self.voids.append((later.batch, subject))
                voided = events.BatchVoided(later.batch, subject)
                found += [voided, *self.unlock(ORACLE, later.batch)]
        return found

    # ------------------------------------------------------------ batches

    def pending(self, contract: str, subject: int) -> BatchRecord | FeatureSetRecord | None:
        rows: Any = self.truth.batches if contract == ORACLE else self.truth.feature_sets
        row: BatchRecord | FeatureSetRecord | None = rows.get(subject)
        return row if row and row.status is Status.PENDING else None

    def refutable(self, contract: str, subject: int) -> BatchRecord | FeatureSetRecord:
        row = self.pending(contract, subject)
        if row is None:
            raise Refused("NotPending")
        if self.truth.time >= row.deadline:
            raise Refused("WindowClosed")
        return row

    def _post(self, sender: bytes, call: calls.PostBatch) -> list[Any]:
        truth, header = self.truth, call.header
        number, version, parent = len(truth.batches) + 1, truth.current_version, self._parent()
        fresh = header.as_of < truth.time <= header.as_of + AS_OF_AGE_MAX
        place = call.expected, call.version, call.parent_root
        if place != (number, version, parent.hash) or not fresh:
            raise Refused("Stale")
        if not header.answer_count or not header.data_size or len(call.data_commitment) > 64:
            raise Refused("OutOfBounds")
        if parent.sum + header.total > truth.funded:
            raise Refused("Overallocated")
        pending = len(truth.pending_batches())
        if pending == PENDING_MAX:
            raise Refused("TooManyPending")
        rules = truth.current
        least = rules.bond_min << max(0, pending - PENDING_PLAIN + 1)
        bond = max(least, header.total * rules.bond_bps // 10_000)
        deadline = truth.time + rules.window
        return [
            *self.lock(ORACLE, number, sender, bond),
            events.BatchPosted(number, sender, header, deadline, version),
            events.BatchData(number, call.data_commitment),
        ]

    def _parent(self) -> Node:
        parent = self.truth.newest_live_batch()
        return parent.totals if parent else NO_ROOT

    def _finalize(self, call: calls.FinalizeBatch) -> list[Any]:
        batch = self.truth.batches.get(call.id)
        if batch is None or batch.status is not Status.PENDING:
            raise Refused("NotPending")
        if self.truth.pending_batch() != batch:
            raise Refused("ParentPending")
        if self.truth.time < batch.deadline:
            raise Refused("WindowOpen")
        if self.demands.open_of(ORACLE, call.id):
            raise Refused("DemandsOpen")
        final = events.BatchFinalized(call.id, batch.header.totals_root, batch.allocated)
        return [*self.unlock(ORACLE, call.id), final]

    def _refute(self, sender: bytes, call: Refutation) -> list[Any]:
        batch = self.refutable(ORACLE, call.batch)
        assert isinstance(batch, BatchRecord)
        if not convicts(call, batch.header, Court(self, batch)):
            raise Refused("NotFraud")
        return self.slash(ORACLE, call.batch, call.KIND, sender)

    def _object(self, sender: bytes, call: calls.Object) -> list[Any]:
        row, truth = self.refutable(call.contract, call.subject), self.truth
        node = truth.nodes.get(sender)
        voting = node is not None and bool(node.roles & RoleBit.VALIDATOR)
        if node is None or not voting or node.since >= row.posted_at:
            raise Refused("NoVote")
        if truth.objected(call.contract, call.subject, sender):
            raise Refused("AlreadyObjected")
        total = self.bonds[call.contract, call.subject].jury
        weight = 1 + len(truth.objections.get((call.contract, call.subject), ()))
        found: list[Any] = [events.Objected(call.contract, call.subject, sender, 1, total)]
        if 2 * weight > total:
            if call.contract == ORACLE:
                self.voids.append((call.subject, call.subject))
                found += self._void_after(call.subject)
                found.append(events.BatchVoided(call.subject, call.subject))
            else:
                found.append(events.FeaturesVoided(call.subject))
        return found

    def _release(self, call: calls.ReleaseBond) -> list[Any]:
        """Anyone may; the bond of what was objected to waits, else junk would cost nothing."""
        when = self.truth.held.get((call.contract, call.id))
        if when is None or self.truth.time < when:
            raise Refused("StillLocked")
        released = events.BondReleased(call.contract, call.id)
        return [released, *self.unlock(call.contract, call.id)]

    def _collect(self, sender: bytes, call: calls.ClaimCredit) -> list[Any]:
        amount = self.demands.credit.pop((call.contract, sender), 0)
        if not amount:
            raise Refused("NothingToClaim")
        self.collected[sender] += amount
        return [events.CreditClaimed(call.contract, sender, call.to, amount)]
