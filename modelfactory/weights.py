"""The adapter file: safetensors that carry their own LoRA settings, so one hash fixes both.

    file = header size u64 little-endian | header JSON | tensors

`__metadata__` of the header holds one key, `lora_config`: the canonical JSON of the settings that
change the adapter's output.  peft keeps them in a second file, which a hash of the weights alone
would leave open to change.  Tensors stand in the order of their names, so one adapter is one file.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, save

from modelfactory import canonical
from modelfactory.canonical import Json
from protocol.errors import Malformed, Refused

METADATA_KEY = "lora_config"
WEIGHTS_NAME, CONFIG_NAME = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."
ADAPTER_BYTES_MAX = 1 << 30
# What peft writes but what does not change the output of a finished adapter.
INERT = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "inference_mode",
        "init_lora_weights",
        "loftq_config",
        "lora_dropout",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
        "task_type",
    }
)


def settings(config: Mapping[str, Json], layers: list[str]) -> dict[str, Json]:
    """The part of a peft config that matters: what is inert, empty, none or false is left out.

    target_modules becomes the last names of `layers`: no reader has to understand a pattern.
    """
    kept: dict[str, Json] = {
        name: value for name, value in config.items() if name not in INERT and not _idle(value)
    }
    names = {layer.rsplit(".", 1)[-1] for layer in layers}
    kept["target_modules"] = [*sorted(names)]
    return kept


def _idle(value: Json) -> bool:
    return value is None or value is False or value in ("", "none", [], {})


def pack(tensors: Mapping[str, torch.Tensor], config: Mapping[str, Json]) -> bytes:
    """The file of an adapter: `tensors` by peft's names, `config` as in adapter_config.json."""
    layers = sorted({_layer_of(name) for name in tensors})
    text = canonical.dump(settings(config, layers)).decode()
    ordered = {name: tensors[name].contiguous() for name in sorted(tensors)}
    data: bytes = save(ordered, metadata={METADATA_KEY: text})
    return data


def seal(directory: Path) -> bytes:
    """Rewrite a peft adapter made elsewhere so that its weights carry its settings; sha256 of it.

    Raises `Refused` for pickled weights, `Malformed` for files that are not what they say.
    """
    path = directory / WEIGHTS_NAME
    if not path.is_file():
        raise Refused(f"{directory} has no {WEIGHTS_NAME}; pickled weights are never read")
    if path.stat().st_size > ADAPTER_BYTES_MAX:
        raise Refused(f"{path} is over {ADAPTER_BYTES_MAX} bytes")
    config = canonical.loads_loose((directory / CONFIG_NAME).read_bytes())
    try:
        tensors = load(path.read_bytes())
    except Exception as error:  # safetensors raises its own bare Exception subclasses
        raise Malformed(f"{path} is not safetensors: {error}") from None
    path.write_bytes(pack(tensors, config))
    return canonical.sha256_of(path)


def _layer_of(name: str) -> str:
    for end in (".lora_A.weight", ".lora_B.weight"):
        if name.startswith(PREFIX) and name.endswith(end):
            return name[len(PREFIX) : -len(end)]
    raise Refused(f"tensor {name} is no LoRA matrix of a linear layer")
