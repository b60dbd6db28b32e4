"""The rollup's engine beside anvil: `python benchmarks/rollup [--blocks N] [--transactions N]`.

Both get the same transactions over JSON-RPC, put them into the same blocks with the same L1
attributes, and must end in the same state. Then the blocks go through a channel to a second engine,
which must derive the same hashes. Anvil comes from npm: `npm ci --prefix tests/npm`.

CPU time is that of the server's process alone; the client, which signs and asks, is not counted.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from chain import Plan, Sequencer, genesis_files
from derivation import derive, pipeline_alone
from peers import ANVIL, Anvil, Engine, Peer, same_state
from workload import WORKLOADS, Wallets


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = Plan(arguments.blocks, arguments.transactions)
        rows = measure(folder, plan)
    print(json.dumps(rows, indent=1) if arguments.json else table(rows))
    return 0


def measure(folder: Path, plan: Plan) -> dict[str, Any]:
    wallets = Wallets()
    genesis_files(folder, wallets)
    rows: dict[str, Any] = {}
    with Engine(folder, "engine") as ours:
        sequencer = Sequencer(ours, folder)
        peers: list[tuple[str, Peer]] = [("engine", ours)]
        if ANVIL.exists():
            peers.append(("anvil", Anvil(folder, ours)))
        else:
            print("anvil is not installed: npm ci --prefix tests/npm", file=sys.stderr)
        try:
            for name in WORKLOADS:
                rows |= run(name, plan, wallets, sequencer, peers)
            if len(peers) > 1:
                rows["state"] = {"equal": same_state(ours, peers[1][1])}
        finally:
            for _, peer in peers[1:]:
                peer.close()
        rows["state"] = rows.get("state", {}) | {
            "transactions": sequencer.transactions,
            "bytes per transaction on disk": round(ours.disk() / sequencer.transactions),
        }
        rows["derivation alone"] = pipeline_alone(sequencer)
        with Engine(folder, "follower") as follower:
            rows["derivation with execution"] = derive(sequencer, follower)
    return rows


def run(
    name: str,
    plan: Plan,
    wallets: Wallets,
    sequencer: Sequencer,
    peers: list[tuple[str, Peer]],
) -> dict[str, Any]:
    """The same blocks on each peer in turn, so that both see the same load of the machine."""
    spent: dict[str, dict[str, list[float]]] = {
        peer: {"submit": [], "build": [], "import": []} for peer, _ in peers
    }
    before = {peer: each.cpu() for peer, each in peers}
    included = dict.fromkeys(spent, 0)
    for _ in range(plan.blocks):
        raws = [wallets.sign(name) for _ in range(plan.transactions)]
        attributes = sequencer.attributes()
        for peer, each in peers:
            seconds, count = each.block(raws, attributes)
            included[peer] += count
            for part, value in zip(("submit", "build", "import"), seconds, strict=True):
                spent[peer][part].append(value)
        sequencer.follow()
    rows = {}
    for peer, each in peers:
        parts, cpu = spent[peer], each.cpu() - before[peer]
        wall = sum(map(sum, parts.values()))
        rows[f"{name}, {peer}"] = {
            "tx/s": round(included[peer] / wall),
            "tx/s without submission": round(included[peer] / (wall - sum(parts["submit"]))),
            "tx per CPU-s": round(included[peer] / cpu),
            "build ms p50": round(statistics.median(parts["build"]) * 1000),
            "build ms max": round(max(parts["build"]) * 1000),
            "import ms p50": round(statistics.median(parts["import"]) * 1000),
            "MiB resident": round(each.resident() / 2**20),
        }
    return rows


def table(rows: dict[str, Any]) -> str:
    lines = []
    for name, values in rows.items():
        lines.append(name)
        lines += [f"  {key:32}{value!s:>12}" for key, value in values.items()]
    ours, anvil = (f"{next(iter(WORKLOADS))}, {peer}" for peer in ("engine", "anvil"))
    if anvil in rows:
        share = rows[ours]["tx/s"] / rows[anvil]["tx/s"]
        lines.append(f"share of anvil's {next(iter(WORKLOADS))} per second: {share:.2f}")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The rollup's engine beside anvil.")
    parser.add_argument("--blocks", type=int, default=10, help="blocks of each workload")
    parser.add_argument("--transactions", type=int, default=100, help="transactions of each block")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
