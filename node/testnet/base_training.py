"""Trains a small base model of the test network's texts, beside what else comes up."""

import functools
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from node.testnet.processes import PASSIVE
from node.testnet.show import Bar, Show

BASE_STEPS = 300  # about 100 s on two cores; then it knows most of its texts by heart


@dataclass
class BaseTraining:
    """Once a folder: `run` trains in a thread, `wait` shows how far it is until it is done."""

    documents: Sequence[str]
    folder: Path
    _done: trio.Event = field(default_factory=trio.Event)
    _bar: Bar | None = None
    _trained: bool = False

    async def run(self) -> None:
        if not (self.folder / "config.json").is_file():
            stop = threading.Event()
            job = functools.partial(_train, self.documents, self.folder, self._told, stop.is_set)
            try:
                await trio.to_thread.run_sync(job, abandon_on_cancel=True)  # type: ignore[call-arg]
            finally:
                stop.set()  # a thread that was left behind ends at its next step
            self._trained = True
        self._done.set()

    async def wait(self, show: Show) -> None:
        if self._done.is_set():
            made = "trained meanwhile" if self._trained else "as it was"
            show.say(f"base model: {self.folder}, {made}")
            return
        with show.bar("training the base model") as self._bar:
            await self._done.wait()
            self._bar = None

    def _told(self, step: int, total: int, loss: float) -> None:
        if (bar := self._bar) is not None:
            bar(step, total, f"loss {loss:.2f}")


def _train(
    documents: Sequence[str],
    folder: Path,
    progress: Callable[[int, int, float], None],
    should_stop: Callable[[], bool],
) -> None:
    os.environ.setdefault(*PASSIVE)
    from modelfactory.pretrain import train_base  # torch: 8 s
    from modelfactory.recipe import BaseRecipe

    recipe = BaseRecipe(steps=BASE_STEPS)
    train_base(list(documents), folder, recipe=recipe, progress=progress, should_stop=should_stop)
