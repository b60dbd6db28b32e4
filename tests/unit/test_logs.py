"""Logs are lines of JSON under a service, from us and from libraries alike, and hold no secret."""

import json
import subprocess
import sys
from pathlib import Path

import node

SAY = """
import logging, warnings, structlog
from node.logs import configure
configure({level!r}, {form!r})
structlog.get_logger("ours").info("served", password="hunter2", size=3, body=b"\\x01\\x02")
logging.getLogger("theirs").warning("slow %s", "disk", extra={{"peer": "x"}})
logging.getLogger("hypercorn.error").info("chatter")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("theirs").exception("broke")
"""


def say(level: str, form: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", SAY.format(level=level, form=form)],
        capture_output=True,
        text=True,
        cwd=Path(node.__file__).parents[1],
        check=True,
    )
    assert ended.stdout == ""
    return ended.stderr.splitlines()


def test_without_a_terminal_all_is_json() -> None:
    ours, theirs, broke = map(json.loads, say("info", "auto"))

    assert (ours["event"], ours["password"], ours["size"]) == ("served", "***", 3)
    assert ours["body"] == "0x0102"
    assert (theirs["event"], theirs["peer"], theirs["level"]) == ("slow disk", "x", "warning")
    assert broke["exception"][0]["exc_type"] == "ZeroDivisionError"


def test_the_level_is_kept_and_the_console_is_for_people() -> None:
    assert len(say("error", "json")) == 1
    assert any("served" in line and "hunter2" not in line for line in say("info", "console"))
