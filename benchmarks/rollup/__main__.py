"""`python -m benchmarks.rollup [--json] [--rounds N] [--blocks N] [--transactions N]`.

Our engine and anvil get the same signed transactions over JSON-RPC from the same client, put them
into the same blocks after the same L1 attributes, and must end with the same accounts. Then the
blocks go through a channel to a second engine of ours, which derives them and must come to the same
hashes: so every state root was computed twice, by processes that share nothing.

CPU time is that of the server's process; the client, which signs and asks, is in the wall time of
both alike. Signing is in neither. Anvil comes from npm: `npm ci --prefix tests/npm`.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rollup.chain import Sequencer, genesis_files
from benchmarks.rollup.derivation import derive, pipeline_alone
from benchmarks.rollup.measure import build_times, measure, ratios
from benchmarks.rollup.peers import ANVIL, Anvil, Engine, same_state
from benchmarks.rollup.workload import WORKLOADS, Wallets

OURS, RIVAL = "ours", "anvil"
NOTES = (
    "ours has every block and state on disk, synced, before it answers; anvil keeps all in memory",
    "anvil is compiled and runs on several threads; CPU seconds are of all its threads",
    "anvil's state root is wrong after a creation that reverts (it keeps an account that EIP-161 "
    "removes): no workload has one",
)


def main() -> int:
    arguments = _arguments()
    if not ANVIL.exists():
        print("anvil is not installed: npm ci --prefix tests/npm", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        report = run(Path(name), arguments.rounds, arguments.blocks, arguments.transactions)
    print(json.dumps(report, indent=1) if arguments.json else table(report))
    return 0


def run(folder: Path, rounds: int, blocks: int, transactions: int) -> dict[str, Any]:
    wallets = Wallets()
    genesis_files(folder, wallets)
    with Engine(folder, OURS) as ours, Anvil(folder, ours) as anvil:
        sequencer = Sequencer(ours)
        disk = ours.disk()
        memory = {OURS: ours.resident(), RIVAL: anvil.resident()}
        plan = [(name, max(1, transactions // work.weight)) for name, work in WORKLOADS.items()]
        samples = measure(plan, blocks, rounds, wallets, sequencer, {OURS: ours, RIVAL: anvil})
        if not same_state(ours, anvil):
            raise RuntimeError("the two do not end with the same accounts")
        grown = [("growth on disk", OURS, ours.disk() - disk)]
        grown += [
            ("growth of memory", server, peer.resident() - memory[server])
            for server, peer in ((OURS, ours), (RIVAL, anvil))
        ]
    growth = [
        {
            "name": f"{what} per transaction, {server}",
            "value": round(size / sequencer.transactions),
            "unit": "bytes",
        }
        for what, server, size in grown
    ]
    figures = [*build_times(samples), *growth, *pipeline_alone(sequencer)]
    with Engine(folder, "follower") as follower:
        figures += derive(sequencer, follower)
    return {"ratios": ratios(samples, OURS, RIVAL), "figures": figures, "notes": list(NOTES)}


def table(report: dict[str, Any]) -> str:
    head = ("", "ours", "anvil", "ratio", "spread", "aim", "holds")
    rows = [head, *(tuple(map(_cell, each.values())) for each in report["ratios"])]
    width = max(len(row[0]) for row in rows)
    lines = ["".join([row[0].ljust(width), *(cell.rjust(10) for cell in row[1:])]) for row in rows]
    lines += [
        "",
        *(f"{each['name']}: {each['value']} {each['unit']}" for each in report["figures"]),
    ]
    lines += ["", *(f"Note: {note}." for note in report["notes"])]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollup", description=__doc__)
    parser.add_argument("--rounds", type=_count, default=5, help="rounds, each on both in turn")
    parser.add_argument("--blocks", type=_count, default=2, help="blocks per workload and round")
    parser.add_argument("--transactions", type=_count, default=200, help="of a block of transfers")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("wants a number from 1 on")
    return value


if __name__ == "__main__":
    sys.exit(main())
