"""Our spans beside infini-gram: the same units of the same text, in processes of their own."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from attribution.index import Index, frozen
from benchmarks.attribution import infini
from benchmarks.attribution.spans_worker import WIDTHS, admits, units
from benchmarks.attribution.text import SEPARATOR, Tokenizer, corpus

Array = npt.NDArray[Any]
HERE = Path(__file__).parent
BUILD_AIM, PLAIN_AIM, COMPILED_AIM, MEMORY_AIM = 0.35, 1 / 15, 1 / 60, 0.8
SNIPPETS, POSITIONS = 200, 256  # 51,200 positions are compared
QUOTED = 4  # every so many snippets stand in the corpus word for word
MEMORY_GIB = 16  # what infini-gram may use: enough for one part, its fastest way
NOTES = (
    "the same units for both: u16 tokens, or u8 bytes; ours is told by its starts which bytes begin"
    " a unit. The node itself indexes the word starts of bytes alone, a fifth of the positions",
    "infini-gram builds with one process and memory for one part, queries from its own map without"
    " prefetching threads: what took it the fewest CPU seconds",
    "plain is numpy, compiled is numba; what both say to a query is compared with infini-gram's"
    " answer at every position, and must be the same",
    "memory is the most that any process of the build had resident; it holds maps of files, too",
    "the load of numba's compiled code (about a second, once a process) is in no query's time",
)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process and its children took."""

    cpu: float  # seconds
    said: str

    @property
    def memory(self) -> int:
        """Bytes resident at most, of one of them."""
        return int(json.loads(self.said)["memory"]) * 1024


def spent(command: Sequence[str | Path]) -> Spent:
    words = list(map(str, command))
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command} ended with {child.returncode}")
    return Spent(usage.ru_utime + usage.ru_stime, said)


@dataclass(frozen=True)
class Trial:
    """One unit of one text, with what both need to work on it."""

    folder: Path
    unit: str
    rival: Path  # the interpreter that has infini-gram

    @property
    def source(self) -> Path:
        return self.folder / "tokenized.0"

    @property
    def target(self) -> Path:
        return self.folder / "ours.index"

    @property
    def asked(self) -> Path:
        return self.folder / "asked.npy"

    def ours(self, *arguments: str | Path) -> Spent:
        return spent([sys.executable, "-m", "benchmarks.attribution.spans_worker", *arguments])

    def theirs(self, *arguments: str | Path) -> Spent:
        return spent([self.rival, HERE / "infini.py", *arguments])

    def build_ours(self, unit: str = "") -> Spent:
        return self.ours("build", self.source, self.target, unit or self.unit)

    def build_theirs(self) -> Spent:
        (self.folder / "table.0").unlink(missing_ok=True)
        return self.theirs("build", self.folder, self.unit, str(MEMORY_GIB))

    def query_ours(self, way: str) -> float:
        answer = self.folder / f"{way}.npy"
        done = self.ours("query", self.target, self.unit, self.asked, answer, way)
        return float(json.loads(done.said)["seconds"])

    def query_theirs(self) -> float:
        done = self.theirs("query", self.folder, self.unit, self.asked, self.folder / "rival.npy")
        return float(json.loads(done.said)["seconds"])

    def compared(self, way: str) -> int:
        """Positions at which both answer; raises when one differs."""
        one, other = (np.load(self.folder / f"{who}.npy") for who in (way, "rival"))
        if not np.array_equal(one, other):
            at = np.argwhere(one != other)
            raise RuntimeError(f"{self.unit}: {way} differs at {len(at)} places, first {at[0]}")
        return int(one.size)


def prepare(trial: Trial, data: Array, held_out: Array, seed: int) -> None:
    """Writes the corpus as infini-gram has it, and the snippets: most of them from other text."""
    trial.folder.mkdir()
    data.tofile(trial.source)
    starts = np.flatnonzero(data == (SEPARATOR if trial.unit == "u16" else 255))
    (starts.astype(np.uint64) * np.uint64(data.itemsize)).tofile(trial.folder / "offset.0")
    draw, rows = np.random.default_rng(seed), []
    for number in range(SNIPPETS):
        source = data if number % QUOTED == 0 else held_out
        at = int(draw.integers(0, len(source) - POSITIONS))
        row = source[at : at + POSITIONS].copy()
        row[row >= (SEPARATOR if trial.unit == "u16" else 255)] = 300 % (256 * data.itemsize)
        if number % QUOTED == 0:
            row[draw.integers(0, POSITIONS, 4)] = row[0]
        rows.append(row)
    np.save(trial.asked, np.array(rows))


def measured(trial: Trial, rounds: int, tell: Callable[[str], None]) -> dict[str, list[float]]:
    """Samples by name; in each round both in turn."""
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        tell(f"{trial.unit}: round {number + 1} of {rounds}")
        ours, theirs = trial.build_ours(), trial.build_theirs()
        samples = {
            "build ours": ours.cpu,
            "build rival": theirs.cpu,
            "memory ours": ours.memory / 1e6,
            "memory rival": theirs.memory / 1e6,
            "query rival": trial.query_theirs(),
            "plain": trial.query_ours("plain"),
            "compiled": trial.query_ours("compiled"),
        }
        for name, value in samples.items():
            found.setdefault(name, []).append(value)
        for way in ("plain", "compiled"):
            trial.compared(way)
    return found


def ratio(
    name: str, ours: list[float], rival: list[float], aim: float, unit: str
) -> dict[str, Any]:
    """Medians over the rounds; less is better for us."""
    each = [one / other for one, other in zip(ours, rival, strict=True)]
    middle = statistics.median(each)
    return {
        "name": f"{name}, {unit}",
        "ours": round(statistics.median(ours), 4),
        "rival": round(statistics.median(rival), 4),
        "ratio": round(middle, 4),
        "spread": round(max(each) - min(each), 4),
        "aim": round(aim, 4),
        "holds": middle <= aim,
    }


def ratios(title: str, samples: dict[str, list[float]]) -> list[dict[str, Any]]:
    scale = 1e3 / SNIPPETS
    rival = [seconds * scale for seconds in samples["query rival"]]
    rows = [
        ("build", samples["build ours"], samples["build rival"], BUILD_AIM, "CPU s"),
        ("memory of the build", samples["memory ours"], samples["memory rival"], MEMORY_AIM, "MB"),
    ]
    for way, aim in (("plain", PLAIN_AIM), ("compiled", COMPILED_AIM)):
        mine = [seconds * scale for seconds in samples[way]]
        rows.append((f"longest match at {POSITIONS} positions, {way}", mine, rival, aim, "CPU ms"))
    return [ratio(f"{title}: {name}", *rest) for name, *rest in rows]


def edges(folder: Path, rival: Path) -> list[dict[str, Any]]:
    """The two cases that infini-gram gets wrong, by what is right."""
    draw = np.random.default_rng(0)
    plain = draw.integers(300, 600, 200_000).astype(np.uint16)
    plain[0] = SEPARATOR
    repeated = np.tile(np.append(SEPARATOR, draw.integers(300, 600, 60_000)), 2).astype(np.uint16)
    found = []
    for name, data in (("smallest", plain), ("repeats", repeated)):
        trial = Trial(folder / name, "u16", rival)
        prepare(trial, data, data, 1)
        spent([rival, HERE / "infini.py", "build", trial.folder, "u16", "1", "2"])
        index = Index.build(units(data.view(np.uint8), "u16"), admits("u16"))
        theirs = infini.table(trial.folder, 2)
        if name == "smallest":
            least = data[int(theirs[0]) :][:3].tolist()
            asked = [*least[:2], 256]  # its low byte is 0: before every suffix in their order
            said = json.loads(trial.theirs("edge", trial.folder, "u16", json.dumps(asked)).said)
            ours = index.longest(np.array(asked, ">u2").tobytes()) // 2
            right = 2
            found += [
                ("query before every suffix, longest match of 2 tokens: ours", ours, "tokens"),
                ("query before every suffix, longest match of 2 tokens: rival", said[0], "tokens"),
            ]
            if ours != right:
                raise RuntimeError("ours is wrong about a query before every suffix")
            continue
        little = Index.build(frozen(data.view(np.uint8)), admits("u16")).order // 2
        wrong = misplaced(data, little)
        if wrong or sorted(little.tolist()) != list(range(len(data))):
            raise RuntimeError("ours is wrong about long repeats")
        found += [
            ("repeats of 120 kB, positions out of order: ours", wrong, "positions"),
            (
                "repeats of 120 kB, positions out of order: rival",
                int((theirs != little).sum()),
                "positions",
            ),
        ]
    return [{"name": name, "value": value, "unit": unit} for name, value, unit in found]


def misplaced(data: Array, order: Array) -> int:
    """Neighbours of an order whose suffixes are not increasing, by comparing them whole."""
    raw = data.tobytes()
    view = memoryview(raw)
    wrong = 0
    for one, other in zip(order[:-1].tolist(), order[1:].tolist(), strict=True):
        if bytes(view[2 * one : 2 * one + 64]) < bytes(view[2 * other : 2 * other + 64]):
            continue
        wrong += bytes(view[2 * one :]) > bytes(view[2 * other :])
    return wrong


def run(
    folder: Path, rounds: int, megabytes: float, rival: Path, tell: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Ratios, figures, notes."""
    size = round(megabytes * 1e6)
    texts, other = corpus(size, max(size // 50, 1 << 17))
    tokenizer = Tokenizer()
    tokens, held_out = tokenizer.joined(texts), tokenizer.joined(other)
    raw, raw_other = (
        np.frombuffer(b"\xff" + b"\xff".join(each), np.uint8) for each in (texts, other)
    )
    shown, figures = (
        [],
        [
            {"name": "text", "value": round(sum(map(len, texts)) / 1e6, 1), "unit": "MB"},
            {"name": "documents", "value": len(texts), "unit": "documents"},
            {"name": "tokens", "value": len(tokens), "unit": "tokens"},
        ],
    )
    for unit, data, rest in (("u16", tokens, held_out), ("u8", raw, raw_other)):
        trial = Trial(folder / unit, unit, rival)
        prepare(trial, data, rest, 7)
        samples = measured(trial, rounds, tell)
        shown += ratios({"u16": "tokens", "u8": "bytes"}[unit], samples)
        same = trial.compared("plain") + trial.compared("compiled")
        figures.append({"name": f"{unit}: equal positions", "value": same, "unit": "positions"})
        if WIDTHS[unit] == 1:
            alone = trial.build_ours("words")
            figures += [
                {"name": "word starts, build", "value": round(alone.cpu, 2), "unit": "CPU s"},
                {"name": "word starts, memory", "value": round(alone.memory / 1e6), "unit": "MB"},
                {
                    "name": "word starts, file beside the text",
                    "value": round((trial.target.stat().st_size - len(data)) / len(data), 3),
                    "unit": "bytes per byte",
                },
            ]
    tell("edges")
    return shown, figures + edges(folder, rival), list(NOTES)
