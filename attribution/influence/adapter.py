"""Reading the LoRA matrices of an adapter file: each layer with its own rank and scale.

The file is safetensors whose `__metadata__` holds `lora_config`, the JSON of the LoRA settings, so
that one hash fixes both.  Nothing is ever unpickled.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic_core import from_json
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from protocol.errors import Refused

METADATA_KEY = "lora_config"
PREFIX = "base_model.model."
ENDS = {"lora_A.weight": "down", "lora_B.weight": "up"}
HEADER_BYTES_MAX = 8 << 20
ADAPTER_BYTES_MAX = 1 << 30
RANK_MAX = 1024
ALPHA_MAX = 1 << 20
LAYERS_MAX = 1 << 14
PATTERNS_MAX = 1024
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
# Settings that change what a finished adapter computes and that we compute as peft does.
KNOWN = frozenset(
    {
        *("peft_type", "r", "lora_alpha", "target_modules", "use_rslora", "fan_in_fan_out"),
        *("rank_pattern", "alpha_pattern"),
    }
)
# Settings that say how it was trained, or which layers: the weights themselves tell that.
INERT = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying"),
        *("eva_config", "exclude_modules", "inference_mode", "init_lora_weights"),
        *("layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout"),
        *("lora_ga_config", "megatron_config", "megatron_core", "peft_version"),
        *("qalora_group_size", "revision", "runtime_config", "task_type"),
    }
)
LITERAL = re.compile(r"\^?[A-Za-z0-9_.\\-]{1,512}\$?")  # of a pattern: no quantifier, so no blow-up


@dataclass(frozen=True, slots=True)
class Lora:
    """y += scale * up (down x) on one layer; down [rank, inputs], up [outputs, rank]."""

    layer: str
    down: Tensor
    up: Tensor
    scale: float

    @property
    def rank(self) -> int:
        return int(self.down.shape[0])


def read_loras(data: bytes) -> list[Lora]:
    """The adapted layers in the order of their names; `Refused`, in one sentence, if unusable."""
    if len(data) > ADAPTER_BYTES_MAX:
        raise Refused(f"the adapter has {len(data)} bytes, limit is {ADAPTER_BYTES_MAX}")
    config = _metadata(data)
    _check(config)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise Refused(f"the adapter is not valid safetensors: {error}") from None
    halves: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, side = _place(name)
        _check_matrix(name, tensor)
        halves.setdefault(layer, {})[side] = tensor
    if not 1 <= len(halves) <= LAYERS_MAX:
        raise Refused(f"the adapter adapts {len(halves)} layers, it may be 1 to {LAYERS_MAX}")
    return [_lora(layer, halves[layer], config) for layer in sorted(halves)]


def _lora(layer: str, half: Mapping[str, Tensor], config: Mapping[str, Any]) -> Lora:
    if half.keys() != {"down", "up"}:
        raise Refused(f"layer {layer} lacks its lora_{'B' if 'down' in half else 'A'} matrix")
    down, up = half["down"], half["up"]
    rank = down.shape[0]
    said = _by_pattern(config.get("rank_pattern") or {}, layer, config["r"])
    if not (up.shape[1] == rank == said and 1 <= rank <= RANK_MAX):
        raise Refused(f"layer {layer} is of rank {said}, its matrices of {rank} and {up.shape[1]}")
    alpha = _by_pattern(config.get("alpha_pattern") or {}, layer, config["lora_alpha"])
    if not 0 < alpha <= ALPHA_MAX:
        raise Refused(f"the lora_alpha of layer {layer} is {alpha}, limit is {ALPHA_MAX}")
    divisor = math.sqrt(rank) if config.get("use_rslora") else rank
    return Lora(layer, down, up, alpha / divisor)


def _check(config: Mapping[str, Any]) -> None:
    for name, value in config.items():
        idle = value is None or value is False or value in ("", "none", [], {})
        if name not in KNOWN and name not in INERT and not idle:
            raise Refused(f"the adapter's configuration uses {name}, which is not supported")
    if config.get("peft_type") != "LORA":
        raise Refused(f"the adapter's peft_type is {config.get('peft_type')}, not LORA")
    if not (_numeric(config.get("r")) and _numeric(config.get("lora_alpha"))):
        raise Refused("the adapter's r or lora_alpha is not a number")
    if config.get("use_rslora") not in (None, True, False):
        raise Refused("the adapter's use_rslora is neither true nor false")
    for name in ("rank_pattern", "alpha_pattern"):
        pattern = config.get(name) or {}
        if not (isinstance(pattern, dict) and len(pattern) <= PATTERNS_MAX):
            raise Refused(f"the adapter's {name} is not an object of at most {PATTERNS_MAX}")
        for key, value in pattern.items():
            if not (LITERAL.fullmatch(key) and _numeric(value)):
                raise Refused(f"the adapter's {name} has an entry that is not supported")


def _numeric(value: Any) -> bool:
    return type(value) in (int, float)


def _by_pattern(pattern: Mapping[str, Any], layer: str, default: Any) -> Any:
    """As peft: the first key that matches the end of the layer's name."""
    for key, value in pattern.items():
        try:
            if re.match(rf"(.*\.)?({key})$", layer):
                return value
        except re.error:
            raise Refused(f"the pattern {key} is not supported") from None
    return default


def _metadata(data: bytes) -> Mapping[str, Any]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(HEADER_BYTES_MAX, len(data) - 8):
        raise Refused("the adapter is not valid safetensors: its header does not fit")
    try:
        header = from_json(data[8 : 8 + size], allow_inf_nan=False)  # bounds the depth
        config = from_json(header["__metadata__"][METADATA_KEY], allow_inf_nan=False)
    except ValueError:
        raise Refused("the adapter's header is not valid JSON") from None
    except (KeyError, TypeError):
        raise Refused(f"the adapter's weights do not carry their {METADATA_KEY}") from None
    if not isinstance(config, dict):
        raise Refused(f"the adapter's {METADATA_KEY} is not an object")
    return config


def _place(name: str) -> tuple[str, str]:
    for end, side in ENDS.items():
        if name.startswith(PREFIX) and name.endswith("." + end):
            return name[len(PREFIX) : -len(end) - 1], side
    raise Refused(f"tensor {name} is no LoRA matrix of a linear layer")


def _check_matrix(name: str, tensor: Tensor) -> None:
    if tensor.dim() != 2 or 0 in tensor.shape:
        raise Refused(f"tensor {name} has shape {tuple(tensor.shape)}, not that of a matrix")
    if tensor.dtype not in DTYPES:
        raise Refused(f"tensor {name} has dtype {tensor.dtype}, not a float")
    if not torch.isfinite(tensor).all():
        raise Refused(f"tensor {name} holds a NaN or an infinity")
