"""`python3 make.py TARGET`: set up what this machine lacks, then run one target.

Needs nothing but Python 3.11 with pip.  The Makefile has the same targets and calls this file.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
STAMP = VENV / "openledger.stamp"  # the hash of what was installed
PYTHON_MIN = (3, 11)

USAGE = """usage: python3 make.py TARGET [ARGUMENTS]

  setup    make .venv and install everything (the others do this when needed)
  demo     play the whole story on this machine: data, paid answer, lie, slash, reward
  testnet  run a whole network on this machine until Ctrl-C
  test     run the tests; arguments go to pytest
  check    format, lint and types
  bench    run the benchmarks
"""


def main(arguments: list[str]) -> int:
    targets = {"setup": [], "check": CHECK, "test": TEST, "demo": DEMO, "testnet": TESTNET}
    if not arguments or arguments[0] not in {*targets, "bench"}:
        wrong = arguments and arguments[0] not in ("-h", "--help", "help")
        print(USAGE, end="", file=sys.stderr if wrong else sys.stdout)
        return 2 if wrong else 0
    setup()
    target, rest = arguments[0], arguments[1:]
    commands = bench() if target == "bench" else targets[target]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    for number, command in enumerate(commands):
        last = number == len(commands) - 1
        say("+ " + " ".join([*command, *(rest if last else [])]))
        program = [str(BIN / command[0]), *command[1:], *(rest if last else [])]
        code = run(program, environment)
        if code:
            return code
    return 0


CHECK = [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"]]
TEST = [["python", "-m", "pytest"]]
DEMO = [["openledger", "testnet", "demo"]]
TESTNET = [["openledger", "testnet"]]


def bench() -> list[list[str]]:
    """Each package of benchmarks/ that can be run; the arguments go to the last."""
    names = sorted(file.parent.name for file in (ROOT / "benchmarks").glob("*/__main__.py"))
    if not names:
        say("there is no benchmark yet")
    return [["python", "-m", f"benchmarks.{name}"] for name in names]


def setup() -> None:
    """Make .venv and install, unless this was done for the very same files."""
    if sys.version_info < PYTHON_MIN:
        sys.exit("want Python 3.11 or newer, this is " + sys.version.split()[0])
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    say("setting up .venv (some minutes the first time)")
    system_packages()
    if not (BIN / "python").exists():
        make_venv()
    install = ["install", "--no-input", "--disable-pip-version-check", "-c", "constraints.txt"]
    if run([*pip(), *install, "-e", ".[test]"], dict(os.environ)):
        sys.exit("the installation failed; the lines above say why")
    STAMP.write_text(wanted)


def fingerprint() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def make_venv() -> None:
    try:
        venv.create(VENV, with_pip=True)
    except (subprocess.CalledProcessError, ModuleNotFoundError):  # Debian without python3-venv
        venv.create(VENV, with_pip=False, clear=True)


def pip() -> list[str]:
    if (BIN / "pip").exists():
        return [str(BIN / "python"), "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", str(BIN / "python")]


def system_packages() -> None:
    """fastecdsa, which libp2p needs, is built here: a compiler, gmp's and Python's headers."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    missing = [] if compiler else ["gcc", "libc6-dev"]
    if not compiler or not has_header(compiler, "gmp.h"):
        missing.append("libgmp-dev")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing.append("python3-dev")
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(
            f"missing: {', '.join(missing)} (Debian's names); install them and run this again, "
            f"on Debian or Ubuntu: sudo apt-get install {' '.join(missing)}"
        )
    say("installing " + " ".join(missing))
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    if run(["apt-get", "update", "-q"], quiet) or run(install, quiet):
        sys.exit("apt-get failed; install " + " ".join(missing) + " by hand and run this again")


def has_header(compiler: str, name: str) -> bool:
    asked = subprocess.run(
        [compiler, "-E", "-x", "c", "-"],
        input=f"#include <{name}>\n",
        text=True,
        capture_output=True,
    )
    return asked.returncode == 0


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run in the root; Ctrl-C is the child's to answer, we wait for it to end."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
