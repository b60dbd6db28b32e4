"""Ends the node when a signal asks: cancels, waits up to a deadline, then says what hung."""

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from types import FrameType

import trio

from node.exits import BUG, INTERRUPTED

DEADLINE = 10.0  # seconds from the signal to the end
TASKS_SHOWN_MAX = 200

log = logging.getLogger(__name__)


async def until_signal(
    body: Callable[[], Awaitable[None]],
    *,
    deadline: float = DEADLINE,
    stopping: Callable[[], object] = lambda: None,
) -> None:
    """Await `body` until it returns or SIGTERM or SIGINT cancels it.

    After `deadline` seconds a thread, which no busy loop can stop, logs every thread and task
    and ends the process with code 70.  A second SIGINT ends it at once.
    """
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            scope = trio.CancelScope()
            nursery.start_soon(_obey, signals, scope, deadline, stopping, name="signals")
            with scope:
                await body()
            nursery.cancel_scope.cancel()


async def _obey(
    signals: object, scope: trio.CancelScope, deadline: float, stopping: Callable[[], object]
) -> None:
    async for number in signals:  # type: ignore[attr-defined]
        name = signal.Signals(number).name
        if number == signal.SIGHUP:
            log.info("SIGHUP: nothing to reload, settings are read at the start; restart instead")
        elif not scope.cancel_called:
            log.info("%s: stopping, at most %.0f s", name, deadline)
            stopping()
            root = trio.lowlevel.current_root_task()
            timer = threading.Timer(deadline, _give_up, (root, deadline))
            timer.daemon = True
            timer.start()
            scope.cancel()
        elif number == signal.SIGINT:
            log.warning("second Ctrl-C: ended at once")
            _exit(INTERRUPTED)


def _give_up(root: trio.lowlevel.Task | None, deadline: float) -> None:
    log.critical("not stopped after %.0f s; threads and tasks:\n%s", deadline, _dump(root))
    _exit(BUG)


def _dump(root: trio.lowlevel.Task | None) -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = [
        f"thread {names.get(ident, ident)}\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    ]
    return "\n".join([*parts, *_tasks(root)])


def _tasks(root: trio.lowlevel.Task | None) -> list[str]:
    """Each task with the line where it waits."""
    lines: list[str] = []
    pending = [root] if root else []
    while pending and len(lines) < TASKS_SHOWN_MAX:
        task = pending.pop()
        lines.append(f"task {task.name}: {_waits_at(task)}")
        pending.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
    return lines


def _waits_at(task: trio.lowlevel.Task) -> str:
    frames: list[FrameType] = [frame for frame, _ in task.iter_await_frames()]
    ours = [f for f in frames if "/trio/" not in f.f_code.co_filename]
    if not ours:
        return "running"
    frame = ours[-1]
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def _exit(code: int) -> None:
    logging.shutdown()
    os._exit(code)
