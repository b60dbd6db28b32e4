"""The shipped unit is one that systemd accepts, and agrees with the program's exit codes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from node import exits

UNITS = Path(__file__).parents[2] / "systemd"
UNIT = UNITS / "openledger@.service"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"),
    reason="systemd-analyze is not installed (Debian package systemd); CI has it",
)
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """`verify` ends with 0 on bad values, so silence is asked for too."""
    shutil.copy(UNIT, tmp_path)
    instance = tmp_path / "openledger@host.service"
    instance.symlink_to(tmp_path / UNIT.name)

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(instance)], capture_output=True, text=True
    )

    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"),
    reason="systemd-analyze is not installed (Debian package systemd); CI has it",
)
def test_a_wrong_value_would_be_told(tmp_path: Path) -> None:
    """The check above can fail."""
    (tmp_path / "openledger@host.service").write_text(
        UNIT.read_text().replace("ProtectProc=invisible", "ProtectProc=perhaps")
    )

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "openledger@host.service")],
        capture_output=True,
        text=True,
    )

    assert "perhaps" in verified.stderr


def value(key: str) -> str:
    (line,) = [line for line in UNIT.read_text().splitlines() if line.startswith(f"{key}=")]
    return line.partition("=")[2]


def test_what_does_not_heal_is_not_started_again() -> None:
    codes = {int(code) for code in value("RestartPreventExitStatus").split()}

    assert codes == {exits.USAGE, exits.STORE, exits.KEY}


def test_torch_may_compile() -> None:
    assert not any(line.startswith("MemoryDenyWrite") for line in UNIT.read_text().splitlines())


def test_systemd_waits_longer_than_the_node_takes_to_stop() -> None:
    from node.shutdown import DEADLINE

    assert int(value("TimeoutStopSec")) > DEADLINE


@pytest.mark.skipif(
    shutil.which("systemd-sysusers") is None and not os.environ.get("CI"),
    reason="systemd-sysusers is not installed (Debian package systemd); CI has it",
)
def test_systemd_would_make_the_account() -> None:
    made = subprocess.run(
        ["systemd-sysusers", "--dry-run", str(UNITS / "openledger.sysusers.conf")],
        capture_output=True,
        text=True,
    )

    assert made.returncode == 0, made.stderr
    assert "openledger" in made.stdout + made.stderr
    assert value("User") == "openledger"
