"""The shipped Prometheus files are valid, and speak of metrics that exist."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import Gauge

from node.metrics import Metrics

ROOT = Path(__file__).parents[2]
NODE, FOLDER = ROOT / "node", ROOT / "config" / "prometheus"
RULES = FOLDER / "rules.yml"


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
    assert "11 rules found" in checked.stdout + checked.stderr


def test_alerts_watch_metrics_that_exist() -> None:
    """A renamed metric would silence an alert for ever."""
    watched = set(re.findall(r"openledger_\w+", RULES.read_text()))
    known = {
        sample.name for metric in Metrics().registry.collect() for sample in metric.samples
    } | {metric.name for metric in Metrics().registry.collect()}

    assert watched
    assert watched <= known


def test_somebody_sets_what_an_alert_watches() -> None:
    """A gauge that nobody sets stays 0, and its alert speaks for ever, or never."""
    metrics, sources = Metrics(), [file.read_text() for file in NODE.rglob("*.py")]
    names = {f"openledger_{n}" for n in re.findall(r"openledger_(\w+)", RULES.read_text())}
    attributes = {
        attribute
        for attribute, metric in vars(metrics).items()
        if isinstance(metric, Gauge) and metric.describe()[0].name in names
    }

    assert len(attributes) > 5
    for attribute in attributes:
        used = [s for s in sources if re.search(rf"metrics\.{attribute}\b|self\.{attribute}\.", s)]
        assert used, attribute
