"""A bound on the requests one caller has in flight."""

import threading
from functools import partial

from ..counts import require_count
from ..errors import RateLimitExceeded
from ..flow import Flow, Handler
from ..flow.forks import renew_in_child
from ..http import Request, Response
from .identity import By, identity

__all__ = ["Concurrency"]


class Concurrency:
    """Answer 429 at once where a caller has *limit* requests in flight, in this process.

    A request is in flight until its answer has been sent.

    Args:
        limit: how many requests of one caller may be in flight.
        by: whose requests are counted together, as for `RateLimit`.

    Raises:
        ConfigurationError: *limit* is not a whole number from 1, or *by* cannot be read.
    """

    def __init__(self, limit: int, *, by: By = "caller") -> None:
        require_count("limit", limit)
        self._limit = limit
        self._identity = identity(by)
        self._renew()
        renew_in_child(self, Concurrency._renew)

    def _renew(self) -> None:
        """Nothing is in flight: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        # Who has nothing in flight is not kept.
        self._in_flight: dict[str, int] = {}

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        caller = self._identity(request)
        with self._lock:
            count = self._in_flight.get(caller, 0)
            if count >= self._limit:
                raise RateLimitExceeded(f"{self._limit} requests at once", 1)
            self._in_flight[caller] = count + 1
        request.defer(partial(self._leave, caller))
        return call_next(request)

    def _leave(self, caller: str) -> None:
        with self._lock:
            # A request may end in a child that was forked during it, and has forgotten it.
            count = self._in_flight.pop(caller, 1) - 1
            if count:
                self._in_flight[caller] = count
