"""One transaction of the account, sent once whatever crashes, waited for."""

from collections.abc import Callable
from typing import Final, Protocol

from contracts.intents import Done
from contracts.outbox import Outbox
from node.exits import ChainTrouble
from protocol.errors import Refused

ATTEMPTS_MAX: Final = 1_000

Call = tuple[bytes, bytes]  # to, data


class Tell(Protocol):
    """Shows where a crossing is: what is waited for, and how far that is."""

    def __call__(self, what: str, step: int = 0, total: int = 0, note: str = "") -> None: ...


class Undone(ChainTrouble):
    """The contract, or the chain, refused a transaction; the message has the reason."""


async def once(outbox: Outbox, key: str, call: Call, value: int = 0) -> Done:
    """The outcome of the only transaction under `key`. Raises `Undone`."""
    outbox.intend(key, *call, value)
    return await _outcome(outbox, key)


async def again(outbox: Outbox, key: str, call: Callable[[], Call]) -> Done:
    """The outcome of the attempt in flight, or of a new one when all before have ended.

    The chain decides whether a step is still to be made, so an attempt that once succeeded and was
    undone by a reorg is made again. Raises `Undone`.
    """
    for attempt in range(ATTEMPTS_MAX):
        name = f"{key}/{attempt}"
        try:
            if outbox.result(name) is not None:
                continue
        except Refused:
            outbox.intend(name, *call())
        return await _outcome(outbox, name)
    raise Undone(f"{key}: {ATTEMPTS_MAX} attempts have failed")


async def _outcome(outbox: Outbox, key: str) -> Done:
    outcome = await outbox.outcome(key)
    if not isinstance(outcome, Done) or not outcome.succeeded:
        raise Undone(f"refused: {outcome.reason}")
    return outcome
