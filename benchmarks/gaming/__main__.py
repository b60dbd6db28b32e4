"""`python -m benchmarks.gaming [--json] [--seeds N] [--cache FOLDER]`.

Every attack runs on the code that pays, several times with other texts. A ratio is what the
attacker earned beside what honesty earned; the aim is the bound that docs/gaming.md states.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.gaming import attacks_features, attacks_spans, economics, race
from benchmarks.gaming.outcome import Outcome

Run = Callable[[int], Sequence[Outcome]]


def spans(seed: int) -> list[Outcome]:
    scene = attacks_spans.Scene.of(seed)
    return [attack(scene) for attack in attacks_spans.ATTACKS]


def features(seed: int) -> list[Outcome]:
    return [attack(attacks_features.Field(seed)) for attack in attacks_features.ATTACKS]


SUITES: dict[str, Run] = {
    "spans": spans,
    "influence": features,
    "races": race.races,
    "circles": lambda seed: economics.circles(),
}


def ratios(outcomes: Sequence[Sequence[Outcome]], suite: str) -> list[dict[str, Any]]:
    """One row for each attack, over the runs of all seeds."""
    rows = []
    for runs in zip(*outcomes, strict=True):
        found = [run.ratio for run in runs]
        rows.append(
            {
                "name": f"{suite}: {runs[0].name}",
                "ours": statistics.median(run.attacked for run in runs),
                "rival": statistics.median(run.honest for run in runs),
                "ratio": round(statistics.median(found), 4),
                "spread": round(max(found) - min(found), 4),
                "aim": runs[0].most,
                "holds": all(run.holds for run in runs),
                "note": runs[0].note,
            }
        )
    return rows


def report(seeds: int) -> dict[str, Any]:
    rows = []
    for name, run in SUITES.items():
        rows += ratios([run(seed) for seed in range(1, seeds + 1)], name)
    return {"ratios": rows, "notes": ["ours: earned with the attack; rival: earned honestly"]}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gaming", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--seeds", type=int, default=3, help="worlds that each attack runs in")
    arguments = parser.parse_args()
    found = report(max(1, arguments.seeds))
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        for row in found["ratios"]:
            holds = "holds" if row["holds"] else "BROKEN"
            print(
                f"{row['name']:75s} {row['ratio']:8.3f} most {row['aim']:<6} {holds}  {row['note']}"
            )
    return 0 if all(row["holds"] for row in found["ratios"]) else 1


if __name__ == "__main__":
    sys.exit(main())
