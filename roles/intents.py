"""Intents that are tried again: what the chain refuses now it may accept later."""

import hashlib

from roles.ports import Outcome, Ports

PURSUED = b"pursued/"
RETRY_SECONDS = 120  # between two attempts at one thing


async def pursue(ports: Ports, stem: str, call: object, every: int = RETRY_SECONDS) -> bool:
    """Intend `call` unless an attempt under `stem` is open or has succeeded; whether it did.

    A refused attempt is final under its key, so the next one, `every` seconds later, has another.
    What was attempted last is on disk before it is intended: kill -9 between the two repeats it.
    """
    slot = ports.chain.ledger.time // every
    row = PURSUED + stem.encode()
    if last := ports.store.get(row):
        key, _, at = last.decode().rpartition("@")
        outcome = ports.chain.outcome(key)
        if ports.chain.pending(key) or (outcome and (outcome.succeeded or int(at) == slot)):
            return False
    tag = hashlib.sha256(f"{stem} {call!r}".encode()).hexdigest()[:40]
    key = f"{tag}/{slot}"
    ports.store.write({row: f"{key}@{slot}".encode()}, sync=True)
    await ports.chain.intend(key, call)
    return True


def refused(ports: Ports, stem: str) -> bool:
    """Whether the last attempt under `stem` ended without success."""
    outcome = _last(ports, stem)
    return outcome is not None and not outcome.succeeded


def why(ports: Ports, stem: str) -> str | None:
    """What the chain said to the last attempt."""
    outcome = _last(ports, stem)
    return outcome.reason if outcome else None


def _last(ports: Ports, stem: str) -> Outcome | None:
    last = ports.store.get(PURSUED + stem.encode())
    return ports.chain.outcome(last.decode().rpartition("@")[0]) if last else None
