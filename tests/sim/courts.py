"""Demands on the simulated chain: the rules of Demands.sol, verdicts from `protocol`'s openings."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from protocol import events
from protocol.batch import Header
from protocol.codec import require
from protocol.court import Kind
from protocol.demands import (
    OUTPUT_TREE,
    PROMPT_TREE,
    AnswerDemand,
    AnswerEntryDemand,
    AnswerTextDemand,
    AnswerTotalDemand,
    ClaimUnanswered,
    Demand,
    RefundDemand,
)
from protocol.errors import Malformed, Refused
from protocol.ledger import BatchRecord, Status
from protocol.merkle import ANSWER, BODY, BODY_LEAF, CLAIM, ENTRY, TEXT, TOTAL, Commitment
from protocol.sumtree import ENTRY_DEPTH, ID_BITS, Node
from protocol.windows import require_leaf, verify_leaf

CONTRACT = "AttributionOracle"
DEMAND_CALLS = (
    Demand, ClaimUnanswered, RefundDemand,
    AnswerDemand, AnswerTextDemand, AnswerEntryDemand, AnswerTotalDemand,
)  # fmt: skip

Key = tuple[int, int, int]  # batch, tree, index


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
    credit: Counter[bytes] = field(default_factory=Counter)  # wei
    spent: Counter[bytes] = field(default_factory=Counter)  # wei put behind demands

    def open_of(self, batch: int) -> int:
        return sum(row.open for key, row in self.asked.items() if key[0] == batch)

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

    def _pending(self, batch: int) -> BatchRecord | None:
        row = self.chain.truth.batches.get(batch)
        return row if row and row.status is Status.PENDING else None

    def _demand(self, sender: bytes, call: Demand) -> list[Any]:
        batch, now = self._pending(call.subject), self.chain.truth.time
        if batch is None or now >= batch.deadline:
            raise Refused("NotPending")
        rules = self.chain.truth.parameters[batch.version]
        if call.value != rules.demand_bond:
            raise Refused("WrongDemandBond")
        if not has_leaf(batch.header, call.tree, call.index):
            raise Refused("BadIndex")
        until, key = now + rules.response, (call.subject, call.tree, call.index)
        if until > batch.deadline:
            raise Refused("TooLate")
        if key in self.asked:
            raise Refused("AlreadyDemanded")
        self.asked[key] = SimDemand(sender, until, call.value)
        self.spent[sender] += call.value
        return [events.OpeningDemanded(CONTRACT, *key, sender, until)]

    def _settle(self, key: Key, to: bytes | None = None) -> SimDemand:
        row = self.asked.get(key)
        if row is None or not row.open:
            raise Refused("NotDemanded")
        row.open = False
        self.credit[to or row.by] += row.bond
        return row

    def _claim(self, call: ClaimUnanswered) -> list[Any]:
        batch, key = self._pending(call.subject), (call.subject, call.tree, call.index)
        row = self.asked.get(key)
        if batch is None or row is None or not row.open:
            raise Refused("NotDemanded")
        if self.chain.truth.time < row.until:
            raise Refused("ResponseOpen")
        self._settle(key)
        bond = self.chain.locked.pop(batch.poster)
        self.chain.slashes.append((batch.poster, row.by, Kind.WITHHELD))
        reward = bond * 3 // 10
        return [events.BatchSlashed(call.subject, row.by, Kind.WITHHELD, bond, reward)]

    def _refund(self, call: RefundDemand) -> list[Any]:
        if self._pending(call.subject):
            raise Refused("StillPending")
        key = call.subject, call.tree, call.index
        return [events.DemandRefunded(CONTRACT, *key, self._settle(key).by)]

    def _answer(self, sender: bytes, call: Any) -> list[Any]:
        key = key_of(call)
        batch = self._pending(key[0])
        if batch is None:
            raise Refused("NotDemanded")
        try:
            opened(call, batch.header, self.chain.root.sum + batch.header.total)
        except Malformed as error:
            raise Refused(f"BadDisclosure: {error}") from None
        self._settle(key, sender)
        return [events.OpeningAnswered(CONTRACT, *key, sender)]


def has_leaf(header: Header, tree: int, index: int) -> bool:
    if tree in (OUTPUT_TREE, PROMPT_TREE):
        return index >> 32 < header.answer_count
    counts = {
        ANSWER: header.answer_count,
        CLAIM: header.claim_count,
        BODY: -(-header.data_size // BODY_LEAF),
        ENTRY: 1 << ENTRY_DEPTH,
        TOTAL: 1 << ID_BITS,
    }
    return index < counts.get(tree, 0)


def key_of(call: Any) -> Key:
    match call:
        case AnswerDemand():
            return call.subject, call.tree, call.index
        case AnswerTextDemand():
            return call.batch, call.tree, call.index
        case AnswerEntryDemand():
            return call.batch, ENTRY, call.entry.index
        case _:
            return call.batch, TOTAL, call.contributor


def opened(call: Any, header: Header, allocated: int) -> None:
    """Raise `Malformed` where the contract does not take the answer."""
    match call:
        case AnswerDemand():
            if call.tree == BODY:
                verify_leaf(header.body, call.index, call.leaf, call.proof)
                return
            root, count = (
                (header.answers_root, header.answer_count)
                if call.tree == ANSWER
                else (header.claims_root, header.claim_count)
            )
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
        case AnswerEntryDemand():
            call.entry.opened(header)
        case _:
            call.total.opened(Node(header.totals_root, allocated), call.contributor)
