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
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
HANGUP = "SIGHUP: nothing to reload, settings are read at the start; restart instead"

log = logging.getLogger(__name__)


async def until_signal(
    body: Callable[[], Awaitable[None]],
    *,
    deadline: float = DEADLINE,
    stopping: Callable[[], object] = lambda: None,
) -> None:
    """Await `body` until it returns or SIGTERM or SIGINT cancels it.  Main thread only.

    After `deadline` seconds a thread, which no busy loop can stop, logs every thread and task
    and ends the process with code 70.  A second SIGINT ends it at once.
    """
    root, token = trio.lowlevel.current_root_task(), trio.lowlevel.current_trio_token()
    scope = trio.CancelScope()
    asked = False

    def stop(name: str) -> None:
        log.info("%s: stopping, at most %.0f s", name, deadline)
        stopping()
        scope.cancel()

    def obey(number: int, frame: FrameType | None) -> None:
        # Called between two bytecodes, even of a loop that never lets trio run: so the clock
        # starts here, and what may wait is left to trio.
        nonlocal asked
        name = signal.Signals(number).name
        if number == signal.SIGHUP:
            token.run_sync_soon(log.info, HANGUP)
        elif not asked:
            asked = True
            timer = threading.Timer(deadline, _give_up, (root, deadline))
            timer.daemon = True
            timer.start()
            token.run_sync_soon(stop, name)
        elif number == signal.SIGINT:
            _exit(INTERRUPTED)

    before = {number: signal.signal(number, obey) for number in SIGNALS}
    try:
        with scope:
            await body()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
