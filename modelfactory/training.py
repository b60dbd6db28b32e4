"""What both kinds of training share: reports, stopping, fixed randomness, whole output folders."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from protocol.errors import Temporary

Progress = Callable[[int, int, float], None]  # step, steps in all, loss in nats per token
ShouldStop = Callable[[], bool]


class Stopped(Temporary):
    """Training was stopped on request; nothing was written."""


def silent(step: int, total: int, loss: float) -> None:
    """The progress nobody watches."""


def never() -> bool:
    return False


def check(should_stop: ShouldStop, step: int) -> None:
    if should_stop():
        raise Stopped(f"training was stopped at step {step}")


def quiet() -> None:
    """No progress bars of other people's: ours are reported through `Progress`."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Fixed randomness and deterministic kernels inside; the process's own state comes back after.

    On one instruction set the result is the same to the byte, whatever the number of threads.
    """
    strict = torch.are_deterministic_algorithms_enabled()
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        torch.use_deterministic_algorithms(True)
        try:
            yield torch.Generator().manual_seed(seed)
        finally:
            torch.use_deterministic_algorithms(strict)
            random.setstate(state)


@contextmanager
def whole(out_dir: Path) -> Iterator[Path]:
    """A folder to write into that becomes `out_dir` only if the block ends well."""
    partial = out_dir.with_name(out_dir.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if out_dir.exists():
        shutil.rmtree(out_dir)
    partial.rename(out_dir)
