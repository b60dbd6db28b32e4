"""The time of day, as a port: tests and simulations put a virtual one in its place."""

import time

import trio


class SystemClock:
    def now(self) -> float:
        """Seconds since 1970, as block timestamps count them."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back; for durations only."""
        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)
