"""A real process: it stops when told, says what hung, and does its slow work beside the loop."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from node.compute import Compute
from node.exits import BUG, INTERRUPTED, OK
from protocol.errors import Temporary

ROOT = Path(__file__).parents[2]
DAEMON = """
import sys, time, trio
from node.logs import configure
from node.shutdown import until_signal

async def clean():
    try:
        print("ready", flush=True)
        await trio.sleep_forever()
    finally:
        print("closed", flush=True)

async def stubborn():
    with trio.CancelScope(shield=True):
        print("ready", flush=True)
        await trio.sleep_forever()

async def busy():
    print("ready", flush=True)
    while True:
        time.sleep(0.01)

async def finished():
    print("ready", flush=True)

configure(form="json")
body = dict(clean=clean, stubborn=stubborn, busy=busy, finished=finished)[sys.argv[1]]
trio.run(lambda: until_signal(body, deadline=float(sys.argv[2])))
print("ended", flush=True)
"""


@contextmanager
def daemon(body: str, deadline: float) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", DAEMON, body, str(deadline)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    with daemon("clean", 60) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (OK, "closed\nended\n")
    assert f"{number.name}: stopping" in err


def test_a_body_that_returns_ends_it() -> None:
    with daemon("finished", 60) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "ended\n"
    assert process.returncode == OK


def test_hangup_changes_nothing_and_says_so() -> None:
    with daemon("clean", 60) as process:
        assert process.stderr is not None
        process.send_signal(signal.SIGHUP)
        assert "nothing to reload" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == OK


@pytest.mark.parametrize("body", ["stubborn", "busy"])
def test_what_does_not_stop_is_named_and_ended(body: str) -> None:
    with daemon(body, 0.3) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)

    assert process.returncode == BUG
    assert f"in {body}" in err


def test_a_second_interrupt_ends_it_at_once() -> None:
    with daemon("stubborn", 60) as process:
        assert process.stderr is not None
        process.send_signal(signal.SIGINT)
        assert "SIGINT: stopping" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == INTERRUPTED


async def test_slow_work_runs_beside_the_loop_and_raises_here() -> None:
    compute = Compute()

    assert await compute(pow, 7, 2) == 49
    with pytest.raises(ZeroDivisionError):
        await compute(divmod, 1, 0)


async def test_long_work_runs_in_a_process_that_may_die() -> None:
    compute = Compute(processes=1)

    assert await compute.process(os.getpid) != os.getpid()
    with pytest.raises(ZeroDivisionError):
        await compute.process(divmod, 1, 0)
    with pytest.raises(Temporary, match="the worker process for _exit died"):
        await compute.process(os._exit, 3)
    assert await compute.process(pow, 7, 2) == 49
    with trio.move_on_after(0.2) as scope:
        await compute.process(pow, 7, 10**9)
    assert scope.cancelled_caught
