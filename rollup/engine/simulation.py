"""Calls that change nothing: reading a call object, its result, and the gas it would need."""

from dataclasses import dataclass, replace
from typing import Any, Final

from eth._utils.address import generate_contract_address

from protocol.errors import Refused
from rollup.engine import formats
from rollup.engine.chain import Chain
from rollup.engine.errors import INVALID_PARAMS, REVERTED, SERVER_ERROR, Failure
from rollup.engine.execution import Outcome, State, apply
from rollup.engine.formats import data, hexadecimal, quantity
from rollup.engine.overrides import Override, put
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
ACCESS_ROUNDS_MAX: Final = 4
PRECOMPILE_LAST: Final = 0x100


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


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a call takes place: right after `header`, with some accounts changed.

    `deadline`, of the monotonic clock, ends all runs of the call together.
    """

    chain: Chain
    header: Header
    overrides: tuple[Override, ...]
    deadline: float

    def state(self) -> State:
        state = self.chain.call_state(self.header)
        put(state, self.overrides)
        state.deadline = self.deadline
        return state

    def run(self, transaction: Transaction, state: State | None = None) -> Outcome:
        """What `transaction` would do, for free, whatever its nonce. Raises `Refused`."""
        state = self.state() if state is None else state
        if state.get_balance(transaction.sender) < transaction.value:
            raise Refused("insufficient funds for transfer")
        return apply(state, transaction)


def call(ground: Ground, transaction: Transaction) -> str:
    """The returned bytes in hex. Raises `Failure` with the revert data."""
    if transaction.gas < transaction.gas_least:
        raise Failure(
            SERVER_ERROR,
            f"intrinsic gas too low: have {transaction.gas}, want {transaction.gas_least}",
        )
    outcome = ground.run(transaction)
    if outcome.status == 0:
        raise failure(outcome)
    return hexadecimal(outcome.output)


def estimate(ground: Ground, transaction: Transaction) -> str:
    """The smallest gas limit that succeeds, found by bisection to 1.5 % above (as geth does).

    Gas used is not enough: a call keeps back 1/64 of its gas, and refunds come after.
    """
    plain = transaction.to and not transaction.data and not transaction.access_list
    if plain and not ground.state().get_code(transaction.to):
        ground.run(replace(transaction, gas=GAS_TRANSACTION))
        return hex(GAS_TRANSACTION)
    if transaction.gas < transaction.gas_least:
        raise Failure(SERVER_ERROR, f"gas required exceeds allowance ({transaction.gas})")
    outcome = ground.run(transaction)
    if outcome.status == 0:
        raise failure(outcome)
    low, high = max(outcome.gas_used, transaction.gas_least) - 1, transaction.gas
    guess = (outcome.gas_used + CALL_STIPEND) * 64 // 63
    while low + 1 < high and (high - low) / high > ESTIMATE_TOLERANCE:
        middle = guess if low < guess < high else min((low + high) // 2, low * 2)
        guess = 0
        if ground.run(replace(transaction, gas=middle)).status:
            high = middle
        else:
            low = middle
    return hex(high)


def access_list(ground: Ground, transaction: Transaction) -> dict[str, Any]:
    """The accounts and slots that the call touches, and the gas it uses with them listed.

    Repeated until it changes no more, because the list itself may change what the code sees (its
    gas). Sender, recipient and precompiles are listed only with slots: they are warm anyway.
    """
    for _ in range(ACCESS_ROUNDS_MAX):
        state, touched = ground.state(), dict[bytes, set[int]]()
        nonce: Any = state.get_nonce(transaction.sender)
        sender: Any = transaction.sender
        to = transaction.to or bytes(generate_contract_address(sender, nonce))
        _record(state, touched)
        outcome = ground.run(transaction, state)
        found = _listed(touched, {transaction.sender, to, ground.header.coinbase})
        if found == transaction.access_list:
            break
        transaction = replace(transaction, access_list=found)
    out = {"accessList": formats.access_list(found), "gasUsed": hex(outcome.gas_used)}
    if outcome.status == 0:
        out["error"] = str(failure(outcome))
    return out


def _record(state: State, touched: dict[bytes, set[int]]) -> None:
    """Note what becomes warm, also inside of frames that revert later."""
    mark_address, mark_storage = state.mark_address_warm, state.mark_storage_warm

    def address_warm(address: bytes) -> None:
        touched.setdefault(bytes(address), set())
        mark_address(address)

    def storage_warm(address: bytes, slot: int) -> None:
        touched.setdefault(bytes(address), set()).add(slot)
        mark_storage(address, slot)

    state.mark_address_warm, state.mark_storage_warm = address_warm, storage_warm


def _listed(touched: dict[bytes, set[int]], warm: set[bytes]) -> AccessList:
    return tuple(
        (address, tuple(sorted(slots)))
        for address, slots in sorted(touched.items())
        if slots or not (address in warm or int.from_bytes(address, "big") <= PRECOMPILE_LAST)
    )


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
