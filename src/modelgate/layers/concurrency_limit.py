"""Limit on concurrent requests per caller."""

import threading
from functools import partial

from ..errors import RateLimitExceeded
from ..flow import Flow, Handler
from ..flow.fork_safety import reset_after_fork
from ..http import Request, Response
from ..validation import require_positive_int
from ._caller_identity import LimitKey, caller_key

__all__ = ["ConcurrencyLimit"]


class ConcurrencyLimit:
    """Respond with 429 immediately if the caller has *limit* requests in flight in this process.

    A request is in flight until its response has been sent.

    Args:
        limit: Maximum number of requests in flight per caller.
        by: How callers are identified; see `RateLimit`.

    Raises:
        ConfigurationError: *limit* is not a positive integer, or *by* is invalid.
    """

    def __init__(self, limit: int, *, by: LimitKey = "caller") -> None:
        require_positive_int("limit", limit)
        self._limit = limit
        self._identity = caller_key(by)
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start without requests in flight."""
        # Reentrant: garbage collection may end a request while this thread holds the lock.
        self._lock = threading.RLock()
        # Callers with no request in flight are removed.
        self._in_flight: dict[str, set[Request]] = {}

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        caller = self._identity(request)
        # Register the removal first: an interruption between the two must not leave the request counted.
        request.on_close.append(partial(self._leave, caller, request))
        with self._lock:
            if len(self._in_flight.get(caller, ())) >= self._limit:
                raise RateLimitExceeded(f"{self._limit} requests at once", 1)
            self._in_flight.setdefault(caller, set()).add(request)
        return call_next(request)

    def _leave(self, caller: str, request: Request) -> None:
        with self._lock:
            # The set lacks rejected requests and, in a forked child, the requests of the parent.
            requests = self._in_flight.get(caller, set())
            requests.discard(request)
            if not requests:
                self._in_flight.pop(caller, None)
