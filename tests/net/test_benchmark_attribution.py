"""A benchmark too small to say anything: that both answer alike, and what it prints."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import rivals

ROOT = Path(__file__).parents[2]
RATIO = {"name", "ours", "rival", "ratio", "spread", "aim", "holds"}


@pytest.mark.slow
def test_spans_beside_infini_gram_are_told_in_json() -> None:
    """It fails where an answer differs at one of 51,200 positions, or where ours is wrong."""
    if not rivals.installed():
        pytest.skip("python -m benchmarks.rivals: infini-gram is not installed")
    small = ["spans", "--json", "--rounds", "1", "--megabytes", "1"]
    command = [sys.executable, "-m", "benchmarks.attribution", *small]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report.keys() == {"ratios", "figures", "notes"}
    for each in report["ratios"]:
        assert each.keys() == RATIO
        assert each["ours"] > 0
        assert each["rival"] > 0
    figures = {each["name"]: each["value"] for each in report["figures"]}
    assert figures["u16: equal positions"] == figures["u8: equal positions"] == 2 * 51_200
    assert figures["query before every suffix, longest match of 2 tokens: ours"] == 2
    assert figures["repeats of 120 kB, positions out of order: ours"] == 0


def test_the_text_is_the_same_each_time() -> None:
    from benchmarks.attribution.text import Tokenizer, corpus

    one, other = corpus(200_000, 50_000), corpus(200_000, 50_000)

    assert one == other
    assert sum(map(len, one[0])) >= 200_000
    assert sum(map(len, one[1])) >= 50_000
    assert not set(one[0]) & set(one[1])
    assert Tokenizer().tokens(b"ab cd ab").tolist() == [256, 257, 258]
