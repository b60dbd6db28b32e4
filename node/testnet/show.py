"""How the story looks on a terminal; with `--json` only its data is printed, at the end."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from protocol.parameters import OPEN

COLOURS = ("green", "cyan", "magenta", "yellow", "blue", "red", "bright_green", "bright_cyan")
WORDS_SHOWN_MAX = 48
REASONS_SHOWN_MAX = 3


class Bar(Protocol):
    def __call__(self, step: int, total: int, note: str = "") -> None: ...


class Show:
    """Prints to stderr when stdout is for data."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=as_json, highlight=False)

    def chapter(self, title: str) -> None:
        self.console.print()
        self.console.rule(f"[bold]{title}", align="left")

    def say(self, text: str) -> None:
        self.console.print(text)

    def trouble(self, text: str) -> None:
        self.console.print(f"[yellow]refused:[/] {text}")

    @contextmanager
    def bar(self, title: str) -> Iterator[Bar]:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
        with Progress(*columns, TimeElapsedColumn(), console=self.console) as progress:
            task = progress.add_task(title, total=None, note="")

            def move(step: int, total: int, note: str = "") -> None:
                progress.update(task, completed=step, total=total, note=note)

            yield move

    def nodes(self, rows: Sequence[tuple[str, str, str, str]]) -> None:
        table = Table("node", "role", "operator", "HTTP", title=None)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def chains(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Which L2 blocks each deriving node has."""
        table = Table("node", "unsafe", "safe", "finalized", title="L2 as derived from L1")
        for row in rows:
            table.add_row(row["node"], *(str(row[tag]) for tag in ("latest", "safe", "finalized")))
        self.console.print(table)
        self.say(f"one block {rows[0]['common']} on all of them: {rows[0]['hash']}")

    def answer(self, question: str, shown: Mapping[str, Any], names: Mapping[int, str]) -> None:
        """The text with the words of each contributor in his colour."""
        data = str(shown["text"]).encode()
        text, at = Text(), len(data) - len(data.lstrip())
        for start, end, who, echo in _pieces(shown):
            start = max(start, at)
            text.append(data[at:start].decode(errors="replace"))
            style = "dim underline" if echo else f"bold {COLOURS[who % len(COLOURS)]}"
            text.append(data[start:end].decode(errors="replace"), style=style)
            at = end
        text.append(data[at:].decode(errors="replace"))
        legend = Text("sources: ")
        for who in _holders(shown):
            legend.append(f"{names.get(who, who)} ", style=f"bold {COLOURS[who % len(COLOURS)]}")
        if any(echo for *_, echo in _pieces(shown)):
            legend.append("quoted by the asker, unpaid", style="dim underline")
        title = question.strip().splitlines()[-1].lstrip("# ")
        self.console.print(Panel(text, title=title, subtitle=legend, title_align="left"))

    def lie(self, row: Mapping[str, Any]) -> None:
        self.console.print(
            f"  batch {row['batch']}: the liar told [bold]{row['kind']}[/]; refuted in "
            f"{row['challenge'][:12]}…, {row['gas']:,} gas, {open_(row['slashed'])} OPEN slashed"
        )

    def batches(self, rows: Sequence[tuple[int, int, int, int, int, str]]) -> None:
        """The chain of batches: number, answers, claims, influences, wei, status."""
        table = Table("batch", "answers", "spans", "influences", "OPEN", "status")
        for number, answers, claims, influences, total, status in rows:
            counts = (number, answers, claims, influences)
            table.add_row(*map(str, counts), open_(total), status)
        self.console.print(table)

    def paid(self, rows: Sequence[Mapping[str, Any]]) -> None:
        table = Table("paid to", "OPEN", "wei", "why", show_lines=True)
        for row in rows:
            amount = int(row["amount"])
            reasons = sorted(row["reasons"], key=lambda reason: -int(reason["amount"]))
            lines = [_reason(reason) for reason in reasons[:REASONS_SHOWN_MAX]]
            if len(reasons) > REASONS_SHOWN_MAX:
                lines.append(f"and {len(reasons) - REASONS_SHOWN_MAX} more payments")
            table.add_row(row["name"], open_(amount), str(amount), "\n".join(lines))
        self.console.print(table)

    def sums(self, sums: Mapping[str, Any]) -> None:
        table = Table("money of the story", "wei", title=None)
        table.add_row("in: fees of answers", sums["in_fees"])
        table.add_row("in: bonds of liars", sums["in_slashed"], end_section=True)
        for name, value in sums["out_to"].items():
            table.add_row(f"out: {name}", value)
        table.add_row("burned", sums["burned"], end_section=True)
        verdict = "equal, to the wei" if sums["equal"] else "DOES NOT ADD UP"
        table.add_row(f"in = out + burned: {verdict}", sums["in"])
        self.console.print(table)

    def data(self, value: Mapping[str, Any]) -> None:
        if self.as_json:
            json.dump(value, sys.stdout)
            sys.stdout.write("\n")
            sys.stdout.flush()


def _pieces(shown: Mapping[str, Any]) -> list[tuple[int, int, int, bool]]:
    """(start, end, first contributor, echo) of what each span owns, in order."""
    rows = (
        (*span["own"], span["who"][0]["contributor"], span["echo"])
        for span in shown["spans"]
        if span["own"][1] > span["own"][0]
    )
    return sorted(rows)


def _holders(shown: Mapping[str, Any]) -> list[int]:
    """Everybody who is paid for some of the answer."""
    paid = [span for span in shown["spans"] if span["own"][1] > span["own"][0] and not span["echo"]]
    return sorted({span["who"][0]["contributor"] for span in paid})


def _reason(reason: Mapping[str, Any]) -> str:
    amount = open_(int(reason["amount"]))
    if "example" in reason:
        return f"{amount}: influence of example {reason['example']} on an answer"
    if reason["words"] is None:
        return f"{amount}: what no source earned in an answer"
    words = " ".join(str(reason["words"]).split())
    if len(words) > WORDS_SHOWN_MAX:
        words = words[: WORDS_SHOWN_MAX - 1] + "…"
    later = f", held later by {reason['holders'] - 1} more" if reason["holders"] > 1 else ""
    return f"{amount}: {reason['bytes']} bytes of “{words}”{later}"


def open_(wei: int | str) -> str:
    """Wei as OPEN, exactly."""
    whole, rest = divmod(int(wei), OPEN)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".")
