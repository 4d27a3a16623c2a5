"""Counter that takes quota from the server in blocks, and spends the blocks in this process."""

import contextlib
import math
import threading
from collections.abc import Callable
from operator import add
from typing import Any

from msgspec.structs import replace

from ..backends.circuit_breaker import CircuitBreaker, StorageUnavailable
from ..errors import ConfigurationError
from ..flow import Flow
from ..flow.fork_safety import reset_after_fork
from .decision import RateLimitDecision
from .shared_limiter import RedisCounter
from .windows import Rate

__all__ = ["LeasedCounter", "require_lease"]

_REJECTION_TTL = 1.0
"""Maximum time in seconds for which a rejection is repeated without a call of the server."""


def require_lease(lease: float, rate: Rate) -> None:
    """Check the option *lease* of a rate limit.

    Args:
        lease: Size of a block, as a share of the rate's capacity.
        rate: Rate of the limit.

    Raises:
        ConfigurationError: The share is 0 or less, or more than 0.5, or a block would be smaller than 2.
    """
    is_number = isinstance(lease, int | float) and not isinstance(lease, bool)
    if not is_number or not 0 < lease <= 0.5:
        raise ConfigurationError(f"lease must be a number above 0 and at most 0.5 (got {lease!r})")
    if lease * rate.capacity < 2:
        raise ConfigurationError(
            f"lease must be at least {2 / rate.capacity:.2g} for a limit of {rate.capacity} (got {lease!r}):"
            " a block of less than 2 saves nothing"
        )


class LeasedCounter:
    """Counter that takes quota from Redis in blocks.

    A block is charged in Redis with one call. The part that this process has not spent yet is a lease. A
    process has at most one lease for each caller and rate. A caller's first request is charged without a
    lease, because many callers send only one request. Requests that arrive while a block is being charged
    are charged without a lease, too.

    A lease ends when the current step of one of the windows ends, so that every request is counted in the
    step in which it passes. When the next block is charged, the unused part of the lease is refunded in the
    windows that still count it.

    Args:
        counter: Counter on the Redis server.
        share: Size of a block, as a share of the smallest window amount of a rate.
        clock: Returns the time in seconds: a monotonic clock, or the clock of *counter*.
        max_buckets: Maximum number of leases. Beyond it, a new lease replaces the oldest one, whose unused
            part is refunded.
    """

    can_refund = True

    def __init__(
        self, counter: RedisCounter, share: float, *, clock: Callable[[], float], max_buckets: int = 50_000
    ) -> None:
        self.breaker: CircuitBreaker = counter.breaker
        self._counter = counter
        self._share = share
        self._clock = clock
        self._max_buckets = max_buckets
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        # A forked child must not spend the leases of its parent.
        self._leases: dict[tuple[str, str], _Lease] = {}

    def hit(self, rate: Rate, identity: str, cost: int) -> Flow[RateLimitDecision]:
        """Charge *cost* to *identity* if every window of *rate* has room for it."""
        block = int(self._share * rate.capacity)
        charging: _Lease | None = None
        try:
            with self._lock:
                sent_at = self._clock()
                lease = self._leases.get((rate.text, identity))
                # During an outage, do not decide here: this request may have to try the server again.
                if lease is not None and not self.breaker.open:
                    decision = lease.decide(cost, sent_at)
                    if decision is not None:
                        return decision
                if lease is not None and not lease.charging and 0 < cost < block:
                    charging, unused = lease, lease.remaining
                    lease.charging, lease.remaining = True, 0
            if charging is None:
                return (yield from self._hit_alone(rate, identity, cost, sent_at))
            decision = yield from self._counter.charge_block(
                rate, identity, cost, block, unused, charging.charged_at
            )
            with self._lock:
                return charging.renew(decision, block, sent_at)
        finally:
            if charging is not None:
                charging.charging = False

    def _hit_alone(self, rate: Rate, identity: str, cost: int, sent_at: float) -> Flow[RateLimitDecision]:
        decision = yield from self._counter.hit(rate, identity, cost)
        evicted = None
        with self._lock:
            lease = self._leases.get((rate.text, identity))
            if lease is None and cost:
                lease, evicted = self._add(rate, identity)
            if lease is not None and not decision.allowed:
                # Another request may have leased all the remaining quota without having spent it.
                leased = lease.decide(cost, self._clock())
                if leased is None:
                    lease.reject(decision, sent_at)
                else:
                    decision = leased
        if evicted is not None and evicted.remaining:
            with contextlib.suppress(StorageUnavailable):
                yield from self._counter.refund(
                    evicted.rate, evicted.identity, evicted.remaining, evicted.charged_at
                )
        return decision

    def _add(self, rate: Rate, identity: str) -> "tuple[_Lease | None, _Lease | None]":
        """Add a lease without quota, and return it and the lease that was removed to make room.

        The second is None if there was room. Both are None if the oldest lease cannot be removed now.
        """
        evicted = None
        if len(self._leases) >= self._max_buckets:
            oldest = next(iter(self._leases))
            if self._leases[oldest].charging:
                return None, None
            evicted = self._leases.pop(oldest)
        lease = self._leases[rate.text, identity] = _Lease(rate, identity)
        return lease, evicted

    def refund(self, rate: Rate, identity: str, cost: int, when: float) -> Flow[None]:
        """Refund the *cost* charged at the time *when*, if the charge is still counted."""
        with self._lock:
            lease = self._leases.get((rate.text, identity))
            block = int(self._share * rate.capacity)
            if lease is not None and lease.put_back(cost, when, self._clock(), block):
                return
        yield from self._counter.refund(rate, identity, cost, when)

    def reset(self, identity: str) -> int:
        """Discard the counts of *identity*; see `Limiter.reset`."""
        with self._lock:
            for key in [key for key in self._leases if key[1] == identity]:
                del self._leases[key]
        return self._counter.reset(identity)


class _Lease:
    """Unspent part of a block of quota, and the last rejection by the server.

    Args:
        rate: Rate whose windows were charged.
        identity: Identity of the caller.

    Attributes:
        remaining: Amount that can still be spent or refunded.
        charging: Whether a request is waiting for the server to charge the next block.
        charged_at: Time of the charge on the server, in seconds since the epoch.
    """

    __slots__ = (
        "_available",
        "_ends_at",
        "_rejected_at",
        "_rejected_until",
        "_rejection",
        "_sent_at",
        "_state",
        "charged_at",
        "charging",
        "identity",
        "rate",
        "remaining",
    )

    def __init__(self, rate: Rate, identity: str) -> None:
        self.rate = rate
        self.identity = identity
        self.remaining = 0
        self.charging = False
        self.charged_at = 0.0
        self._sent_at = self._ends_at = self._rejected_at = self._rejected_until = -math.inf
        self._rejection: RateLimitDecision | None = None
        self._available: list[int] = []
        self._state: tuple[Any, ...] = ()

    def decide(self, cost: int, now: float) -> RateLimitDecision | None:
        """Return a decision on *cost* that needs no call of the server, or None if the server must decide."""
        if cost <= self.remaining and self._sent_at <= now < self._ends_at:
            return self._spend(cost, self.charged_at + now - self._sent_at)
        rejection = self._rejection
        if (
            rejection is not None
            and cost >= rejection.cost
            and self._rejected_at <= now < self._rejected_until
        ):
            return replace(rejection, cost=cost)
        return None

    def _spend(self, cost: int, now: float) -> RateLimitDecision:
        self._state = (*map(add, self._state, (0, cost) * len(self._available)),)
        decision = RateLimitDecision(self.rate, True, self._available, self._state, now, cost)
        self._available = [available - cost for available in self._available]
        self.remaining -= cost
        return decision

    def renew(self, decision: RateLimitDecision, block: int, sent_at: float) -> RateLimitDecision:
        """Start a new block, and return the decision on the request that charged it.

        The cost of the request is spent from the block. If the server rejected the request, remember the
        rejection instead; see `reject`.

        Args:
            decision: Decision of the server.
            block: Size of the block that was requested.
            sent_at: Time at which the block was requested. The duration of the lease is counted from this
                time, not from the arrival of the decision, so that the lease never outlasts the step on the
                server.
        """
        if not decision.allowed:
            self.reject(decision, sent_at)
            return decision
        charged = min(block, *decision.available)
        windows = len(decision.available)
        ends = [
            start + window.step
            for start, window in zip(decision.state[::2], decision.rate.windows, strict=True)
        ]
        self.remaining = charged
        self.charged_at = decision.now
        self._sent_at, self._ends_at = sent_at, sent_at + min(ends) - decision.now
        self._rejection = None
        self._available = decision.available
        self._state = (*map(add, decision.state, (0, -charged) * windows),)
        return self._spend(decision.cost, decision.now)

    def reject(self, decision: RateLimitDecision, sent_at: float) -> None:
        """Remember the rejection *decision* for one second, or until there is room again if that is sooner."""
        self._rejection = decision
        room_in = decision.reset(decision.binding_window) - decision.now
        self._rejected_at, self._rejected_until = sent_at, sent_at + min(_REJECTION_TTL, room_in)

    def put_back(self, cost: int, when: float, now: float, block: int) -> bool:
        """Refund *cost*, charged at the time *when*, to the lease. Return False if the lease cannot take it."""
        is_current = self._sent_at <= now < self._ends_at and when >= self.charged_at
        if not is_current or self.charging or self.remaining + cost > block:
            return False
        self._spend(-cost, when)
        self._rejection = None
        return True
