"""A bound on the requests of one caller."""

import math
import time
from collections.abc import Callable

from ..errors import ConfigurationError, RateLimitExceeded
from ..flow import Flow, Handler
from ..http import Request, Response, answered
from .windows import State, Windows, parse_windows

__all__ = ["DEFAULT_RATE", "RateLimit"]

DEFAULT_RATE = "1000000/minute; 10000000/day"
"""The ML Clever Prediction API, "Rate Limiting"."""


class RateLimit:
    """Refuse a caller who exceeds *rate*, with 429 and the time to wait.

    Every answer says how the tightest window stands: ``X-RateLimit-Limit``,
    ``X-RateLimit-Remaining`` and ``X-RateLimit-Reset`` (whole seconds since the epoch). Counts are
    kept in memory, for this process.

    Args:
        rate: one window or more, ``"60/minute; 10000/day"``; `DEFAULT_RATE` by default.
        by: whose requests are counted together: ``"caller"`` (of one key; where no key was asked
            for, of one address), ``"key"``, ``"address"``, or a function of the request. Whom it
            gives no name share one bucket.
        clock: gives the time in seconds since the epoch.

    Raises:
        ConfigurationError: *rate* or *by* cannot be read.
    """

    def __init__(
        self,
        rate: str = DEFAULT_RATE,
        *,
        by: str | Callable[[Request], str | None] = "caller",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not callable(by) and by not in _IDENTITIES:
            raise ConfigurationError(
                f"by={by!r}: accepts {', '.join(_IDENTITIES)}, or a function of the request"
            )
        self._windows = Windows(parse_windows(rate), clock=clock)
        self._identity = by if callable(by) else _IDENTITIES[by]
        self._clock = clock

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        passes, state = self._windows.hit(self._identity(request) or "anonymous")
        headers = _headers(state)
        if not passes:
            wait = seconds_until(state.reset, self._clock())
            raise RateLimitExceeded(str(state.window), wait, dict(headers))
        response = yield from answered(request, call_next)
        inner = response.header("x-ratelimit-remaining")
        # A limit further in has spoken already: the tighter one is the one to heed.
        if inner is None:
            response.headers.extend(headers)
        elif not inner.isdigit() or int(inner) > state.remaining:
            for name, value in headers:
                response.set(name, value)
        return response


def seconds_until(reset: float, now: float) -> int:
    """Whole seconds a caller should wait; at least one."""
    return max(1, math.ceil(reset - now))


def _headers(state: State) -> list[tuple[str, str]]:
    return [
        ("x-ratelimit-limit", str(state.window.amount)),
        ("x-ratelimit-remaining", str(state.remaining)),
        ("x-ratelimit-reset", str(math.ceil(state.reset))),
    ]


def _key(request: Request) -> str | None:
    return request.principal.id if request.principal is not None else None


def _address(request: Request) -> str | None:
    return request.client


def _caller(request: Request) -> str | None:
    return _key(request) or _address(request)


_IDENTITIES: dict[str, Callable[[Request], str | None]] = {
    "caller": _caller,
    "key": _key,
    "address": _address,
}
