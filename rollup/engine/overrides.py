"""State overrides of a simulated call: accounts as the caller wants them to be."""

from dataclasses import dataclass
from typing import Any, Final

from rollup.engine.errors import INVALID_PARAMS, Failure
from rollup.engine.execution import State
from rollup.engine.formats import data, quantity

ACCOUNTS_MAX: Final = 256
SLOTS_MAX: Final = 4_096
FIELDS: Final = frozenset({"balance", "nonce", "code", "state", "stateDiff"})


@dataclass(frozen=True, slots=True)
class Override:
    """None leaves a field as it is; `wiped` storage holds nothing but `slots`."""

    address: bytes
    balance: int | None
    nonce: int | None
    code: bytes | None
    wiped: bool
    slots: tuple[tuple[int, int], ...]


def read(value: Any) -> tuple[Override, ...]:
    """The object of eth_call's third parameter: address to fields. Raises `Failure`."""
    if value is None:
        return ()
    if not isinstance(value, dict) or len(value) > ACCOUNTS_MAX:
        raise Failure(
            INVALID_PARAMS,
            f"invalid argument: state overrides must be an object of at most {ACCOUNTS_MAX}",
        )
    return tuple(_override(data(address, 20, "address"), v) for address, v in value.items())


def put(state: State, overrides: tuple[Override, ...]) -> None:
    """Change `state`, which nobody stores."""
    for each in overrides:
        if each.balance is not None:
            state.set_balance(each.address, each.balance)
        if each.nonce is not None:
            state.set_nonce(each.address, each.nonce)
        if each.code is not None:
            state.set_code(each.address, each.code)
        if each.wiped:
            state.delete_storage(each.address)
        for slot, word in each.slots:
            state.set_storage(each.address, slot, word)
    state.lock_changes()


def _override(address: bytes, value: Any) -> Override:
    if not isinstance(value, dict) or not value.keys() <= FIELDS:
        raise Failure(INVALID_PARAMS, f"invalid argument: an override has {', '.join(FIELDS)}")
    if value.get("state") is not None and value.get("stateDiff") is not None:
        raise Failure(INVALID_PARAMS, "invalid argument: both state and stateDiff are given")
    wiped = value.get("state") is not None
    balance, nonce, code = value.get("balance"), value.get("nonce"), value.get("code")
    return Override(
        address,
        None if balance is None else quantity(balance, name="balance"),
        None if nonce is None else quantity(nonce, 64, "nonce"),
        None if code is None else data(code, name="code"),
        wiped,
        _slots(value["state"] if wiped else value.get("stateDiff")),
    )


def _slots(value: Any) -> tuple[tuple[int, int], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict) or len(value) > SLOTS_MAX:
        raise Failure(INVALID_PARAMS, "invalid argument: overridden storage must be a short object")
    return tuple(
        (quantity(slot, name="slot"), quantity(word, name="slot value"))
        for slot, word in value.items()
    )
