"""Write or check the committed artifacts: `python -m contracts.artifacts write | check`.

An artifact is the ABI and the creation code of one contract; the manifest says which compiler made
it of which sources. The compiler is npm's wasm solc behind `tools/solc` (`npm ci` in this folder).
"""

import hashlib
import json
import posixpath
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES, MODULES, ARTIFACTS = HERE / "src", HERE / "node_modules", HERE / "artifacts"
CODE_MAX = 24_576  # bytes of a deployed contract (EIP-170)
COMPILE_SECONDS_MAX = 300
OURS = "src/"
# The one contract of others that is deployed as it is.
FOREIGN = {"@openzeppelin/contracts/access/manager/AccessManager.sol": "AccessManager"}

_IMPORT = re.compile(r"^\s*(?:import|\}\s*from)\b[^;\"]*\"([^\"]+)\"", re.MULTILINE)


class BuildFailed(Exception):
    """The compiler is missing, or refused the sources; the message is its own."""


def sources() -> dict[str, str]:
    """Our sources and everything they import, by the name that solc knows them under."""
    found = dict[str, str]()
    wanted = [f"{OURS}{path.relative_to(SOURCES).as_posix()}" for path in SOURCES.rglob("*.sol")]
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        path = HERE / name if name.startswith(OURS) else MODULES / name
        try:
            found[name] = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise BuildFailed(f"{name} is missing: run `npm ci` in {HERE.name}/") from None
        for target in _IMPORT.findall(found[name]):
            near = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            wanted.append(near if target.startswith(".") else target)
    return dict(sorted(found.items()))


def settings() -> dict[str, Any]:
    """What `foundry.toml` says, so that forge tests the very code that is committed."""
    profile = tomllib.loads((HERE / "foundry.toml").read_text())["profile"]["default"]
    return {
        "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
        "evmVersion": profile["evm_version"],
        "metadata": {
            "bytecodeHash": profile["bytecode_hash"],
            "appendCBOR": profile["cbor_metadata"],
        },
    }


def compile_all(texts: Mapping[str, str]) -> dict[str, str]:
    """Every file of `artifacts/` by name, as text."""
    wanted = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]
    question = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in texts.items()},
        "settings": {**settings(), "outputSelection": {"*": {"*": wanted}}},
    }
    answer = json.loads(_solc("--standard-json", json.dumps(question)))
    errors = [e["formattedMessage"] for e in answer.get("errors", ()) if e["severity"] == "error"]
    if errors:
        raise BuildFailed("\n".join(errors))
    files = dict[str, str]()
    for source, contracts in answer["contracts"].items():
        for name, contract in contracts.items():
            if source.startswith(OURS) or FOREIGN.get(source) == name:
                _keep(files, source, name, contract)
    manifest = {
        "solc": _solc("--version", "").split("Version: ")[1].strip(),
        "settings": settings(),
        "sources": {name: _sha256(text) for name, text in texts.items()},
        "artifacts": {name: _sha256(text) for name, text in sorted(files.items())},
    }
    return {**files, "manifest.json": _json(manifest)}


def write() -> int:
    files = compile_all(sources())
    ARTIFACTS.mkdir(exist_ok=True)
    for old in ARTIFACTS.glob("*.json"):
        if old.name not in files:
            old.unlink()
    for name, text in files.items():
        (ARTIFACTS / name).write_text(text, encoding="utf-8")
    print(f"{len(files) - 1} artifacts written")
    return 0


def check() -> int:
    """Whether the committed artifacts are, byte for byte, what the committed sources give."""
    files = compile_all(sources())
    committed = {path.name: path.read_text() for path in ARTIFACTS.glob("*.json")}
    names = files.keys() | committed.keys()
    differ = sorted(name for name in names if files.get(name) != committed.get(name))
    print(f"differ: {', '.join(differ)}" if differ else f"{len(files) - 1} artifacts are as built")
    return 1 if differ else 0


def _keep(files: dict[str, str], source: str, name: str, contract: Mapping[str, Any]) -> None:
    code = contract["evm"]["bytecode"]["object"]
    if not code or not any(entry["type"] == "function" for entry in contract["abi"]):
        return  # an interface, an abstract contract, a library that is inlined
    size = len(contract["evm"]["deployedBytecode"]["object"]) // 2
    if size > CODE_MAX:
        raise BuildFailed(f"{name} has {size} bytes; the chain takes {CODE_MAX}")
    files[f"{name}.json"] = _json(
        {"contract": name, "source": source, "abi": contract["abi"], "bytecode": f"0x{code}"}
    )


def _solc(option: str, standard_input: str) -> str:
    try:
        done = subprocess.run(
            [HERE / "tools" / "solc", option],
            input=standard_input,
            capture_output=True,
            text=True,
            check=True,
            timeout=COMPILE_SECONDS_MAX,
        )
    except FileNotFoundError:
        raise BuildFailed("Node.js is missing: the compiler runs on it") from None
    except subprocess.CalledProcessError as error:
        raise BuildFailed(f"run `npm ci` in {HERE.name}/ first:\n{error.stderr}") from None
    return done.stdout


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    commands = {"write": write, "check": check}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit("usage: python -m contracts.artifacts write | check")
    try:
        sys.exit(commands[sys.argv[1]]())
    except BuildFailed as error:
        sys.exit(str(error))
