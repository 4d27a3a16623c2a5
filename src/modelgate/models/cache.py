"""LRU cache for models. Callers that need the same model at the same time share one load."""

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from cachetools import TTLCache

from ..errors import DeploymentLoading, DeploymentUnavailable, NotFound, Overloaded
from ..flow import Flow, wait_for
from ..flow.fair_pool import FairThreadPool
from ..flow.fork_safety import reset_after_fork
from ..flow.tracebacks import clear_locals
from ..prometheus import LocalValues, MetricValues
from ..validation import require_positive_int, require_positive_seconds

__all__ = ["CacheInfo", "ModelCache"]

T = TypeVar("T")

logger = logging.getLogger("modelgate")

CACHE_EVENTS = ("hits", "misses", "loads", "load_failures", "evictions")
_HITS, _MISSES, _LOADS, _FAILURES, _EVICTIONS = range(len(CACHE_EVENTS))
CACHE_COUNTS, CACHE_SIZE = "model_cache", "model_cache_size"
"""Names under which the values are stored; see `MetricValues`."""

_FAILURE_TTL = 1.0
_MAX_FAILURES = 1000
_MAX_LOADS = 8
"""Maximum number of concurrent loads. Loading many models at once could need too much memory."""


class CacheInfo(NamedTuple):
    """Statistics of a cache, with the field names of `functools.lru_cache` and the size in bytes.

    Attributes:
        hits: Number of lookups that found the model in the cache.
        misses: Number of lookups that did not find the model in the cache.
        maxsize: Maximum number of models.
        currsize: Number of cached models.
        maxbytes: Maximum total size of the models in bytes; None for no limit.
        currbytes: Total size of the cached models in bytes.
    """

    hits: int
    misses: int
    maxsize: int
    currsize: int
    maxbytes: int | None
    currbytes: int


class _Failure(NamedTuple):
    error: BaseException


class _CachedModel(NamedTuple, Generic[T]):
    model: T
    size: int


class _Load(NamedTuple, Generic[T]):
    future: Future[T | _Failure]
    started_at: float


class ModelCache(Generic[T]):
    """Cache for models by name. It evicts the least recently used models.

    Callers that request the same model while it is loading share one load. The load runs in a thread of the
    cache, so cancelling one caller does not affect the others. Up to eight loads run at the same time, and
    further loads wait. A caller waits for a load for at most *load_timeout* seconds.

    If a load fails, the error is logged once. All waiting callers and all callers within the next second
    get this error. After that, the next caller starts a new load.

    An evicted model stays in memory until the last request that uses it has finished.

    Args:
        load: Function that takes a name and returns the model, for example `ModelStore.load`. The function
            may block.
        maxsize: Maximum number of models. The default is the same as in the DataRobot Prediction API
            (section "Model caching").
        maxbytes: Maximum total size of the models in bytes; None for no limit. A model that is larger than
            the limit is cached alone, apart from pinned models.
        sizeof: Function that returns the size of a model in bytes. A gate uses the size of the model's file.
        load_timeout: Maximum number of seconds that a caller waits, counted from the start of the load.
            Callers of `get` can set another limit.
        clock: Function that returns the time in seconds.
        values: Storage of the metrics, such as hits and loads; None for the memory of this process.

    Raises:
        ConfigurationError: The value of an option is not valid.
    """

    def __init__(
        self,
        load: Callable[[str], T],
        maxsize: int = 16,
        *,
        maxbytes: int | None = None,
        sizeof: Callable[[T], int] = lambda _: 0,
        load_timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        values: MetricValues | None = None,
    ) -> None:
        require_positive_int("maxsize", maxsize)
        if maxbytes is not None:
            require_positive_int("maxbytes", maxbytes)
        require_positive_seconds("load_timeout", load_timeout)
        self._load = load
        self._maxsize = maxsize
        self._maxbytes = maxbytes
        self._sizeof = sizeof
        self._load_timeout = load_timeout
        self._clock = clock
        self._models: OrderedDict[str, _CachedModel[T]] = OrderedDict()
        self._pinned: set[str] = set()
        self._renamed: dict[str, str] = {}
        self._failures: TTLCache[str, _Failure] = TTLCache(_MAX_FAILURES, _FAILURE_TTL, timer=clock)
        self._values = values or LocalValues()
        self._threads = FairThreadPool(_MAX_LOADS, load_timeout).share()
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start without counts and running loads. A forked child has no threads that would finish loads."""
        self._lock = threading.Lock()
        self._loading: dict[str, _Load[T]] = {}
        self._counts = self._values.allocate(CACHE_COUNTS, (), len(CACHE_EVENTS))
        self._cleared = 0, 0

    def get(self, name: str, timeout: float | None = None) -> Flow[tuple[T, bool]]:
        """Return the model *name*, and True if it was cached. Load the model if it was not cached.

        Args:
            name: Model name.
            timeout: Maximum number of seconds to wait for a load, counted from this call; `math.inf` for no
                limit. If None, the *load_timeout* of the cache applies, counted from the start of the load.

        Raises:
            NotFound: There is no such model.
            DeploymentLoading: The load has not finished in time.
            DeploymentUnavailable: The load failed for another reason, which is the ``__cause__``.
        """
        with self._lock:
            cached = self._models.get(name)
            if cached is not None:
                self._models.move_to_end(name)
                self._counts[_HITS] += 1
                return cached.model, True
            self._counts[_MISSES] += 1
            load = self._get_or_start(name)
        return (yield from self._wait(name, load, timeout)), False

    def peek(self, name: str) -> T | None:
        """Return the model *name* if it is cached, else None. Hits are counted, but misses are not."""
        with self._lock:
            cached = self._models.get(name)
            if cached is None:
                return None
            self._models.move_to_end(name)
            self._counts[_HITS] += 1
            return cached.model

    def get_cached(self, name: str) -> T | None:
        """Return the model *name* if it is cached, else None. Unlike `peek`, this does not count as a use."""
        with self._lock:
            cached = self._models.get(name)
        return None if cached is None else cached.model

    def names(self) -> list[str]:
        """Return the names of the cached models, the least recently used first."""
        with self._lock:
            return list(self._models)

    def reload(self, name: str) -> Flow[T]:
        """Load the model *name* again. Until the load succeeds, the cached model continues to serve.

        Raises:
            NotFound, DeploymentLoading, DeploymentUnavailable: See `get`.
        """
        with self._lock:
            load = self._get_or_start(name)
        return (yield from self._wait(name, load))

    def prewarm(self, *names: str) -> Flow[None]:
        """Load the models *names* unless they are cached, one after the other and without a timeout.

        Raises:
            NotFound, DeploymentUnavailable: See `get`.
        """
        for name in names:
            yield from self.get(self._renamed.get(name, name), math.inf)

    def put(self, name: str, model: T) -> None:
        """Cache *model* under *name*. Use this for a model that the cache did not load itself."""
        with self._lock:
            self._insert(name, _CachedModel(model, self._sizeof(model)))

    def drop(self, *names: str) -> None:
        """Remove the models *names*, and discard the results of their running loads.

        Requests that use a removed model finish with it.
        """
        with self._lock:
            for name in names:
                self._models.pop(name, None)
                self._loading.pop(name, None)

    def rename(self, name: str, model: str | None) -> None:
        """Make `pin` and `prewarm` treat *name* as an alias of *model*, the model's name in the cache.

        Args:
            name: Alias.
            model: Name of the model in the cache; None to remove the alias and unpin *name*.
        """
        with self._lock:
            if model is None:
                self._renamed.pop(name, None)
                self._pinned.discard(name)
            else:
                self._renamed[name] = model

    def pin(self, *names: str) -> None:
        """Pin *names*: once loaded, they are never evicted. They still count towards *maxbytes*."""
        with self._lock:
            self._pinned.update(names)

    def unpin(self, *names: str) -> None:
        """Allow the eviction of *names* again."""
        with self._lock:
            self._pinned.difference_update(names)

    def _get_or_start(self, name: str) -> _Load[T] | _Failure:
        """Return the running load of the model *name*, or start one.

        If the last load failed recently, return the failure.
        """
        failure = self._failures.get(name)
        return failure or self._loading.get(name) or self._start(name)

    def _wait(self, name: str, load: _Load[T] | _Failure, timeout: float | None = None) -> Flow[T]:
        outcome: T | _Failure
        if isinstance(load, _Failure):
            outcome = load
        else:
            if timeout is None:
                timeout = max(self._load_timeout - (self._clock() - load.started_at), 0)
            try:
                outcome = yield from wait_for(load.future, None if timeout == math.inf else timeout)
            except TimeoutError:
                elapsed = self._clock() - load.started_at
                cause = TimeoutError(f"the load of model {name} has taken {elapsed:.1f} s and continues")
                raise DeploymentLoading(elapsed) from cause
        # Raise a new exception for each caller: raising the same one would extend its traceback each time.
        if isinstance(outcome, _Failure):
            if isinstance(outcome.error, NotFound):
                raise NotFound(outcome.error.message) from outcome.error
            raise DeploymentUnavailable from outcome.error
        return outcome

    def _start(self, name: str) -> _Load[T]:
        load: _Load[T] = _Load(Future(), self._clock())
        try:
            self._threads.submit(partial(self._run, name, load))
        except Overloaded as error:
            raise DeploymentUnavailable from error
        self._loading[name] = load
        return load

    def _run(self, name: str, load: _Load[T]) -> None:
        outcome: T | _Failure
        size = 0
        try:
            outcome = self._load(name)
            size = self._sizeof(outcome)
        except BaseException as error:
            logger.error("model %s: load failed", name, exc_info=error)
            outcome = _Failure(clear_locals(error))
        with self._lock:
            self._counts[_LOADS] += 1
            if isinstance(outcome, _Failure):
                self._counts[_FAILURES] += 1
                self._failures[name] = outcome
            elif self._loading.get(name) is load:
                self._insert(name, _CachedModel(outcome, size))
            if self._loading.get(name) is load:
                del self._loading[name]
        load.future.set_result(outcome)

    def _insert(self, name: str, cached: _CachedModel[T]) -> None:
        self._models.pop(name, None)
        pinned = {self._renamed.get(pin, pin) for pin in self._pinned}
        evictable = [other for other in self._models if other not in pinned]
        self._models[name] = cached
        limit = math.inf if self._maxbytes is None else self._maxbytes
        for other in evictable:
            if len(self._models) <= self._maxsize and self._currbytes() <= limit:
                break
            del self._models[other]
            self._counts[_EVICTIONS] += 1

    def _currbytes(self) -> int:
        # Summed each time: an interruption between a change and an update of a sum would leave it wrong.
        return sum(cached.size for cached in self._models.values())

    def cache_info(self) -> CacheInfo:
        """Return the statistics of the cache."""
        with self._lock:
            hits, misses = (int(self._counts[index]) - self._cleared[index] for index in (_HITS, _MISSES))
            return CacheInfo(
                hits, misses, self._maxsize, len(self._models), self._maxbytes, self._currbytes()
            )

    @property
    def loads(self) -> int:
        """Number of finished loads."""
        return int(self._counts[_LOADS])

    @property
    def failures(self) -> int:
        """Number of failed loads."""
        return int(self._counts[_FAILURES])

    @property
    def evictions(self) -> int:
        """Number of models evicted to make room for others."""
        return int(self._counts[_EVICTIONS])

    def publish(self) -> None:
        """Store the number and the total size of the cached models, for other processes to read."""
        cells = self._values.allocate(CACHE_SIZE, (), 2, gauge=True)
        cells[0], cells[1] = len(self._models), self._currbytes()

    def cache_clear(self) -> None:
        """Remove all models (even pinned ones) and recent failures, and reset the statistics.

        Requests that use a removed model finish with it.
        """
        with self._lock:
            self._models.clear()
            self._failures.clear()
            # Metrics are counters, which never decrease.
            self._cleared = int(self._counts[_HITS]), int(self._counts[_MISSES])
