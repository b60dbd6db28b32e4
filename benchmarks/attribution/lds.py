"""Linear datamodeling score: what retraining on halves of the data says of a method's scores.

Park, Georgiev, Ilyas, Leclerc and Madry, TRAK (2023), section 3: train on M random halves of the
examples; for each query, the rank correlation over the halves of its loss with the sum of the
scores of the examples that the half has. Retrainings are kept in a folder, each as it is done, so
that a run goes on where it was stopped.
"""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.attribution.lds_models import (
    BASES,
    Tuning,
    adapted,
    base,
    encode,
    fit,
    measured,
    save,
)
from benchmarks.attribution.tasks import Task, make, mislabelled
from modelfactory.recipe import to_json

Floats = NDArray[np.float64]
Report = Callable[[str], None]

WRONG_SHARE = 0.2  # of the answers, where mislabelled ones are looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One task on one base: everything that decides the numbers."""

    task: str
    base: str
    per_kind: int = 20
    asked: int = 5  # queries of each kind
    tuning: Tuning = field(default_factory=Tuning)
    halves: int = 40  # retrainings of each seed
    seeds: int = 2

    def mark(self, task: Task) -> str:
        """A hash of the settings, the data and the base, under which results are kept; more halves
        or seeds can be added to them."""
        mine = asdict(replace(self, halves=0, seeds=0))
        parts = (mine, asdict(task), to_json(BASES[self.base]))
        kept = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(kept.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Trained:
    """A task, its base and the adapter of one seed, with the file that holds its retrainings."""

    plan: Plan
    task: Task
    seed: int
    base_dir: Path
    adapter: Path
    wrong_adapter: Path
    results: Path


def trained(folder: Path, plan: Plan, seed: int, datainf: Path | None, report: Report) -> Trained:
    """The adapter of a seed, and one of the task mislabelled, made now if they are not there."""
    task = make(plan.task, plan.per_kind, plan.asked, datainf)

    def progress(step: int, steps: int, loss: float) -> None:
        if step % 25 == 0 or step == steps:
            report(f"base {plan.base}: step {step} of {steps}, loss {loss:.2f}")

    base_dir = base(folder, plan.base, progress)
    mine = folder / f"{task.name}-{plan.base}-{plan.mark(task)}-{seed}"
    mine.mkdir(exist_ok=True)
    found = Trained(
        plan,
        task,
        seed,
        base_dir,
        mine / "adapter.safetensors",
        mine / "wrong.safetensors",
        mine / "halves.npz",
    )
    noisy, _ = mislabelled(task, WRONG_SHARE, seed)
    for file, data in ((found.adapter, task), (found.wrong_adapter, noisy)):
        if not file.exists():
            report(f"{task.name}, seed {seed}: {file.stem}")
            model, tokenizer = adapted(base_dir, plan.tuning, seed)
            before = measured(model, encode(tokenizer, data.queries, end=False)).mean()
            fit(model, encode(tokenizer, data.examples, end=True), plan.tuning, seed)
            after = measured(model, encode(tokenizer, data.queries, end=False)).mean()
            learnt = measured(model, encode(tokenizer, data.examples, end=True)).mean()
            report(f"  queries {before:.3f} -> {after:.3f} nats per token, examples {learnt:.3f}")
            partial = file.with_suffix(".partial")
            save(model, partial)
            os.replace(partial, file)
    return found


def halves_of(seed: int, count: int, examples: int) -> list[NDArray[np.intp]]:
    """`count` random halves, each sorted, the same in every run."""
    draw = np.random.default_rng([seed, examples])
    return [np.sort(draw.permutation(examples)[: examples // 2]) for _ in range(count)]


def retrain(base_dir: Path, plan: Plan, task: Task, seed: int, number: int) -> Floats:
    """Losses [queries] after training on one half: the seed's start, shuffles of its own."""
    torch.set_num_threads(1)
    half = halves_of(seed, plan.halves, len(task.examples))[number]
    model, tokenizer = adapted(base_dir, plan.tuning, seed)
    batch = encode(tokenizer, task.examples, end=True).part(torch.from_numpy(half))
    fit(model, batch, plan.tuning, 1000 + number)
    found: Floats = measured(model, encode(tokenizer, task.queries, end=False)).double().numpy()
    return found


def losses(what: Trained, report: Report, jobs: int = 2) -> Floats:
    """[halves, queries]: those kept, and the missing ones trained now."""
    plan, task = what.plan, what.task
    found = np.full((plan.halves, len(task.queries)), np.nan)
    if what.results.exists():
        kept = np.load(what.results)["losses"][: plan.halves]
        found[: len(kept)] = kept
    missing = [int(at) for at in np.flatnonzero(np.isnan(found[:, 0]))]
    if not missing:
        return found
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_gently) as pool:
        waiting = {
            pool.submit(retrain, what.base_dir, plan, task, what.seed, number): number
            for number in missing
        }
        for left, future in enumerate(as_completed(waiting), 1):
            found[waiting[future]] = future.result()
            partial = what.results.with_suffix(".partial.npz")
            np.savez(partial, losses=found)
            os.replace(partial, what.results)
            report(f"{task.name}, seed {what.seed}: half {left} of {len(missing)} retrained")
    return found


def _gently() -> None:
    os.nice(10)


def score(scores: Floats, lost: Floats, seed: int) -> Floats:
    """LDS of each query, [queries]; `scores` [queries, examples], more is more helpful."""
    count, examples = len(lost), scores.shape[1]
    has = np.zeros((count, examples))
    for row, half in zip(has, halves_of(seed, count, examples), strict=True):
        row[half] = 1
    return _correlations(_ranks(has @ scores.T), _ranks(-lost))


def _ranks(values: Floats) -> Floats:
    """Ranks down each column, ties in the middle of their places."""
    out = np.empty_like(values)
    for at, column in enumerate(values.T):
        _, place, count = np.unique(column, return_inverse=True, return_counts=True)
        ends = np.cumsum(count)
        out[:, at] = (ends - (count - 1) / 2)[place]
    return out


def _correlations(left: Floats, right: Floats) -> Floats:
    """Of each column with the same column; 0 where one does not vary."""
    a, b = left - left.mean(0), right - right.mean(0)
    size = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    found: Floats = np.divide((a * b).sum(0), size, out=np.zeros_like(size), where=size > 0)
    return found


def area(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties half."""
    ranks = _ranks(scores[:, None])[:, 0]
    many, rest = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - many * (many + 1) / 2) / (many * rest))
