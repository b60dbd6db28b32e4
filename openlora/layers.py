"""Linear layers that add, to each token's output, what the adapter in the token's slot says."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from openlora.adapter import Adapter

BARE = -1  # the slot of tokens that go through the base alone


class Routing:
    """Which slot each token of the packed batch goes through; shared by all wrapped layers."""

    def __init__(self) -> None:
        self.version = 0
        self.slots: tuple[int, ...] = ()
        self.single = False  # every token is a row of its own (decoding): gather, else segments
        self.segments: list[tuple[int, int, int]] = []  # begin, end, slot of equal neighbours
        self.index = self.bare = torch.zeros(0)
        self.any_bare = self.any_adapted = False

    def set(self, slots: Sequence[int], *, single: bool) -> None:
        """Change nothing if nothing changed, so that gathered weights live on."""
        if (tuple(slots), single) == (self.slots, self.single):
            return
        self.slots, self.single = tuple(slots), single
        self.invalidate()
        self.index = torch.tensor([max(slot, 0) for slot in slots])
        self.bare = torch.tensor([slot == BARE for slot in slots])
        self.any_bare, self.any_adapted = BARE in slots, any(slot != BARE for slot in slots)
        self.segments, at = [], 0
        for slot, run in groupby(slots):
            size = len(list(run))
            self.segments.append((at, at + size, slot))
            at += size

    def invalidate(self) -> None:
        """Call when the weights in a slot changed."""
        self.version += 1


class RoutedLinear(nn.Module):
    """`inner` plus low-rank terms; down [slots, rank, inputs], up [slots, outputs, rank].

    Never one wide product under a mask: a NaN in one adapter would leak into other rows.
    """

    def __init__(self, inner: nn.Linear, slots: int, rank: int, routing: Routing) -> None:
        super().__init__()
        self.inner, self.routing = inner, routing
        dtype = inner.weight.dtype
        self.down = torch.zeros(slots, rank, inner.in_features, dtype=dtype)
        self.up = torch.zeros(slots, inner.out_features, rank, dtype=dtype)
        self._version = -1
        self._gathered = (self.down, self.up)

    def forward(self, x: Tensor) -> Tensor:
        """[1, tokens, inputs] -> [1, tokens, outputs]."""
        y: Tensor = self.inner(x)
        if not self.routing.any_adapted:
            return y
        assert x.shape[:2] == (1, len(self.routing.slots))
        return self._gather(x, y) if self.routing.single else self._segments(x, y)

    def _gather(self, x: Tensor, y: Tensor) -> Tensor:
        routing = self.routing
        if self._version != routing.version:
            down = self.down.index_select(0, routing.index).transpose(1, 2).contiguous()
            up = self.up.index_select(0, routing.index).transpose(1, 2).contiguous()
            self._gathered, self._version = (down, up), routing.version
        down, up = self._gathered
        hidden = torch.bmm(x[0].unsqueeze(1), down)
        delta = torch.bmm(hidden, up).squeeze(1)
        if routing.any_bare:
            delta = delta.masked_fill(routing.bare[:, None], 0.0)
        return y + delta.unsqueeze(0)

    def _segments(self, x: Tensor, y: Tensor) -> Tensor:
        y = y.clone()
        for begin, end, slot in self.routing.segments:
            if slot != BARE:
                hidden = nnf.linear(x[0, begin:end], self.down[slot])
                y[0, begin:end] += nnf.linear(hidden, self.up[slot])
        return y


class Pool:
    """A fixed number of slots in every linear layer of a model (its output head excepted)."""

    def __init__(self, model: nn.Module, slots: int, rank: int) -> None:
        self.routing, self.slots, self.rank = Routing(), slots, rank
        self.layers: dict[str, RoutedLinear] = {}
        head = model.get_output_embeddings()  # type: ignore[operator]
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Linear) and module is not head:
                routed = RoutedLinear(module, slots, rank, self.routing)
                parent, _, last = name.rpartition(".")
                setattr(model.get_submodule(parent), last, routed)
                self.layers[name] = routed

    @property
    def shapes(self) -> Mapping[str, tuple[int, int]]:
        """layer -> (inputs, outputs)."""
        return {
            name: (layer.inner.in_features, layer.inner.out_features)
            for name, layer in self.layers.items()
        }

    def put(self, slot: int, adapter: Adapter) -> None:
        """Copy `adapter` into `slot`; layers and ranks that it does not use become zero."""
        assert 0 <= slot < self.slots
        assert adapter.rank <= self.rank
        for name, layer in self.layers.items():
            layer.down[slot].zero_()
            layer.up[slot].zero_()
            if pair := adapter.pairs.get(name):
                layer.down[slot, : adapter.rank].copy_(pair.down)
                layer.up[slot, :, : adapter.rank].copy_(pair.up)
        self.routing.invalidate()
