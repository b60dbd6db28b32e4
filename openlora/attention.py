"""Attention over one packed run of tokens, with a row of remembered keys and values per answer.

Registered with transformers' public AttentionInterface, so that any causal model runs unchanged.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor

NAME = "openledger_packed"
_current = threading.local()  # the memory that the running forward pass belongs to


@dataclass(frozen=True, slots=True)
class Prefill:
    """Tokens begin..end of the pack are the whole prompt of the answer in `row`."""

    begin: int
    end: int
    row: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The first `decoded` tokens continue rows 0..decoded; prompts follow."""

    positions: Tensor  # [decoded] place of each token in its row
    prefills: Sequence[Prefill]

    @property
    def decoded(self) -> int:
        return len(self.positions)


class Memory:
    """Keys and values [rows, heads, context, width] per layer, made at the first use of a layer."""

    def __init__(self, rows: int, context: int) -> None:
        self.rows, self.context = rows, context
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self.plan = Plan(torch.zeros(0, dtype=torch.long), ())

    def __enter__(self) -> None:
        _current.memory = self

    def __exit__(self, *_: object) -> None:
        del _current.memory

    @torch.inference_mode()
    def move(self, source: int, target: int) -> None:
        """Row `target` becomes row `source`; rows in use are kept side by side."""
        for keys, values in self._layers.values():
            keys[target].copy_(keys[source])
            values[target].copy_(values[source])

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float | None) -> Tensor:
        """q [heads, tokens, width], k and v [kv heads, tokens, width] -> [tokens, heads, width]."""
        if layer not in self._layers:
            shape = (self.rows, k.shape[0], self.context)
            self._layers[layer] = (
                torch.zeros(*shape, k.shape[2], dtype=k.dtype),
                torch.zeros(*shape, v.shape[2], dtype=v.dtype),
            )
        keys, values = self._layers[layer]
        out = torch.empty(q.shape[1], q.shape[0], v.shape[2], dtype=q.dtype)
        plan, n = self.plan, self.plan.decoded
        if n:
            rows = torch.arange(n)
            keys[rows, :, plan.positions] = k[:, :n].transpose(0, 1)
            values[rows, :, plan.positions] = v[:, :n].transpose(0, 1)
            longest = int(plan.positions.max()) + 1
            seen = torch.arange(longest)[None] <= plan.positions[:, None]
            out[:n] = nnf.scaled_dot_product_attention(
                q[:, :n].transpose(0, 1).unsqueeze(2),
                keys[:n, :, :longest],
                values[:n, :, :longest],
                attn_mask=seen[:, None, None],
                scale=scale,
                enable_gqa=True,
            )[:, :, 0]
        for part in plan.prefills:
            cut, size = slice(part.begin, part.end), part.end - part.begin
            keys[part.row, :, :size] = k[:, cut]
            values[part.row, :, :size] = v[:, cut]
            out[cut] = nnf.scaled_dot_product_attention(
                q[None, :, cut], k[None, :, cut], v[None, :, cut],
                is_causal=True, scale=scale, enable_gqa=True,
            )[0].transpose(0, 1)  # fmt: skip
        return out


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The function transformers calls; [1, heads, tokens, width] in, [1, tokens, heads, width]."""
    memory: Memory = _current.memory
    return memory.attend(module.layer_idx, query[0], key[0], value[0], scaling).unsqueeze(0), None


def no_mask(*_: Any, **__: Any) -> None:
    """The packed batch needs no mask from transformers."""


def register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, no_mask)
