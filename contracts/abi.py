"""The committed artifacts as ABI: types, selectors, encoding and decoding; no compiler, no web3."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.exceptions import DecodingError
from eth_abi.registry import ABIRegistry, registry
from eth_hash.auto import keccak

from protocol.errors import Malformed
from protocol.openings import NONE

ARTIFACTS = Path(__file__).resolve().parent / "artifacts"

Entry = Mapping[str, Any]  # one entry of a JSON ABI


def _codec() -> ABICodec:
    """eth_abi's, but for strings: on the chain they are bytes that anybody chose, and a name that
    is no UTF-8 must not stop who reads it."""
    own: ABIRegistry = registry.copy()  # type: ignore[no-untyped-call]
    own.unregister_decoder("string")
    lenient = StringDecoder("replace")  # type: ignore[no-untyped-call]
    own.register_decoder("string", lenient, label="string")
    return ABICodec(own)


_CODEC = _codec()
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Artifact:
    """One contract: functions by name (nobody calls an overloaded one), events by topic, errors by
    selector."""

    name: str
    bytecode: bytes
    constructor: Sequence[Entry]
    functions: Mapping[str, Entry]
    events: Mapping[bytes, Entry]
    errors: Mapping[bytes, Entry]


@cache
def artifact(name: str) -> Artifact:
    """The committed artifact of a contract; an unknown name is a bug of the caller."""
    return parse(name, json.loads((ARTIFACTS / f"{name}.json").read_text(encoding="utf-8")))


def parse(name: str, data: Mapping[str, Any]) -> Artifact:
    """An artifact of its JSON value: `abi` and the creation code as `bytecode`."""
    entries = data["abi"]
    kinds = ("constructor", "function", "event", "error")
    of = {kind: [e for e in entries if e["type"] == kind] for kind in kinds}
    return Artifact(
        name=name,
        bytecode=bytes.fromhex(data["bytecode"][2:]),
        constructor=of["constructor"][0]["inputs"] if of["constructor"] else (),
        functions={e["name"]: e for e in of["function"]},
        events={keccak(signature(e).encode()): e for e in of["event"]},
        errors={selector(e): e for e in of["error"]},
    )


def names() -> list[str]:
    return sorted(path.stem for path in ARTIFACTS.glob("*.json") if path.stem != "manifest")


# ---------------------------------------------------------------- types


def type_of(entry: Entry) -> str:
    """The canonical type, a struct as the tuple of its components."""
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    inside = ",".join(map(type_of, entry["components"]))
    return f"({inside}){kind[len('tuple') :]}"


def signature(entry: Entry) -> str:
    return f"{entry['name']}({','.join(map(type_of, entry['inputs']))})"


def selector(entry: Entry) -> bytes:
    return keccak(signature(entry).encode())[:4]


def snake(name: str) -> str:
    """`weightsRoot` is `weights_root` here, `_x` is `x`."""
    return _HUMP.sub("_", name).lower().strip("_")


# ---------------------------------------------------------------- to the chain


def encode(inputs: Sequence[Entry], values: Sequence[Any]) -> bytes:
    """Raise eth_abi's error for values that do not fit: that is a bug of the caller."""
    plain = [_plain(entry, value) for entry, value in zip(inputs, values, strict=True)]
    return _CODEC.encode([type_of(entry) for entry in inputs], plain)


def arguments(inputs: Sequence[Entry], value: object) -> list[Any]:
    """The arguments that a dataclass gives for `inputs`.

    Its fields in their order (without `contract`, `function`, `value`, which say where the call
    goes); or, when the only input is a struct that it has no field for, itself; or else by name,
    from its own fields and those of the values in them.
    """
    assert dataclasses.is_dataclass(value)
    names = [f.name for f in dataclasses.fields(value)]
    own = [getattr(value, n) for n in names if n not in ("contract", "function", "value")]
    if len(own) == len(inputs):
        return own
    if len(inputs) == 1 and inputs[0]["type"] == "tuple":
        return [tuple(arguments(inputs[0]["components"], value))]
    holders = [value, *(item for item in own if dataclasses.is_dataclass(item))]
    return [_named(snake(entry["name"]), holders) for entry in inputs]


def _named(name: str, holders: Sequence[object]) -> Any:
    for holder in holders:
        if hasattr(holder, name):
            return getattr(holder, name)
    raise TypeError(f"{type(holders[0]).__name__} has no {name}")


def _plain(entry: Entry, value: Any) -> Any:
    """What eth_abi takes: tuples for structs, lists for arrays."""
    kind: str = entry["type"]
    if kind.endswith("]"):
        element = {**entry, "type": kind[: kind.rindex("[")]}
        return [_plain(element, item) for item in value]
    if kind == "bytes" and entry.get("absent"):
        return b""
    if kind == "bytes" and hasattr(
        value, "packed"
    ):  # `protocol.words`: how openings carry a struct
        return value.packed()
    if kind != "tuple":
        return value
    if getattr(value, "index", None) == NONE:  # nobody opens it, so nobody pays for its bytes
        entry = {**entry, "components": [{**c, "absent": True} for c in entry["components"]]}
    if hasattr(value, "words"):  # it is its own static encoding (`protocol.claims`, `.receipt`)
        return _CODEC.decode([type_of(entry)], value.words())[0]
    components = entry["components"]
    parts = arguments(components, value) if dataclasses.is_dataclass(value) else value
    return tuple(_plain(c, part) for c, part in zip(components, parts, strict=True))


# ---------------------------------------------------------------- from the chain


def decode(inputs: Sequence[Entry], data: bytes) -> list[Any]:
    """Addresses as 20 bytes, structs and arrays as tuples.  `Malformed` for other bytes."""
    try:
        values = _CODEC.decode([type_of(entry) for entry in inputs], data)
    except (DecodingError, ValueError, OverflowError) as error:
        raise Malformed(f"not the ABI encoding that was expected: {error}") from None
    return [_ours(type_of(entry), value) for entry, value in zip(inputs, values, strict=True)]


def decode_log(entry: Entry, topics: Sequence[bytes], data: bytes) -> list[Any]:
    """The values of an event in the order of its inputs."""
    indexed = [i for i in entry["inputs"] if i["indexed"]]
    plain = [i for i in entry["inputs"] if not i["indexed"]]
    if len(topics) != len(indexed) + 1:
        raise Malformed(f"{entry['name']} with {len(topics)} topics")
    firsts = decode(indexed, b"".join(topics[1:]))
    names = [i["name"] for i in (*indexed, *plain)]
    by_name = dict(zip(names, [*firsts, *decode(plain, data)], strict=True))
    return [by_name[i["name"]] for i in entry["inputs"]]


def build(cls: type, entries: Sequence[Entry], values: Sequence[Any], **more: Any) -> Any:
    """The dataclass whose fields carry the names of `entries`, structs inside it likewise."""
    hints = get_type_hints(cls)
    for entry, value in zip(entries, values, strict=True):
        name = snake(entry["name"])
        kind = hints[name]
        inside = entry.get("components")
        more[name] = build(kind, inside, value) if inside and _is_record(kind) else value
    return cls(**more)


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _ours(kind: str, value: Any) -> Any:
    if isinstance(value, str) and kind.startswith("address"):
        return bytes.fromhex(value[2:])
    if isinstance(value, list | tuple) and kind.endswith("]"):
        element = kind[: kind.rindex("[")]
        return tuple(_ours(element, item) for item in value)
    if isinstance(value, tuple):
        return tuple(_ours(k, item) for k, item in zip(_split(kind), value, strict=True))
    return value


def _split(kind: str) -> list[str]:
    """The component types of a tuple type."""
    parts, depth, start = list[str](), 0, 1
    for at, char in enumerate(kind):
        depth += (char == "(") - (char == ")")
        if (char == "," and depth == 1) or (char == ")" and depth == 0):
            parts.append(kind[start:at])
            start = at + 1
    return parts
