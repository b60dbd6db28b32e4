"""`python -m benchmarks.attribution [spans|influence] [--json] [--rounds N] [--megabytes N] ...`.

Spans beside infini-gram, influence beside DataInf, EKFAC, bergson and TRAK. The rivals live in an
environment of their own, made on first use (`benchmarks/rivals.py`).
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import rivals

PARTS = ("spans", "influence")


def main() -> int:
    arguments = _arguments()
    report: dict[str, list[Any]] = {"ratios": [], "figures": [], "notes": []}
    try:
        for part in arguments.parts or PARTS:
            for name, rows in zip(report, _run(part, arguments), strict=True):
                report[name] += rows
    except rivals.RivalsMissing as missing:
        print(missing, file=sys.stderr)
        return 1
    print(json.dumps(report, indent=1) if arguments.json else table(report))
    return 0


def _run(part: str, arguments: argparse.Namespace) -> tuple[list[Any], list[Any], list[str]]:
    rival = rivals.python()
    if part == "spans":
        from benchmarks.attribution import spans

        with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
            return spans.run(Path(name), arguments.rounds, arguments.megabytes, rival, _tell)
    from benchmarks.attribution import influence

    folder = arguments.cache or rivals.FOLDER / "influence"
    ratios, figures, notes = influence.run(
        folder,
        quick=arguments.quick,
        datainf=arguments.datainf,
        rivals_python=rival,
        progress=_tell,
    )
    return ratios, figures, notes


def _tell(doing: str) -> None:
    print(doing, file=sys.stderr, flush=True)


def table(report: dict[str, list[Any]]) -> str:
    head = ("", "ours", "rival", "ratio", "spread", "aim", "holds")
    rows = [head, *(tuple(map(_cell, each.values())) for each in report["ratios"])]
    width = max(len(row[0]) for row in rows)
    lines = ["".join([row[0].ljust(width), *(cell.rjust(11) for cell in row[1:])]) for row in rows]
    lines += ["", *(f"{row['name']}: {row['value']} {row['unit']}" for row in report["figures"])]
    return "\n".join([*lines, "", *(f"Note: {note}." for note in report["notes"])])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attribution", description=__doc__)
    parser.add_argument("parts", nargs="*", help="spans, influence; without: both")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=3, help="of spans, each on both in turn")
    parser.add_argument("--megabytes", type=float, default=100, help="of text for spans")
    parser.add_argument("--scratch", type=Path, help="folder for files of gigabytes")
    parser.add_argument("--quick", action="store_true", help="influence on tiny tasks")
    parser.add_argument("--cache", type=Path, help="folder that keeps trained models")
    parser.add_argument("--datainf", type=Path, help="folder of DataInf's published code")
    arguments = parser.parse_args()
    if wrong := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(wrong))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
