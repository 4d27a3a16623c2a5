"""Limit on failed authentication."""

import logging
import time
from collections.abc import Callable
from functools import cache

from ..context import RequestContext
from ..errors import InsufficientScope, KeyInactive, RateLimitExceeded, Unauthorized
from ..flow import Flow, Handler
from ..http import Request, Response
from ..http.client_address import rate_limit_address
from ..limiting import MemoryLimiter, Rate, RateLimitDecision

__all__ = ["AuthFailureLimit"]

logger = logging.getLogger("modelgate")


class AuthFailureLimit:
    """Reject requests from addresses that failed to authenticate too often, before a key is looked up.

    A request counts as a failure if its response is 401, or 403 with ``WWW-Authenticate``: its key is
    missing, unknown or inactive, or lacks the required scope. Failures are counted per process, separately
    from other limits. Callers with the same address share the count, so their valid keys are rejected too.

    Place this layer outside of `KeyAuth`. The number of failures that are still allowed for an address then
    also limits how many keys of the address are looked up at once.

    Args:
        rate: Rate of failures, as one or more windows; see `RateLimit`.
        skip_forwarded: Whether requests with ``Forwarded`` or ``X-Forwarded-For`` are only counted, and never
            rejected. If these headers are not trusted, all callers behind a proxy have the address of the
            proxy, and the wrong keys of one caller would lock out all others.
        clock: Returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: The rate is invalid.
    """

    def __init__(
        self,
        rate: str = "60/minute",
        *,
        skip_forwarded: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rate = Rate.parse(rate)
        self._skip_forwarded = skip_forwarded
        self._counts = MemoryLimiter(self._rate, clock=clock)
        self._has_counted = False

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        if request.context.settled is None:
            self.check(request)
        request.context.auth_failures = self
        try:
            response = yield from call_next(request)
        except (Unauthorized, KeyInactive, InsufficientScope):
            self._count_once(request)
            raise
        status = response.status
        if status == 401 or (status == 403 and response.header("www-authenticate")):
            self._count_once(request)
        return response

    def check(self, request: Request) -> None:
        """Raise `RateLimitExceeded` if the address of *request* has reached the limit of failures."""
        decision = self._peek(request)
        if decision is not None and not decision.allowed:
            self._reject(request, decision)

    def allows(self, request: Request) -> bool:
        """Return True if the address of *request* has not reached the limit of failures."""
        decision = self._peek(request)
        return decision is None or decision.allowed

    def _peek(self, request: Request) -> RateLimitDecision | None:
        # Usually, no caller has failed.
        return self._counts.peek(rate_limit_address(request.client) or "") if self._has_counted else None

    def remaining(self, request: Request) -> int:
        """Return how many more failures are allowed for the address of *request*."""
        decision = self._peek(request)
        if decision is None or (self._skip_forwarded and _is_forwarded(request)):
            return self._rate.capacity
        return min(decision.available)

    def reset(self, identity: str) -> int:
        """Discard the failures of an address. Return the number of counts that were discarded, 0 or 1."""
        return self._counts.reset(str(rate_limit_address(identity)))

    def count(self, request: Request) -> None:
        """Count a failure. `KeyAuth` calls this as soon as a key has failed.

        Raises:
            RateLimitExceeded: The address had already reached the limit of failures.
        """
        request.context.failure_counted = self._has_counted = True
        decision = self._counts.hit(self._rate, rate_limit_address(request.client) or "")
        # Concurrent requests may have used up the rate since this one was checked.
        if not decision.allowed:
            self._reject(request, decision)

    def _count_once(self, request: Request) -> None:
        context: RequestContext = request.context
        if not context.failure_counted:
            self.count(request)
        # Let an outer `AuthFailureLimit` count this failure too.
        context.failure_counted = False

    def _reject(self, request: Request, decision: RateLimitDecision) -> None:
        if self._skip_forwarded and _is_forwarded(request):
            _warn_once()
            return
        window = self._rate.windows[decision.binding_window]
        raise RateLimitExceeded(f"{window} for failed authentication", decision.retry_after)


def _is_forwarded(request: Request) -> bool:
    return any(request.headers.get(name) is not None for name in ("forwarded", "x-forwarded-for"))


@cache
def _warn_once() -> None:
    logger.warning(
        "auth failure limit: not applied to requests with X-Forwarded-For or Forwarded, because the trusted"
        " proxies are unknown: set trusted_proxies=[…] to the networks of your proxies, or trusted_proxies=[] if"
        " the app is not behind a proxy"
    )
