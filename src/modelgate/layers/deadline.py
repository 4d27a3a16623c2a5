"""A bound on the time one request may take."""

import math
from functools import partial

from ..errors import ConfigurationError, DeadlineExceeded
from ..flow import Flow, Handler
from ..flow.bounded import bounded
from ..http import Request, Response
from ..http.negotiation import preference

__all__ = ["Deadline", "seconds_asked"]


class Deadline:
    """Answer 504 where a request has waited until *seconds* have passed since it came.

    Everything within that waits is given up then: for the body, a store, a model to be loaded, its
    turn, the model itself. What has begun in a thread goes on there, for nobody. A caller shortens
    the time with ``Prefer: wait=5`` (RFC 7240), and cannot lengthen it.

    Around an app that is there already the layers within are bounded and the app is not: its body may
    stream. Under WSGI a model that is slow, or not known yet, runs in a thread of the gate, for a
    thread of the server's cannot be taken from what it does; the server's reading of the body, and
    what a layer of your own does in it, end when they do, and the request right after.

    Args:
        seconds: how long a request may take.

    Raises:
        ConfigurationError: *seconds* is no number above 0.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise ConfigurationError(f"seconds={seconds!r}: accepts seconds above 0")
        self.seconds = seconds
        self._exceeded = partial(_exceeded, seconds)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        preferences = request.headers.get("prefer")
        if preferences is None or (seconds := seconds_asked(preferences)) >= self.seconds:
            return bounded(call_next(request), request.started + self.seconds, self._exceeded)
        return bounded(call_next(request), request.started + seconds, partial(_exceeded, seconds))


def seconds_asked(preferences: str) -> float:
    """How long a caller waits who sent *preferences* as ``Prefer``; without end where that says nothing.

    RFC 7240, section 4.3: whole seconds. No second at all is no time for anything, and means nothing.
    """
    told = preference(preferences, "wait") or ""
    return (int(told) if told.isascii() and told.isdigit() and len(told) < 10 else 0) or math.inf


def _exceeded(seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"This request took longer than the {seconds:g} s it may take")
