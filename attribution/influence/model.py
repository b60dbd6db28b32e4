"""The base model and its adapter as the gradients need them, read from disk alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attribution.influence.adapter import Lora, read_loras
from attribution.influence.precision import computing_in
from protocol.errors import Refused

Loaded = tuple[Any, Any]  # model, tokenizer


def open_base(base_dir: Path, dtype: torch.dtype, device: str) -> Loaded:
    """A causal model in evaluation mode and its tokenizer; no code of the model's own is run.

    Attention is eager, plain products: the others have kernels that differ between devices and
    leave out what some models need (soft caps).  `Refused` for what cannot be read.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with computing_in(dtype):
            model = AutoModelForCausalLM.from_pretrained(
                base_dir,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                attn_implementation="eager",
            )
        tokenizer = AutoTokenizer.from_pretrained(base_dir, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise Refused(f"cannot read a causal model from {base_dir}: {error}") from None
    whole: Any = model
    return whole.to(device=device, dtype=dtype).eval().requires_grad_(False), tokenizer


def open_adapter(adapter_file: Path) -> tuple[bytes, list[Lora]]:
    """The file's bytes and what they hold; the bytes that are parsed are those that are hashed."""
    try:
        data = adapter_file.read_bytes()
    except OSError as error:
        raise Refused(f"cannot read the adapter {adapter_file}: {error}") from None
    return data, read_loras(data)


def context_of(model: Any, most: int) -> int:
    """Tokens that the model holds, at most `most`."""
    config = model.config.get_text_config()
    known = getattr(config, "max_position_embeddings", None) or most
    return max(2, min(most, int(known)))


def layers_of(model: nn.Module, loras: Sequence[Lora]) -> list[nn.Module]:
    """The module that each of `loras` adapts; `Refused` unless it is linear and of that shape."""
    found = []
    for lora in loras:
        try:
            module = model.get_submodule(lora.layer)
        except AttributeError:
            raise Refused(f"the base has no layer {lora.layer}") from None
        shape = _shape(module)
        if shape is None:
            raise Refused(f"layer {lora.layer} is a {type(module).__name__}, not linear")
        want = (lora.down.shape[1], lora.up.shape[0])
        if shape != want:
            raise Refused(f"layer {lora.layer} maps {shape[0]} to {shape[1]}, not as its adapter")
        found.append(module)
    return found


def _shape(module: nn.Module) -> tuple[int, int] | None:
    """(inputs, outputs) of a linear layer."""
    if type(module) is nn.Linear:
        return module.in_features, module.out_features
    if type(module).__name__ == "Conv1D":  # of transformers: GPT-2's, weight [inputs, outputs]
        inputs, outputs = module.weight.shape  # type: ignore[misc]
        return int(inputs), int(outputs)
    return None
