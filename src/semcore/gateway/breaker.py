"""Circuit breakers and rate limits: who is not asked for a while, and who asks too much."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_BUCKETS = 10_000


class Breaker:
    """Opens after so many failures in a row; after `pause` seconds one call may try again.

    Args:
        failures: in a row that open it; 0: it never opens.
        pause: seconds that it stays open.
        monotonic: seconds, for tests.
    """

    def __init__(self, failures: int, pause: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most, self._pause, self._monotonic = failures, pause, monotonic
        self._failed = 0
        self._until = float("-inf")

    @property
    def open(self) -> bool:
        return self._most > 0 and self._failed >= self._most and self._monotonic() < self._until

    def admits(self) -> bool:
        """May a call go now? The one that tries a broken upstream keeps others back until it has ended."""
        if self.open:
            return False
        if self._most and self._failed >= self._most:
            self._until = self._monotonic() + self._pause
        return True

    def succeeded(self) -> None:
        self._failed = 0

    def failed(self) -> None:
        self._failed += 1
        self._until = self._monotonic() + self._pause


class Buckets:
    """Token buckets, one for each name: `rate` calls a second, and `burst` at once.

    The 10,000 last used are kept; one that was not used for long is full anyhow.
    """

    def __init__(self, rate: float, burst: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._monotonic = rate, max(burst, 1.0), monotonic
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def take(self, name: bytes) -> float:
        """Takes one; returns 0.0, or the seconds until there is one. A rate of 0 is no limit."""
        if not self._rate:
            return 0.0
        now = self._monotonic()
        left, then = self._buckets.pop(name, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        self._buckets[name] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return wait
