"""The environment that the rivals of the benchmarks live in, made on first use."""

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv-rivals"
PINS = Path(__file__).with_name("rivals.txt")
INSTALL_SECONDS_MAX = 900


class RivalsMissing(Exception):
    """A rival cannot be run here; the message says what to do."""


def python() -> Path:
    """The interpreter of the environment with all pins of `rivals.txt`; makes it when missing.

    It sees our own packages too (torch, numpy, ...), behind its own, so that a rival brings only
    itself. Nothing is installed into the environment that runs us: some rivals replace torch.
    """
    interpreter = FOLDER / "bin" / "python"
    done = FOLDER / "installed.txt"
    wanted = PINS.read_text()
    if done.exists() and done.read_text() == wanted:
        return interpreter
    venv.create(FOLDER, with_pip=True, clear=FOLDER.exists())
    site = subprocess.run(
        [interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    Path(site, "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pins = [line for line in wanted.splitlines() if line and not line.startswith("#")]
    _install(interpreter, pins)
    done.write_text(wanted)
    return interpreter


def installed() -> bool:
    """Whether `python` would answer without installing anything."""
    done = FOLDER / "installed.txt"
    return done.exists() and done.read_text() == PINS.read_text()


def _install(interpreter: Path, pins: Sequence[str]) -> None:
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--no-deps", *pins]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RivalsMissing(
            f"the rivals cannot be installed ({last}): run `python -m benchmarks.rivals` "
            "where a package registry can be reached"
        )


if __name__ == "__main__":
    try:
        print(python())
    except RivalsMissing as missing:
        sys.exit(str(missing))
