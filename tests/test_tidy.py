"""The rules a reader may rely on, checked on the source itself."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE_LINES_MAX, FUNCTION_LINES_MAX = 400, 60
DISTRIBUTION = "openledger-node"
ENGINES = {"datanet", "attribution", "modelfactory", "openlora"}

# The architecture: who may import whom.  ARCHITECTURE.md shows the same to people.
MAY_IMPORT: dict[str, set[str]] = {
    "config": set(),
    "protocol": set(),
    **{engine: {"protocol"} for engine in sorted(ENGINES)},
    "rollup": {"protocol"},
    "p2p": {"protocol"},
    "contracts": {"protocol"},
    "roles": ENGINES | {"rollup", "protocol"},
    "node": {"config", "protocol", *ENGINES, "rollup", "p2p", "contracts", "roles"},
}
OURS = MAY_IMPORT.keys()

# What reaches out of the process, or differs between two runs, and who may touch it.
WORLD = {
    *("trio", "anyio", "asyncio", "libp2p", "web3", "httpx", "plyvel", "starlette", "hypercorn"),
    *("socket", "random", "secrets", "time", "os", "subprocess", "threading", "signal"),
    *("multiprocessing", "urllib.request"),
}
MAY_TOUCH: dict[str, set[str]] = {
    "config": set(),
    "protocol": set(),
    **{engine: set() for engine in sorted(ENGINES)},
    "rollup": {"trio", "plyvel", "time", "os", "signal"},
    "p2p": {"trio", "libp2p", "random", "socket", "time", "os"},
    "contracts": {"trio", "httpx", "subprocess"},
    "roles": {"trio"},
    "node": WORLD - {"asyncio", "libp2p", "web3", "multiprocessing"},
}
# Single files that may touch more than their package.
EXCEPTIONS: dict[str, set[str]] = {
    "protocol/__init__.py": {"os"},
    "attribution/index_files.py": {"os"},
    "attribution/influence/store.py": {"os"},
    "modelfactory/training.py": {"random"},
    "openlora/attention.py": {"threading"},
    "openlora/engine.py": {"threading"},
    "openlora/dispatch.py": {"trio", "threading"},
    "roles/audits.py": {"random"},
    "roles/demands.py": {"random"},
    "roles/doubts.py": {"random"},
    "roles/finetune.py": {"threading"},
    "contracts/mutants/run.py": {"os", "time"},
}

HEAVY = ("torch", "peft", "transformers", "numba", "libp2p", "web3", "eth")


def sources(package: str) -> Iterator[Path]:
    for path in sorted((ROOT / package).rglob("*.py")):
        if "node_modules" not in path.parts:
            yield path


MODULES = [path for name in OURS for path in sources(name)]
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))


def imports(path: Path) -> Iterator[str]:
    """Every dotted name that the file imports, at its top or within a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(level=0, module=str(module)):
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case ast.ImportFrom():
                pytest.fail(f"{path}: relative import; write the package's name")
            case _:
                pass


@each_module
def test_arrows(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    imported = {name.partition(".")[0] for name in imports(path)} & OURS

    assert imported - {package} <= MAY_IMPORT[package]


@each_module
def test_what_touches_the_world(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    touched = {
        known for name in imports(path) for known in WORLD if f"{name}.".startswith(f"{known}.")
    }

    assert touched <= MAY_TOUCH[name.partition("/")[0]] | EXCEPTIONS.get(name, set())


def test_formats_and_derivation_are_pure() -> None:
    """Nothing that runs, waits or executes: what nodes agree on is a function of bytes."""
    impure = WORLD | {"eth", "roles", "rollup.engine", "rollup.driver", "rollup.sources"}
    for folder in ("rollup/codec", "rollup/derive"):
        for path in sources(folder):
            found = {n for n in imports(path) for w in impure if f"{n}.".startswith(f"{w}.")}
            assert not found, path


def test_no_exception_outlives_its_reason() -> None:
    for name, touched in EXCEPTIONS.items():
        assert touched <= {module.partition(".")[0] for module in imports(ROOT / name)}, name


@each_module
def test_sizes(path: Path) -> None:
    source = path.read_text()

    assert source.count("\n") <= FILE_LINES_MAX
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert ast.unparse(node).count("\n") < FUNCTION_LINES_MAX, node.name


@each_module
def test_a_file_says_what_it_is(path: Path) -> None:
    source = path.read_text()
    said = ast.get_docstring(ast.parse(source))

    assert said or not source.strip()
    unnamed = {"utils", "helpers", "manager", "common", "base", "handler"}
    assert path.stem not in unnamed


def test_names_are_ours_alone() -> None:
    """Flat names are safe only while no other distribution installs the same one."""
    owners = packages_distributions()
    for name in OURS:
        assert name not in sys.stdlib_module_names
        assert set(owners.get(name, [DISTRIBUTION])) == {DISTRIBUTION}


def test_every_package_is_built() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) >= OURS
    assert set(project["tool"]["mypy"]["files"]) == OURS


def test_no_test_folder_is_named_like_a_package() -> None:
    paths = [p for p in (ROOT / "tests").rglob("*") if "node_modules" not in p.parts]

    assert not {path.name for path in paths if path.is_dir()} & OURS
    assert not [path for path in paths if path.name == "__init__.py"]


def test_test_files_have_names_of_their_own() -> None:
    paths = (ROOT / "tests").rglob("test_*.py")
    names = [path.name for path in paths if "node_modules" not in path.parts]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["check"], ["status"]])
def test_the_command_line_is_light(arguments: list[str], tmp_path: Path) -> None:
    """Torch alone takes 8 s to import: none of it before it is needed."""
    if arguments[-1] != "--help":
        arguments = [*arguments, str(ROOT / "config" / "node.example.toml")]
    code = f"import sys, node.cli; node.cli.main({arguments}); print({HEAVY} & sys.modules.keys())"
    code = code.replace(f"{HEAVY} &", f"set({HEAVY}) &")

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert ended.stdout.splitlines()[-1] == "set()", ended.stderr


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the first table under a heading of ARCHITECTURE.md, by their first cell."""
    text = (ROOT / "ARCHITECTURE.md").read_text().partition(f"## {heading}\n")[2]
    lines = re.findall(r"^\| `(.+)$", text.partition("\n## ")[0], re.MULTILINE)
    rows = [[cell.strip() for cell in ("`" + line).strip("|").split("|")] for line in lines]
    return {row[0].strip("`/"): row[1:] for row in rows}


def names_in(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_the_architecture_table_is_true() -> None:
    """ARCHITECTURE.md shows the arrows that the tests above enforce, exceptions included."""
    shown = table("Packages and arrows")

    assert set(shown) == OURS | EXCEPTIONS.keys()
    for name, (ours, world, _) in shown.items():
        if name in EXCEPTIONS:
            assert names_in(world) == EXCEPTIONS[name], name
        else:
            assert names_in(ours) == MAY_IMPORT[name], name
            assert names_in(world) == MAY_TOUCH[name], name


def commands() -> list[str]:
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_readme_begins_with_its_two_commands() -> None:
    assert commands()[:2] == ["python3 make.py demo", "python3 make.py test"]


@pytest.mark.parametrize("line", commands())
def test_each_readme_command_exists(line: str) -> None:
    """`.ci/run` and the testnet tests run them in full; here their help is asked."""
    program, *words = line.split()
    if (program, words[0]) == ("python3", "make.py"):
        ended = subprocess.run(
            [sys.executable, "make.py", "--help"], capture_output=True, text=True, cwd=ROOT
        )
        assert re.search(rf"^  {words[1]} ", ended.stdout, re.M)
        return
    if program == "systemctl":  # systemd's own
        assert (ROOT / "systemd" / f"{words[-1].partition('@')[0]}@.service").exists()
        return
    assert program == "openledger"
    path = list(takewhile(re.compile(r"[a-z][a-z-]*").fullmatch, words))
    options = {word for word in words if word.startswith("--")}
    ended = subprocess.run(
        [sys.executable, "-m", "node", *path, "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert ended.returncode == 0, ended.stderr
    assert options <= set(re.findall(r"--[a-z-]+", ended.stdout))
