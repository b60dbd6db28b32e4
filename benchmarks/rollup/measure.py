"""Rounds: in each, every server in turn gets the same blocks of every workload."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.rollup.chain import Sequencer
from benchmarks.rollup.peers import Block, Peer
from benchmarks.rollup.workload import Wallets

AIM = 1 / 3  # of anvil's transactions per second, end to end


@dataclass(frozen=True, slots=True)
class Sample:
    """What one server did in one round of one workload; `cpu` in seconds of its process."""

    blocks: tuple[Block, ...]
    cpu: float

    @property
    def transactions(self) -> int:
        return sum(block.transactions for block in self.blocks)


Metric = Callable[[Sample], float]
Samples = dict[str, dict[str, list[Sample]]]  # by workload, then by server


def end_to_end(sample: Sample) -> float:
    """Transactions per second of submitting, building and having the block."""
    return sample.transactions / sum(block.seconds for block in sample.blocks)


def built(sample: Sample) -> float:
    """Transactions per second of building the block from the pool and having it."""
    return sample.transactions / sum(block.build + block.settle for block in sample.blocks)


def per_cpu(sample: Sample) -> float:
    """Transactions per second of the server's CPU."""
    return sample.transactions / sample.cpu


METRICS: dict[str, tuple[Metric, float | None]] = {
    "transactions/s end to end": (end_to_end, AIM),
    "transactions/s of building": (built, None),
    "transactions/CPU-s of the server": (per_cpu, None),
}


def measure(
    plan: Sequence[tuple[str, int]],
    blocks: int,
    rounds: int,
    wallets: Wallets,
    sequencer: Sequencer,
    servers: dict[str, Peer],
) -> Samples:
    """`plan`: workloads with their transactions per block. The first round warms up both, and is
    thrown away."""
    samples: Samples = {name: {server: [] for server in servers} for name, _ in plan}
    for number in range(rounds + 1):
        for name, size in plan:
            found = _round(name, size, blocks, wallets, sequencer, servers)
            for server, sample in found.items():
                if number:
                    samples[name][server].append(sample)
    return samples


def _round(
    name: str,
    size: int,
    blocks: int,
    wallets: Wallets,
    sequencer: Sequencer,
    servers: dict[str, Peer],
) -> dict[str, Sample]:
    done: dict[str, list[Block]] = {server: [] for server in servers}
    cpu = dict.fromkeys(servers, 0.0)
    for _ in range(blocks):
        raws = wallets.block(name, size)
        attributes = sequencer.attributes()
        for server, peer in servers.items():
            before = peer.cpu()
            block = peer.block(raws, attributes)
            cpu[server] += peer.cpu() - before
            if block.transactions != size:
                raise RuntimeError(f"{server} put {block.transactions} of {size} into a block")
            done[server].append(block)
        sequencer.follow()
    return {server: Sample(tuple(done[server]), cpu[server]) for server in servers}


def ratios(samples: Samples, ours: str, rival: str) -> list[dict[str, Any]]:
    """Medians over the rounds; the ratio is ours to the rival's, more is better for us. `spread` is
    how far the largest ratio of a round is from the smallest."""
    found = []
    for name, by_server in samples.items():
        for what, (metric, aim) in METRICS.items():
            left, right = ([metric(s) for s in by_server[server]] for server in (ours, rival))
            each = [one / two for one, two in zip(left, right, strict=True)]
            ratio = statistics.median(each)
            found.append(
                {
                    "name": f"{name}: {what}",
                    "ours": round(statistics.median(left), 1),
                    "rival": round(statistics.median(right), 1),
                    "ratio": round(ratio, 3),
                    "spread": round(max(each) - min(each), 3),
                    "aim": None if aim is None else round(aim, 3),
                    "holds": None if aim is None else ratio >= aim,
                }
            )
    return found


def build_times(samples: Samples) -> list[dict[str, Any]]:
    """Milliseconds from asking for a block until it can be read."""
    found = []
    for name, by_server in samples.items():
        for server, each in by_server.items():
            times = sorted(block.build * 1000 for sample in each for block in sample.blocks)
            for what, value in (("median", statistics.median(times)), ("most", times[-1])):
                title = f"{name}: time to build a block, {what}, {server}"
                found.append({"name": title, "value": round(value, 1), "unit": "ms"})
            gas = sum(block.gas for sample in each for block in sample.blocks)
            seconds = sum(block.build for sample in each for block in sample.blocks)
            title = f"{name}: gas per second of building, {server}"
            found.append({"name": title, "value": round(gas / seconds / 1e6, 2), "unit": "Mgas/s"})
    return found
