"""Write or check the committed artifacts: `python -m contracts.artifacts write [file] | check`.

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
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES, MODULES, ARTIFACTS = HERE / "src", HERE / "node_modules", HERE / "artifacts"
CODE_MAX = 24_576  # bytes of a deployed contract (EIP-170)
COMPILE_SECONDS_MAX = 300
OURS, MANIFEST = "src/", "manifest.json"
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
        wanted += _imports(name, found[name])
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


def dependents(texts: Mapping[str, str], changed: str) -> set[str]:
    """The sources whose code may change with this one: it and all that import it."""
    found = {changed}
    while more := {n for n in texts.keys() - found if found & set(_imports(n, texts[n]))}:
        found |= more
    return found


def compile_all(texts: Mapping[str, str], names: Collection[str] | None = None) -> dict[str, str]:
    """Every file of `artifacts/` by name, as text; or of the contracts in the sources `names`."""
    parts = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]
    wanted = {name: {"*": parts} for name in (texts if names is None else names)}
    question = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in texts.items()},
        "settings": {**settings(), "outputSelection": wanted},
    }
    answer = json.loads(_solc("--standard-json", json.dumps(question)))
    errors = [e["formattedMessage"] for e in answer.get("errors", ()) if e["severity"] == "error"]
    if errors:
        raise BuildFailed("\n".join(errors))
    files = dict[str, str]()
    for source, contracts in answer.get("contracts", {}).items():
        for name, contract in contracts.items():
            if source.startswith(OURS) or FOREIGN.get(source) == name:
                _keep(files, source, name, contract)
    return files


def manifest(texts: Mapping[str, str], files: Mapping[str, str]) -> str:
    return _json(
        {
            "solc": _solc("--version", "").split("Version: ")[1].strip(),
            "settings": settings(),
            "sources": {name: _sha256(text) for name, text in texts.items()},
            "artifacts": {name: _sha256(text) for name, text in sorted(files.items())},
        }
    )


def write(changed: str = "") -> int:
    """Write all; or, if only the source `changed` has changed, what depends on it."""
    texts = sources()
    if changed:
        files = _committed() | compile_all(texts, dependents(texts, OURS + changed))
    else:
        files = compile_all(texts)
    ARTIFACTS.mkdir(exist_ok=True)
    for old in _committed().keys() - files.keys():
        (ARTIFACTS / old).unlink()
    for name, text in {**files, MANIFEST: manifest(texts, files)}.items():
        (ARTIFACTS / name).write_text(text, encoding="utf-8")
    print(f"{len(files)} artifacts written")
    return 0


def check() -> int:
    """Whether the committed artifacts are, byte for byte, what the committed sources give."""
    texts = sources()
    files = compile_all(texts)
    files[MANIFEST] = manifest(texts, files)
    committed = _committed()
    if (ARTIFACTS / MANIFEST).exists():
        committed[MANIFEST] = (ARTIFACTS / MANIFEST).read_text()
    names = files.keys() | committed.keys()
    differ = sorted(name for name in names if files.get(name) != committed.get(name))
    print(f"differ: {', '.join(differ)}" if differ else f"{len(files) - 1} artifacts are as built")
    return 1 if differ else 0


def _committed() -> dict[str, str]:
    paths = (path for path in ARTIFACTS.glob("*.json") if path.name != MANIFEST)
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def _imports(name: str, text: str) -> list[str]:
    """The names of the sources that this one imports."""
    near = posixpath.dirname(name)
    return [
        posixpath.normpath(posixpath.join(near, target)) if target.startswith(".") else target
        for target in _IMPORT.findall(text)
    ]


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
    try:
        match sys.argv[1:]:
            case ["write", *rest] if len(rest) < 2:
                sys.exit(write(*rest))
            case ["check"]:
                sys.exit(check())
            case _:
                sys.exit("usage: python -m contracts.artifacts write [file] | check")
    except BuildFailed as error:
        sys.exit(str(error))
