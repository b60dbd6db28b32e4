"""Runs infini-gram, under the interpreter of the rivals: `infini.py build|query|edge ...`."""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np


def build(folder: str, unit: str, memory: str, processes: str = "1") -> None:
    """Its own indexing over tokenized.0."""
    from infini_gram import indexing

    sys.argv = ["indexing", "--data_dir", folder, "--save_dir", folder, "--token_dtype", unit]
    sys.argv += ["--cpus", processes, "--mem", memory, "--ulimit", "1024"]
    sys.stdout = sys.stderr
    indexing.main()
    report()


def report(**more: float) -> None:
    """The most that this process or a child of it had resident, in kB, since it began."""
    status = Path("/proc/self/status").read_text()
    own = int(status.partition("VmHWM:")[2].split()[0])
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps({"memory": max(own, children), **more}), file=sys.__stdout__)


def engine(folder: str, unit: str):
    from infini_gram.engine import InfiniGramEngine

    return InfiniGramEngine(
        index_dir=folder,
        eos_token_id=0,
        vocab_size=65535 if unit == "u16" else 255,
        token_dtype=unit,
        ds_prefetch_depth=0,
        sa_prefetch_depth=0,
        od_prefetch_depth=0,
    )


def query(folder: str, unit: str, asked: str, answer: str) -> None:
    """CPU seconds of the longest match at every position of all snippets, after a first pass."""
    made, rows = engine(folder, unit), np.load(asked)
    snippets = [[int(token) for token in row] for row in rows]
    for row in snippets:
        made.creativity(input_ids=row)
    start = time.process_time()
    found = [made.creativity(input_ids=row)["rs"] for row in snippets]
    seconds = time.process_time() - start
    np.save(answer, np.array(found, np.int64) - np.arange(rows.shape[1]))
    report(seconds=seconds)


def edge(folder: str, unit: str, asked: str) -> None:
    """What it says to one query."""
    print(json.dumps(engine(folder, unit).creativity(input_ids=json.loads(asked))["rs"]))


def table(folder: Path, width: int) -> np.ndarray:
    """Its order of tokens: positions."""
    size = (folder / "tokenized.0").stat().st_size
    raw = np.fromfile(folder / "table.0", dtype=np.uint8).reshape(size // width, -1)
    found = np.zeros(len(raw), np.int64)
    for byte in range(raw.shape[1]):
        found |= raw[:, byte].astype(np.int64) << (8 * byte)
    return found // width


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    {"build": build, "query": query, "edge": edge}[sys.argv[1]](*sys.argv[2:])
