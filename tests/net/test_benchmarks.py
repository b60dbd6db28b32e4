"""A benchmark too small to say anything: that it runs, and what it prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ANVIL = ROOT / "tests/npm/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
RATIO = {"name", "ours", "rival", "ratio", "spread", "aim", "holds"}
SMALL = ["--json", "--rounds", "1", "--blocks", "1", "--transactions", "4"]


@pytest.mark.skipif(
    not ANVIL.exists() and not os.environ.get("CI"), reason="npm ci --prefix tests/npm"
)
def test_the_rollup_beside_anvil_is_told_in_json() -> None:
    """Both ended with the same accounts and a second engine with the same hashes, or it fails."""
    command = [sys.executable, "-m", "benchmarks.rollup", *SMALL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report.keys() == {"ratios", "figures", "notes"}
    assert report["ratios"]
    for each in report["ratios"]:
        assert each.keys() == RATIO
        assert each["ours"] > 0
        assert each["rival"] > 0
        assert (each["aim"] is None) == (each["holds"] is None)
    assert all(each.keys() == {"name", "value", "unit"} for each in report["figures"])
