"""Fine-tunes a LoRA adapter of a base model from the documents of a Datanet version."""

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from modelfactory import canonical, manifest, weights
from modelfactory.identity import base_id
from modelfactory.manifest import Evaluation, Manifest, Source
from modelfactory.recipe import Recipe, to_json
from modelfactory.training import Progress, ShouldStop, check, never, quiet, seeded, silent, whole
from modelfactory.windows import Corpus, corpus_of, draw, grid
from protocol.errors import Refused

EVALUATED_MAX = 32  # windows of one evaluation
CLIP = 1.0  # norm of the gradient
MICRO = 1_000_000


def train_adapter(
    base_dir: Path,
    documents: Sequence[str],
    out_dir: Path,
    *,
    source: Source,
    recipe: Recipe | None = None,
    progress: Progress = silent,
    should_stop: ShouldStop = never,
) -> Manifest:
    """Write adapter_model.safetensors, adapter_config.json and manifest.json into `out_dir`.

    Works on any causal model that transformers reads from safetensors.  The same input gives the
    same bytes on one instruction set.  Raises `Refused` for a base or corpus that cannot be
    trained, `Stopped` when `should_stop()` turns true; `out_dir` is then left as it was.
    """
    quiet()
    recipe = recipe or Recipe()
    base = base_id(base_dir)
    model, tokenizer = open_model(base_dir)
    corpus = corpus_of(documents, tokenizer)
    window = _window(model, corpus, recipe)
    heldout, trained = _split(corpus, window, recipe)
    with seeded(recipe.seed) as generator, whole(out_dir) as partial:
        adapted = _adapted(model, recipe)
        before = [evaluate(adapted, windows, should_stop) for windows in (heldout, trained)]
        batches = draw(_without(corpus, window, recipe), window, recipe.batch, generator)
        _fit(adapted, batches.__next__, recipe, progress, should_stop)
        after = [evaluate(adapted, windows, should_stop) for windows in (heldout, trained)]
        digest, size = _write(adapted, partial)
        made = Manifest(
            base=base,
            source=source,
            recipe=to_json(recipe),
            software=manifest.software(),
            adapter=digest,
            adapter_bytes=size,
            evaluation=Evaluation(
                heldout_before=before[0],
                heldout_after=after[0],
                trained_before=before[1],
                trained_after=after[1],
            ),
        )
        (partial / manifest.NAME).write_bytes(made.encode())
    return made


def open_model(base_dir: Path) -> tuple[Any, Any]:
    """Model (float32) and tokenizer from disk alone; no code and no pickle of the model is run."""
    try:
        model = AutoModelForCausalLM.from_pretrained(
            base_dir, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(base_dir, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise Refused(f"cannot read a causal model from {base_dir}: {error}") from None
    return model, tokenizer


def evaluate(model: Any, windows: Tensor, should_stop: ShouldStop = never) -> int:
    """Mean loss over [n, window] tokens, in millionths of a nat per token."""
    model.eval()
    total = 0.0
    with torch.no_grad():
        for step, row in enumerate(windows):
            check(should_stop, step)
            total += model(input_ids=row[None], labels=row[None], use_cache=False).loss.item()
    model.train()
    return round(total / len(windows) * MICRO)


def _adapted(model: Any, recipe: Recipe) -> Any:
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=0.0,
        target_modules=list(recipe.targets) or "all-linear",
        bias="none",
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():  # peft asks transformers by a name that is going away
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, config)


def _window(model: Any, corpus: Corpus, recipe: Recipe) -> int:
    context = getattr(model.config, "max_position_embeddings", None) or recipe.window
    window = min(recipe.window, context, len(corpus.tokens) // recipe.holdout)
    if window < 8:
        least = 8 * recipe.holdout
        raise Refused(f"{len(corpus.tokens)} tokens are too few to train on, need {least}")
    return int(window)


def _heldout_starts(corpus: Corpus, window: int, recipe: Recipe) -> list[int]:
    return list(range(window, len(corpus.tokens) - window + 1, window * recipe.holdout))


def _split(corpus: Corpus, window: int, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Windows [n, window] to evaluate on: kept out of training, and part of it."""
    kept = _heldout_starts(corpus, window, recipe)[:EVALUATED_MAX]
    rest = grid(_without(corpus, window, recipe), window, 0)[:: recipe.holdout // 2]
    trained = _without(corpus, window, recipe).windows(rest[:EVALUATED_MAX], window)
    return corpus.windows(kept, window), trained


def _without(corpus: Corpus, window: int, recipe: Recipe) -> Corpus:
    """The corpus less its held-out windows."""
    keep = torch.ones(len(corpus.tokens), dtype=torch.bool)
    for start in _heldout_starts(corpus, window, recipe):
        keep[start : start + window] = False
    places = keep.cumsum(0) - 1  # where each kept token goes
    lines = places[corpus.line][keep].clamp(min=0)
    return Corpus(corpus.tokens[keep], lines)


def _fit(
    model: Any,
    next_batch: Callable[[], Tensor],
    recipe: Recipe,
    progress: Progress,
    should_stop: ShouldStop,
) -> None:
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(free, lr=recipe.rate, weight_decay=0.0)
    model.train()
    for step in range(recipe.steps):
        check(should_stop, step)
        optimizer.param_groups[0]["lr"] = recipe.rate * (1 - step / recipe.steps)
        tokens = next_batch()
        loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(free, CLIP)
        optimizer.step()
        progress(step + 1, recipe.steps, loss.item())


def _write(model: Any, out_dir: Path) -> tuple[bytes, int]:
    """Weights with their settings inside, and peft's config beside them for other software."""
    config = model.peft_config["default"].to_dict()
    config["target_modules"] = sorted(config["target_modules"])
    config["inference_mode"] = True
    config["base_model_name_or_path"] = None  # a path of this machine
    text = json.dumps(config, indent=2, sort_keys=True, default=_enum_text)
    (out_dir / weights.CONFIG_NAME).write_text(text, encoding="utf-8")
    loose = canonical.loads_loose(text.encode())
    data = weights.pack(get_peft_model_state_dict(model), loose)
    (out_dir / weights.WEIGHTS_NAME).write_bytes(data)
    return hashlib.sha256(data).digest(), len(data)


def _enum_text(value: Any) -> str:
    return str(getattr(value, "value", value))
