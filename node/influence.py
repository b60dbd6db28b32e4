"""Computes features of texts for the roles: the base models at hand, opened in one thread.

torch and peft are imported in that thread when the first feature is wanted, 10 s.
"""

import functools
import os
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from config.settings import Influence
from modelfactory.identity import base_id
from node.exits import WrongSettings
from protocol.codec import require
from protocol.errors import Malformed, NodeError, Refused, Temporary
from protocol.features import DIMENSION
from roles.ports import Compute, Lens

if TYPE_CHECKING:
    from attribution.influence.build import Built
    from attribution.influence.featurizer import Featurizer

OPEN_MAX: Final = 2  # featurizers that are kept open: each holds a base model
TEXTS_MAX: Final = 64  # of one call, so that others get their turn between
STOP_SECONDS: Final = 5.0  # for which a stopped build is waited for; then the next waits for it
BASIS_BYTES_MAX: Final = 16 << 30
PASSIVE: Final = ("OMP_WAIT_POLICY", "passive")  # no spinning threads beside the event loop

R = TypeVar("R")


@dataclass
class Featurizers:
    """The port `roles.ports.Featurizer`: one call works at a time, the others wait for it."""

    bases: Mapping[bytes, Path]  # folders by the ids of their models
    settings: Influence = field(default_factory=Influence)
    told: dict[bytes, tuple[str, int, int]] = field(default_factory=dict)  # builds, by adapter
    _open: "OrderedDict[tuple[bytes, Path | None, bytes], Featurizer]" = field(
        default_factory=OrderedDict
    )
    _turn: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))
    _working: threading.Lock = field(default_factory=threading.Lock)  # a thread left behind

    def has(self, base: bytes) -> bool:
        return base in self.bases

    async def queries(self, lens: Lens, pairs: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """2048 int8 of each answer, from (prompt, output)."""

        def work(opened: "Featurizer", at: int) -> list[bytes]:
            return [opened.query(*pair) for pair in pairs[at : at + TEXTS_MAX]]

        return await self._in_parts(lens, len(pairs), work)

    async def examples(self, lens: Lens, texts: Sequence[bytes]) -> list[bytes]:
        """2048 int8 of each document."""

        def work(opened: "Featurizer", at: int) -> list[bytes]:
            return opened.examples([texts[n] for n in range(at, min(at + TEXTS_MAX, len(texts)))])

        return await self._in_parts(lens, len(texts), work)

    async def build(
        self, lens: Lens, texts: Sequence[bytes], progress: Callable[[int, int], None]
    ) -> "Built":
        """Basis and features of these documents; a cancelled build is stopped."""
        stop, ending = threading.Event(), trio.CancelScope(shield=True)
        move = _steady(progress)

        def told(doing: str, done: int, total: int) -> None:
            self.told[lens.adapter] = (doing, done, total)
            move(doing, done, total)

        def work() -> "Built":
            from attribution.influence.build import build_features

            folder = self._folder(lens)
            with self._working, _foreign(f"features of adapter {lens.adapter.hex()[:8]}"):
                return build_features(
                    folder,
                    lens.weights,
                    texts,
                    lens.seed,
                    progress=told,
                    should_stop=stop.is_set,
                    dtype=self.settings.precision,
                    device=self.settings.device,
                )

        try:
            return await _stopped_when_cancelled(lambda: self._thread(work), stop, ending)
        finally:
            self.told.pop(lens.adapter, None)

    async def _in_parts(
        self, lens: Lens, count: int, work: "Callable[[Featurizer, int], list[bytes]]"
    ) -> list[bytes]:
        found = list[bytes]()
        for at in range(0, count, TEXTS_MAX):
            found += await self._thread(functools.partial(self._with, lens, at, work))
        if not all(len(feature) == DIMENSION for feature in found):
            raise Refused("the featurizer made features of another dimension")
        return found

    def _with(
        self, lens: Lens, at: int, work: "Callable[[Featurizer, int], list[bytes]]"
    ) -> list[bytes]:
        with self._working, _foreign(f"features under adapter {lens.adapter.hex()[:8]}"):
            return work(self._opened(lens), at)

    def _opened(self, lens: Lens) -> "Featurizer":
        key = (lens.adapter, lens.basis, lens.seed)
        if key not in self._open:
            from attribution.influence.featurizer import Featurizer

            if lens.basis is None:
                raise Refused("features need a basis")
            require(lens.basis.stat().st_size <= BASIS_BYTES_MAX, "a basis of an impossible size")
            while len(self._open) >= OPEN_MAX:
                self._open.popitem(last=False)
            self._open[key] = Featurizer.open(
                self._folder(lens),
                lens.weights,
                lens.basis.read_bytes(),
                lens.seed,
                dtype=self.settings.precision,
                device=self.settings.device,
            )
        self._open.move_to_end(key)
        return self._open[key]

    def _folder(self, lens: Lens) -> Path:
        if lens.base not in self.bases:
            raise Temporary(f"the base model {lens.base.hex()[:8]} is not here")
        return self.bases[lens.base]

    async def _thread(self, work: Callable[[], R]) -> R:
        os.environ.setdefault(*PASSIVE)  # before torch is loaded
        return await trio.to_thread.run_sync(  # type: ignore[call-arg]  # old stubs by libp2p
            work, abandon_on_cancel=True, limiter=self._turn
        )


async def open_featurizers(
    compute: Compute, folders: Sequence[Path], settings: Influence
) -> Featurizers | None:
    """Over the base models in these folders, None without any; `WrongSettings` for what is none."""
    bases = dict[bytes, Path]()
    for folder in dict.fromkeys(folders):
        try:
            bases[await compute(base_id, folder)] = folder
        except (Refused, Malformed, OSError) as error:
            raise WrongSettings(f"influence.base_models: {folder}: {error}") from None
    return Featurizers(bases, settings) if bases else None


def _steady(progress: Callable[[int, int], None]) -> Callable[[str, int, int], None]:
    """The basis is the first half, however often its examples are passed; nothing goes back."""
    best = 0

    def move(doing: str, done: int, total: int) -> None:
        nonlocal best
        best = max(best, done if doing == "basis" else total + done)
        progress(best, 2 * total)

    return move


async def _stopped_when_cancelled(
    work: Callable[[], Awaitable[R]], stop: threading.Event, ending: trio.CancelScope
) -> R:
    """The work of a thread, which ends soon after `stop` is set; wait for that a while."""

    async def watch() -> None:
        try:
            await trio.sleep_forever()
        finally:
            stop.set()
            ending.deadline = trio.current_time() + STOP_SECONDS

    made: R | NodeError = Temporary("the work was stopped")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        with ending:
            try:
                made = await work()
            except NodeError as error:
                made = error
        nursery.cancel_scope.cancel()
    if isinstance(made, NodeError):
        raise made
    return made


@contextmanager
def _foreign(what: str) -> Iterator[None]:
    """Errors of files and of a full device, as ours."""
    try:
        yield
    except (OSError, MemoryError) as error:
        raise Temporary(f"{what}: {error}") from None
    except RuntimeError as error:  # torch says so when memory is out, on any device
        if "memory" not in str(error).lower():
            raise
        raise Temporary(f"{what}: {str(error).splitlines()[0]}") from None
