"""Rate limits that are stored and computed by the `limits` package.

The windows of a rate are read and then charged one after the other, not in one atomic step. If other requests
fill a window in between, the request is rejected, although other windows may already have been charged. Reset
times are estimates based on this machine's clock. ``docs/limits.md`` lists all limitations of these storages.
"""

import asyncio
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from operator import methodcaller
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from limits.aio.strategies import STRATEGIES as ASYNC_STRATEGIES
from limits.limits import GRANULARITIES
from limits.storage import storage_from_string
from limits.strategies import STRATEGIES

from ..backends.circuit_breaker import CircuitBreaker
from ..errors import ConfigurationError
from ..flow import Flow, Wait
from ..flow.fork_safety import reset_after_fork
from .decision import RateLimitDecision
from .limits_uri import StorageSettings, read_storage_uri, storage_classes
from .redis_script_runner import close_with_loop
from .windows import FixedWindow, MovingWindow, Rate, SlidingWindow

__all__ = ["LimitsCounter", "LimitsStorage", "limits_storage"]

logger = logging.getLogger("modelgate")

_MAX_CALLS = 64
"""Maximum number of concurrent calls of one event loop. Each may use a connection."""

_STRATEGIES: Mapping[str, Any] = STRATEGIES
_ASYNC_STRATEGIES: Mapping[str, Any] = ASYNC_STRATEGIES

_Call: TypeAlias = Callable[[Any], Any]


class LimitsStorage:
    """Storage of the `limits` package, for calls from threads and event loops.

    Connections are opened on first use. Each process and each event loop has its own connections.

    Args:
        uri: URI of the storage.

    Attributes:
        breaker: Circuit breaker of the server.
        settings: Options with which `limits` connects to the server.

    Raises:
        ConfigurationError: The URI is invalid, or a client library is missing.
    """

    def __init__(self, uri: str) -> None:
        self.settings = read_storage_uri(uri)
        self.breaker = CircuitBreaker(self.settings.address)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopStorage] = WeakKeyDictionary()
        self._storage: Any = None
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        self._opening = threading.Lock()
        # Keep a reference: garbage collection in the child would close the parent's connections.
        self._inherited, self._storage = self._storage, None

    def strategy(self, windows: type[FixedWindow]) -> str:
        """Return the `limits` strategy for *windows*, or the closest one that the storage supports."""
        from limits.aio.storage import MovingWindowSupport as AsyncMoving
        from limits.aio.storage import SlidingWindowCounterSupport as AsyncSliding
        from limits.storage import MovingWindowSupport, SlidingWindowCounterSupport

        classes, scheme = storage_classes(), self.settings.scheme
        sync, aio = classes[scheme], classes[f"async+{scheme}"]
        moving = issubclass(sync, MovingWindowSupport) and issubclass(aio, AsyncMoving)
        sliding = issubclass(sync, SlidingWindowCounterSupport) and issubclass(aio, AsyncSliding)
        if windows is MovingWindow and moving:
            return "moving-window"
        return "sliding-window-counter" if windows is not FixedWindow and sliding else "fixed-window"

    def call(self, strategy: str, call: _Call) -> Flow[Any]:
        """Call *call* with the `limits` rate limiter for *strategy*, and return the result.

        Raises:
            StorageUnavailable: The server does not answer.
        """
        wait = Wait(sync=partial(self._call, strategy, call), aio=partial(self._acall, strategy, call))
        return self.breaker.call(wait, lambda error: isinstance(error, self.settings.outages))

    def _call(self, strategy: str, call: _Call) -> Any:
        if self._storage is None:
            outages = self.breaker.outage_count
            with self._opening:
                self.check_since(outages)
                if self._storage is None:
                    storage = _open(self.settings, aio=False)
                    result = call(_STRATEGIES[strategy](storage))
                    # Assign the storage only after a call has succeeded: the first call creates the indices
                    # in MongoDB.
                    self._storage = storage
                    return result
        return call(_STRATEGIES[strategy](self._storage))

    def check_since(self, outages: int) -> None:
        """Raise TimeoutError if an outage began while this call waited for other calls.

        Args:
            outages: Number of outages before the wait.
        """
        if self.breaker.outage_count != outages:
            raise TimeoutError("the previous call timed out")

    async def _acall(self, strategy: str, call: _Call) -> Any:
        loop = asyncio.get_running_loop()
        storage = self._loops.get(loop)
        if storage is None:
            storage = self._loops[loop] = _LoopStorage(self, partial(self._loops.pop, loop, None))
        return await storage.call(strategy, call)


class _LoopStorage:
    """Connection of one event loop to the storage."""

    def __init__(self, owner: LimitsStorage, on_close: Callable[[], Any]) -> None:
        self._storage = _open(owner.settings, aio=True)
        self._owner = owner
        self._slots = asyncio.Semaphore(_MAX_CALLS)
        self._running: set[asyncio.Task[Any]] = set()
        self._on_close = on_close
        self._closing = close_with_loop(self._close)

    async def call(self, strategy: str, call: _Call) -> Any:
        """Run *call* and return its result.

        If the request is cancelled, the call continues, because cancelling it makes some client libraries
        lose the connection.
        """
        await anext(self._closing, None)
        task = asyncio.create_task(self._call(strategy, call))
        self._running.add(task)
        task.add_done_callback(self._discard)
        return await asyncio.shield(task)

    async def _call(self, strategy: str, call: _Call) -> Any:
        outages = self._owner.breaker.outage_count
        async with self._slots:
            self._owner.check_since(outages)
            return await call(_ASYNC_STRATEGIES[strategy](self._storage))

    async def _close(self) -> None:
        self._on_close()
        await _close(self._storage)

    def _discard(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Retrieve the error, which asyncio would log if the request was cancelled.
            task.exception()


class LimitsCounter:
    """Counter of one rate limit in a `limits` storage. The module docstring lists the limitations.

    Args:
        storage: Storage for the counts.
        rate: Rate of most callers.
        name: Name of the limit in the storage.
    """

    def __init__(self, storage: LimitsStorage, rate: Rate, name: str) -> None:
        self.breaker = storage.breaker
        self._storage = storage
        self._name = name
        windows = type(rate.windows[0])
        self._strategy = storage.strategy(windows)
        if windows is not FixedWindow and not self._strategy.startswith(_NAMES[windows]):
            logger.warning(
                "rate limit: %s:// has no %s windows: using the strategy %s of the limits package",
                storage.settings.scheme,
                _NAMES[windows],
                self._strategy,
            )

    @property
    def can_refund(self) -> bool:
        """Whether charges can be refunded, which requires fixed windows in Redis or Valkey."""
        redis = self._storage.settings.scheme.startswith(("redis", "valkey"))
        return redis and self._strategy == "fixed-window"

    def hit(self, rate: Rate, identity: str, cost: int) -> Flow[RateLimitDecision]:
        """Charge *cost* to *identity* if every window of *rate* has room for it."""
        key, now = self._key(rate, identity), time.time()
        available, resets = [], []
        for window, item in _items(rate):
            remaining, reset = yield from self._read(window, item, key)
            available.append(remaining)
            # A window without counts starts with this charge. Redis rounds reset times to seconds.
            resets.append(now + window.span if remaining >= window.amount else min(reset, now + window.span))
        allowed = cost <= min(available)
        if allowed and cost:
            allowed = yield from self._charge(rate, key, cost, available)
        return _LimitsDecision(rate, allowed, available, (*resets,), now, cost)

    def reset(self, identity: str) -> int:  # noqa: ARG002
        """Raise `ConfigurationError`: these storages cannot find the counts of a caller.

        They store a digest in place of each identity.
        """
        raise ConfigurationError(
            f"storage must be memory:// or redis:// to reset a limit (got {self._storage.settings.scheme}://)"
        )

    def _read(self, window: FixedWindow, item: Any, key: str) -> Flow[tuple[int, float]]:
        """Return the remaining room of *window* and its reset time."""
        if self._strategy == "moving-window":
            # With MongoDB, get_window_stats fails on a window whose entries have all expired.
            name, amount, span = item.key_for(key), item.amount, item.get_expiry()
            start, count = yield from self._call(
                lambda limiter: limiter.storage.get_moving_window(name, amount, span)
            )
            return window.amount - count, (start or 0) + window.span
        reset, remaining = yield from self._call(lambda limiter: limiter.get_window_stats(item, key))
        return remaining, reset

    def _charge(self, rate: Rate, key: str, cost: int, available: list[int]) -> Flow[bool]:
        for index, (_, item) in enumerate(_items(rate)):
            if not (yield from self._call(methodcaller("hit", item, key, cost=cost))):
                # Other requests have used the room in the meantime.
                available[index] = min(available[index], cost - 1)
                return False
        return True

    def refund(self, rate: Rate, identity: str, cost: int, when: float) -> Flow[None]:
        """Refund the *cost* charged at the time *when* in each window that still counts it.

        Do nothing if `can_refund` is False.
        """
        key = self._key(rate, identity)
        for window, item in _items(rate) if self.can_refund else ():
            remaining, reset = yield from self._read(window, item, key)
            # Redis rounds the remaining time to seconds.
            if when + 1 >= reset - window.span and window.amount - remaining >= cost:
                name, span = item.key_for(key), item.get_expiry()
                yield from self._call(partial(_decrement, name=name, span=span, cost=cost))

    def _call(self, call: _Call) -> Flow[Any]:
        return self._storage.call(self._strategy, call)

    def _key(self, rate: Rate, identity: str) -> str:
        # Keys of Memcached have at most 250 characters and no spaces.
        text = f"{self._name}:{rate.text}:{identity}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _decrement(limiter: Any, *, name: str, span: int, cost: int) -> Any:
    return limiter.storage.incr(name, span, -cost)


class _LimitsDecision(RateLimitDecision):
    """Decision whose `state` contains the reset times that `limits` returned."""

    def quota(self, index: int) -> tuple[int, float]:
        available = self.available[index]
        remaining = available - self.cost if self.allowed else max(available, 0)
        return remaining, self.state[index]


_NAMES = {FixedWindow: "fixed", SlidingWindow: "sliding", MovingWindow: "moving"}


@lru_cache(maxsize=1024)
def _items(rate: Rate) -> list[tuple[FixedWindow, Any]]:
    """Return each window of *rate* with the matching `limits` rate limit item."""
    return [
        (window, GRANULARITIES[window.unit](window.amount, window.multiple, f"modelgate{index}"))
        for index, window in enumerate(rate.windows)
    ]


def _open(settings: StorageSettings, *, aio: bool) -> Any:
    return storage_from_string(f"{'async+' * aio}{settings.uri}", **settings.options(aio))


async def _close(storage: Any) -> None:
    """Close the connections of an asyncio storage. `limits` has no method for it."""
    bridge: Any = getattr(storage, "bridge", None)
    if hasattr(bridge, "get_storage"):  # Memcached
        (await bridge.get_storage()).connection_pool.close()
    elif bridge is not None:  # Redis and Valkey
        for client in (bridge.storage, *getattr(getattr(bridge, "sentinel", None), "sentinels", ())):
            await client.aclose()
    elif hasattr(getattr(storage, "storage", None), "close"):  # MongoDB
        storage.storage.close()


@cache
def limits_storage(uri: str) -> LimitsStorage:
    """Return the storage for *uri*.

    There is one storage per URI and process, so that an outage is logged once.
    """
    return LimitsStorage(uri)
