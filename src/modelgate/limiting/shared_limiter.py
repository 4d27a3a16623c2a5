"""Rate limiter with counts that all processes share, and a fallback during outages."""

import contextlib
import math
import time
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import islice
from typing import Protocol

from ..backends.circuit_breaker import CircuitBreaker, StorageUnavailable
from ..errors import StoreError
from ..flow import Flow
from .decision import RateLimitDecision
from .lua_scripts import HIT, REFUND
from .memory import MemoryLimiter
from .redis_script_runner import RedisScriptRunner
from .windows import FixedWindow, Rate

__all__ = ["RedisCounter", "SharedCounter", "SharedLimiter"]


_MAX_CHARGED = 50_000
"""Maximum number of buckets in which a data loss is detected."""


class SharedCounter(Protocol):
    """Protocol of counters on a server, which all processes share. A counter belongs to one rate limit.

    The methods raise `StorageUnavailable` if the server does not answer.
    """

    @property
    def breaker(self) -> CircuitBreaker:
        """Circuit breaker of the server."""

    @property
    def can_refund(self) -> bool:
        """Whether charges can be refunded."""

    def hit(self, rate: Rate, identity: str, cost: int) -> Flow[RateLimitDecision]:
        """Charge *cost* to *identity* if every window of *rate* has room for it."""

    def refund(self, rate: Rate, identity: str, cost: int, when: float) -> Flow[None]:
        """Refund the *cost* charged at the time *when*, if the charge is still counted."""

    def reset(self, identity: str) -> int:
        """Discard the counts of *identity*; see `Limiter.reset`."""


class SharedLimiter:
    """Limiter that counts on a server, and in this process during an outage of the server.

    Requests that pass are also counted in this process. While the server does not answer, only these local
    counts apply, and each process allows only its share of the rate.

    After an outage, until the charges from the time of the outage have expired, a request must pass both
    the local counts and the counts on the server. The server has not counted the requests that passed during
    the outage, and may have lost earlier counts. Since both must have room, no single process lets more
    requests pass than the rate allows.

    Args:
        rate: Default rate.
        counter: Counter on the server.
        clock: Returns the time in seconds since the epoch. It is used for the local counts.
        share: Number of processes among which a rate is divided during an outage.
        closed: Whether to reject all requests during an outage, instead of using the local counts.
    """

    def __init__(
        self,
        rate: Rate,
        counter: SharedCounter,
        *,
        clock: Callable[[], float] | None = None,
        share: int = 1,
        closed: bool = False,
    ) -> None:
        self._counter = counter
        self._breaker = counter.breaker
        self._share = share
        self._closed = closed
        self._local = MemoryLimiter(rate, clock=clock or time.time)

    @property
    def outage_count(self) -> int:
        """Number of outages of the server."""
        return self._breaker.outage_count

    @property
    def can_refund(self) -> bool:
        """Whether the storage can refund charges."""
        return self._counter.can_refund

    def hit(self, rate: Rate, identity: str, cost: int = 1) -> RateLimitDecision | Flow[RateLimitDecision]:
        """Charge *cost* to *identity* if every window of *rate* has room for it.

        Raises:
            StoreError: The server does not answer, and *closed* is True.
        """
        if self._breaker.allow():
            return self._hit_shared(rate, identity, cost)
        return self._hit_local_share(rate, identity, cost)

    def _hit_shared(self, rate: Rate, identity: str, cost: int) -> Flow[RateLimitDecision]:
        local = self._local.hit(rate, identity, cost)
        try:
            shared = yield from self._counter.hit(rate, identity, cost)
        except StorageUnavailable:
            if local.allowed:
                self._local.refund(rate, identity, cost, local.now)
            return self._hit_local_share(rate, identity, cost)
        if local.allowed and not shared.allowed:
            self._local.refund(rate, identity, cost, local.now)
        elif shared.allowed and not local.allowed and self._recently_recovered(rate):
            yield from self._refund_shared(rate, identity, cost, shared.now)
            return local
        return shared

    def refund(self, rate: Rate, identity: str, cost: int, when: float) -> Flow[None]:
        """Refund the *cost* charged at the time *when*, if the charge is still counted."""
        self._local.refund(rate, identity, cost, when)
        if self._breaker.allow():
            yield from self._refund_shared(rate, identity, cost, when)

    def reset(self, identity: str) -> int:
        """Discard the counts of *identity*; see `Limiter.reset`."""
        self._local.reset(identity)
        return self._counter.reset(identity)

    def _refund_shared(self, rate: Rate, identity: str, cost: int, when: float) -> Flow[None]:
        with contextlib.suppress(StorageUnavailable):
            yield from self._counter.refund(rate, identity, cost, when)

    def _hit_local_share(self, rate: Rate, identity: str, cost: int) -> RateLimitDecision:
        if self._closed:
            raise StoreError
        return self._local.hit(_share(rate, self._share), identity, cost)

    def _recently_recovered(self, rate: Rate) -> bool:
        """Return True if charges made before the end of the last outage may still be counted."""
        return not self._breaker.open and self._breaker.clock() - self._breaker.recovered_at < rate.retention


class RedisCounter:
    """Counter of one rate limit in Redis. One Lua script tests and charges all windows.

    Args:
        store: Runner for the scripts.
        name: Key prefix of the limit on the server.
        clock: Returns the time in seconds since the epoch. None for the clock of the Redis server.
    """

    can_refund = True

    def __init__(self, store: RedisScriptRunner, name: str, clock: Callable[[], float] | None = None) -> None:
        self.breaker = store.breaker
        self._store = store
        self._name = name
        self._clock = clock
        # The starts of the steps in which this process last charged each bucket.
        self._charged: dict[str, tuple[float, ...]] = {}

    def hit(self, rate: Rate, identity: str, cost: int) -> Flow[RateLimitDecision]:
        """Charge *cost* to *identity* if every window of *rate* has room for it."""
        return self.charge_block(rate, identity, cost, cost)

    def charge_block(
        self, rate: Rate, identity: str, cost: int, block: int, unused: int = 0, charged_at: float = 0.0
    ) -> Flow[RateLimitDecision]:
        """Refund *unused*, then charge a block if every window of *rate* has room for *cost*.

        Args:
            rate: Rate whose windows are charged.
            identity: Identity of the caller.
            cost: Cost of the request.
            block: Amount to charge. If a window has less room, all of that room is charged.
            unused: Part of an earlier block to refund in the windows that still count it.
            charged_at: Time at which the earlier block was charged.
        """
        now = "" if self._clock is None else repr(self._clock())
        windows = [value for window in rate.windows for value in (window.amount, window.step, window.steps)]
        ttl = math.ceil(rate.retention * 1000)
        key = self._key(rate, identity)
        if unused:
            self._charged.pop(key, None)
        block_args = block, unused, repr(charged_at)
        reply = yield from self._store.run(HIT, key, now, cost, ttl, *block_args, *windows)
        decision = _parse_reply(reply, rate, cost)
        self._detect_data_loss(key, decision)
        return decision

    def refund(self, rate: Rate, identity: str, cost: int, when: float) -> Flow[None]:
        """Refund the *cost* charged at the time *when*, if the charge is still counted."""
        windows = [value for window in rate.windows for value in (window.step, window.steps)]
        key = self._key(rate, identity)
        self._charged.pop(key, None)
        yield from self._store.run(REFUND, key, cost, repr(when), *windows)

    def _detect_data_loss(self, key: str, decision: RateLimitDecision) -> None:
        """Report a data loss if a charge of this process is missing from the bucket *key*.

        This detects a loss that leaves the scripts in place, such as ``FLUSHALL`` or eviction.
        """
        starts, charged = decision.state[::2], self._charged.get(key)
        if charged is not None and any(
            map(partial(_has_restarted, decision.now), decision.rate.windows, charged, starts)
        ):
            self.breaker.report_data_loss()
            # Another thread may have noticed it, too.
            self._charged.pop(key, None)
        if decision.allowed and decision.cost and (charged is None or starts >= charged):
            if len(self._charged) >= _MAX_CHARGED:
                self._charged.clear()
            self._charged[key] = starts

    def reset(self, identity: str) -> int:
        """Discard the counts of *identity*; see `Limiter.reset`."""
        return self._store.reset_counts(identity, self._name)

    def _key(self, rate: Rate, identity: str) -> str:
        return f"modelgate:{self._name}:{rate.text}:{identity}"


@lru_cache(maxsize=1024)
def _share(rate: Rate, parts: int) -> Rate:
    return rate.share(parts)


def _has_restarted(now: float, window: FixedWindow, charged: float, start: float) -> bool:
    """Return whether the server lost a charge: it restarted a window that must still count the charge.

    As long as a charge is counted, the steps of its window are consecutive.

    Args:
        now: Time on the server.
        window: Window that was charged.
        charged: Start of the step with the charge.
        start: Start of the current step.
    """
    # The margin allows for rounding at the end of the window. If *start* is before *charged*, the clock was
    # set back.
    if not charged <= start <= now < charged + window.retention * (1 - 1e-6) - 0.01:
        return False
    offset = (start - charged) % window.step
    return min(offset, window.step - offset) > 0.001


def _parse_reply(reply: list[bytes], rate: Rate, cost: int) -> RateLimitDecision:
    allowed, now, *rest = reply
    values = iter(rest)
    available = [int(value) for value in islice(values, len(rate.windows))]
    state: list[float] = []
    for window in rate.windows:
        step_start = float(next(values))
        state += step_start, window.pack_counts(int(value) for value in islice(values, window.steps))
    return RateLimitDecision(rate, allowed == b"1", available, (*state,), float(now), cost)
