"""Which transactions the pool lets in, judged by the state at the head."""

import contextlib
from typing import Final

from protocol.errors import Refused
from rollup.engine.execution import NonceTooHigh, check, rollup_cost
from rollup.engine.lookup import Lookup
from rollup.engine.transaction import Transaction

BASE_FEE_SHARE_LEAST: Final = 2
"""A fee limit below 1/2 of the next base fee waits for at least six empty blocks: refused."""


def admit(lookup: Lookup, transaction: Transaction) -> None:
    """Put `transaction` into the pool. Raises `Refused` with geth's words.

    The sender must be able to pay for everything that he has waiting: gas, value and, on an OP
    chain, the fee for its data on L1 and the operator's, which come on top of gas.
    """
    standing = lookup.chain.standing()
    state, gas_limit = standing.state, lookup.chain.head.header.gas_limit
    if transaction.gas > gas_limit:
        raise Refused(f"exceeds block gas limit: {transaction.gas} of {gas_limit}")
    floor = standing.base_fee // BASE_FEE_SHARE_LEAST
    if transaction.max_fee_per_gas < floor:
        raise Refused(
            f"transaction underpriced: max fee per gas {transaction.max_fee_per_gas}, "
            f"needed at least {floor}"
        )
    with contextlib.suppress(NonceTooHigh):  # it may wait for its predecessors
        check(state, transaction)
    cost = transaction.cost_max + rollup_cost(state, transaction)
    waiting = lookup.pool.spent(transaction.sender)
    waiting.pop(transaction.nonce, None)
    balance, total = state.get_balance(transaction.sender), sum(waiting.values())
    if balance < total + cost:
        raise Refused(
            "insufficient funds for gas * price + value: balance "
            f"{balance}, queued cost {total}, tx cost {cost}"
        )
    lookup.pool.add(transaction, state.get_nonce(transaction.sender), cost)
