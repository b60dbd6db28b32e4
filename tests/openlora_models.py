"""Tiny random models and adapters, made in a moment, for tests of both model engines."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from modelfactory import weights
from modelfactory.pretrain import train_tokenizer
from modelfactory.recipe import BaseRecipe

TEXTS = ("The quick brown fox.\nIt jumps over the lazy dog.\n\nÄrger über Öl – naïve café.\n" * 8,)
HIDDEN, INNER, LAYERS = 32, 48, 2
CONTEXT = 160


def make_base(directory: Path, seed: int = 0) -> Path:
    """A Llama with random weights and a byte-level tokenizer, as a Hugging Face directory."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer(TEXTS, BaseRecipe(vocabulary=300))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def layers() -> dict[str, tuple[int, int]]:
    """name -> (inputs, outputs) of every linear layer that an adapter may adapt."""
    attention = {"q_proj": HIDDEN, "k_proj": HIDDEN // 2, "v_proj": HIDDEN // 2, "o_proj": HIDDEN}
    shapes = {}
    for layer in range(LAYERS):
        for name, outputs in attention.items():
            shapes[f"model.layers.{layer}.self_attn.{name}"] = (HIDDEN, outputs)
        for name in ("gate_proj", "up_proj"):
            shapes[f"model.layers.{layer}.mlp.{name}"] = (HIDDEN, INNER)
        shapes[f"model.layers.{layer}.mlp.down_proj"] = (INNER, HIDDEN)
    return shapes


def tensors(seed: int, rank: int = 4, size: float = 0.3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for layer, (inputs, outputs) in layers().items():
        for end, shape in (("A", (rank, inputs)), ("B", (outputs, rank))):
            name = f"{weights.PREFIX}{layer}.lora_{end}.weight"
            made[name] = torch.randn(shape, generator=generator) * size
    return made


def settings(rank: int = 4, **more: Any) -> dict[str, Any]:
    return {"peft_type": "LORA", "r": rank, "lora_alpha": 8} | more


def make_adapter(path: Path, seed: int, rank: int = 4) -> bytes:
    """Write a random adapter file; returns its id."""
    data = weights.pack(tensors(seed, rank), settings(rank))
    path.write_bytes(data)
    return hashlib.sha256(data).digest()
