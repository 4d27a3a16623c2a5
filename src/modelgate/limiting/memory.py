"""Counting in memory, for one process."""

import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, TypeAlias

from .verdict import Verdict
from .windows import Rate

__all__ = ["MemoryLimiter"]

_Bucket: TypeAlias = str | tuple[str, str]


class MemoryLimiter:
    """Tests all windows of a rate and charges them together, in one step for all threads.

    Args:
        rate: the rate nearly everybody has; others take a little more memory.
        clock: gives the time in seconds since the epoch.
        max_buckets: how many identities to remember; beyond, those are forgotten whose longest
            window began first.

    Attributes:
        outages: none: memory is always there.
    """

    outages = 0

    def __init__(
        self, rate: Rate, *, clock: Callable[[], float] = time.time, max_buckets: int = 100_000
    ) -> None:
        self._text = rate.text
        self._clock = clock
        self._max_buckets = max_buckets
        self._lock = threading.Lock()
        # For each window, when its step began, and its ring: see `windows`.
        self._buckets: dict[_Bucket, list[Any]] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def hit(self, rate: Rate, identity: str, cost: int = 1) -> Verdict:
        """Charge *cost* to *identity*, if every window of *rate* has room for it."""
        key = self._key(rate, identity)
        with self._lock:
            now = self._clock()
            numbers = self._buckets.get(key)
            if numbers is None:
                numbers = self._open(key, rate, now)
            free = self._free(key, numbers, rate, now)
            passes = cost <= min(free)
            if passes:
                for at in rate.rings:
                    numbers[at] += cost
            return Verdict(rate, passes, free, (*numbers,), now, cost)

    def peek(self, rate: Rate, identity: str) -> Verdict | None:
        """Whether one more of *identity* would pass, nothing charged; None where nothing is counted."""
        key = self._key(rate, identity)
        if key not in self._buckets:
            return None
        with self._lock:
            now = self._clock()
            numbers = self._buckets.get(key)
            if numbers is None:
                return None
            free = self._free(key, numbers, rate, now)
            return Verdict(rate, min(free) > 0, free, (*numbers,), now, 1)

    def give_back(self, rate: Rate, identity: str, cost: int, when: float) -> None:
        """Take back the *cost* charged at *when*, as far as it is still counted."""
        with self._lock:
            numbers = self._buckets.get(self._key(rate, identity))
            if numbers is not None:
                for window, at in zip(rate.windows, rate.rings, strict=True):
                    numbers[at] = window.given_back(numbers[at - 1], numbers[at], cost, when)

    def _key(self, rate: Rate, identity: str) -> _Bucket:
        return identity if rate.text == self._text else (rate.text, identity)

    def _free(self, key: _Bucket, numbers: list[Any], rate: Rate, now: float) -> list[int]:
        free = []
        for at, window, step, used in rate.plan:
            begun, ring = numbers[at], numbers[at + 1]
            if not (ring and begun <= now < begun + step):
                begun, ring = numbers[at], numbers[at + 1] = window.moved(begun, ring, now)
                if not at:
                    # Forgetting begins with those that were not moved for longest.
                    self._buckets[key] = self._buckets.pop(key)
            free.append(window.amount - (ring if used is None else used(ring, now - begun)))
        return free

    def _open(self, key: _Bucket, rate: Rate, now: float) -> list[Any]:
        if len(self._buckets) >= self._max_buckets:
            for forgotten in list(islice(self._buckets, max(1, self._max_buckets // 10))):
                del self._buckets[forgotten]
        numbers = self._buckets[key] = [now, 0] * len(rate.windows)
        return numbers
