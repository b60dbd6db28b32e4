"""In which state an answer is on its way to being paid, and the sentence that says why."""

from collections.abc import Mapping

from node.why.shelf import Place
from node.why.values import Standing
from protocol.court import Kind
from protocol.ledger import BatchRecord, Ledger, Status
from protocol.messages import PaidAnswer
from roles.answers import voucher_of

NAMES = {
    Status.PENDING: "pending",
    Status.FINAL: "final",
    Status.SLASHED: "slashed",
    Status.VOID: "voided",
}


def standing_of(place: Place, postings: Mapping[int, bytes], ledger: Ledger) -> Standing:
    batch = place.batch
    return Standing(
        status=NAMES[batch.status],
        reason=_reason(batch, ledger),
        batch=batch.batch,
        answer=place.number,
        poster=batch.poster,
        transaction=postings.get(batch.batch),
        deadline=batch.deadline,
        as_of=batch.header.as_of,
    )


def unattributed(answer: PaidAnswer, ledger: Ledger, refused: list[BatchRecord]) -> Standing:
    """Of an answer that no batch that stands has; `refused` are batches that had it."""
    return Standing("unattributed", f"not attributed yet: {_waits_for(answer, ledger, refused)}")


def _reason(batch: BatchRecord, ledger: Ledger) -> str:
    number = batch.batch
    match batch.status:
        case Status.PENDING:
            left = batch.deadline - ledger.time
            wait = f"in {left} s" if left > 0 else "now, as soon as the batches before it are"
            return f"batch {number} pends: it can be final {wait}, unless somebody convicts it"
        case Status.FINAL:
            return f"batch {number} is final: what it pays can be claimed"
        case Status.SLASHED:
            kind = _kind(batch.convicted_of)
            return f"batch {number} was slashed{kind}: it pays nothing, another batch has to"
        case _:
            return f"batch {number} was voided with another one: it pays nothing, a later one will"


def _kind(number: int) -> str:
    return f" for {Kind(number).name.lower().replace('_', ' ')}" if number in set(Kind) else ""


def _waits_for(answer: PaidAnswer, ledger: Ledger, refused: list[BatchRecord]) -> str:
    receipt, redeemed = answer.receipt, ledger.redeemed.get(voucher_of(answer.receipt), 0)
    if receipt.adapter not in ledger.adapters:
        return "its adapter is not registered on chain"
    if receipt.cumulative > redeemed:
        lacking = receipt.cumulative - redeemed
        return f"its host has not redeemed the voucher that pays it, {lacking} wei are lacking"
    if refused:
        told = ", ".join(f"{row.batch} ({NAMES[row.status]})" for row in refused[:4])
        return f"it was in batch {told}; it waits for a prover to post it in another one"
    return "it is paid, and waits for a prover to post it in a batch"
