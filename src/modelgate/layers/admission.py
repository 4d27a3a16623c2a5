"""A bound on the requests in flight."""

import threading

from ..counts import require_count
from ..errors import Overloaded
from ..flow import Flow, Handler
from ..flow.forks import renew_in_child
from ..http import Request, Response

__all__ = ["Admission"]


class Admission:
    """Answer 503 at once where *limit* requests are in flight, rather than let them queue.

    A request is in flight until its answer has been sent.

    Args:
        limit: how many requests may be in flight.
        retry_after: whole seconds a refused caller is told to wait.

    Raises:
        ConfigurationError: an option is not a whole number from 1.
    """

    def __init__(self, limit: int = 1000, *, retry_after: int = 1) -> None:
        for name, value in (("limit", limit), ("retry_after", retry_after)):
            require_count(name, value)
        self._limit = limit
        self._retry_after = retry_after
        self._renew()
        renew_in_child(self, Admission._renew)

    def _renew(self) -> None:
        """Nothing is in flight: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        self.in_flight = 0

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        with self._lock:
            if self.in_flight >= self._limit:
                raise Overloaded(self._retry_after)
            self.in_flight += 1
        request.defer(self._leave)
        return call_next(request)

    def _leave(self) -> None:
        with self._lock:
            # A request may end in a child that was forked during it, and has forgotten it.
            self.in_flight = max(0, self.in_flight - 1)
