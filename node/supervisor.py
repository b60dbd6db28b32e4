"""Keeps the duties running: retries what is temporary, rebuilds after a reorg, lets bugs end it."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import trio

from protocol.errors import Reset, Temporary

DELAY_FIRST, DELAY_MAX = 1.0, 60.0  # seconds between restarts of one duty
QUIET = 60.0  # seconds of running after which the delay starts over
ERROR_CHARS_MAX = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """One long-running thing: a role, the follower of the chain, the outbox."""

    name: str
    run: Callable[[], Awaitable[None]]
    follows_chain: bool = False  # restarted together with the others when the chain moved


@dataclass(frozen=True, slots=True)
class State:
    """How a duty stands.  `since` is the trio time of the last change."""

    name: str
    condition: Literal["starting", "running", "retrying", "rebuilding", "done"] = "starting"
    since: float = 0.0
    restarts: int = 0
    error: str | None = None  # the last one; kept while it runs again

    @property
    def good(self) -> bool:
        return self.condition in ("running", "done")


async def no_rebuild() -> None:
    """For a node whose state is derived from nothing."""


@dataclass(slots=True)
class Supervisor:
    """Runs `duties` until all are done or one has a bug.

    A `Temporary` restarts its duty after a doubling delay.  A `Reset` of one that follows the
    chain stops all that do, awaits `rebuild`, and starts them again.  Anything else is a bug
    or a `Fault`: it leaves `run` in an exception group and ends the process.
    """

    duties: Sequence[Duty]
    rebuild: Callable[[], Awaitable[None]] = no_rebuild
    on_change: Callable[[State], None] = lambda state: None
    _states: dict[str, State] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._states = {duty.name: State(duty.name) for duty in self.duties}
        if len(self._states) < len(self.duties):
            raise ValueError("two duties have one name")

    @property
    def states(self) -> tuple[State, ...]:
        return tuple(self._states.values())

    async def run(self) -> None:
        followers = [duty for duty in self.duties if duty.follows_chain]
        async with trio.open_nursery() as nursery:
            for duty in self.duties:
                if not duty.follows_chain:
                    nursery.start_soon(self._keep, duty, name=duty.name)
            if followers:
                nursery.start_soon(self._keep_followers, followers, name="followers")

    async def _keep_followers(self, followers: Sequence[Duty]) -> None:
        pause = Pause()
        while True:
            started, reset = trio.current_time(), ""
            try:
                async with trio.open_nursery() as nursery:
                    for duty in followers:
                        nursery.start_soon(self._keep, duty, name=duty.name)
            except* Reset as group:
                reset = _said(group)
            if not reset:
                return
            log.warning("the chain moved, rebuilding: %s", reset)
            for duty in followers:
                self._set(duty, condition="rebuilding", error=reset)
            await self._until_rebuilt()
            if trio.current_time() - started < DELAY_FIRST:  # a chain that flips all the time
                await trio.sleep(pause.next(trio.current_time() - started))

    async def _until_rebuilt(self) -> None:
        pause = Pause()
        while True:
            error = ""
            try:
                await self.rebuild()
            except* (Temporary, Reset) as group:
                error = _said(group)
            if not error:
                return
            delay = pause.next(0)
            log.warning("rebuilding: again in %.0f s: %s", delay, error)
            await trio.sleep(delay)

    async def _keep(self, duty: Duty) -> None:
        """Run one duty, again and again after a `Temporary`."""
        pause = Pause()
        while True:
            started, error = trio.current_time(), ""
            self._set(duty, condition="running")
            try:
                await duty.run()
            except* Temporary as group:
                error = _said(group)
            if not error:
                self._set(duty, condition="done")
                return
            delay = pause.next(trio.current_time() - started)
            log.warning("%s: again in %.0f s: %s", duty.name, delay, error)
            restarts = self._states[duty.name].restarts + 1
            self._set(duty, condition="retrying", error=error, restarts=restarts)
            await trio.sleep(delay)

    def _set(self, duty: Duty, **changes: object) -> None:
        state = replace(self._states[duty.name], since=trio.current_time(), **changes)  # type: ignore[arg-type]
        self._states[duty.name] = state
        self.on_change(state)


@dataclass(slots=True)
class Pause:
    """Delays that double up to a bound, and start over after a quiet run."""

    delay: float = DELAY_FIRST

    def next(self, ran: float) -> float:
        if ran > QUIET:
            self.delay = DELAY_FIRST
        now, self.delay = self.delay, min(2 * self.delay, DELAY_MAX)
        return now


def _said(group: BaseExceptionGroup[BaseException]) -> str:
    """The messages of a group in one line."""
    found: list[str] = []
    stack: list[BaseException] = [group]
    while stack:
        error = stack.pop()
        if isinstance(error, BaseExceptionGroup):
            stack.extend(reversed(error.exceptions))
        else:
            found.append(str(error) or type(error).__name__)
    return "; ".join(found)[:ERROR_CHARS_MAX]
