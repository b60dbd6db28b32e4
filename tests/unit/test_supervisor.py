"""The supervisor restarts after a `Temporary`, rebuilds after a `Reset`, and nothing else."""

from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from node.supervisor import DELAY_MAX, QUIET, Duty, Supervisor
from protocol.errors import Malformed, Reset, Temporary

Step = Exception | float | None


def scripted(starts: list[float], *steps: Step) -> Callable[[], Awaitable[None]]:
    """A duty that at each start takes its next step: raise, sleep then raise, or return."""
    script = list(steps)

    async def run() -> None:
        starts.append(trio.current_time())
        step = script.pop(0) if script else None
        if isinstance(step, Exception):
            raise step
        if step is not None:
            await trio.sleep(step)
            raise Temporary("after a while")

    return run


async def test_retries_with_doubling_delay_up_to_a_bound(autojump_clock: MockClock) -> None:
    starts: list[float] = []
    begin = trio.current_time()
    await Supervisor([Duty("a", scripted(starts, *[Temporary("down")] * 9))]).run()

    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert starts[0] == begin
    assert gaps == [1, 2, 4, 8, 16, 32, DELAY_MAX, DELAY_MAX, DELAY_MAX]


async def test_a_quiet_run_starts_the_delays_over(autojump_clock: MockClock) -> None:
    starts: list[float] = []
    down = Temporary("down")
    await Supervisor([Duty("a", scripted(starts, down, down, down, QUIET + 1, down))]).run()

    assert starts[4] - starts[3] == QUIET + 1 + 1
    assert starts[5] - starts[4] == 2


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), Malformed("leaked")])
async def test_a_bug_ends_the_node(autojump_clock: MockClock, error: Exception) -> None:
    duties = [Duty("a", scripted([], error)), Duty("b", trio.sleep_forever, follows_chain=True)]
    expected = pytest.RaisesGroup(
        pytest.RaisesExc(check=lambda e: e is error), flatten_subgroups=True
    )
    with expected:
        await Supervisor(duties).run()


async def test_a_bug_beside_a_temporary_is_not_hidden(autojump_clock: MockClock) -> None:
    async def both() -> None:
        raise ExceptionGroup("", [Temporary("down"), ZeroDivisionError("bug")])

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        await Supervisor([Duty("a", both)]).run()


async def test_one_that_retries_disturbs_no_other(autojump_clock: MockClock) -> None:
    starts: list[float] = []
    calm: list[float] = []

    async def once() -> None:
        calm.append(trio.current_time())
        await trio.sleep(100)

    await Supervisor([Duty("a", scripted(starts, *[Temporary("x")] * 3)), Duty("b", once)]).run()

    assert (len(starts), len(calm)) == (4, 1)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_reset_rebuilds_and_restarts_all_followers(
    autojump_clock: MockClock, wrapped: bool
) -> None:
    """In order: all stopped, rebuilt (again after a `Temporary`), all started.  Others go on."""
    events: list[str] = []
    failures: list[Exception] = [Temporary("rpc down")]

    async def first() -> None:
        events.append("first")
        if events.count("first") == 1:
            await trio.sleep(5)
            reset = Reset("block 7 is gone")
            raise ExceptionGroup("nursery", [reset]) if wrapped else reset

    async def second() -> None:
        events.append("second")
        try:
            await trio.sleep(10 if events.count("second") == 1 else 0)
        except trio.Cancelled:
            events.append("second stopped")
            raise

    async def other() -> None:
        events.append("other")
        await trio.sleep(20)

    async def rebuild() -> None:
        events.append("rebuild")
        if failures:
            raise failures.pop()

    supervisor = Supervisor(
        [Duty("1", first, True), Duty("2", second, True), Duty("3", other)], rebuild
    )
    await supervisor.run()

    stopped = events.index("second stopped")
    assert sorted(events[:stopped]) == ["first", "other", "second"]
    assert events[stopped:-2] == ["second stopped", "rebuild", "rebuild"]
    assert sorted(events[-2:]) == ["first", "second"]


async def test_states_tell_what_happens(autojump_clock: MockClock) -> None:
    seen: list[tuple[str, str | None, int]] = []
    supervisor = Supervisor(
        [Duty("a", scripted([], Temporary("rpc down")))],
        on_change=lambda state: seen.append((state.condition, state.error, state.restarts)),
    )
    await supervisor.run()

    assert seen == [
        ("running", None, 0),
        ("retrying", "rpc down", 1),
        ("running", "rpc down", 1),
        ("done", "rpc down", 1),
    ]
    assert supervisor.states[0].good


async def test_cancelling_is_no_error(autojump_clock: MockClock) -> None:
    with trio.move_on_after(3) as scope:
        await Supervisor([Duty("a", trio.sleep_forever), Duty("b", trio.sleep_forever, True)]).run()

    assert scope.cancelled_caught


def test_two_duties_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        Supervisor([Duty("a", trio.sleep_forever), Duty("a", trio.sleep_forever)])
