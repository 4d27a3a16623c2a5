"""Counting in memory, for one process."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from ..flow.forks import renew_in_child
from .verdict import Verdict
from .windows import Rate

__all__ = ["MemoryLimiter"]

_Bucket: TypeAlias = str | tuple[str, str]


class MemoryLimiter:
    """Tests all windows of a rate and charges them together, in one step for all threads.

    Buckets are kept in two generations. When the young one is full it becomes the old one, whose
    buckets are forgotten then: those that nobody has asked for since so many others were.

    Args:
        rate: the rate nearly everybody has; others take a little more memory.
        clock: gives the time in seconds since the epoch.
        max_buckets: how many identities to remember at most; half as many at least.

    Attributes:
        outages: none: memory is always there.
    """

    outages = 0

    def __init__(
        self, rate: Rate, *, clock: Callable[[], float] = time.time, max_buckets: int = 100_000
    ) -> None:
        self._rate = rate
        self._text = rate.text
        self._clock = clock
        self._generation = max_buckets // 2
        self._renew()
        renew_in_child(self, MemoryLimiter._renew)
        # For each window when its step began, and its ring: see `windows`.
        self._young: dict[_Bucket, tuple[Any, ...]] = {}
        self._old: dict[_Bucket, tuple[Any, ...]] = {}

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def hit(self, rate: Rate, identity: str, cost: int = 1) -> Verdict:
        """Charge *cost* to *identity*, if every window of *rate* has room for it."""
        key = identity if rate is self._rate else self._key(rate, identity)
        with self._lock:
            now = self._clock()
            kept = self._young.get(key)
            if kept is None:
                kept = self._renewed(key, rate, now)
            numbers = [*kept]
            free = _free(numbers, rate, now)
            passes = cost <= min(free)
            if passes:
                for at in rate.rings:
                    numbers[at] += cost
            self._young[key] = kept = (*numbers,)
        return Verdict(rate, passes, free, kept, now, cost)

    def peek(self, identity: str) -> Verdict | None:
        """Whether one more of *identity* would pass, nothing charged; None where nothing is counted."""
        kept = self._young.get(identity) or self._old.get(identity)
        if kept is None:
            return None
        now, numbers = self._clock(), [*kept]
        free = _free(numbers, self._rate, now)
        return Verdict(self._rate, min(free) > 0, free, (*numbers,), now, 1)

    def give_back(self, rate: Rate, identity: str, cost: int, when: float) -> None:
        """Take back the *cost* charged at *when*, as far as it is still counted."""
        key = self._key(rate, identity)
        with self._lock:
            generation = self._young if key in self._young else self._old
            if key not in generation:
                return
            numbers = [*generation[key]]
            for window, at in zip(rate.windows, rate.rings, strict=True):
                numbers[at] = window.given_back(numbers[at - 1], numbers[at], cost, when)
            generation[key] = (*numbers,)

    def _key(self, rate: Rate, identity: str) -> _Bucket:
        return identity if rate.text == self._text else (rate.text, identity)

    def _renewed(self, key: _Bucket, rate: Rate, now: float) -> tuple[Any, ...]:
        """The old generation's bucket, or a new one; there will be room for it in the young one."""
        kept = self._old.pop(key, None)
        if len(self._young) >= self._generation:
            self._young, self._old = {}, self._young
        return (now, 0) * len(rate.windows) if kept is None else kept


def _free(numbers: list[Any], rate: Rate, now: float) -> list[int]:
    """What each window has room for; its *numbers* are brought up to *now*."""
    free = []
    for at, window, amount, step, used in rate.plan:
        begun, ring = numbers[at], numbers[at + 1]
        if not (ring and begun <= now < begun + step):
            begun, ring = numbers[at], numbers[at + 1] = window.moved(begun, ring, now)
        free.append(amount - (ring if used is None else used(ring, now - begun)))
    return free
