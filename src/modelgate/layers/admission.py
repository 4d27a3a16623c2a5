"""A bound on the requests in flight."""

import threading
from functools import partial

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
        # Garbage that is collected while it is held may end a request, which takes it too.
        self._lock = threading.RLock()
        self._requests: set[Request] = set()

    @property
    def in_flight(self) -> int:
        """The number of requests in flight."""
        return len(self._requests)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        requests = self._requests
        # Before it is counted: an interruption may come in between.
        request.defer(partial(requests.discard, request))
        with self._lock:
            if len(requests) >= self._limit:
                raise Overloaded(self._retry_after)
            requests.add(request)
        return call_next(request)
