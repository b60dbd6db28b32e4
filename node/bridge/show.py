"""What a waiting person sees: a bar on a terminal, a line per change elsewhere; data on stdout."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from node.bridge.amounts import shown


class Progress(Protocol):
    """Shows on stderr what is waited for, so that stdout is for the result."""

    def tell(self, what: str, step: int = 0, total: int = 0, note: str = "") -> None: ...

    def trouble(self, text: str) -> None:
        """Something that stands against, and may pass."""


@contextmanager
def progress() -> Iterator[Progress]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Rich

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Rich(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bars:
        yield _Bar(bars, bars.add_task("", total=None, note=""))


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


class _Bar:
    def __init__(self, bars: Any, task: Any) -> None:
        self._bars, self._task = bars, task
        self._what, self._base = "", 0  # what is waited for, and where its bar began

    def tell(self, what: str, step: int = 0, total: int = 0, note: str = "") -> None:
        if what != self._what:
            self._what, self._base = what, step
        done, span = step - self._base, max(total - self._base, 0) or None
        self._bars.update(self._task, description=what, completed=done, total=span, note=note)

    def trouble(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)


class _Lines:
    def __init__(self) -> None:
        self._what = ""

    def tell(self, what: str, step: int = 0, total: int = 0, note: str = "") -> None:
        if what != self._what:
            self._what = what
            self.trouble(f"{what}{f' ({note})' if note else ''}")

    def trouble(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
