"""Calls that change nothing: reading a call object, its result, and the gas it would need."""

from typing import Any, Final

from rollup.engine.chain import Chain
from rollup.engine.errors import INVALID_PARAMS, REVERTED, SERVER_ERROR, Failure
from rollup.engine.execution import Outcome
from rollup.engine.formats import data, hexadecimal, quantity
from rollup.engine.transaction import (
    DYNAMIC_FEE,
    GAS_TRANSACTION,
    INITCODE_BYTES_MAX,
    AccessList,
    Transaction,
)
from rollup.engine.values import Header

ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")
PANIC_SELECTOR: Final = bytes.fromhex("4e487b71")
REASON_BYTES_MAX: Final = 4096
ACCESS_ENTRIES_MAX: Final = 1_000
ESTIMATE_TOLERANCE: Final = 0.015
CALL_STIPEND: Final = 2_300


def read_call(value: Any, gas_limit: int) -> Transaction:
    """A call object as a transaction without fees, its gas capped at the block's."""
    if not isinstance(value, dict):
        raise Failure(INVALID_PARAMS, "invalid argument: call must be an object")
    to = value.get("to")
    body = value.get("input") if value.get("input") is not None else value.get("data")
    gas = value.get("gas")
    payload = b"" if body is None else data(body, name="input")
    recipient = b"" if to is None else data(to, 20, "to")
    if not recipient and len(payload) > INITCODE_BYTES_MAX:
        raise Failure(SERVER_ERROR, f"max initcode size exceeded: {len(payload)} bytes")
    sender = value.get("from")
    amount = value.get("value")
    return Transaction(
        raw=b"",
        hash=b"",
        type_id=DYNAMIC_FEE,
        sender=bytes(20) if sender is None else data(sender, 20, "from"),
        nonce=0,
        max_priority_fee_per_gas=0,
        max_fee_per_gas=0,
        gas=gas_limit if gas is None else min(quantity(gas, 64, "gas"), gas_limit),
        to=recipient,
        value=0 if amount is None else quantity(amount, name="value"),
        data=payload,
        access_list=_access_list(value.get("accessList")),
    )


def call(chain: Chain, header: Header, transaction: Transaction) -> str:
    """The returned bytes in hex. Raises `Failure` with the revert data."""
    if transaction.gas < transaction.gas_least:
        raise Failure(
            SERVER_ERROR,
            f"intrinsic gas too low: have {transaction.gas}, want {transaction.gas_least}",
        )
    outcome = chain.simulate(header, transaction)
    if outcome.status == 0:
        raise failure(outcome)
    return hexadecimal(outcome.output)


def estimate(chain: Chain, header: Header, transaction: Transaction) -> str:
    """The smallest gas limit that succeeds, found by bisection to 1.5 % above (as geth does).

    Gas used is not enough: a call keeps back 1/64 of its gas, and refunds come after.
    """
    plain = (
        transaction.to and not transaction.data and not chain.state(header).get_code(transaction.to)
    )
    if plain and not transaction.access_list:
        chain.simulate(header, _with_gas(transaction, GAS_TRANSACTION))
        return hex(GAS_TRANSACTION)
    if transaction.gas < transaction.gas_least:
        raise Failure(SERVER_ERROR, f"gas required exceeds allowance ({transaction.gas})")
    outcome = chain.simulate(header, transaction)
    if outcome.status == 0:
        raise failure(outcome)
    low, high = max(outcome.gas_used, transaction.gas_least) - 1, transaction.gas
    guess = (outcome.gas_used + CALL_STIPEND) * 64 // 63
    while low + 1 < high and (high - low) / high > ESTIMATE_TOLERANCE:
        middle = guess if low < guess < high else min((low + high) // 2, low * 2)
        guess = 0
        if chain.simulate(header, _with_gas(transaction, middle)).status:
            high = middle
        else:
            low = middle
    return hex(high)


def failure(outcome: Outcome) -> Failure:
    if not outcome.reverted:
        return Failure(SERVER_ERROR, f"execution failed: {outcome.error}")
    reason = revert_reason(outcome.output)
    message = "execution reverted" + (f": {reason}" if reason else "")
    return Failure(REVERTED, message, hexadecimal(outcome.output))


def revert_reason(output: bytes) -> str | None:
    """The text in Solidity's Error(string), the code in Panic(uint256), else None."""
    if output[:4] == PANIC_SELECTOR and len(output) == 36:
        return f"panic 0x{int.from_bytes(output[4:], 'big'):02x}"
    if output[:4] != ERROR_SELECTOR or len(output) < 68:
        return None
    length = int.from_bytes(output[36:68], "big")
    if int.from_bytes(output[4:36], "big") != 32 or length > min(
        len(output) - 68, REASON_BYTES_MAX
    ):
        return None
    return output[68 : 68 + length].decode("utf-8", "replace")


def _with_gas(tx: Transaction, gas: int) -> Transaction:
    return Transaction(
        raw=b"",
        hash=b"",
        type_id=tx.type_id,
        sender=tx.sender,
        nonce=0,
        max_priority_fee_per_gas=0,
        max_fee_per_gas=0,
        gas=gas,
        to=tx.to,
        value=tx.value,
        data=tx.data,
        access_list=tx.access_list,
    )


def _access_list(value: Any) -> AccessList:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > ACCESS_ENTRIES_MAX:
        raise Failure(INVALID_PARAMS, "invalid argument: accessList must be a short list")
    out = []
    for entry in value:
        if not isinstance(entry, dict) or not isinstance(entry.get("storageKeys", []), list):
            raise Failure(INVALID_PARAMS, "invalid argument: malformed accessList")
        slots = [data(k, 32, "storage key") for k in entry.get("storageKeys", [])]
        address = data(entry.get("address"), 20, "address")
        out.append((address, tuple(int.from_bytes(s, "big") for s in slots)))
    return tuple(out)
