"""Two ways to compute: float64 where bits must not move, float32 where speed counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from protocol.codec import require

DTYPES = {"float64": torch.float64, "float32": torch.float32}


def dtype_of(name: str) -> torch.dtype:
    """`Malformed` for a name that is neither."""
    require(name in DTYPES, f"dtype {name} is neither float64 nor float32")
    return DTYPES[name]


class _Widened(TorchFunctionMode):
    """Whoever asks for float32 gets float64.

    Models of transformers compute norms, rotary angles and softmax in float32 whatever they are
    given.  Those results differ in their last bit between instruction sets, which would be seen in
    an int8 now and then; at float64 they differ 1e9 times less.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = tuple(torch.float64 if arg is torch.float32 else arg for arg in args)
        kwargs = {
            name: torch.float64 if value is torch.float32 else value
            for name, value in (kwargs or {}).items()
        }
        return func(*args, **kwargs)


@contextmanager
def computing_in(dtype: torch.dtype) -> Iterator[None]:
    """Inside, models of `dtype` really compute in it."""
    if dtype is not torch.float64:
        yield
        return
    with _Widened():
        yield
