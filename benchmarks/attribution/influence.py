"""Influence beside DataInf, EKFAC, TRAK, bergson and gradient cosine, on the same LoRAs and data.

Every task is trained with several seeds; LDS is over retrainings on halves (`lds`). The rivals
run in their own environment on the same adapter, texts and loss (`rivals_worker`); ours runs as the
node does: `build_features` and `Featurizer` in float64. What takes long is kept in a folder.
"""

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attribution.influence.build import build_features
from attribution.influence.featurizer import Featurizer
from attribution.influence.kernels import dots
from benchmarks.attribution.influence_plans import PLANS, QUICK
from benchmarks.attribution.lds import (
    WRONG_SHARE,
    Floats,
    Report,
    Trained,
    area,
    losses,
    score,
    trained,
)
from benchmarks.attribution.tasks import Example, Task, mislabelled
from protocol.features import DIMENSION

RIVALS = ("DataInf", "EKFAC", "bergson", "TRAK", "gradient cosine")
OURS = "ours"
LDS_AIMS = {"DataInf": 1.4, "EKFAC": 1.0}  # at least
PAIR_AIM = 1 / 500  # of DataInf's code, at most
WORKER_SECONDS_MAX = 3600
SEED = bytes(range(32))  # of the sketch
TIMED_PAIRS = 1 << 22


@dataclass(frozen=True, slots=True)
class Result:
    """One method on one task and seed. ms of CPU per example, microseconds per pair."""

    lds: float
    kinds: float  # AUC of the examples of the query's kind
    wrong: float  # AUC of the mislabelled answers
    example: float
    pair: float
    size: int  # bytes per example


def run(
    folder: Path,
    *,
    quick: bool,
    datainf: Path | None,
    rivals_python: Path | None,
    progress: Report,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Ratios, figures and notes. `datainf`: a checkout of DataInf, for its data sets and its code;
    without it the tasks are ours in its spirit and a pair is timed on its formula."""
    folder.mkdir(parents=True, exist_ok=True)
    data = None
    if datainf is not None and rivals_python is not None and not quick:
        data = folder / "datainf"
        if not (data / "grammars_train.json").exists():
            worker = [str(rivals_python), "-m", "benchmarks.attribution.rivals_data"]
            subprocess.run([*worker, str(datainf), str(data)], check=True)
    results: dict[str, dict[str, list[Result]]] = {}
    notes = ["scores of ours are the integer products that a batch pays by, before its threshold"]
    for plan in QUICK if quick else PLANS:
        for seed in range(plan.seeds):
            what = trained(folder, plan, seed, data, progress)
            lost = losses(what, progress)
            mine = results.setdefault(f"{what.task.name} ({plan.base})", {})
            for method in (OURS, *RIVALS) if rivals_python else (OURS,):
                progress(f"{what.task.name}, seed {seed}: {method}")
                try:
                    found = _result(method, what, lost, folder, datainf, rivals_python)
                except subprocess.SubprocessError as error:
                    notes.append(f"{method} failed on {what.task.name}: {_last(error)}")
                    continue
                mine.setdefault(method, []).append(found)
    notes.append("DataInf's pairs: " + ("its own code" if datainf else "its formula on matrices"))
    return _ratios(results, code=datainf is not None), _figures(results), notes


def _last(error: subprocess.SubprocessError) -> str:
    text = getattr(error, "stderr", None) or str(error)
    return str(text).strip().splitlines()[-1]


def _result(
    method: str,
    what: Trained,
    lost: Floats,
    folder: Path,
    datainf: Path | None,
    rivals_python: Path | None,
) -> Result:
    noisy, wrong = mislabelled(what.task, WRONG_SHARE, what.seed)
    found: list[tuple[Floats, Floats]] = []
    for task, adapter in ((what.task, what.adapter), (noisy, what.wrong_adapter)):
        if method == OURS:
            found.append(_ours(what.base_dir, adapter, task))
        else:
            assert rivals_python is not None
            code = None if datainf is None else datainf / "src" / "influence.py"
            found.append(_rival(method, what, task, adapter, rivals_python, code))
    (scores, cost), (noisy_scores, _) = found
    kinds = np.array([example.kind for example in what.task.examples])
    same = [
        area(row, kinds == query.kind) for row, query in zip(scores, what.task.queries, strict=True)
    ]
    bad = np.zeros(len(kinds), np.bool_)
    bad[wrong] = True
    texts = len(what.task.examples) + len(what.task.queries)
    return Result(
        float(score(scores, lost, what.seed).mean()),
        statistics.fmean(same),
        area(-noisy_scores.sum(0), bad),
        1e3 * cost[0] / texts,
        1e6 * cost[1] / scores.size,
        int(cost[2]),
    )


def document(example: Example) -> bytes:
    """As a Datanet holds it: a line with prompt and completion, or the text alone."""
    if not example.prompt:
        return example.answer.encode()
    return json.dumps({"prompt": example.prompt, "completion": example.answer}).encode()


def _ours(base_dir: Path, adapter: Path, task: Task) -> tuple[Floats, Floats]:
    torch.set_num_threads(1)
    begin = time.process_time()
    documents = [document(example) for example in task.examples]
    built = build_features(base_dir, adapter, documents, SEED)
    lens = Featurizer.open(base_dir, adapter, built.basis, SEED)
    asked = [lens.query(query.prompt.encode(), query.answer.encode()) for query in task.queries]
    psi = np.frombuffer(b"".join(asked), np.int8).reshape(-1, DIMENSION)
    spent = time.process_time() - begin
    scores = dots(built.phi, psi).T
    return scores.astype(np.float64), np.array([spent, _pair_seconds() * scores.size, DIMENSION])


def _pair_seconds() -> float:
    """CPU seconds of one exact score, measured over many."""
    draw = np.random.default_rng(0)
    phi, psi = (
        draw.integers(-127, 128, (count, DIMENSION), np.int8) for count in (TIMED_PAIRS // 64, 64)
    )
    begin = time.process_time()
    for at in range(0, len(phi), 4096):
        dots(phi[at : at + 4096], psi)
    return (time.process_time() - begin) / TIMED_PAIRS


def _rival(
    method: str, what: Trained, task: Task, adapter: Path, interpreter: Path, code: Path | None
) -> tuple[Floats, Floats]:
    """Scores [queries, examples] and cost, kept beside the retrainings."""
    name = f"{method.replace(' ', '-')}-{adapter.stem}{'-code' * bool(code)}"
    out = what.results.with_name(f"{name}.npz")
    if not out.exists():
        job = out.with_suffix(".json")
        partial = out.with_suffix(".partial.npz")
        job.write_text(
            json.dumps(
                {
                    "method": method,
                    "base": str(what.base_dir),
                    "adapter": str(adapter),
                    "examples": [astuple(example) for example in task.examples],
                    "queries": [astuple(query) for query in task.queries],
                    "out": str(partial),
                    "code": None if code is None else str(code),
                }
            ),
            encoding="utf-8",
        )
        subprocess.run(
            [str(interpreter), "-m", "benchmarks.attribution.rivals_worker", str(job)],
            check=True,
            capture_output=True,
            text=True,
            timeout=WORKER_SECONDS_MAX,
        )
        partial.rename(out)
    with np.load(out) as kept:
        return kept["scores"], kept["cost"]


Results = dict[str, dict[str, list[Result]]]
MEASURES: tuple[tuple[str, Callable[[Result], float]], ...] = (
    ("LDS", lambda result: result.lds),
    ("AUC of the same kind", lambda result: result.kinds),
    ("AUC of mislabelled answers", lambda result: result.wrong),
)


def _ratios(results: Results, *, code: bool) -> list[dict[str, Any]]:
    rows = []
    for task, methods in results.items():
        for rival, found in methods.items():
            if rival == OURS:
                continue
            for name, measure in MEASURES:
                aim = LDS_AIMS.get(rival) if name == "LDS" else None
                mine, theirs = ([measure(one) for one in each] for each in (methods[OURS], found))
                title = f"{task}: {name}, beside {rival}"
                rows.append(_row(title, mine, theirs, aim, least=True))
        if "DataInf" in methods:
            mine, theirs = ([one.pair for one in methods[who]] for who in (OURS, "DataInf"))
            what = "its code" if code else "its formula"
            name = f"{task}: microseconds per pair, beside DataInf ({what})"
            rows.append(_row(name, mine, theirs, PAIR_AIM if code else None, least=False))
    return rows


def _row(
    name: str, ours: Sequence[float], rival: Sequence[float], aim: float | None, *, least: bool
) -> dict[str, Any]:
    """Means over the seeds; `spread`: how far the ratios of the seeds are apart."""
    each = [one / other if other else float("inf") for one, other in zip(ours, rival, strict=True)]
    mine, theirs = statistics.fmean(ours), statistics.fmean(rival)
    ratio = mine / theirs if theirs else float("inf")
    return {
        "name": name,
        "ours": round(mine, 4),
        "rival": round(theirs, 4),
        "ratio": round(ratio, 5),
        "spread": round(max(each) - min(each), 5),
        "aim": aim,
        "holds": None if aim is None else (ratio >= aim if least else ratio <= aim),
    }


def _figures(results: Results) -> list[dict[str, Any]]:
    costs: tuple[tuple[str, str, Callable[[Result], float]], ...] = (
        ("CPU per example", "ms", lambda result: result.example),
        ("CPU per pair", "us", lambda result: result.pair),
        ("kept per example", "bytes", lambda result: result.size),
    )
    return [
        {
            "name": f"{task}: {what}, {method}",
            "value": round(statistics.fmean(value(one) for one in found), 3),
            "unit": unit,
        }
        for task, methods in results.items()
        for what, unit, value in costs
        for method, found in methods.items()
    ]
