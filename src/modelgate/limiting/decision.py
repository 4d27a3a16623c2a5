"""Decisions of a rate limiter."""

import math
from typing import Any

import msgspec

from .windows import Rate

__all__ = ["RateLimitDecision"]


class RateLimitDecision(msgspec.Struct):
    """Decision on one request, and the state of the windows after it.

    A window is identified by its index in `Rate.windows`.

    Args:
        rate: Rate whose windows were tested.
        allowed: Whether the request may pass. If so, all windows were charged.
        available: Remaining room of each window before the charge.
        state: Start of the current step and packed counts of each window; see `modelgate.limiting.windows`.
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
        """Index of the most restrictive window.

        If the request passed, this is the window with the least room. If the request was rejected, this is
        the window with the longest wait.
        """
        if self.allowed:
            return self.available.index(min(self.available))
        exhausted = [index for index, room in enumerate(self.available) if room < self.cost]
        return max(exhausted, key=self.reset)

    @property
    def binding_quota(self) -> tuple[int, int, int]:
        """Amount, remaining room and reset time of `binding_window`.

        The reset time is in whole seconds since the epoch, rounded up.
        """
        index = self.binding_window
        remaining, reset = self.quota(index)
        return self.rate.amounts[index], remaining, math.ceil(reset)

    @property
    def retry_after(self) -> int:
        """Seconds until the request may pass, rounded up; at least 1."""
        return max(1, math.ceil(self.reset(self.binding_window) - self.now))

    def remaining(self, index: int) -> int:
        """Return the remaining room of a window."""
        return self.quota(index)[0]

    def reset(self, index: int) -> float:
        """Return when a window will have more room, in seconds since the epoch.

        If the window rejected this request, return when it will have room for the request.
        """
        return self.quota(index)[1]

    def quota(self, index: int) -> tuple[int, float]:
        """Return the results of `remaining` and `reset` for a window."""
        available, cost, index2 = self.available[index], self.cost, 2 * index
        remaining = available - cost if self.allowed else max(available, 0)
        required = remaining + 1 if available >= cost else cost
        step_start, counts = self.state[index2], self.state[index2 + 1]
        return remaining, self.rate.windows[index].available_at(step_start, counts, required)
