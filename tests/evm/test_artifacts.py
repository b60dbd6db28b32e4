"""The committed artifacts belong to the committed sources."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from contracts import artifacts
from contracts.deploy import CONTRACTS

MANIFEST = json.loads((artifacts.ARTIFACTS / "manifest.json").read_text())


def test_every_source_is_the_one_that_was_compiled() -> None:
    """No compiler needed: the manifest names each of our sources with its hash."""
    ours = {
        f"src/{path.relative_to(artifacts.SOURCES).as_posix()}": sha256(path.read_bytes())
        for path in artifacts.SOURCES.rglob("*.sol")
    }
    named = {name: h for name, h in MANIFEST["sources"].items() if name.startswith("src/")}

    assert named == {name: h.hexdigest() for name, h in ours.items()}, (
        "run `python -m contracts.artifacts write` and commit what it wrote"
    )


def test_every_artifact_is_the_one_that_was_written() -> None:
    files = {path.name: path for path in artifacts.ARTIFACTS.glob("*.json")}
    del files["manifest.json"]

    assert MANIFEST["artifacts"] == {
        name: sha256(path.read_bytes()).hexdigest() for name, path in sorted(files.items())
    }
    assert {f"{name}.json" for name in CONTRACTS} == files.keys()


def test_settings_are_those_that_forge_tests_with() -> None:
    assert MANIFEST["settings"] == artifacts.settings()


def test_a_missing_import_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "MODULES", tmp_path)

    with pytest.raises(artifacts.BuildFailed, match="npm ci"):
        artifacts.sources()


def test_the_compiler_rebuilds_them_to_the_byte() -> None:
    """Runs wherever `npm ci` has been run; CI fails here if it has not."""
    assert artifacts.check() == 0
