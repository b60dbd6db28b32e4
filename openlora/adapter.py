"""Reading an adapter out of untrusted bytes: everything is checked before anything is used.

The file is safetensors whose `__metadata__` holds `lora_config`, the canonical JSON of the LoRA
settings, so that the hash of the file fixes all that the adapter does (modelfactory/weights.py).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
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
ADAPTER_BYTES_MAX = 1 << 30
HEADER_BYTES_MAX = 8 << 20
RANK_MAX = 64
ALPHA_MAX = 1024
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
KNOWN = frozenset({"peft_type", "r", "lora_alpha", "target_modules", "use_rslora"})

Shapes = Mapping[str, tuple[int, int]]  # layer -> (inputs, outputs) of the base's linear layers


@dataclass(frozen=True, slots=True)
class Pair:
    """down [rank, inputs], up [outputs, rank] with the scale folded in; both float32."""

    down: Tensor
    up: Tensor


@dataclass(frozen=True, slots=True)
class Adapter:
    """A checked adapter: one pair per adapted layer."""

    rank: int
    pairs: Mapping[str, Pair]


def read_adapter(data: bytes, adapter_id: bytes, shapes: Shapes) -> Adapter:
    """The adapter in `data`; `Refused`, in one sentence, if it is not `adapter_id` or not usable.

    `data` are the very bytes that are hashed and parsed, so no file can change in between.
    """
    found = sha256(data).digest()
    if found != adapter_id:
        raise Refused(f"the adapter's bytes hash to {found.hex()}, not to {adapter_id.hex()}")
    rank, scale, targets = read_settings(_metadata(data))
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise Refused(f"the adapter is not valid safetensors: {error}") from None
    halves = _halves(dict(sorted(tensors.items())), shapes, rank)
    named = {layer.rsplit(".", 1)[-1] for layer in halves}
    if named != targets:
        raise Refused(f"target_modules says {sorted(targets)}, the weights are of {sorted(named)}")
    pairs = {}
    for layer, half in halves.items():
        if half.keys() != {"down", "up"}:
            raise Refused(f"layer {layer} lacks its lora_{'B' if 'down' in half else 'A'} matrix")
        pairs[layer] = Pair(half["down"], half["up"] * scale)
    return Adapter(rank, pairs)


def read_settings(config: Mapping[str, Any]) -> tuple[int, float, set[str]]:
    """(rank, scale, last names of the adapted layers) of a LoRA configuration."""
    for name in config:
        if name not in KNOWN:
            raise Refused(f"the adapter's configuration uses {name}, which is not supported")
    if config.get("peft_type") != "LORA":
        raise Refused(f"the adapter's peft_type is {config.get('peft_type')}, only LORA is served")
    rank, alpha, targets = (config.get(name) for name in ("r", "lora_alpha", "target_modules"))
    if type(rank) is not int or not 1 <= rank <= RANK_MAX:
        raise Refused(f"the adapter's rank is {rank}, it may be 1 to {RANK_MAX}")
    if type(alpha) is not int or not 1 <= alpha <= ALPHA_MAX:
        raise Refused(f"the adapter's lora_alpha is {alpha}, it may be 1 to {ALPHA_MAX}")
    if not isinstance(targets, list) or not all(isinstance(name, str) for name in targets):
        raise Refused("the adapter's target_modules is not a list of names")
    if config.get("use_rslora", False) not in (True, False):
        raise Refused("the adapter's use_rslora is neither true nor false")
    divisor = math.sqrt(rank) if config.get("use_rslora") else rank
    return rank, alpha / divisor, set(targets)


def _metadata(data: bytes) -> Mapping[str, Any]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(HEADER_BYTES_MAX, len(data) - 8):
        raise Refused("the adapter is not valid safetensors: its header does not fit")
    try:
        header = from_json(data[8 : 8 + size])  # bounds the depth, as json.loads may not
        config = from_json(header["__metadata__"][METADATA_KEY])
    except ValueError:
        raise Refused("the adapter's header is not valid JSON") from None
    except (KeyError, TypeError):
        raise Refused(f"the adapter's weights do not carry their {METADATA_KEY}") from None
    if not isinstance(config, dict):
        raise Refused(f"the adapter's {METADATA_KEY} is not an object")
    return config


def _halves(
    tensors: Mapping[str, Tensor], shapes: Shapes, rank: int
) -> dict[str, dict[str, Tensor]]:
    halves: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, side = _place(name)
        if layer not in shapes:
            raise Refused(f"tensor {name} belongs to no linear layer of the base")
        inputs, outputs = shapes[layer]
        want = (rank, inputs) if side == "down" else (outputs, rank)
        if tuple(tensor.shape) != want:
            raise Refused(f"tensor {name} has shape {tuple(tensor.shape)}, not {want}")
        if tensor.dtype not in DTYPES:
            raise Refused(f"tensor {name} has dtype {tensor.dtype}, not a 16 or 32 bit float")
        if not torch.isfinite(tensor).all():
            raise Refused(f"tensor {name} holds a NaN or an infinity")
        halves.setdefault(layer, {})[side] = tensor.float()
    return halves


def _place(name: str) -> tuple[str, str]:
    for end, side in ENDS.items():
        if name.startswith(PREFIX) and name.endswith("." + end):
            return name[len(PREFIX) : -len(end) - 1], side
    raise Refused(f"tensor {name} is no LoRA matrix of a linear layer")
