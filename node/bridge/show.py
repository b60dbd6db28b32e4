"""What a waiting person sees: a bar on a terminal, a line per change elsewhere; data on stdout."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from node.bridge.amounts import shown
from node.bridge.steps import Tell


@contextmanager
def progress() -> Iterator[Tell]:
    """On stderr, so that stdout is for the result."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        task = bars.add_task("", total=None, note="")
        start = _Start()

        def tell(what: str, step: int = 0, total: int = 0, note: str = "") -> None:
            base = start.of(what, step)
            span = max(total - base, 0) or None
            bars.update(task, description=what, completed=step - base, total=span, note=note)

        yield tell


def data(value: Any) -> None:
    """One line of JSON on stdout."""
    json.dump(value, sys.stdout)
    sys.stdout.write("\n")
    sys.stdout.flush()


def lines(rows: Sequence[Mapping[str, Any]], now: float) -> list[str]:
    """Reports of crossings for people."""
    return [_line(row, now) for row in rows]


def _line(row: Mapping[str, Any], now: float) -> str:
    kind = row["kind"]
    parts = [f"{kind} of {shown(int(row['amount']))} OPEN for {row['to']}: {row['stage']}"]
    at = row.get("next_step_at")
    if at is not None:
        moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        left = f", in {at - now:.0f} s" if at > now else ""
        parts.append(f"next step from {moment} on{left}")
    parts += [f"{name} {row[name]}" for name in ("l1_transaction", "l2_transaction") if row[name]]
    if row.get("withdrawal"):
        parts.append(f"withdrawal {row['withdrawal']}")
    return "\n  ".join(parts)


class _Start:
    """Where the bar of one wait began."""

    def __init__(self) -> None:
        self._what, self._base = "", 0

    def of(self, what: str, step: int) -> int:
        if what != self._what:
            self._what, self._base = what, step
        return self._base


class _Lines:
    def __init__(self) -> None:
        self._what = ""

    def __call__(self, what: str, step: int = 0, total: int = 0, note: str = "") -> None:
        if what != self._what:
            self._what = what
            print(f"{what}{f' ({note})' if note else ''}", file=sys.stderr, flush=True)
