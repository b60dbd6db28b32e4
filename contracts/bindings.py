"""Calls to transactions, logs to events: what of the contracts Python knows, by their ABI alone.

Nothing here names a function or an event: a new one needs its dataclass in `protocol.calls`,
`protocol.refute` or `protocol.events` and no code.
"""

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol, get_args

from contracts import abi
from contracts.bedrock import published
from protocol import events
from protocol.errors import Malformed

_EVENTS: dict[str, type] = {cls.__name__: cls for cls in get_args(events.Event)}
_BUILT_IN: dict[bytes, abi.Entry] = {
    abi.selector(entry): entry
    for entry in (
        {"name": "Error", "inputs": [{"name": "message", "type": "string"}]},
        {"name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
    )
}


class Log(Protocol):
    @property
    def address(self) -> bytes: ...

    @property
    def topics(self) -> Sequence[bytes]: ...

    @property
    def data(self) -> bytes: ...


class Call(Protocol):
    """A dataclass of `protocol.calls` or `protocol.refute`."""

    @property
    def contract(self) -> str: ...

    @property
    def function(self) -> str: ...


@dataclass(frozen=True)
class Bindings:
    """Bound to one deployment: `addresses` by contract name, 20 bytes each."""

    addresses: Mapping[str, bytes]

    @cached_property
    def _names(self) -> dict[bytes, str]:
        return {address: name for name, address in self.addresses.items()}

    def encode(self, call: Call) -> tuple[bytes, bytes, int]:
        """(to, data, wei) of the transaction."""
        entry = abi.artifact(call.contract).functions[call.function]
        data = abi.encode(entry["inputs"], abi.arguments(entry["inputs"], call))
        return self.addresses[call.contract], abi.selector(entry) + data, getattr(call, "value", 0)

    def decode(self, log: Log) -> events.Event | None:
        """The event, or None for one that nobody here is interested in.

        A log of our own contract that does not fit its ABI is `Malformed`: then these are not
        the contracts that this node was built for.
        """
        name = self._names.get(log.address)
        if name is None or not log.topics:
            return None
        entry = abi.artifact(name).events.get(log.topics[0])
        cls = _EVENTS.get(entry["name"]) if entry else None
        if entry is None or cls is None:
            return None
        values = abi.decode_log(entry, log.topics, log.data)
        more = {"contract": name} if any(f.name == "contract" for f in fields(cls)) else {}
        event: events.Event = abi.build(cls, entry["inputs"], values, **more)
        return event

    def query(self, contract: str, function: str, *values: Any) -> tuple[bytes, bytes]:
        """(to, data) of an `eth_call`."""
        entry = abi.artifact(contract).functions[function]
        return self.addresses[contract], abi.selector(entry) + abi.encode(entry["inputs"], values)


def result(contract: str, function: str, data: bytes) -> Any:
    """What an `eth_call` returned: one value or a tuple of several; a struct by its names."""
    outputs = abi.artifact(contract).functions[function]["outputs"]
    found = zip(outputs, abi.decode(outputs, data), strict=True)
    values = [_record(entry, value) for entry, value in found]
    return values[0] if len(values) == 1 else tuple(values)


def reason(data: bytes) -> str:
    """Why a call was reverted, in words: `Insufficient(have=1, want=2)`."""
    entry = _BUILT_IN.get(data[:4]) or _errors().get(data[:4])
    if entry is None:
        return f"0x{data.hex()}" if data else "without a reason"
    try:
        values = abi.decode(entry["inputs"], data[4:])
    except Malformed:
        return f"{entry['name']}, malformed"
    shown = (f"0x{v.hex()}" if isinstance(v, bytes) else v for v in values)
    pairs = zip((i["name"] for i in entry["inputs"]), shown, strict=True)
    return f"{entry['name']}({', '.join(f'{name}={value}' for name, value in pairs)})"


def _errors() -> dict[bytes, abi.Entry]:
    found = dict[bytes, abi.Entry]()
    for name in published.names():
        found.update(published.artifact(name).errors)
    for name in abi.names():
        found.update(abi.artifact(name).errors)
    return found


def _record(entry: abi.Entry, value: Any) -> Any:
    if entry["type"] != "tuple":
        return value
    components = entry["components"]
    parts = (_record(c, part) for c, part in zip(components, value, strict=True))
    return types.SimpleNamespace(
        **{abi.snake(c["name"]): part for c, part in zip(components, parts, strict=True)}
    )
