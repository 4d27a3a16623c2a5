"""A bound on failed authentication."""

import logging
import time
from collections.abc import Callable
from functools import cache

from ..errors import InsufficientScope, KeyInactive, RateLimitExceeded, Unauthorized
from ..flow import Flow, Handler
from ..http import Request, Response
from ..limiting import MemoryLimiter, Rate, Verdict
from .identity import identity

__all__ = ["AuthFailures"]

logger = logging.getLogger("modelgate")

_ADDRESS = identity("address")


class AuthFailures:
    """Refuse an address that failed to authenticate more often than *rate*, before its key is looked
    up. Keys that are missing, unknown, inactive or not for what they ask are counted, which are answers
    of 401 and of 403 with ``WWW-Authenticate``, in buckets of their own, in this process.

    To be put outside `KeyAuth`, which looks up no more keys of an address at once than it may fail.
    Callers who share an address share the count, whose good keys are then refused as well.

    Args:
        rate: one window or more, as for `RateLimit`.
        spare_forwarded: count, and do not refuse, what comes with ``Forwarded`` or
            ``X-Forwarded-For``. Where these are not believed, the address is that of a proxy, and one
            caller's wrong keys would lock out all who come through it.
        clock: gives the time in seconds since the epoch.

    Raises:
        ConfigurationError: *rate* cannot be read.
    """

    def __init__(
        self,
        rate: str = "60/minute",
        *,
        spare_forwarded: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rate = Rate.parse(rate)
        self._spare_forwarded = spare_forwarded
        self._counts = MemoryLimiter(self._rate, clock=clock)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        self.check(request)
        request.auth_failures = self
        try:
            response = yield from call_next(request)
        except (Unauthorized, KeyInactive, InsufficientScope):
            self._count_once(request)
            raise
        if response.status == 401 or (response.status == 403 and response.header("www-authenticate")):
            self._count_once(request)
        return response

    def check(self, request: Request) -> None:
        """Raise `RateLimitExceeded` if the address of *request* may have no more failures."""
        stands = self._counts.peek(_ADDRESS(request))
        if stands is not None and not stands.passes:
            self._refuse(request, stands)

    def left(self, request: Request) -> int:
        """Return how many more failures the address of *request* may have."""
        stands = self._counts.peek(_ADDRESS(request))
        if stands is None or (self._spare_forwarded and _is_forwarded(request)):
            return self._rate.capacity
        return min(stands.free)

    def count(self, request: Request) -> None:
        """Count a failure: for `KeyAuth`, before the next key of the address is looked up.

        Raises:
            RateLimitExceeded: there were too many.
        """
        request.failure_counted = True
        stands = self._counts.hit(self._rate, _ADDRESS(request))
        # Others may have failed since this one began: no more failures are told than the rate has.
        if not stands.passes:
            self._refuse(request, stands)

    def _count_once(self, request: Request) -> None:
        if not request.failure_counted:
            self.count(request)
        # Another count of failures further out has not counted it.
        request.failure_counted = False

    def _refuse(self, request: Request, stands: Verdict) -> None:
        if self._spare_forwarded and _is_forwarded(request):
            _warn()
            return
        window = self._rate.windows[stands.heeded]
        raise RateLimitExceeded(f"failed authentication, {window},", stands.retry_after)


def _is_forwarded(request: Request) -> bool:
    fields = ("forwarded", "x-forwarded-for")
    return any(request.headers.get(name) is not None for name in fields)


@cache
def _warn() -> None:
    logger.warning(
        "failed authentication behind a proxy is not limited, for the caller's address is not known: name"
        " the proxy with trusted_proxies=[…], or say that there is none with trusted_proxies=[]"
    )
