"""The models of the influence benchmark: bases of our factory, and LoRAs trained in one way."""

import ast
import hashlib
import json
import sysconfig
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors.torch import load
from torch import Tensor

from benchmarks.attribution.tasks import Example, plain_text
from modelfactory import canonical, weights
from modelfactory.finetune import open_model
from modelfactory.pretrain import train_base
from modelfactory.recipe import BaseRecipe, to_json
from modelfactory.training import Progress, quiet, seeded, silent

TEXT_BYTES = 600_000  # of docstrings, and a third of it of plain lines
DOCUMENT_BYTES = 4000
CLIP = 1.0  # norm of the gradient
WARMUP = 10  # steps
IGNORED = -100  # a label that no loss is counted at

BASES = {
    "small": BaseRecipe(
        vocabulary=512, hidden=96, inner=256, layers=3, heads=4, context=256, steps=700, batch=16
    ),
    # 21 million parameters
    "large": BaseRecipe(
        vocabulary=4096, hidden=448, inner=1216, layers=8, heads=7, context=256, steps=150, batch=12
    ),
    "quick": BaseRecipe(
        vocabulary=400, hidden=48, inner=128, layers=2, heads=4, context=256, steps=120, batch=8
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How a LoRA is trained on a task."""

    rank: int = 4
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    epochs: int = 10
    batch: int = 20
    rate: float = 5e-3


def base(folder: Path, name: str, progress: Progress = silent) -> Path:
    """The folder of the base `name`, trained now if it is not in `folder` yet."""
    recipe = BASES[name]
    mark = hashlib.sha256(json.dumps(to_json(recipe), sort_keys=True).encode()).hexdigest()[:12]
    out = folder / f"base-{name}-{mark}"
    if not (out / "config.json").exists():
        train_base(local_text(TEXT_BYTES), out, recipe=recipe, progress=progress)
    return out


def local_text(size: int) -> list[str]:
    """Docstrings of this Python's standard library, in the order of its files, and plain lines."""
    found: list[str] = []
    total = 0
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = (ast.get_docstring(node) or "")[:DOCUMENT_BYTES]
                if len(text) > 80:
                    found.append(text)
                    total += len(text)
        if total > size:
            break
    lines = plain_text(size // 3)
    return found + ["\n".join(lines[at : at + 40]) for at in range(0, len(lines), 40)]


@dataclass(frozen=True, slots=True)
class Batch:
    """tokens, labels [n, length] int64; a label is the token itself, or IGNORED."""

    tokens: Tensor
    labels: Tensor

    def part(self, rows: Tensor) -> "Batch":
        tokens, labels = self.tokens[rows], self.labels[rows]
        used = int((labels != IGNORED).any(0).nonzero().max()) + 1
        return Batch(tokens[:, :used], labels[:, :used])


def encode(tokenizer: Any, examples: Sequence[Example], *, end: bool) -> Batch:
    """Prompt and answer as tokens, the answer's counted in the loss; with `end` of the text."""
    rows = []
    tail = [tokenizer.eos_token_id] if end else []
    for example in examples:
        prompt, answer = (
            tokenizer(text, add_special_tokens=False).input_ids
            for text in (example.prompt, example.answer)
        )
        answer += tail
        rows.append((prompt + answer, [IGNORED] * len(prompt) + answer))
    length = max(len(tokens) for tokens, _ in rows)
    tokens = torch.full((len(rows), length), tokenizer.pad_token_id)
    labels = torch.full((len(rows), length), IGNORED)
    for at, (mine, counted) in enumerate(rows):
        tokens[at, : len(mine)] = torch.tensor(mine)
        labels[at, : len(mine)] = torch.tensor(counted)
    return Batch(tokens, labels)


def adapted(base_dir: Path, tuning: Tuning, seed: int) -> tuple[Any, Any]:
    """The base with a fresh LoRA, drawn from `seed`, and its tokenizer."""
    quiet()
    model, tokenizer = open_model(base_dir)
    config = LoraConfig(
        r=tuning.rank,
        lora_alpha=2 * tuning.rank,
        lora_dropout=0.0,
        target_modules=list(tuning.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings(), seeded(seed):
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, config), tokenizer


def answer_losses(model: Any, batch: Batch) -> Tensor:
    """Mean loss of each row's answer, [n] nats per token."""
    logits = model(input_ids=batch.tokens, use_cache=False).logits[:, :-1]
    labels = batch.labels[:, 1:]
    lost = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
    )
    return lost.sum(1) / (labels != IGNORED).sum(1)


def fit(model: Any, batch: Batch, tuning: Tuning, seed: int) -> None:
    """AdamW over `epochs` shuffles of the rows; the rate rises for ten steps, then falls to 0."""
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(free, lr=tuning.rate, weight_decay=0.0)
    count = len(batch.tokens)
    steps = tuning.epochs * -(-count // tuning.batch)
    step = 0
    with seeded(seed) as generator:
        model.train()
        for _ in range(tuning.epochs):
            for rows in _parts(torch.randperm(count, generator=generator), tuning.batch):
                warm = min(1.0, (step + 1) / WARMUP)
                optimizer.param_groups[0]["lr"] = tuning.rate * warm * (1 - step / steps)
                loss = answer_losses(model, batch.part(rows)).mean()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(free, CLIP)
                optimizer.step()
                step += 1
        model.eval()


def _parts(rows: Tensor, size: int) -> list[Tensor]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]


@torch.no_grad()
def measured(model: Any, batch: Batch, size: int = 50) -> Tensor:
    """Mean losses of all rows, [n]."""
    parts = _parts(torch.arange(len(batch.tokens)), size)
    return torch.cat([answer_losses(model, batch.part(rows)) for rows in parts])


def save(model: Any, file: Path) -> None:
    """The adapter as our factory writes it: weights with their settings inside."""
    config = model.peft_config["default"].to_dict()
    config["target_modules"] = sorted(config["target_modules"])
    loose = canonical.loads_loose(
        json.dumps(config, default=lambda value: str(getattr(value, "value", value))).encode()
    )
    file.write_bytes(weights.pack(get_peft_model_state_dict(model), loose))


def reopened(base_dir: Path, adapter: Path) -> tuple[Any, Any]:
    """The base with a saved adapter, its matrices free to have gradients, and its tokenizer."""
    data = adapter.read_bytes()
    head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    config = json.loads(head["__metadata__"][weights.METADATA_KEY])
    tuning = Tuning(rank=int(config["r"]), targets=tuple(config["target_modules"]))
    model, tokenizer = adapted(base_dir, tuning, 0)
    set_peft_model_state_dict(model, load(data))
    model.eval()
    return model, tokenizer
