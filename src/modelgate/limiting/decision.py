"""Decisions of a rate limiter."""

import math
from typing import Any

import msgspec

from .windows import Rate

__all__ = ["RateLimitDecision"]


class RateLimitDecision(msgspec.Struct):
    """Decision on one request, and the state of the windows after it.

    Windows are identified by their index in the rate.

    Args:
        rate: Windows that were tested.
        allowed: Whether every window had room, so that all were charged.
        available: Room of each window before the charge.
        state: For each window the start of its current step and its packed counts, see `windows`.
        now: Time of the decision, in seconds since the epoch.
        cost: Cost of the request.
    """

    rate: Rate
    allowed: bool
    available: list[int]
    state: tuple[Any, ...]
    now: float
    cost: int

    @property
    def binding_window(self) -> int:
        """Index of the window that limits the caller most.

        If the request passed, this is the window with the least room. If the request was rejected, this is
        the window with the longest wait.
        """
        if self.allowed:
            return self.available.index(min(self.available))
        exhausted = [index for index, room in enumerate(self.available) if room < self.cost]
        return max(exhausted, key=self.reset)

    @property
    def retry_after(self) -> int:
        """Seconds until the request may pass, rounded up; at least 1."""
        return max(1, math.ceil(self.reset(self.binding_window) - self.now))

    def remaining(self, index: int) -> int:
        """Return the remaining room of a window."""
        return self.quota(index)[0]

    def reset(self, index: int) -> float:
        """Return when a window will have more room, in seconds since the epoch.

        If the window has rejected this request, return when there will be room for the request.
        """
        return self.quota(index)[1]

    def quota(self, index: int) -> tuple[int, float]:
        """Return `remaining` and `reset` of a window."""
        available, cost, index2 = self.available[index], self.cost, 2 * index
        remaining = available - cost if self.allowed else max(available, 0)
        required = remaining + 1 if available >= cost else cost
        step_start, counts = self.state[index2], self.state[index2 + 1]
        return remaining, self.rate.windows[index].available_at(step_start, counts, required)
