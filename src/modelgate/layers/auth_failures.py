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

    To be put outside `KeyAuth`. Callers who share an address share the count, whose good keys are
    then refused as well.

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
        address = _ADDRESS(request)
        stands = self._counts.peek(address)
        if stands is not None and not stands.passes:
            self._refuse(request, stands)
        try:
            response = yield from call_next(request)
        except (Unauthorized, KeyInactive, InsufficientScope):
            self._count(request, address)
            raise
        if response.status == 401 or (response.status == 403 and response.header("www-authenticate")):
            self._count(request, address)
        return response

    def _count(self, request: Request, address: str) -> None:
        stands = self._counts.hit(self._rate, address)
        # Others may have failed since this one began: no more failures are told than the rate has.
        if not stands.passes:
            self._refuse(request, stands)

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
