"""One thing changed in a refutation: a field of an opened leaf, a hash of its way up, a number."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from random import Random
from typing import Any

from protocol.refute import Refutation

Path = tuple[int | str, ...]


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if is_dataclass(value):
        for field in fields(value):
            yield from _leaves(getattr(value, field.name), (*path, field.name))
    elif isinstance(value, tuple):
        for number, part in enumerate(value):
            yield from _leaves(part, (*path, number))
        if path and path[-1] == "proof":
            yield path, value
    else:
        yield path, value


def _with(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    head, rest = path[0], path[1:]
    if isinstance(head, str):
        return replace(value, **{head: _with(getattr(value, head), rest, new)})
    parts = list(value)
    parts[head] = _with(parts[head], rest, new)
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)


def _changed(rng: Random, value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return max(0, rng.choice([value - 1, value + 1, 0, value ^ 1 << rng.randrange(20)]))
    if isinstance(value, bytes):
        if not value or not rng.randrange(8):
            return value[:-1] if rng.randrange(2) and len(value) not in (20, 32) else value
        at = rng.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1 << rng.randrange(8)]) + value[at + 1 :]
    if value and rng.randrange(2):
        return value[:-1]
    return (*value, *value[-1:]) if value else value


def mutated(rng: Random, refutation: Refutation) -> Refutation:
    """Mostly a number of an opening; proofs are long, so they are taken one time in four."""
    leaves = [row for row in _leaves(refutation) if row[0] and row[0] != ("batch",)]
    proofs = [row for row in leaves if "proof" in row[0]]
    rest = [row for row in leaves if "proof" not in row[0]]
    path, value = rng.choice(proofs if proofs and not rng.randrange(4) else rest)
    changed: Refutation = _with(refutation, path, _changed(rng, value))
    return changed
