"""Runs one rival on one trained adapter: `python -m benchmarks.attribution.rivals_worker JOB.json`.

It runs in the rivals' own environment (`benchmarks/rivals.txt`). JOB names the method, the base,
the adapter, the texts and where the scores go: an npz of scores [queries, examples], more is more
helpful, with CPU seconds of the features and of the pairs, and bytes kept per example.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.attribution.lds_models import IGNORED, Batch, answer_losses, encode, reopened
from benchmarks.attribution.tasks import Example

SKETCH = 2048  # coordinates of TRAK's features
SIDE = 16  # of bergson's projection of each matrix, its own choice for TrackStar
DAMPING = 0.1  # of the mean eigenvalue: what kronfluence and bergson choose by themselves


@dataclass(frozen=True, slots=True)
class Found:
    """What a method says, and what it cost."""

    scores: NDArray[np.float64]
    features: float  # CPU seconds of what is done once per example and query
    pairs: float  # CPU seconds of what is done per pair of them
    bytes: int  # kept per example


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch, row by row, without the padding."""

    batch: Batch

    def __len__(self) -> int:
        return len(self.batch.tokens)

    def __getitem__(self, row: int) -> Batch:
        return self.batch.part(torch.tensor([row]))


def free_of(model: Any) -> list[tuple[str, Tensor]]:
    return [(name, each) for name, each in model.named_parameters() if each.requires_grad]


def gradients(model: Any, batch: Batch) -> dict[str, Tensor]:
    """By name of the matrix, [rows, *its shape], of the mean answer loss."""
    free = free_of(model)
    out = {name: torch.empty(len(batch.tokens), *each.shape) for name, each in free}
    rows = Rows(batch)
    for at in range(len(rows)):
        loss = answer_losses(model, rows[at])[0]
        for (name, _), part in zip(
            free, torch.autograd.grad(loss, [each for _, each in free]), strict=True
        ):
            out[name][at] = part
    return out


def cosine(model: Any, train: Batch, asked: Batch, _: Any) -> Found:
    begin = time.process_time()
    left, right = (
        torch.cat([part.flatten(1) for part in gradients(model, batch).values()], 1)
        for batch in (train, asked)
    )
    left, right = (each / each.norm(dim=1, keepdim=True) for each in (left, right))
    middle = time.process_time()
    scores = (right @ left.T).double().numpy()
    return Found(scores, middle - begin, time.process_time() - middle, 4 * left.shape[1])


def datainf(model: Any, train: Batch, asked: Batch, job: Any) -> Found:
    """Kwon, Wu, Wu and Zou (2023), equation 5, as a formula on matrices of gradients.

    With `code`, their file `influence.py`, their own loops run on a part of the pairs: they must
    give the same scores, and what a pair costs them is what is reported.
    """
    begin = time.process_time()
    left, right = gradients(model, train), gradients(model, asked)
    middle = time.process_time()
    scores = _datainf(left, right)
    pairs = time.process_time() - middle
    size = sum(part[0].numel() for part in left.values())
    if job.get("code"):
        pairs = _own_code(left, right, job["code"]) * scores.numel()
    return Found(scores.double().numpy(), middle - begin, pairs, 4 * size)


def _datainf(left: dict[str, Tensor], right: dict[str, Tensor], c: float = 10) -> Tensor:
    total = torch.zeros(1)
    for name, part in left.items():
        g, q = part.flatten(1), right[name].flatten(1)
        damped = (g**2).mean() / c
        share = (q @ g.T) / (damped + (g**2).sum(1))
        total = total + ((q - share @ g / len(g)) / damped) @ g.T
    return total


def _own_code(
    left: dict[str, Tensor], right: dict[str, Tensor], file: str, examples: int = 60, asked: int = 3
) -> float:
    """CPU seconds per pair of the published loops; raises where they and the formula differ."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("datainf_influence", file)
    assert spec is not None
    assert spec.loader is not None
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)

    def dictionary(parts: dict[str, Tensor], count: int) -> dict[int, dict[str, Tensor]]:
        flat = {n: (p.transpose(1, 2) if "lora_B" in n else p) for n, p in parts.items()}
        return {at: {name: part[at] for name, part in flat.items()} for at in range(count)}

    engine = theirs.IFEngineGeneration()
    engine.preprocess_gradients(dictionary(left, examples), dictionary(right, asked))
    begin = time.process_time()
    engine.compute_hvp_proposed()
    engine.compute_IF()
    spent = time.process_time() - begin
    # DataInf's sign: negative is helpful
    ours = _datainf(
        {name: part[:examples] for name, part in left.items()},
        {name: part[:asked] for name, part in right.items()},
    )
    said = -torch.tensor(np.asarray(engine.IF_dict["proposed"], np.float32))
    if not torch.allclose(said, ours, rtol=1e-3, atol=1e-3 * float(ours.abs().max())):
        raise RuntimeError("DataInf's code and its formula differ")
    return spent / (examples * asked)


def ekfac(model: Any, train: Batch, asked: Batch, _: Any) -> Found:
    """kronfluence's pairwise scores with its EKFAC factors and its damping."""
    from kronfluence.analyzer import Analyzer, prepare_model  # type: ignore[import-not-found]
    from kronfluence.arguments import FactorArguments, ScoreArguments  # type: ignore[import-not-found]
    from kronfluence.task import Task  # type: ignore[import-not-found]
    from kronfluence.utils.dataset import DataLoaderKwargs  # type: ignore[import-not-found]

    free = [(name.removesuffix(".weight"), each.numel()) for name, each in free_of(model)]

    class Answers(Task):  # type: ignore[misc]
        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> Tensor:
            tokens, labels = batch
            logits = model(input_ids=tokens, use_cache=False).logits[:, :-1].flatten(0, 1)
            wanted = labels[:, 1:].flatten()
            if sample:
                with torch.no_grad():
                    drawn = torch.multinomial(logits.softmax(-1), 1)[:, 0]
                    wanted = torch.where(wanted == IGNORED, wanted, drawn)
            return torch.nn.functional.cross_entropy(
                logits, wanted, ignore_index=IGNORED, reduction="sum"
            )

        def compute_measurement(self, batch: Any, model: Any) -> Tensor:
            return answer_losses(model, Batch(*batch)).sum()

        def get_influence_tracked_modules(self) -> list[str]:
            return [name for name, _ in free]

    task = Answers()
    sets = [torch.utils.data.TensorDataset(b.tokens, b.labels) for b in (train, asked)]
    begin = time.process_time()
    torch.manual_seed(0)
    prepared = prepare_model(model, task)
    with tempfile.TemporaryDirectory() as folder:
        analyzer = Analyzer("benchmark", prepared, task, cpu=True, output_dir=folder,
                            disable_tqdm=True, log_level=40)  # fmt: skip
        analyzer.set_dataloader_kwargs(DataLoaderKwargs(num_workers=0))
        analyzer.fit_all_factors(
            "factors", sets[0], factor_args=FactorArguments(strategy="ekfac"),
            per_device_batch_size=20, overwrite_output_dir=True,
        )  # fmt: skip
        middle = time.process_time()
        analyzer.compute_pairwise_scores(
            "scores", "factors", sets[1], sets[0], score_args=ScoreArguments(damping_factor=None),
            per_device_query_batch_size=10, per_device_train_batch_size=20,
            overwrite_output_dir=True,
        )  # fmt: skip
        scores = analyzer.load_pairwise_scores("scores")["all_modules"].double().numpy()
    size = sum(count for _, count in free)
    return Found(scores, middle - begin, time.process_time() - middle, 4 * size)


def trak(model: Any, train: Batch, asked: Batch, _: Any) -> Found:
    """traker's projection, features and scores of one checkpoint; the output is the answer's
    log-odds, as its authors take it for language models. Its own damping, zero, has no inverse with
    fewer examples than coordinates, so it gets the one of the others."""
    from torch.nn.utils import parameters_to_vector
    from trak import TRAKer  # type: ignore[import-not-found]
    from trak.gradient_computers import AbstractGradientComputer  # type: ignore[import-not-found]
    from trak.modelout_functions import AbstractModelOutput  # type: ignore[import-not-found]
    from trak.projectors import BasicProjector, ProjectionType  # type: ignore[import-not-found]

    size = sum(each.numel() for _, each in free_of(model))

    def chances(batch: Batch) -> tuple[Tensor, Tensor]:
        logits = model(input_ids=batch.tokens, use_cache=False).logits[:, :-1]
        labels = batch.labels[:, 1:]
        known = labels != IGNORED
        chosen = torch.log_softmax(logits[known], -1).gather(-1, labels[known][:, None])[:, 0]
        return chosen, known

    class Answers(AbstractModelOutput):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

        def get_output(self, *parts: Any) -> Tensor:
            chosen, _ = chances(Batch(parts[-2], parts[-1]).part(torch.tensor([0])))
            return (chosen - torch.log1p(-chosen.exp().clamp(max=1 - 1e-6))).mean()

        def get_out_to_loss_grad(self, _m: Any, _w: Any, _b: Any, batch: Any) -> Tensor:
            rows = Rows(Batch(*batch))
            with torch.no_grad():
                odds = [(1 - chances(rows[at])[0].exp()).mean() for at in range(len(rows))]
            return torch.stack(odds)[:, None]

    class OneByOne(AbstractGradientComputer):  # type: ignore[misc]
        def __init__(self, model: Any, task: Any, grad_dim: Any, dtype: Any, device: Any, **_: Any):
            super().__init__(model, task, grad_dim, dtype, device)

        def load_model_params(self, model: Any) -> None:
            pass

        def compute_per_sample_grad(self, batch: Any) -> Tensor:
            free = [each for _, each in free_of(model)]
            found = []
            for tokens, labels in zip(*batch, strict=True):
                output = self.modelout_fn.get_output(tokens[None], labels[None])
                found.append(parameters_to_vector(torch.autograd.grad(output, free)))
            return torch.stack(found)

        def compute_loss_grad(self, batch: Any) -> Tensor:
            odds: Tensor = self.modelout_fn.get_out_to_loss_grad(self.model, None, None, batch)
            return odds

    projector = BasicProjector(size, SKETCH, 0, ProjectionType.rademacher, "cpu", block_size=256)
    with tempfile.TemporaryDirectory() as folder:
        traker = TRAKer(
            model, Answers(), len(train.tokens), save_dir=folder, device="cpu",
            gradient_computer=OneByOne, projector=projector, proj_dim=SKETCH,
            use_half_precision=False, logging_level=40,
        )  # fmt: skip
        begin = time.process_time()
        traker.load_checkpoint(model.state_dict(), model_id=0)
        for at in range(0, len(train.tokens), 20):
            part = (train.tokens[at : at + 20], train.labels[at : at + 20])
            traker.featurize(batch=part, num_samples=len(part[0]))
        kept = torch.as_tensor(np.asarray(traker.saver.current_store["grads"]))
        traker.score_computer.lambda_reg = DAMPING * float((kept**2).sum()) / SKETCH
        traker.finalize_features()
        traker.start_scoring_checkpoint(
            exp_name="x", checkpoint=model.state_dict(), model_id=0, num_targets=len(asked.tokens)
        )
        for at in range(0, len(asked.tokens), 20):
            part = (asked.tokens[at : at + 20], asked.labels[at : at + 20])
            traker.score(batch=part, num_samples=len(part[0]))
        middle = time.process_time()
        scores = np.asarray(traker.finalize_scores("x"))
    return Found(scores.T.astype(float), middle - begin, time.process_time() - middle, 4 * SKETCH)


def bergson(model: Any, train: Batch, asked: Batch, _: Any) -> Found:
    """Its TrackStar features: every matrix projected to 16 x 16, unit norm, the root of the damped
    second moments on both sides."""
    from bergson import CollectorComputer, GradientProcessor, InMemoryCollector  # type: ignore[import-not-found]
    from bergson.config import IndexConfig  # type: ignore[import-not-found]
    from bergson.hessians.preconditioner import DensePreconditioner  # type: ignore[import-not-found]
    from bergson.utils.peft import detect_peft_modules  # type: ignore[import-not-found]
    from datasets import Dataset  # type: ignore[import-not-found]

    targets = detect_peft_modules(model)

    def collected(batch: Batch, processor: Any, skip: bool) -> dict[str, Tensor]:
        rows = Rows(batch)
        data = Dataset.from_list(
            [
                {
                    "input_ids": rows[at].tokens[0].tolist(),
                    "labels": rows[at].labels[0].tolist(),
                    "length": rows[at].tokens.shape[1],
                }
                for at in range(len(rows))
            ]
        )
        config = IndexConfig(run_path=folder, projection_dim=SIDE, loss_reduction="mean")
        Path(folder + ".part").mkdir(exist_ok=True)  # where it leaves its settings
        collector = InMemoryCollector(
            model=model.base_model, data=data, cfg=config, processor=processor,
            target_modules=targets, skip_hessians=skip,
        )  # fmt: skip
        CollectorComputer(model, data, collector=collector, cfg=config).run_with_collector_hooks()
        return {name: part.float() for name, part in collector.gradients.items()}

    begin = time.process_time()
    processor = GradientProcessor(projection_dim=SIDE)
    with tempfile.TemporaryDirectory() as parent:
        folder = f"{parent}/run"
        left = collected(train, processor, False)
        right = collected(asked, GradientProcessor(projection_dim=SIDE), True)
    rooted = DensePreconditioner.from_processor(processor, power=-0.5)
    flat = []
    for parts in (left, right):
        whole = torch.cat(list(rooted.apply(parts).values()), 1)
        flat.append(whole / whole.norm(dim=1, keepdim=True))
    middle = time.process_time()
    scores = (flat[1] @ flat[0].T).double().numpy()
    return Found(scores, middle - begin, time.process_time() - middle, 4 * flat[0].shape[1])


METHODS: dict[str, Callable[[Any, Batch, Batch, Any], Found]] = {
    "gradient cosine": cosine,
    "DataInf": datainf,
    "EKFAC": ekfac,
    "TRAK": trak,
    "bergson": bergson,
}


def main(job: dict[str, Any]) -> None:
    torch.set_num_threads(job.get("threads", 1))
    model, tokenizer = reopened(Path(job["base"]), Path(job["adapter"]))
    examples, queries = ([Example(*row) for row in job[name]] for name in ("examples", "queries"))
    train, asked = encode(tokenizer, examples, end=True), encode(tokenizer, queries, end=False)
    found = METHODS[job["method"]](model, train, asked, job)
    np.savez(
        job["out"],
        scores=found.scores,
        cost=np.array([found.features, found.pairs, found.bytes], np.float64),
    )


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
