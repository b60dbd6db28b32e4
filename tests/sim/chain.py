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
from protocol.datanet import Shard
from protocol.errors import Refused
from protocol.ledger import Ledger, Status
from protocol.parameters import Parameters
from protocol.receipt import domain
from protocol.refute import Refutation, convicts
from protocol.signature import Domain
from protocol.sumtree import Node
from tests.sim.courts import DEMAND_CALLS, DemandCourt

BLOCK = 2.0  # seconds
CHAIN_ID = 901
CONTRACTS = {"InferenceEscrow": b"\xe5" * 20, "DatanetRegistry": b"\xda" * 20}


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


@dataclass
class SimChain:
    """One chain for all; transactions take a drawn time to be included, in any order."""

    setup: Sequence[Any]  # events before block 0: the deployment, registrations, stakes
    delay: Callable[[], float] = lambda: 0.0
    truth: Ledger = field(init=False)
    locked: Counter[bytes] = field(default_factory=Counter)
    slashes: list[tuple[bytes, bytes, int]] = field(default_factory=list)  # who, by whom, kind
    _roots: dict[int, Node] = field(default_factory=dict)  # the pool's root at posting

    def __post_init__(self) -> None:
        self.truth = self.genesis()
        self.root = NO_ROOT
        self._blocks = [SimBlock(0, tuple(self.setup))]
        for event in self.setup:
            self.truth.apply(event)
        self._pending: list[tuple[float, bytes, str, Any, dict[str, SimOutcome | None]]] = []
        self._news = trio.Event()
        self.demands = DemandCourt(self)

    def genesis(self) -> Ledger:
        return Ledger(chain_id=CHAIN_ID, contracts=CONTRACTS)

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

    def _include(self, sender: bytes, call: Any, happened: list[Any]) -> SimOutcome:
        try:
            found = self.execute(sender, call)
        except Refused as error:
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
            case Refutation():
                return self._refute(sender, call)
            case calls.RefuteEquivocation():
                return []
            case _:
                raise AssertionError(f"the simulated chain has no {type(call).__name__}")

    def _post(self, sender: bytes, call: calls.PostBatch) -> list[Any]:
        truth, header = self.truth, call.header
        if truth.pending_batch():
            raise Refused("PendingBatch")
        number, version = len(truth.batches) + 1, truth.current_version
        if (call.expected, call.version) != (number, version):
            raise Refused("Stale")
        if truth.allocated + header.total > truth.funded or not header.answer_count:
            raise Refused("OutOfBounds")
        rules = truth.current
        bond = max(rules.bond_min, header.total * rules.bond_bps // 10_000)
        if truth.stakes.get(sender, 0) < bond:
            raise Refused("InsufficientFree")
        self._roots[number] = self.root
        self.locked[sender] += bond
        deadline = truth.time + rules.window
        return [
            events.Locked(bytes(20), sender, bond),
            events.BatchPosted(number, sender, header, deadline, version),
        ]

    def _finalize(self, call: calls.FinalizeBatch) -> list[Any]:
        batch = self.truth.batches.get(call.id)
        if batch is None or batch.status is not Status.PENDING:
            raise Refused("NotPending")
        if self.truth.time < batch.deadline:
            raise Refused("WindowOpen")
        if self.demands.open_of(call.id):
            raise Refused("DemandsOpen")
        bond, header = self.locked.pop(batch.poster), batch.header
        allocated = self.truth.allocated + header.total
        self.root = Node(header.totals_root, allocated)
        return [
            events.Unlocked(bytes(20), batch.poster, bond),
            events.BatchFinalized(call.id, header.totals_root, allocated),
        ]

    def _refute(self, sender: bytes, call: Refutation) -> list[Any]:
        batch = self.truth.batches.get(call.batch)
        if batch is None or batch.status is not Status.PENDING:
            raise Refused("NotPending")
        if self.truth.time >= batch.deadline:
            raise Refused("WindowClosed")
        court = Court(self, call.batch, self.truth.parameters[batch.version])
        if not convicts(call, batch.header, court):
            raise Refused("NotFraud")
        bond = self.locked.pop(batch.poster)
        self.slashes.append((batch.poster, sender, call.KIND))
        return [events.BatchSlashed(call.batch, sender, call.KIND, bond, bond * 3 // 10)]


@dataclass(frozen=True)
class Court:
    """What the contract reads beside a refutation (`protocol.court.Context`)."""

    chain: SimChain
    batch: int
    parameters: Parameters

    @property
    def old_totals(self) -> Node:
        return self.chain._roots[self.batch]

    @property
    def escrow(self) -> Domain:
        return self.chain.escrow

    def corpus(self, adapter: bytes) -> list[Shard]:
        record = self.chain.truth.adapters.get(adapter)
        if record is None:
            return []
        return self.chain.truth.final_shards(record.datanet)[: record.shard_count]

    def redeemed(self, payer: bytes, host: bytes, adapter: bytes) -> int:
        return self.chain.truth.redeemed.get((payer, host, adapter), 0)

    def final_header(self, batch: int) -> Any:
        record = self.chain.truth.batches.get(batch)
        return record.header if record and record.status is Status.FINAL else None
