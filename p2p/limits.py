"""Token buckets, one per key, in bounded memory; time is a parameter."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

BUCKETS_MAX = 4096  # keys remembered; the least recently used goes first


@dataclass(frozen=True, slots=True)
class Rate:
    """So many tokens per second, saved up to `burst`."""

    per_second: float
    burst: float


class Buckets:
    """What each key may still spend. A key that was forgotten starts with a full bucket."""

    def __init__(self, rate: Rate, keys_max: int = BUCKETS_MAX) -> None:
        self._rate = rate
        self._keys_max = keys_max
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, key: Hashable, now: float, amount: float = 1.0) -> bool:
        """Spend `amount` if the key has it; `now` in seconds, never going back."""
        level, then = self._levels.pop(key, (self._rate.burst, now))
        level = min(self._rate.burst, level + max(0.0, now - then) * self._rate.per_second)
        enough = level >= amount
        self._levels[key] = (level - amount if enough else level, now)
        while len(self._levels) > self._keys_max:
            self._levels.popitem(last=False)
        return enough
