"""Deadline for requests."""

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ..errors import ConfigurationError, DeadlineExceeded
from ..flow import Flow, Handler
from ..flow.deadline import with_deadline
from ..http import Request, Response
from ..http.negotiation import parse_prefer

__all__ = ["Deadline", "parse_prefer_wait"]

T = TypeVar("T")


class Deadline:
    """Respond with 504 if a request is not finished *seconds* after it arrived.

    The deadline ends every wait of the inner layers: for the body, a store, a model load, a batch or the
    model itself. A call that already runs in a thread continues, and its result is discarded. Callers can set
    an earlier deadline with ``Prefer: wait=5`` (RFC 7240), but not a later one.

    Around an app that is not a gate, the deadline applies to the inner layers only. The app may take longer,
    because its response may be a stream.

    Under WSGI, the threads of the server cannot be interrupted. Therefore models that are slow, or whose
    speed is still unknown, run in threads of the gate. A request cannot end while the server reads its body
    or while your own layer blocks.

    Args:
        seconds: Maximum duration of a request.

    Raises:
        ConfigurationError: *seconds* is not a number above 0.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise ConfigurationError(f"seconds must be a number above 0 (got {seconds!r})")
        self.seconds = seconds
        self._make_error = partial(_make_error, seconds)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        preferences = request.headers.get("prefer")
        if preferences is None or (seconds := parse_prefer_wait(preferences)) >= self.seconds:
            return self.limit(request, call_next(request))
        return _limit(request, call_next(request), seconds, partial(_make_error, seconds))

    def limit(self, request: Request, flow: Flow[T]) -> Flow[T]:
        """Run *flow* with a deadline *seconds* after the arrival of *request*."""
        return _limit(request, flow, self.seconds, self._make_error)


def _limit(
    request: Request, flow: Flow[T], seconds: float, make_error: Callable[[], DeadlineExceeded]
) -> Flow[T]:
    deadline = request.started + seconds
    request.deadline = min(request.deadline, deadline)
    return with_deadline(flow, deadline, make_error)


def parse_prefer_wait(preferences: str) -> float:
    """Return the seconds of ``wait=`` in a ``Prefer`` header, or infinity if there is no valid value.

    The value is a whole number of seconds (RFC 7240, section 4.3). A value of 0 is ignored.
    """
    value = parse_prefer(preferences, "wait") or ""
    return (int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0) or math.inf


def _make_error(seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"This request took longer than the {seconds:g} s it may take")
