"""Rate limiter that counts in the memory of one process."""

import math
import threading
import time
from collections.abc import Callable
from operator import add, sub
from typing import Any, TypeAlias

from ..flow.fork_safety import reset_after_fork
from .decision import RateLimitDecision
from .windows import Rate

__all__ = ["MemoryLimiter"]

_BucketKey: TypeAlias = str | tuple[str, str]
_Bucket: TypeAlias = tuple[tuple[Any, ...], float, float]
"""State of all windows (see `windows`), and start and end of the period in which only charges change it."""

_NO_PERIOD = math.inf, -math.inf


class MemoryLimiter:
    """Limiter that tests and charges all windows of a rate in one atomic step.

    A bucket is the state of the windows for one caller. Buckets are stored in two generations, a young one
    and an old one. Using a bucket moves it to the young generation. When the young generation is full, it
    becomes the old one, and the previous old generation is discarded.

    Args:
        rate: Default rate. Buckets with another rate take slightly more memory.
        clock: Returns the time in seconds since the epoch.
        max_buckets: Maximum number of buckets. The most recently used half is never discarded.

    Attributes:
        outage_count: Always 0, since memory has no outages.
        can_refund: Always True.
    """

    outage_count = 0
    can_refund = True

    def __init__(
        self, rate: Rate, *, clock: Callable[[], float] = time.time, max_buckets: int = 100_000
    ) -> None:
        self._rate = rate
        self._text = rate.text
        self._clock = clock
        self._generation_size = max_buckets // 2
        self._reset()
        reset_after_fork(self._reset)
        self._young: dict[_BucketKey, _Bucket] = {}
        self._old: dict[_BucketKey, _Bucket] = {}

    def _reset(self) -> None:
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def hit(self, rate: Rate, identity: str, cost: int = 1) -> RateLimitDecision:
        """Charge *cost* to *identity* if every window of *rate* has room for it."""
        key = identity if rate is self._rate else self._key(rate, identity)
        with self._lock:
            now = self._clock()
            bucket = self._young.get(key)
            if bucket is None:
                bucket = self._rejuvenate(key, rate, now)
            state, start, end = bucket
            if is_steady := start <= now < end:
                available = [*map(sub, rate.amounts, state[1::2])]
            else:
                state, available = _advance(state, rate, now)
            allowed = cost <= min(available)
            if allowed:
                state = (*map(add, state, (0, cost) * len(available)),)
            self._young[key] = (state, start, end) if is_steady else (state, *_steady_period(rate, state))
        return RateLimitDecision(rate, allowed, available, state, now, cost)

    def peek(self, identity: str) -> RateLimitDecision | None:
        """Return the decision on a cost of 1, or None if *identity* has no bucket. Nothing is charged."""
        bucket = self._young.get(identity) or self._old.get(identity)
        if bucket is None:
            return None
        now = self._clock()
        state, available = _advance(bucket[0], self._rate, now)
        return RateLimitDecision(self._rate, min(available) > 0, available, state, now, 1)

    def refund(self, rate: Rate, identity: str, cost: int, when: float) -> None:
        """Refund the *cost* charged at the time *when*, if the charge is still counted."""
        key = self._key(rate, identity)
        with self._lock:
            generation = self._young if key in self._young else self._old
            if key not in generation:
                return
            state = [*generation[key][0]]
            for window, index in zip(rate.windows, rate.count_indices, strict=True):
                state[index] = window.refund(state[index - 1], state[index], cost, when)
            generation[key] = (*state,), *_NO_PERIOD

    def reset(self, identity: str) -> int:
        """Discard the counts of *identity* for all rates, and return how many were discarded."""
        with self._lock:
            buckets = [
                (generation, key)
                for generation in (self._young, self._old)
                for key in generation
                if (key if isinstance(key, str) else key[1]) == identity
            ]
            for generation, key in buckets:
                del generation[key]
        return len(buckets)

    def _key(self, rate: Rate, identity: str) -> _BucketKey:
        return identity if rate.text == self._text else (rate.text, identity)

    def _rejuvenate(self, key: _BucketKey, rate: Rate, now: float) -> _Bucket:
        """Remove the bucket *key* from the old generation and return it, or return a new bucket.

        If the young generation is full, start a new generation.
        """
        bucket = self._old.pop(key, None)
        if len(self._young) >= self._generation_size:
            self._young, self._old = {}, self._young
        return ((now, 0) * len(rate.windows), *_NO_PERIOD) if bucket is None else bucket


def _steady_period(rate: Rate, state: tuple[Any, ...]) -> tuple[float, float]:
    """Return the start and the end of the period in which no window of *rate* needs to be advanced.

    The period is empty if the usage of a window depends on the time, or if a window starts with its next
    charge.
    """
    if not rate.is_fixed or not all(state[1::2]):
        return _NO_PERIOD
    starts = state[::2]
    return max(starts), min(map(add, starts, [window.step for window in rate.windows]))


def _advance(bucket: tuple[Any, ...], rate: Rate, now: float) -> tuple[tuple[Any, ...], list[int]]:
    """Return the state of *bucket* at the time *now*, and the remaining room of each window."""
    state, available = [*bucket], list[int]()
    for index, window, amount, step, usage in rate.window_plans:
        step_start, counts = state[index], state[index + 1]
        if not (counts and step_start <= now < step_start + step):
            step_start, counts = window.advance(step_start, counts, now)
            state[index], state[index + 1] = step_start, counts
        available.append(amount - (counts if usage is None else usage(counts, now - step_start)))
    return (*state,), available
