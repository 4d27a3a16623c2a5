"""Counting requests in windows of time, in memory."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import limits

from ..errors import ConfigurationError

__all__ = ["State", "Windows", "parse_windows"]


def parse_windows(rate: str) -> list[limits.RateLimitItem]:
    """The windows of ``"60/minute; 10000/day"``, as the library `limits` writes them.

    Raises:
        ConfigurationError: it cannot be read, or lets nobody pass.
    """
    try:
        windows = limits.parse_many(rate)
    except (ValueError, TypeError):
        windows = []
    if not windows or any(window.amount < 1 for window in windows):
        raise ConfigurationError(
            f'rate={rate!r}: accepts one window or more, for example "60/minute; 10000/day"'
        )
    return windows


@dataclass(slots=True, eq=False)
class State:
    """How one window stands for one caller.

    Args:
        window: which one.
        remaining: how many more may pass.
        reset: when it starts anew, in seconds of the clock.
    """

    window: limits.RateLimitItem
    remaining: int
    reset: float


class Windows:
    """Fixed windows, each beginning with a caller's first request in it.

    All windows are tested together and then charged together, so a refused request costs nothing.
    The library's own memory storage is not used: it cannot be tested and charged in one step,
    starts a thread when it is made, and has no clock to turn.

    Args:
        windows: what to count against.
        clock: gives the time in seconds.
        max_callers: how many callers to remember; beyond, those whose windows opened first are
            forgotten.
    """

    def __init__(
        self,
        windows: Sequence[limits.RateLimitItem],
        *,
        clock: Callable[[], float] = time.time,
        max_callers: int = 100_000,
    ) -> None:
        # The widest first: a caller is looked up, and forgotten, by the window that lasts longest.
        self._windows = sorted(windows, key=lambda window: -window.get_expiry())
        self._amounts = [window.amount for window in self._windows]
        self._spans = [window.get_expiry() for window in self._windows]
        self._clock = clock
        self._max_callers = max_callers
        self._lock = threading.Lock()
        # By caller, for each window: how many passed, and when it ends.
        self._counts: dict[str, list[list[float]]] = {}

    def hit(self, caller: str) -> tuple[bool, State]:
        """Charge one request to *caller*, if every window lets it pass.

        Returns:
            Whether it may pass, and how the tightest window stands now; where it may not, the
            window that keeps it waiting longest.
        """
        now = self._clock()
        with self._lock:
            counts = self._counts_of(caller, now)
            left = [amount - count[0] for amount, count in zip(self._amounts, counts, strict=True)]
            least = min(left)
            passes = least > 0
            if passes:
                at = left.index(least)
                for count in counts:
                    count[0] += 1
            else:
                at = max((at for at, free in enumerate(left) if free < 1), key=lambda at: counts[at][1])
            return passes, State(self._windows[at], max(0, int(left[at]) - 1), counts[at][1])

    def _counts_of(self, caller: str, now: float) -> list[list[float]]:
        counts = self._counts.get(caller)
        if counts is None:
            if len(self._counts) >= self._max_callers:
                self._forget()
            counts = self._counts[caller] = [[0, now + span] for span in self._spans]
        for span, count in zip(self._spans, counts, strict=True):
            # A clock set back must not shut a window for longer than it lasts.
            if not now < count[1] <= now + span:
                count[:] = 0, now + span
                if count is counts[0]:
                    self._counts[caller] = self._counts.pop(caller)
        return counts

    def _forget(self) -> None:
        """Drop the tenth whose widest window opened first: those that are over stand among them."""
        for caller in list(islice(self._counts, max(1, self._max_callers // 10))):
            del self._counts[caller]
