"""The shipped Prometheus files are valid, and speak of metrics that exist."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from node.metrics import Metrics

FOLDER = Path(__file__).parents[2] / "config" / "prometheus"


@pytest.mark.skipif(
    shutil.which("promtool") is None and not os.environ.get("CI"),
    reason="promtool is not installed (Debian package prometheus); CI has it",
)
def test_prometheus_accepts_its_files() -> None:
    checked = subprocess.run(
        ["promtool", "check", "config", str(FOLDER / "prometheus.yml")],
        capture_output=True,
        text=True,
    )

    assert checked.returncode == 0, checked.stderr
    assert "10 rules found" in checked.stdout + checked.stderr


def test_alerts_watch_metrics_that_exist() -> None:
    """A renamed metric would silence an alert for ever."""
    watched = set(re.findall(r"openledger_\w+", (FOLDER / "rules.yml").read_text()))
    known = {
        sample.name for metric in Metrics().registry.collect() for sample in metric.samples
    } | {metric.name for metric in Metrics().registry.collect()}

    assert watched
    assert watched <= known
