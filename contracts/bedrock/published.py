"""The committed artifacts of npm's `contracts-bedrock` and the code of the L2 predeploys."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from contracts import abi

ARTIFACTS = Path(__file__).resolve().parent / "artifacts"
MANIFEST, PREDEPLOYS = "manifest.json", "predeploys.json"


@dataclass(frozen=True, slots=True)
class Predeploy:
    """Code that stands on the L2 from its first block on: 20 bytes `address`, runtime `code`."""

    name: str
    address: bytes
    code: bytes


@cache
def artifact(name: str) -> abi.Artifact:
    """A contract of the package; an unknown name is a bug of the caller."""
    return abi.parse(name, json.loads((ARTIFACTS / f"{name}.json").read_text(encoding="utf-8")))


def names() -> list[str]:
    return sorted(
        path.stem for path in ARTIFACTS.glob("*.json") if path.name not in (MANIFEST, PREDEPLOYS)
    )


@cache
def predeploys() -> Mapping[str, Predeploy]:
    """By name; an implementation behind a proxy carries its own address."""
    accounts = json.loads((ARTIFACTS / PREDEPLOYS).read_text(encoding="utf-8"))
    return {
        name: Predeploy(name, bytes.fromhex(entry["address"][2:]), bytes.fromhex(entry["code"][2:]))
        for name, entry in accounts.items()
    }


def creation(name: str, *values: Any) -> bytes:
    """The data of the transaction that makes the contract; values by the constructor's order."""
    published = artifact(name)
    return published.bytecode + abi.encode(published.constructor, values)


def call_data(name: str, function: str, *values: Any) -> bytes:
    entry = artifact(name).functions[function]
    return abi.selector(entry) + abi.encode(entry["inputs"], values)
