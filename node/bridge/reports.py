"""What `openledger bridge` answers: each crossing as one flat record, amounts in wei as text."""

from typing import Any, Final

from contracts.intents import Done
from contracts.outbox import Outbox
from contracts.rpc import hexadecimal
from node.bridge import chains, deposits, withdrawals
from node.bridge.book import Crossing
from node.bridge.stages import Stage
from node.bridge.world import Account, Sides
from node.exits import ChainTrouble
from protocol.errors import Refused

UNSENT: Final = "on its way into an L1 block"
UNDER_WAY: Final = "in an L1 block; the L2 has not come to it yet"

Report = dict[str, Any]


async def of_crossing(sides: Sides, account: Account, crossing: Crossing) -> Report:
    """How far it is, by the chains; by the book where that says that it failed."""
    is_deposit = crossing.kind == "deposit"
    outbox = account.l1 if is_deposit else account.l2
    key = f"deposit/{crossing.number}" if is_deposit else withdrawals.begun(crossing)
    transaction = _transaction(outbox, key)
    rows = [] if transaction is None else await _rows(sides, transaction, crossing.kind)
    if rows:
        return {**rows[0], "number": crossing.number}
    stage = crossing.ended or (UNSENT if is_deposit else Stage.SENDING.value)
    side = "l1_transaction" if is_deposit else "l2_transaction"
    return {
        **_record(crossing.kind, crossing.amount, crossing.to, stage),
        side: None if transaction is None else hexadecimal(transaction),
        "number": crossing.number,
    }


async def of_transaction(sides: Sides, transaction: bytes) -> list[Report]:
    """Withdrawals of an L2 transaction, or deposits of an L1 one. Raises `ChainTrouble`."""
    rows = await _rows(sides, transaction, "withdrawal")
    rows = rows or await _rows(sides, transaction, "deposit")
    if not rows:
        raise ChainTrouble(
            f"{hexadecimal(transaction)} is neither an L1 transaction with a deposit nor an L2 one "
            "with a withdrawal, or it is in no block yet"
        )
    return rows


async def _rows(sides: Sides, transaction: bytes, kind: str) -> list[Report]:
    if kind == "deposit":
        found = await chains.receipt(sides.l1, transaction)
        arrived = [] if found is None else await deposits.arrivals(sides, found)
        return [_deposit(each, transaction) for each in arrived]
    found = await chains.receipt(sides.l2, transaction)
    sent = [] if found is None else await withdrawals.all_of(sides, found)
    return [_withdrawal(each, transaction) for each in sent]


def _deposit(arrival: deposits.Arrival, transaction: bytes) -> Report:
    deposit, stage = arrival.deposit, UNDER_WAY
    if arrival.block is not None:
        stage = "arrived on L2" if arrival.succeeded else "refused on L2, left with its sender"
    return {
        **_record("deposit", deposit.mint, deposit.to, stage),
        "l1_transaction": hexadecimal(transaction),
        "l1_block": arrival.origin,
        "l2_transaction": hexadecimal(deposit.hash),
        "l2_block": arrival.block,
    }


def _withdrawal(sent: withdrawals.Sent, transaction: bytes) -> Report:
    withdrawal, judgement = sent.withdrawal, sent.judgement
    return {
        **_record("withdrawal", withdrawal.value, withdrawal.target, judgement.stage.value),
        "l2_transaction": hexadecimal(transaction),
        "l2_block": sent.block,
        "withdrawal": hexadecimal(withdrawal.hash),
        "next_step_at": judgement.possible_at,
    }


def _record(kind: str, amount: int, to: bytes, stage: str) -> Report:
    return {
        "kind": kind,
        "amount": str(amount),
        "to": hexadecimal(to),
        "stage": stage,
        "l1_transaction": None,
        "l2_transaction": None,
        "next_step_at": None,
    }


def _transaction(outbox: Outbox, key: str) -> bytes | None:
    try:
        outcome = outbox.result(key)
    except Refused:
        return None  # killed before it was intended
    return outcome.transaction if isinstance(outcome, Done) else None
