"""What the simulated contracts read beside a refutation, and demands with the rules of Demands.sol.

Verdicts come from `protocol`'s openings.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from protocol import events
from protocol.batch import Header
from protocol.codec import require
from protocol.court import NO_ROOT, Kind
from protocol.datanet import Shard
from protocol.demands import (
    OUTPUT_TREE,
    PROMPT_TREE,
    QUERY_TREE,
    AnswerDemand,
    AnswerEntryDemand,
    AnswerQueryDemand,
    AnswerTextDemand,
    AnswerTotalDemand,
    ClaimUnanswered,
    Demand,
    RefundDemand,
)
from protocol.errors import Malformed, Refused
from protocol.influences import query_hash
from protocol.ledger import BatchRecord, FeatureSetRecord, Status
from protocol.merkle import (
    ANSWER,
    BODY,
    BODY_LEAF,
    CLAIM,
    ENTRY,
    FEATURE,
    INFLUENCE,
    TEXT,
    TOTAL,
    Commitment,
)
from protocol.parameters import Parameters
from protocol.signature import Domain
from protocol.sumtree import ENTRY_DEPTH, ID_BITS, Node
from protocol.windows import require_leaf, verify_leaf

CONTRACT = "AttributionOracle"
DEMAND_CALLS = (
    Demand, ClaimUnanswered, RefundDemand, AnswerDemand, AnswerTextDemand, AnswerEntryDemand,
    AnswerTotalDemand, AnswerQueryDemand,
)  # fmt: skip

Key = tuple[str, int, int, int]  # contract, subject, tree, index
Subject = BatchRecord | FeatureSetRecord


@dataclass(frozen=True)
class Court:
    """`protocol.court.Context` of one pending batch; `chain` is the `SimChain`."""

    chain: Any
    batch: BatchRecord

    @property
    def parameters(self) -> Parameters:
        found: Parameters = self.chain.truth.parameters[self.batch.version]
        return found

    @property
    def old_totals(self) -> Node:
        parent = self.chain.truth.batches.get(self.batch.parent)
        return parent.totals if parent else NO_ROOT

    @property
    def escrow(self) -> Domain:
        found: Domain = self.chain.escrow
        return found

    def corpus(self, adapter: bytes) -> list[Shard]:
        record = self.chain.truth.adapters.get(adapter)
        if record is None:
            return []
        found: list[Shard] = self.chain.truth.final_shards(record.datanet)[: record.shard_count]
        return found

    def redeemed(self, payer: bytes, host: bytes, adapter: bytes) -> int:
        found: int = self.chain.truth.redeemed.get((payer, host, adapter), 0)
        return found

    def earlier_header(self, batch: int) -> Header | None:
        record = self.chain.truth.batches.get(batch)
        final = record and record.status is Status.FINAL
        earlier = record and record.status is Status.PENDING and batch < self.batch.batch
        return record.header if final or earlier else None

    def features(self, adapter: bytes) -> FeatureSetRecord | None:
        as_of = self.batch.header.as_of
        found: FeatureSetRecord | None = self.chain.truth.features_in_force(adapter, as_of)
        return found

    def is_down(self, adapter: bytes, shard: int, document: int) -> bool:
        return document in self._down(adapter).get(shard, ())

    def any_down(self, adapter: bytes) -> bool:
        return bool(self._down(adapter))

    def _down(self, adapter: bytes) -> dict[int, frozenset[int]]:
        record = self.chain.truth.adapters.get(adapter)
        if record is None:
            return {}
        found: dict[int, frozenset[int]]
        found = self.chain.truth.down(record.datanet, self.batch.header.as_of)
        return found


@dataclass
class SimDemand:
    by: bytes
    until: int
    bond: int
    open: bool = True


@dataclass
class DemandCourt:
    """`chain` is the `SimChain`; its ledger is the truth."""

    chain: Any
    asked: dict[Key, SimDemand] = field(default_factory=dict)
    credit: Counter[tuple[str, bytes]] = field(default_factory=Counter)  # wei
    spent: Counter[bytes] = field(default_factory=Counter)  # wei put behind demands

    def open_of(self, contract: str, subject: int) -> int:
        return sum(row.open for key, row in self.asked.items() if key[:2] == (contract, subject))

    def execute(self, sender: bytes, call: Any) -> list[Any]:
        match call:
            case Demand():
                return self._demand(sender, call)
            case ClaimUnanswered():
                return self._claim(call)
            case RefundDemand():
                return self._refund(call)
            case _:
                return self._answer(sender, call)

    def _demand(self, sender: bytes, call: Demand) -> list[Any]:
        row, now = self.chain.refutable(call.contract, call.subject), self.chain.truth.time
        rules = self.chain.truth.parameters[row.version]
        if call.value != rules.demand_bond:
            raise Refused("WrongDemandBond")
        if not has_leaf(row, call.tree, call.index):
            raise Refused("BadIndex")
        until, key = now + rules.response, (call.contract, call.subject, call.tree, call.index)
        if until > row.deadline:
            raise Refused("TooLate")
        if key in self.asked:
            raise Refused("AlreadyDemanded")
        self.asked[key] = SimDemand(sender, until, call.value)
        self.spent[sender] += call.value
        return [events.OpeningDemanded(*key, sender, until)]

    def _settle(self, key: Key, to: bytes | None = None) -> SimDemand:
        row = self.asked.get(key)
        if row is None or not row.open:
            raise Refused("NotDemanded")
        row.open = False
        self.credit[key[0], to or row.by] += row.bond
        return row

    def _claim(self, call: ClaimUnanswered) -> list[Any]:
        key = call.contract, call.subject, call.tree, call.index
        row = self.asked.get(key)
        if not self.chain.pending(call.contract, call.subject) or row is None or not row.open:
            raise Refused("NotDemanded")
        if self.chain.truth.time < row.until:
            raise Refused("ResponseOpen")
        self._settle(key)
        found: list[Any] = self.chain.slash(call.contract, call.subject, Kind.WITHHELD, row.by)
        return found

    def _refund(self, call: RefundDemand) -> list[Any]:
        if self.chain.pending(call.contract, call.subject):
            raise Refused("StillPending")
        key = call.contract, call.subject, call.tree, call.index
        return [events.DemandRefunded(*key, self._settle(key).by)]

    def _answer(self, sender: bytes, call: Any) -> list[Any]:
        key = key_of(call)
        row = self.chain.pending(*key[:2])
        if row is None:
            raise Refused("NotDemanded")
        try:
            opened(call, row)
        except Malformed as error:
            raise Refused(f"BadDisclosure: {error}") from None
        self._settle(key, sender)
        return [events.OpeningAnswered(*key, sender)]


def has_leaf(row: Subject, tree: int, index: int) -> bool:
    if isinstance(row, FeatureSetRecord):
        counts = {FEATURE: row.example_count, BODY: row.basis.count}
        return index < counts.get(tree, 0)
    header = row.header
    if tree in (OUTPUT_TREE, PROMPT_TREE, QUERY_TREE):
        whole = tree != QUERY_TREE or not index & 0xFFFFFFFF
        return whole and index >> 32 < header.answer_count
    counts = {
        ANSWER: header.answer_count,
        CLAIM: header.claim_count,
        INFLUENCE: header.influence_count,
        BODY: -(-header.data_size // BODY_LEAF),
        ENTRY: 1 << ENTRY_DEPTH,
        TOTAL: 1 << ID_BITS,
    }
    return index < counts.get(tree, 0)


def key_of(call: Any) -> Key:
    match call:
        case AnswerDemand():
            return call.contract, call.subject, call.tree, call.index
        case AnswerTextDemand():
            return CONTRACT, call.batch, call.tree, call.index
        case AnswerQueryDemand():
            return CONTRACT, call.batch, QUERY_TREE, call.answer.index << 32
        case AnswerEntryDemand():
            return CONTRACT, call.batch, ENTRY, call.entry.index
        case _:
            return CONTRACT, call.batch, TOTAL, call.contributor


def opened(call: Any, row: Subject) -> None:
    """Raise `Malformed` where the contract does not take the answer."""
    if isinstance(row, FeatureSetRecord):
        body = row.features if call.tree == FEATURE else row.basis
        verify_leaf(body, call.index, call.leaf, call.proof)
        return
    header = row.header
    match call:
        case AnswerDemand():
            if call.tree == BODY:
                verify_leaf(header.body, call.index, call.leaf, call.proof)
                return
            root, count = {
                ANSWER: (header.answers_root, header.answer_count),
                CLAIM: (header.claims_root, header.claim_count),
                INFLUENCE: (header.influences_root, header.influence_count),
            }[call.tree]
            require_leaf(call.tree, root, count, call.index, call.leaf, call.proof)
        case AnswerTextDemand():
            receipt = call.answer.opened(header).receipt
            require(call.answer.index == call.index >> 32, "another answer")
            text = (
                Commitment(TEXT, receipt.output_size, receipt.output_root)
                if call.tree == OUTPUT_TREE
                else Commitment(TEXT, receipt.prompt_size, receipt.prompt_root)
            )
            if call.index & 0xFFFFFFFF < text.count:
                verify_leaf(text, call.index & 0xFFFFFFFF, call.leaf, call.proof)
        case AnswerQueryDemand():
            query = call.answer.opened(header).query
            require(query_hash(call.query) == query, "another query")
        case AnswerEntryDemand():
            call.entry.opened(header)
        case _:
            call.total.opened(row.totals, call.contributor)
