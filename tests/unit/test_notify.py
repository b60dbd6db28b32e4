"""The watchdog is fed by progress alone, and systemd's protocol is spoken as it is written."""

import os
import socket
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.notify import Watchdog, notify, watchdog_seconds


def test_no_manager_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")

    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_hears(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, abstract: bool) -> None:
    address = f"@{tmp_path}/n" if abstract else f"{tmp_path}/n"
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0"))

        assert notify("READY=1\nSTATUS=running")
        assert manager.recv(100) == b"READY=1\nSTATUS=running"


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [("3000000", "", 3.0), ("3000000", str(os.getpid()), 3.0), ("3000000", "1", None),
     ("", "", None), ("0", "", None), ("x", "", None)],
)  # fmt: skip
def test_when_a_watchdog_is_wanted(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)

    assert watchdog_seconds() == seconds


async def test_fed_while_all_progress_and_starved_when_one_stops(
    autojump_clock: MockClock,
) -> None:
    sent: list[tuple[float, str]] = []
    begin = trio.current_time()

    def send(message: str) -> bool:
        sent.append((trio.current_time() - begin, message))
        return True

    watchdog = Watchdog(period=3.0, send=send)
    progress = watchdog.expect("follower", within=5)
    with trio.move_on_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watchdog.run)
            for _ in range(10):
                await trio.sleep(1)
                progress()
            await trio.sleep_forever()

    fed = [moment for moment, message in sent if message == "WATCHDOG=1"]
    assert fed == [float(second) for second in range(16)]
    assert (16.0, "STATUS=no progress: follower") in sent
    assert watchdog.late() == ["follower"]


async def test_without_a_watchdog_there_is_nothing_to_do() -> None:
    await Watchdog(period=None).run()
