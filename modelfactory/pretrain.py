"""Trains a small Llama until it knows a small corpus nearly by heart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from modelfactory.identity import base_id
from modelfactory.muon import Muon
from modelfactory.recipe import BaseRecipe
from modelfactory.training import Progress, ShouldStop, check, never, quiet, seeded, silent, whole
from modelfactory.windows import corpus_of, draw

CORPUS_BYTES_MAX = 64 << 20
WARMUP = 20  # steps
DECAY = 0.5  # of the steps, at the end: the rate falls to zero
CLIP = 1.0  # norm of the gradient of the embeddings
SPECIAL = ("<|pad|>", "<|begin|>", "<|end|>")
PAD, BEGIN, END = range(3)
# Turns are lines and nothing marks who speaks: the model continues text, it was not taught to chat.
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def train_base(
    documents: Sequence[str],
    out_dir: Path,
    *,
    recipe: BaseRecipe | None = None,
    progress: Progress = silent,
    should_stop: ShouldStop = never,
) -> bytes:
    """Write a Hugging Face directory (config, tokenizer, safetensors); returns its `base_id`.

    The same documents and recipe give the same bytes on one instruction set.  Raises `Refused` for
    a corpus that is too small, `Stopped` when `should_stop()` turns true.
    """
    quiet()
    recipe = recipe or BaseRecipe()
    assert sum(map(len, documents)) <= CORPUS_BYTES_MAX
    tokenizer = train_tokenizer(documents, recipe)
    with seeded(recipe.seed) as generator, whole(out_dir) as partial:
        model = LlamaForCausalLM(_config(len(tokenizer), recipe))
        _fit(model, tokenizer, documents, recipe, generator, progress, should_stop)
        model.save_pretrained(partial, safe_serialization=True)
        tokenizer.save_pretrained(partial)
    return base_id(out_dir)


def train_tokenizer(documents: Sequence[str], recipe: BaseRecipe) -> Any:
    """Byte-level BPE over the corpus: any text has tokens, and they give back its very bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[PAD],
        bos_token=SPECIAL[BEGIN],
        eos_token=SPECIAL[END],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _config(vocabulary: int, recipe: BaseRecipe) -> Any:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.inner,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BEGIN,
        eos_token_id=END,
    )


def _fit(
    model: Any,
    tokenizer: Any,
    documents: Sequence[str],
    recipe: BaseRecipe,
    generator: torch.Generator,
    progress: Progress,
    should_stop: ShouldStop,
) -> None:
    corpus = corpus_of(documents, tokenizer)
    window = min(recipe.window, len(corpus.tokens))
    batches = draw(corpus, window, recipe.batch, generator)
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    inside = set(map(id, hidden))
    others = [p for p in model.parameters() if id(p) not in inside]
    muon = Muon(hidden)
    adam = torch.optim.AdamW(others, lr=recipe.other_rate, betas=(0.9, 0.95), weight_decay=0.0)
    model.train()
    for step in range(recipe.steps):
        check(should_stop, step)
        factor = schedule(step, recipe.steps)
        adam.param_groups[0]["lr"] = recipe.other_rate * factor
        tokens = next(batches)
        loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, CLIP)
        muon.step(recipe.matrix_rate * factor)
        adam.step()
        progress(step + 1, recipe.steps, loss.item())
    model.eval()


def schedule(step: int, steps: int) -> float:
    """The learning rate's factor: warm up, stay, fall to nearly zero."""
    warm = min(1.0, (step + 1) / min(WARMUP, steps))
    fall = min(1.0, (steps - step) / (DECAY * steps))
    return warm * fall
