"""A refutation: a proof, by a few openings, that a posted batch or shard lies."""

from dataclasses import dataclass
from typing import ClassVar

from protocol.batch import Header
from protocol.codec import require
from protocol.court import Context, Kind
from protocol.errors import Malformed
from protocol.openings import AnswerOpening, ClaimOpening
from protocol.words import AnswerWords, ClaimWords


@dataclass(frozen=True, slots=True)
class Refutation:
    """What every refutation of a batch has; its fields, in order, are the function's arguments."""

    KIND: ClassVar[Kind]
    contract: ClassVar[str]
    function: ClassVar[str]

    batch: int

    def proves(self, header: Header, context: Context) -> bool:
        raise NotImplementedError


def convicts(refutation: Refutation, header: Header, context: Context) -> bool:
    """The contract's verdict: True where it slashes, False where it reverts."""
    try:
        return refutation.proves(header, context)
    except Malformed:
        return False


def open_claim(
    header: Header, claim: ClaimOpening, answer: AnswerOpening
) -> tuple[ClaimWords, AnswerWords]:
    """A claim and the answer that it says it is of; `Malformed` if either is not in the batch."""
    opened = claim.opened(header)
    require(opened.answer == answer.index, "another answer than the claim's")
    return opened, answer.opened(header)
