"""Tiny random models of several families, and adapters on them made by peft itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from modelfactory import canonical, weights
from modelfactory.pretrain import train_tokenizer
from modelfactory.recipe import BaseRecipe

TEXTS = ("The quick brown fox.\nIt jumps over the lazy dog.\n\nÄrger über Öl – naïve café.\n" * 8,)
CONTEXT = 64
FAMILIES = ("llama", "qwen2", "mistral", "gemma2", "gpt2")


def one_thread() -> Iterator[None]:
    """A fixture: tiny products lose much by threads where others want the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_base(folder: Path, family: str = "llama", seed: int = 0, **more: Any) -> Path:
    """A model with random weights and a byte-level tokenizer, as a Hugging Face directory."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = train_tokenizer(TEXTS, BaseRecipe(vocabulary=300))
    if family == "gpt2":
        sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": CONTEXT, "n_inner": 24}
    else:
        sizes = {
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 4,
            "max_position_embeddings": CONTEXT,
        }
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=2,
        initializer_range=0.3, **(sizes | more),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_peft(model: Any, seed: int = 1, size: float = 0.3, **settings: Any) -> Any:
    """`model` under a peft adapter with random weights."""
    from peft import LoraConfig, get_peft_model

    config = {"r": 3, "lora_alpha": 5, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted = get_peft_model(model, LoraConfig(**(config | settings)))
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=size)
    return adapted


def adapter_bytes(adapted: Any) -> bytes:
    """The adapter file of a peft model, its settings inside."""
    from peft import get_peft_model_state_dict

    config = adapted.peft_config["default"].to_dict()
    config["target_modules"] = sorted(config["target_modules"])
    text = json.dumps(config, default=lambda value: getattr(value, "value", list(value)))
    tensors = {
        name: t.detach().clone()
        for name, t in get_peft_model_state_dict(adapted, save_embedding_layers=False).items()
    }
    return weights.pack(tensors, canonical.loads_loose(text.encode()))


def make_adapter(base: Path, path: Path, **settings: Any) -> Path:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    path.write_bytes(adapter_bytes(make_peft(model, **settings)))
    return path
