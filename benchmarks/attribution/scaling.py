"""`python -m benchmarks.attribution.scaling MEGABYTES...`: spans of the node as a corpus grows.

For each size: building, memory and disk of one shard; then the same text as 16 and 256 shards, with
tiers and without. Times are CPU time of the process. Prints one JSON object a line.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from attribution.corpus import Corpus
from attribution.shards import CorpusShard
from attribution.shelf import Shelf
from attribution.spans import spans_of
from attribution.tiers import TIER_BYTES_MAX
from benchmarks.attribution.text import corpus
from protocol.datanet import Document, assemble
from protocol.parameters import Parameters

ANSWERS, ANSWER_BYTES = 40, 2048
CONTRIBUTORS = 97
SHARDS = (1, 16, 256)
BLANK = (0, bytes(32), bytes(32), bytes(65))


def shard(texts: Sequence[bytes]) -> CorpusShard:
    text, starts = assemble(texts)
    rows = enumerate(zip(starts, texts, strict=True))
    table = (Document(at, len(t), n % CONTRIBUTORS + 1, *BLANK) for n, (at, t) in rows)
    return CorpusShard(text, tuple(table))


def answers(held_out: bytes, inside: bytes) -> list[bytes]:
    """Pieces of other text, every fourth with a paragraph of the corpus in its middle."""
    draw, found = np.random.default_rng(11), []
    for number in range(ANSWERS):
        at = int(draw.integers(0, len(held_out) - ANSWER_BYTES))
        answer = held_out[at : at + ANSWER_BYTES]
        if number % 4 == 0:
            at = int(draw.integers(0, len(inside) - 600))
            answer = answer[:700] + inside[at : at + 600] + answer[1300:]
        found.append(answer)
    return found


def measured(megabytes: float, scratch: Path) -> Iterator[dict[str, Any]]:
    texts, other = corpus(round(megabytes * 1e6), 1 << 20)
    held_out, rules = b" ".join(other), Parameters()
    for count in SHARDS:
        bounds = np.linspace(0, len(texts), count + 1).astype(int).tolist()
        shards = tuple(shard(texts[a:b]) for a, b in pairwise(bounds) if a < b)
        asked = answers(held_out, shards[-1].text)
        for tiers in (TIER_BYTES_MAX, 0):
            if count == 1 and not tiers:
                continue
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                made = Corpus(shards, Shelf(Path(folder), tier_bytes=tiers))
                start = time.process_time()
                indexes = len(made.tiers)
                build = time.process_time() - start
                disk = sum(path.stat().st_size for path in Path(folder).iterdir())
                for answer in asked:
                    spans_of(made, b"", answer, rules)
                start = time.process_time()
                spans = sum(len(spans_of(made, b"", answer, rules)) for answer in asked)
                query = (time.process_time() - start) / len(asked)
            yield {
                "megabytes": round(sum(len(each.text) for each in shards) / 1e6, 1),
                "shards": len(shards),
                "indexes": indexes,
                "build CPU s": round(build, 2),
                "disk bytes per byte": round(disk / sum(len(each.text) for each in shards), 2),
                "query CPU ms": round(query * 1e3, 2),
                "spans": spans,
                "memory MB, peak": peak(),
            }


def peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1000


if __name__ == "__main__":
    for size in sys.argv[1:]:
        for row in measured(float(size), Path(tempfile.gettempdir())):
            print(json.dumps(row), flush=True)
