"""An answer goes on where the engine left it, whenever its loop was stopped."""

import threading
from dataclasses import dataclass, field
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from node.compute import Compute
from openlora.dispatch import Dispatch
from openlora.request import Delta, Event, Finished, Request, Sampling
from tests.sim.world import inline


@dataclass
class Letters:
    """An engine that says `abc`; each step waits for `gate`, if there is one."""

    left: dict[int, list[str]] = field(default_factory=dict)
    tickets: int = 0
    stepping: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event | None = None

    @property
    def busy(self) -> bool:
        return bool(self.left)

    def submit(self, request: Request) -> int:
        self.tickets += 1
        self.left[self.tickets] = list("abc")
        return self.tickets

    def cancel(self, ticket: int) -> None:
        self.left.pop(ticket, None)

    def step(self) -> list[tuple[int, Event]]:
        self.stepping.set()
        if self.gate is not None:
            assert self.gate.wait(20)
        happened = list[tuple[int, Event]]()
        for ticket, letters in list(self.left.items()):
            happened.append((ticket, Delta(letters.pop(0))))
            if not letters:
                del self.left[ticket]
                happened.append((ticket, Finished("stop", "abc", (1,), (2,))))
        if not self.left:
            self.ended.set()
        return happened


REQUEST = Request(
    adapter=None,
    prompt="say",
    sampling=Sampling(max_tokens=3, temperature=0, top_p=10**6, stops=()),
    chosen_seed=None,
)


async def heard(events: Any) -> str:
    said = ""
    async for event in events:
        if isinstance(event, Finished):
            return said
        said += event.text
    raise AssertionError("it never ended")


async def test_every_answer_gets_its_own_events() -> None:
    dispatch = Dispatch(Letters(), inline)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatch.run)
        for _ in range(2):  # the second finds a loop that waits
            async with dispatch.answer(REQUEST) as one, dispatch.answer(REQUEST) as two:
                assert [await heard(one), await heard(two)] == ["abc", "abc"]
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_a_loop_that_is_stopped_between_two_steps_goes_on_with_the_answer() -> None:
    engine = Letters()
    dispatch = Dispatch(engine, inline)  # type: ignore[arg-type]
    async with dispatch.answer(REQUEST) as events:
        with trio.CancelScope() as scope:
            scope.cancel()
            await dispatch.run()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dispatch.run)
            with trio.fail_after(20):
                assert await heard(events) == "abc"
            nursery.cancel_scope.cancel()


async def test_what_a_step_says_after_the_loop_was_stopped_is_not_lost() -> None:
    """A thread cannot be cancelled: its step ends unseen, also the one that ends the answer."""
    engine = Letters()
    dispatch = Dispatch(engine, Compute())  # type: ignore[arg-type]
    async with dispatch.answer(REQUEST) as events:
        for _ in range(3):
            engine.gate, engine.stepping = threading.Event(), threading.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(dispatch.run)
                await trio.to_thread.run_sync(engine.stepping.wait, 20)
                nursery.cancel_scope.cancel()
            engine.gate.set()
        await trio.to_thread.run_sync(engine.ended.wait, 20)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dispatch.run)
            with trio.fail_after(20):
                assert await heard(events) == "abc"
            nursery.cancel_scope.cancel()
