"""Create the limiter for a storage URI."""

import logging
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Protocol

from ..errors import ConfigurationError
from ..flow import Flow
from .decision import RateLimitDecision
from .memory import MemoryLimiter
from .windows import FixedWindow, Rate
from .worker_count import detect_worker_count

if TYPE_CHECKING:
    from .limits_storage import LimitsCounter

__all__ = ["Limiter", "check_rate", "create_limiter"]

logger = logging.getLogger("modelgate")

_MEMCACHED_TTL = 30 * 24 * 3600
"""Maximum time to live in Memcached, in seconds. Larger values are interpreted as a date."""


class Limiter(Protocol):
    """Protocol of rate limiters, which count requests per identity.

    Methods return a `Flow` only if they have to wait.
    """

    @property
    def outage_count(self) -> int:
        """Number of outages of the storage."""

    @property
    def can_refund(self) -> bool:
        """Whether the storage can refund charges."""

    def hit(self, rate: Rate, identity: str, cost: int = 1) -> RateLimitDecision | Flow[RateLimitDecision]:
        """Charge *cost* to *identity* if every window of *rate* has room for it."""

    def refund(self, rate: Rate, identity: str, cost: int, when: float) -> Flow[None] | None:
        """Refund the *cost* charged at the time *when*, if the charge is still counted."""

    def reset(self, identity: str) -> int:
        """Discard the counts of *identity*, and return how many were discarded. This call blocks.

        Raises:
            ConfigurationError: The storage does not support resets.
            StoreError: The storage does not answer.
        """


def create_limiter(
    rate: Rate,
    storage: str,
    *,
    name: str,
    clock: Callable[[], float] | None,
    processes: int | None,
    closed: bool,
    refunds: bool = False,
    lease: float | None = None,
) -> Limiter:
    """Return the limiter for the URI *storage*; see `RateLimit` for the other options.

    Args:
        closed: Whether all requests are rejected while the storage does not answer.
        refunds: Whether charges must be refundable.

    Raises:
        ConfigurationError: The URI is invalid, or the storage does not support one of the other options.
    """
    scheme = storage.partition("://")[0] if isinstance(storage, str) else ""
    workers = detect_worker_count(os.environ, sys.argv)
    if lease is not None and scheme not in ("redis", "rediss", "unix"):
        raise ConfigurationError(f"lease must be None unless storage is redis://… (got {lease!r})")
    if storage == "memory://":
        if workers > 1:
            _warn_once(workers)
        return MemoryLimiter(rate, clock=clock or time.time)
    from .shared_limiter import RedisCounter, SharedCounter, SharedLimiter

    counter: SharedCounter
    if scheme in ("redis", "rediss", "unix"):
        from .redis_script_runner import redis_store

        counter = RedisCounter(redis_store(storage), name, clock)
        if lease is not None:
            from .leased_counter import LeasedCounter, require_lease

            require_lease(lease, rate)
            counter = LeasedCounter(counter, lease, clock=clock or time.monotonic)
    else:
        counter = _limits_counter(rate, storage if isinstance(storage, str) else "", name, clock, refunds)
    return SharedLimiter(rate, counter, clock=clock, share=processes or workers, closed=closed)


def _limits_counter(
    rate: Rate, storage: str, name: str, clock: Callable[[], float] | None, refunds: bool
) -> "LimitsCounter":
    from .limits_storage import LimitsCounter, limits_storage

    counter = LimitsCounter(limits_storage(storage), rate, name)
    check_rate(rate, storage)
    if clock is not None:
        raise ConfigurationError(
            "clock must be None for a storage of the limits package, which uses this machine's clock"
            f" (got {clock!r})"
        )
    if refunds and not counter.can_refund:
        raise ConfigurationError(
            "charge_when must be None for this storage, which cannot refund a charge (got a function):"
            ' use memory:// or redis://, or Redis Sentinel, Redis Cluster or Valkey with strategy="fixed"'
        )
    return counter


def check_rate(rate: Rate, storage: str) -> None:
    """Raise `ConfigurationError` if *storage* cannot count the windows of *rate*."""
    if not storage.removeprefix("async+").startswith("memcached://"):
        return
    # The limits package keeps the count of a sliding window for twice its length.
    longest = _MEMCACHED_TTL if type(rate.windows[0]) is FixedWindow else _MEMCACHED_TTL // 2
    if rate.windows[0].span > longest:
        raise ConfigurationError(
            f"rate must have windows of at most {longest // 86400} days in Memcached with this strategy"
            f" (got {str(rate.windows[0])!r})"
        )


@cache
def _warn_once(workers: int) -> None:
    logger.warning(
        "rate limit: counted in the memory of each of %d workers, so callers may send up to %d times the"
        ' limit: use RateLimit(…, storage="redis://…") to share the counts',
        workers,
        workers,
    )
