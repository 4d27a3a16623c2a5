"""Retry policy of a client."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ..errors import ConfigurationError
from ..validation import require_positive_int

__all__ = ["RETRIED", "Retry", "retry_after"]

RETRIED = (429, 502, 503, 504)
"""Statuses of temporary errors. Other server errors may be permanent and are not retried."""

_FIRST_PAUSE, _MAX_PAUSE = 0.5, 30.0
"""Longest random pause, in seconds, after the first attempt, and after any attempt."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry policy.

    Args:
        attempts: Maximum number of times a request is sent.
        deadline: Seconds for all attempts together.
        timeout: Seconds for one attempt.
        random: Function that returns a random number between 0 and 1.
        clock: Monotonic clock, in seconds.

    Raises:
        ConfigurationError: *attempts*, *deadline* or *timeout* is not a positive number.
    """

    attempts: int = 5
    deadline: float = 300.0
    timeout: float = 60.0
    random: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        require_positive_int("attempts", self.attempts)
        for option in ("deadline", "timeout"):
            value = getattr(self, option)
            if not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ConfigurationError(f"{option} must be a number of seconds above 0 (got {value!r})")

    def start_deadline(self) -> float:
        """Return the time at which a call that starts now reaches its deadline."""
        return self.clock() + self.deadline

    def attempt_timeout(self, deadline: float) -> float:
        """Return the timeout in seconds for an attempt that starts now and must end by *deadline*."""
        return max(0.001, min(self.timeout, deadline - self.clock()))

    def pause(self, attempt: int, retry_after: float | None, deadline: float) -> float | None:
        """Return the seconds to wait before the next attempt, or None to stop retrying.

        The pause is the server's *retry_after* plus exponential backoff with full jitter, so that
        clients that failed together do not retry together.

        Args:
            attempt: Number of the failed attempt, starting at 1.
            retry_after: Seconds that the server requests; None if it requests none.
            deadline: Time of the deadline.
        """
        if attempt >= self.attempts:
            return None
        bound = min(_MAX_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1))
        pause = (retry_after or 0.0) + self.random() * bound
        return pause if self.clock() + pause < deadline else None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Parse the header ``Retry-After``, which contains seconds or a date (RFC 9110, section 10.2.3).

    Args:
        headers: Headers of the response. A date is compared with the header ``Date`` if the response has one,
            because both are from the server's clock.
        now: Time of this machine's clock, in seconds since the epoch.

    Returns:
        The seconds to wait, or None if the header is missing or invalid.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    retry_at = _parse_date(value)
    if retry_at is None:
        return None
    server_now = _parse_date(headers.get("date", ""))
    return max(0.0, retry_at - (now if server_now is None else server_now))


def _parse_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
