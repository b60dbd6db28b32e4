"""Tells systemd how the node is, by its datagram protocol (sd_notify), with no library."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

FEEDS_PER_PERIOD = 3


def notify(message: str) -> bool:
    """Send e.g. READY=1 to the service manager; False where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(address)
            sender.sendall(message.encode())
    except OSError:  # a manager that went away is no reason to die
        return False
    return True


def watchdog_seconds() -> float | None:
    """Within how many seconds systemd wants to hear of progress; None if it does not care."""
    text = os.environ.get("WATCHDOG_USEC", "")
    aimed_at = os.environ.get("WATCHDOG_PID", "")
    if not text.isdigit() or int(text) == 0 or aimed_at not in ("", str(os.getpid())):
        return None
    return int(text) / 1e6


@dataclass(slots=True)
class Watchdog:
    """Feeds systemd's watchdog only while every expected duty makes progress.

    A loop that merely turns proves nothing: a follower stuck on one call would be fed too.
    """

    period: float | None = field(default_factory=watchdog_seconds)
    send: Callable[[str], bool] = notify
    _within: dict[str, float] = field(default_factory=dict)  # seconds each may stay silent
    _heard: dict[str, float] = field(default_factory=dict)

    def expect(self, name: str, *, within: float) -> Callable[[], None]:
        """Expect `name` to make progress every `within` seconds; returns what it calls for that."""
        self._within[name] = within
        self._heard[name] = trio.current_time()

        def progress() -> None:
            self._heard[name] = trio.current_time()

        return progress

    def late(self) -> list[str]:
        """Who has been silent for too long."""
        now = trio.current_time()
        return [name for name, within in self._within.items() if now - self._heard[name] > within]

    async def run(self) -> None:
        """Feed until cancelled; returns at once where no watchdog is asked for."""
        if self.period is None:
            return
        told: list[str] = []
        while True:
            late = self.late()
            if not late:
                self.send("WATCHDOG=1")
            if late != told:
                self.send("STATUS=" + (f"no progress: {', '.join(late)}" if late else "running"))
                told = late
            await trio.sleep(self.period / FEEDS_PER_PERIOD)
