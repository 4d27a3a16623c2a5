"""Limit on concurrent requests."""

import threading
from functools import partial

from ..errors import Overloaded
from ..flow import Flow, Handler
from ..flow.fork_safety import reset_after_fork
from ..http import Request, Response
from ..validation import require_positive_int

__all__ = ["Admission"]


class Admission:
    """Respond with 503 immediately if *limit* requests are in flight, instead of queueing the request.

    A request is in flight until its response has been sent.

    Args:
        limit: Maximum number of requests in flight.
        retry_after: Value of ``Retry-After`` in the 503 response, in whole seconds. None for a random number
            from 1 to 3, so that rejected callers do not all retry at once.

    Raises:
        ConfigurationError: The value of an option is not valid.
    """

    def __init__(self, limit: int = 1000, *, retry_after: int | None = None) -> None:
        require_positive_int("limit", limit)
        if retry_after is not None:
            require_positive_int("retry_after", retry_after)
        self._limit = limit
        self._retry_after = retry_after
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start without requests in flight."""
        # Reentrant: garbage collection may end a request while this thread holds the lock.
        self._lock = threading.RLock()
        self._requests: set[Request] = set()

    @property
    def in_flight(self) -> int:
        """Number of requests in flight."""
        return len(self._requests)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        if not self.admit(request):
            raise Overloaded(self._retry_after)
        return call_next(request)

    def admit(self, request: Request) -> bool:
        """Count *request* as in flight until it is closed, and return True.

        Return False if too many requests are in flight.

        A request that is already counted is not counted again.
        """
        requests = self._requests
        # Register the removal first: an interruption between the two must not leave the request counted.
        request.on_close.append(partial(requests.discard, request))
        with self._lock:
            if len(requests) >= self._limit and request not in requests:
                return False
            requests.add(request)
        return True
