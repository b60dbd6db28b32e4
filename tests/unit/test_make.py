"""The one file that sets a bare machine up asks for what is missing, once, in one line."""

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("make", ROOT / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "STAMP", tmp_path / "stamp")
    return module


def test_what_is_installed_is_not_installed_again(
    make: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(make, "run", lambda command, environment: ran.append(command) or 0)
    monkeypatch.setattr(make, "system_packages", lambda: None)
    monkeypatch.setattr(make, "make_venv", lambda: None)

    make.setup()
    make.setup()
    assert len(ran) == 1
    assert ran[0][-2:] == ["-e", ".[test]"]

    (make.ROOT / "constraints.txt").write_text("torch==0")
    make.setup()
    assert len(ran) == 2


def test_a_failed_installation_is_tried_again(
    make: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "run", lambda command, environment: 1)
    monkeypatch.setattr(make, "system_packages", lambda: None)
    monkeypatch.setattr(make, "make_venv", lambda: None)

    with pytest.raises(SystemExit, match="the installation failed"):
        make.setup()
    assert not make.STAMP.exists()


def test_without_root_it_says_what_to_install(
    make: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make.shutil, "which", lambda name: None)
    monkeypatch.setattr(make.os, "geteuid", lambda: 1000)

    with pytest.raises(SystemExit, match="missing: gcc, libc6-dev, libgmp-dev") as caught:
        make.system_packages()
    assert "\n" not in str(caught.value)


def test_it_needs_the_standard_library_alone() -> None:
    tree = ast.parse((ROOT / "make.py").read_text())
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_an_unknown_target_is_told(make: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert make.main(["dance"]) == 2
    assert "usage: python3 make.py TARGET" in capsys.readouterr().err
    assert make.main([]) == 0


def test_every_benchmark_is_run_by_its_name(make: ModuleType) -> None:
    assert make.bench() == []

    for name in ("rollup", "another"):
        (make.ROOT / "benchmarks" / name).mkdir(parents=True)
        (make.ROOT / "benchmarks" / name / "__main__.py").touch()

    wanted = [["python", "-m", "benchmarks.another"], ["python", "-m", "benchmarks.rollup"]]
    assert make.bench() == wanted
