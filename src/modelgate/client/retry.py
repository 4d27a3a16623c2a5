"""When a request is sent again, and after how long."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ..errors import ConfigurationError

__all__ = ["RETRIED", "Retry", "retry_after"]

RETRIED = (429, 503)
"""The statuses that promise another answer later. Other ones of a server's may stay for good."""

_FIRST, _LONGEST = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and for how long, one tries.

    Args:
        attempts: how often a request is sent at most.
        deadline: seconds for everything together.
        timeout: seconds for one attempt.
        random: between 0 and 1.
        clock: seconds, monotonic.

    Raises:
        ConfigurationError: a number is none, or not above 0.
    """

    attempts: int = 5
    deadline: float = 300.0
    timeout: float = 60.0
    random: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise ConfigurationError(f"attempts={self.attempts!r}: accepts a whole number from 1")
        for option in ("deadline", "timeout"):
            told = getattr(self, option)
            if not isinstance(told, int | float) or not 0 < told < float("inf"):
                raise ConfigurationError(f"{option}={told!r}: accepts seconds, a number above 0")

    def until(self) -> float:
        """When the deadline of what begins now ends."""
        return self.clock() + self.deadline

    def left(self, until: float) -> float:
        """The seconds one attempt may take."""
        return max(0.001, min(self.timeout, until - self.clock()))

    def pause(self, attempt: int, told: float | None, until: float) -> float | None:
        """The seconds to wait after a failed *attempt*, the first being 1; None to give up.

        Full jitter over an exponential bound, so that callers who failed together do not come back
        together; and on top of what the server *told* to wait, which is the least.
        """
        if attempt >= self.attempts:
            return None
        pause = (told or 0.0) + self.random() * min(_LONGEST, _FIRST * 2 ** (attempt - 1))
        return pause if self.clock() + pause < until else None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds an answer says to wait: ``Retry-After``, as seconds or as a date (RFC 9110, section 10.2.3).

    Args:
        headers: of the answer. A date is held against the ``Date`` of the same clock, where there is one.
        now: by the clock of this machine, in seconds since the epoch.

    Returns:
        None where it says nothing that can be read.
    """
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit() and len(told) < 10:
        return float(told)
    when = _moment(told)
    if when is None:
        return None
    server = _moment(headers.get("date", ""))
    return max(0.0, when - (now if server is None else server))


def _moment(told: str) -> float | None:
    try:
        return parsedate_to_datetime(told).timestamp()
    except (ValueError, OverflowError):
        return None
