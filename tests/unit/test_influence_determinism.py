"""Other instructions, threads and batches change no feature of the audit path."""

from pathlib import Path

import pytest

from benchmarks.attribution.determinism import VARIANTS, run

pytestmark = pytest.mark.filterwarnings("ignore")  # those of transformers and peft


@pytest.mark.slow
def test_no_value_changes(tmp_path: Path) -> None:
    report = run(tmp_path, 3, ["reference", "SSE"])

    assert report["values"] == 3 * 2048
    assert report["variants"] == len(VARIANTS["reference"][1]) + len(VARIANTS["SSE"][1])
    assert report["changed in float64"] == 0
    assert report["largest move in float64"] < report["nearest to a rounding edge"] / 2
