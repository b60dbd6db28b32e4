"""Plant one bug at a time and see the suite fail: `python -m contracts.mutants.run [what]`.

`what` is a part of a name or of a source file, or `--first` for the ten of every commit.

Each mutant lives in a copy of `contracts/` of its own, so this disturbs no other build. Exit 1 if
one survives, or if one cannot be planted any more because the source has changed.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONTRACTS = HERE.parent
ROOT = CONTRACTS.parent
PARALLEL = 2
SECONDS_MAX = 600  # of one test run
NOT_COPIED = shutil.ignore_patterns("node_modules", "__pycache__", "mutants", "out", "cache")
FIRST = "--first"
# The optimizer is half of the compiler's time; nobody reads a shrunk counterexample here.
FASTER = {"FOUNDRY_OPTIMIZER": "false", "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A bug, and who must notice: test contracts of forge, or files of pytest under `tests/evm`."""

    name: str
    file: str
    old: str
    new: str
    forge: str = ""
    pytest: str = ""
    first: bool = False

    def plant(self, contracts: Path) -> bool:
        path = contracts / "src" / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            return False
        path.write_text(text.replace(self.old, self.new))
        return True


def mutants() -> list[Mutant]:
    found = list[Mutant]()
    for path in sorted(HERE.glob("*.toml")):
        found += [Mutant(**row) for row in tomllib.loads(path.read_text())["mutant"]]
    return found


def trial(mutant: Mutant) -> tuple[str, float]:
    """(what became of it, seconds): killed, survived, or why there was no trial."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        if not mutant.plant(_copied(root)):
            return "not planted: the source has changed", time.monotonic() - start
        try:
            verdict = _forge(mutant, root / "contracts") if mutant.forge else ""
            if verdict != "killed" and mutant.pytest:
                verdict = _pytest(mutant, root)
        except subprocess.TimeoutExpired:
            verdict = "no trial: too slow"
    return verdict, time.monotonic() - start


def _copied(root: Path) -> Path:
    """The contracts in a folder of their own, with the packages of the original."""
    contracts = root / "contracts"
    shutil.copytree(CONTRACTS, contracts, ignore=NOT_COPIED)
    (contracts / "node_modules").symlink_to(CONTRACTS / "node_modules")
    return contracts


def _forge(mutant: Mutant, contracts: Path) -> str:
    """Compiles what the named tests need and no more: most of a trial is the compiler."""
    tests = contracts / "test"
    wanted = [p for p in tests.glob("*.sol") if _defines(p.read_text(), mutant.forge)]
    needed = _closure(wanted)
    for path in [*tests.glob("*.sol"), *(contracts / "src").rglob("*.sol")]:
        if path not in needed:
            path.unlink()
    forge = CONTRACTS / "node_modules" / ".bin" / "forge"
    done = _run([forge, "test", "--fail-fast", "--match-contract", mutant.forge], contracts)
    if "[FAIL" in done.stdout:
        return "killed"
    return "survived" if done.returncode == 0 else f"no trial: {done.stderr[-300:]}"


def _defines(text: str, names: str) -> bool:
    return re.search(rf"^contract ({names})\b", text, re.MULTILINE) is not None


def _closure(paths: Sequence[Path]) -> set[Path]:
    """These Solidity files and all that they import from beside them."""
    found, todo = set[Path](), list(paths)
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            near = re.findall(r'"(\.[^"]+\.sol)"', path.read_text())
            todo += [(path.parent / name).resolve() for name in near]
    return found


def _pytest(mutant: Mutant, root: Path) -> str:
    for name in ("protocol", "attribution", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=NOT_COPIED)
    shutil.copy(ROOT / "pyproject.toml", root)
    built = _run([sys.executable, "-m", "contracts.artifacts", "write", mutant.file], root)
    if built.returncode:
        return f"no trial: {built.stderr[-300:]}"
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile", "unshrunk"]
    done = _run([sys.executable, "-m", "pytest", *options, *mutant.pytest.split()], root)
    return {0: "survived", 1: "killed"}.get(done.returncode, f"no trial: {done.stdout[-300:]}")


def _run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), **FASTER}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def main(what: str = "") -> int:
    everyone = mutants()
    chosen = [m for m in everyone if (m.first if what == FIRST else what in m.name + m.file)]
    alive = 0
    with ThreadPoolExecutor(PARALLEL) as pool:
        for mutant, (verdict, seconds) in zip(chosen, pool.map(trial, chosen), strict=True):
            alive += verdict != "killed"
            print(f"{verdict:10} {seconds:5.0f} s  {mutant.file:22} {mutant.name}", flush=True)
    print(f"{len(chosen) - alive} of {len(chosen)} killed")
    return 1 if alive or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
