"""What can be wrong with the receipts of a batch.  Twin of `contracts/src/SumRefutations.sol`.

Each class has the fields of the Solidity function `function`, in order.
"""

from dataclasses import dataclass
from typing import ClassVar

from protocol.batch import Header
from protocol.court import Context, Kind
from protocol.errors import Malformed
from protocol.openings import AnswerOpening
from protocol.receipt import OUTPUT_MAX, PROMPT_MAX, overlaps
from protocol.refutation import Refutation
from protocol.signature import expand, recover


@dataclass(frozen=True, slots=True)
class Forged(Refutation):
    """The host has not signed the receipt."""

    KIND: ClassVar[Kind] = Kind.RECEIPT
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteForged"

    answer: AnswerOpening

    def proves(self, header: Header, context: Context) -> bool:
        answer = self.answer.opened(header)
        signature = expand(answer.r, answer.vs)
        try:
            signer = recover(self.answer.digest(context.escrow), signature)
        except Malformed:
            return True  # there is no signature
        return signer != answer.receipt.host


@dataclass(frozen=True, slots=True)
class Unfunded(Refutation):
    """No voucher that was paid covers the receipt; or its amounts or sizes are out of bounds."""

    KIND: ClassVar[Kind] = Kind.RECEIPT
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteUnfunded"

    answer: AnswerOpening

    def proves(self, header: Header, context: Context) -> bool:
        receipt = self.answer.opened(header).receipt
        if not 0 < receipt.amount <= receipt.cumulative:
            return True
        if receipt.output_size > OUTPUT_MAX or receipt.prompt_size > PROMPT_MAX:
            return True
        redeemed = context.redeemed(receipt.payer, receipt.host, receipt.adapter)
        return redeemed < receipt.cumulative


@dataclass(frozen=True, slots=True)
class Repeated(Refutation):
    """The receipt's money pays another answer of this batch, or of an earlier one."""

    KIND: ClassVar[Kind] = Kind.RECEIPT
    contract: ClassVar[str] = "SumRefutations"
    function: ClassVar[str] = "refuteRepeated"

    answer: AnswerOpening
    other_batch: int
    other: AnswerOpening

    def proves(self, header: Header, context: Context) -> bool:
        receipt = self.answer.opened(header).receipt
        found: Header | None = header
        if self.other_batch != self.batch:
            found = context.earlier_header(self.other_batch)
        elif self.other.index == self.answer.index:
            return False
        return found is not None and overlaps(receipt, self.other.opened(found).receipt)
