"""The one JSON form of what is hashed: sorted keys, no spaces, no floats."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from protocol.codec import require
from protocol.errors import Malformed

JSON_BYTES_MAX = 1 << 20
_BLOCK = 1 << 20  # bytes read at a time

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]


def dump(value: Json) -> bytes:
    """The canonical bytes of `value`; floats are refused, since their text is not unique."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def load(data: bytes) -> dict[str, Json]:
    """The object behind canonical bytes; `Malformed` for any other form of the same value."""
    require(len(data) <= JSON_BYTES_MAX, f"JSON of {len(data)} bytes, limit is {JSON_BYTES_MAX}")
    try:
        value = from_json(data)  # bounds the depth, as json.loads may not
        require(isinstance(value, dict) and dump(value) == data, "JSON that is not canonical")
    except ValueError as error:
        raise Malformed(f"not canonical JSON: {error}") from None
    assert isinstance(value, dict)
    return value


def _refuse_floats(value: Json) -> None:
    if isinstance(value, float):
        raise Malformed(f"float {value!r} in canonical JSON: write it as a string")
    if isinstance(value, list):
        for item in value:
            _refuse_floats(item)
    if isinstance(value, dict):
        for item in value.values():
            _refuse_floats(item)


def sha256_of(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.digest()


def loads_loose(data: bytes) -> dict[str, Json]:
    """An object out of JSON that other software wrote: any spacing, whole floats as integers."""
    require(len(data) <= JSON_BYTES_MAX, f"JSON of {len(data)} bytes, limit is {JSON_BYTES_MAX}")
    try:
        value = _without_floats(from_json(data, allow_inf_nan=False))
    except ValueError as error:
        raise Malformed(f"not JSON: {error}") from None
    require(isinstance(value, dict), "JSON that is not an object")
    assert isinstance(value, dict)
    return value


def _without_floats(value: Any) -> Json:
    if isinstance(value, float):
        return int(value) if value.is_integer() else repr(value)
    if isinstance(value, list):
        return [_without_floats(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_floats(item) for name, item in value.items()}
    return value  # type: ignore[no-any-return]
