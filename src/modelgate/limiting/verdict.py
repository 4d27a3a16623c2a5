"""What a limiter says of a request."""

import math
from typing import Any

import msgspec

from .windows import Rate

__all__ = ["Verdict"]


class Verdict(msgspec.Struct):
    """Whether a request passes, and how the windows stand after it.

    Args:
        rate: the windows, all of which are meant by their places in it.
        passes: whether every window had room, so that all were charged.
        free: for each window, what it had room for.
        numbers: for each window, when its step began and its ring: see `windows`.
        now: when it was judged, in seconds since the epoch.
        cost: what was to be charged.
    """

    rate: Rate
    passes: bool
    free: list[int]
    numbers: tuple[Any, ...]
    now: float
    cost: int

    @property
    def heeded(self) -> int:
        """The window to heed: the tightest, or the one that keeps the request waiting longest."""
        if self.passes:
            return self.free.index(min(self.free))
        return max((at for at, free in enumerate(self.free) if free < self.cost), key=self.reset)

    @property
    def retry_after(self) -> int:
        """Whole seconds until the request may pass; at least one."""
        return max(1, math.ceil(self.reset(self.heeded) - self.now))

    def remaining(self, at: int) -> int:
        """How much more may pass the window *at*."""
        return self.standing(at)[0]

    def reset(self, at: int) -> float:
        """When more may pass the window *at* than now; where the request did not fit, when it will."""
        return self.standing(at)[1]

    def standing(self, at: int) -> tuple[int, float]:
        """`remaining` and `reset` of the window *at*."""
        passes, free, numbers, cost = self.passes, self.free[at], self.numbers, self.cost
        left = free - cost if passes else max(free, 0)
        need = left + 1 if passes or free >= cost else cost
        return left, self.rate.windows[at].until(numbers[2 * at], numbers[2 * at + 1], need)
