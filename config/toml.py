"""Where each key of a TOML text stands, and plain values written back as TOML."""

import json
import re
from collections.abc import Mapping

TABLE = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
KEY = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\")(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"))*)\s*="
)

Place = tuple[str, ...]
Value = str | int | float | bool | list[str]


def places(text: str) -> dict[Place, int]:
    """The line of each table and key.  Keys inside inline tables and arrays are not listed."""
    found: dict[Place, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        if match := TABLE.match(line):
            table = _split(match[1])
            found.setdefault(table, number)
        elif match := KEY.match(line):
            found.setdefault(table + _split(match[1]), number)
    return found


def write(values: Mapping[str, Value | Mapping[str, Value]]) -> str:
    """TOML of plain values and one level of tables, in the order given."""
    plain = [f"{key} = {_text(value)}" for key, value in values.items() if not _is_table(value)]
    blocks = ["\n".join(plain)] if plain else []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows = [f"[{name}]", *(f"{key} = {_text(item)}" for key, item in value.items())]
            blocks.append("\n".join(rows))
    return "\n\n".join(blocks) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _text(value: object) -> str:
    """JSON's strings, numbers and lists are TOML's too, but for the DEL character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _split(dotted: str) -> Place:
    return tuple(part.strip().strip('"') for part in dotted.split("."))
