"""The engine as a child: whatever it prints, it never waits for us, and its end is told."""

import sys
from pathlib import Path

import pytest
import trio

from node.execution import (
    EXIT_LOCKED,
    EXIT_STORE,
    LINE_BYTES_MAX,
    LINES_KEPT,
    Endpoints,
    Tail,
    run_child,
    run_child_alone,
)
from node.exits import Occupied
from node.store import CorruptStore
from protocol.errors import Temporary

FLOOD = "x" * 79
DEADLINE = 30  # nothing waits for it


async def run(script: str, folder: Path = Path("store")) -> list[str]:
    """What was called, in order; the error of the end is raised."""
    told: list[str] = []
    with trio.fail_after(DEADLINE):
        await run_child(
            [sys.executable, "-c", script], folder, lambda endpoints: told.append("started")
        )
    return told


async def test_a_child_that_prints_much_ends_all_the_same() -> None:
    """Both pipes are filled many times over, before and after it says that it serves."""
    script = f"""
import sys
for _ in range(20_000):
    print("{FLOOD}"); print("{FLOOD}", file=sys.stderr)
print("the store is broken", file=sys.stderr)
sys.exit({EXIT_STORE})
"""
    with pytest.raises(CorruptStore, match=r"store: the store is broken$"):
        await run(script)


async def test_its_port_may_come_in_pieces() -> None:
    """And after a line of something else."""
    started = trio.Event()

    def serves(endpoints: Endpoints) -> None:
        assert endpoints == Endpoints(1, None)
        started.set()

    script = """
import sys, time
def put(text):
    sys.stdout.write(text); sys.stdout.flush()
put("not json\\n[1]\\n{\\"po")
sys.stderr.write("x"); sys.stderr.flush()
time.sleep(0.05)
put("rt\\": 1}\\n")
sys.stdin.read()
"""
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            command = [sys.executable, "-c", script.replace("sys.stdin.read()", "time.sleep(60)")]
            nursery.start_soon(run_child, command, Path("store"), serves)
            await started.wait()
            nursery.cancel_scope.cancel()  # ends the child, too


async def test_a_child_that_prints_while_it_stops_is_not_killed(tmp_path: Path) -> None:
    """It closes its store after the last line; a full pipe would keep it from that."""
    closed, started = tmp_path / "closed", trio.Event()

    def serves(endpoints: Endpoints) -> None:
        started.set()

    script = f"""
import pathlib, signal, sys, time
def stop(*_):
    for _ in range(5_000): print("{FLOOD}"); print("{FLOOD}", file=sys.stderr)
    pathlib.Path({str(closed)!r}).touch(); sys.exit()
signal.signal(signal.SIGTERM, stop)
print('{{"port": 1}}', flush=True)
time.sleep(60)
"""
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            command = [sys.executable, "-c", script]
            nursery.start_soon(run_child, command, tmp_path, serves)
            await started.wait()
            nursery.cancel_scope.cancel()
    assert closed.exists()


async def test_the_engine_of_a_killed_node_is_waited_for(tmp_path: Path) -> None:
    """It ends a moment later; the new one gets port and store then."""
    gone, started = tmp_path / "gone", trio.Event()
    script = f"""
import pathlib, sys, time
gone = pathlib.Path({str(gone)!r})
if not gone.exists():
    gone.touch(); sys.exit({EXIT_LOCKED})
print('{{"port": 1}}', flush=True)
time.sleep(60)
"""

    def serves(endpoints: Endpoints) -> None:
        started.set()

    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            command = [sys.executable, "-c", script]
            nursery.start_soon(run_child_alone, command, tmp_path, serves)
            await started.wait()
            nursery.cancel_scope.cancel()


async def test_how_it_ended_is_told() -> None:
    with pytest.raises(Occupied, match=r"store: in use$"):
        await run(f"import sys; sys.stderr.write('a\\nin use'); sys.exit({EXIT_LOCKED})")
    with pytest.raises(Temporary, match=r"code 7: $"):
        await run("raise SystemExit(7)")


def test_a_tail_is_bounded() -> None:
    seen: list[bytes] = []
    tail = Tail(seen.append)
    for piece in (b"a", b"b\nc\n", b"", b"d"):
        tail.feed(piece)
    tail.end()
    assert [*tail.lines] == seen == [b"ab", b"c", b"d"]
    for number in range(100):
        tail.feed(b"%d\n" % number)
    assert [*tail.lines] == [b"%d" % n for n in range(100 - LINES_KEPT, 100)]
    for _ in range(5):
        tail.feed(b"x" * LINE_BYTES_MAX)
    assert len(tail.rest) == LINE_BYTES_MAX
