"""An LRU cache of models that never loads one twice at once."""

import logging
import math
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

from cachetools import TTLCache

from ..counts import require_count, require_seconds
from ..errors import DeploymentLoading, DeploymentUnavailable, NotFound
from ..flow import Flow, wait_for
from ..flow.forks import renew_in_child

__all__ = ["CacheInfo", "ModelCache"]

T = TypeVar("T")

logger = logging.getLogger("modelgate")

_FAILED_FOR = 1.0
_FAILURES = 1000


class CacheInfo(NamedTuple):
    """The counts of a cache, as `functools.lru_cache` names them; and the bytes, where they are bounded."""

    hits: int
    misses: int
    maxsize: int
    currsize: int
    maxbytes: int | None
    currbytes: int


class _Failure(NamedTuple):
    error: BaseException


class _Kept(NamedTuple, Generic[T]):
    model: T
    size: int


class _Load(NamedTuple, Generic[T]):
    future: Future[T | _Failure]
    since: float


class ModelCache(Generic[T]):
    """The models used last, by name; the least recently used one goes first.

    However many callers ask for a model at once, it is loaded once: the load has a thread of its
    own and all of them, the first too, only wait for it. So a cancelled caller takes nothing from
    the others, and a load that hangs holds up nobody for longer than *load_timeout*. A load that fails
    is logged once, told to all who waited and to all who ask within a second, and then tried again.
    A model that is dropped lives until the last request that uses it ends.

    Args:
        load: makes the model of a name: `ModelStore.load`, for one. It may block.
        maxsize: how many models to keep: 16 by default, as the DataRobot Prediction API, "Model
            caching", has it.
        maxbytes: how large they may be together; None for no bound. A larger one is kept alone.
        sizeof: the size of a model in bytes; the models of a gate have that of what they are read from.
        load_timeout: Seconds a caller waits for a load, counted from the start of the load; callers of `get`
            may choose another bound.
        clock: gives the time in seconds.

    Attributes:
        loads: how many loads have ended.
        failures: how many of them have failed.
        evictions: how many models were dropped for others.

    Raises:
        ConfigurationError: an option is no number that can work.
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
    ) -> None:
        require_count("maxsize", maxsize)
        if maxbytes is not None:
            require_count("maxbytes", maxbytes)
        require_seconds("load_timeout", load_timeout)
        self._load = load
        self._maxsize = maxsize
        self._maxbytes = maxbytes
        self._sizeof = sizeof
        self._load_timeout = load_timeout
        self._clock = clock
        self._kept: OrderedDict[str, _Kept[T]] = OrderedDict()
        self._pinned: set[str] = set()
        self._meant: dict[str, str] = {}
        self._failures: TTLCache[str, _Failure] = TTLCache(_FAILURES, _FAILED_FOR, timer=clock)
        self._hits = self._misses = self._bytes = 0
        self.loads = self.failures = self.evictions = 0
        self._renew()
        renew_in_child(self, ModelCache._renew)

    def _renew(self) -> None:
        """Nothing is being loaded: at the beginning, and in a forked child, which has none of the threads."""
        self._lock = threading.Lock()
        self._loading: dict[str, _Load[T]] = {}

    def get(self, name: str, timeout: float | None = None) -> Flow[tuple[T, bool]]:
        """The model *name*, and whether it was in the cache.

        Args:
            name: Name of the model.
            timeout: Seconds to wait for a load from now on, `math.inf` for no bound; None for the
                cache's *load_timeout*, which counts from the start of the load.

        Raises:
            NotFound: the load found no such model.
            DeploymentLoading: the model is still being loaded.
            DeploymentUnavailable: the load failed in another way, which is the cause.
        """
        with self._lock:
            kept = self._kept.get(name)
            if kept is not None:
                self._kept.move_to_end(name)
                self._hits += 1
                return kept.model, True
            self._misses += 1
            load = self._begin(name)
        return (yield from self._outcome(name, load, timeout)), False

    def peek(self, name: str) -> T | None:
        """The model *name* where it is in the cache, which is a hit; a miss is counted by `get`."""
        with self._lock:
            kept = self._kept.get(name)
            if kept is None:
                return None
            self._kept.move_to_end(name)
            self._hits += 1
            return kept.model

    def reload(self, name: str) -> Flow[T]:
        """Load the model *name* anew. The copy that is there serves meanwhile, and stays where that fails.

        Raises:
            NotFound, DeploymentUnavailable: see `get`.
        """
        with self._lock:
            load = self._begin(name)
        return (yield from self._outcome(name, load))

    def prewarm(self, *names: str) -> Flow[None]:
        """Load the models *names* that are not there, one after the other, however long it takes.

        Raises:
            NotFound, DeploymentUnavailable: see `get`.
        """
        for name in names:
            yield from self.get(self._meant.get(name, name), math.inf)

    def put(self, name: str, model: T) -> None:
        """Keep a *model* that was loaded elsewhere."""
        with self._lock:
            self._keep(name, _Kept(model, self._sizeof(model)))

    def drop(self, *names: str) -> None:
        """Keep the models *names* no longer, nor what is being loaded. Requests that hold one keep it."""
        with self._lock:
            for name in names:
                self._drop(name)
                self._loading.pop(name, None)

    def rename(self, name: str, model: str | None) -> None:
        """Have *name* be that of another *model* for whoever pins it, now or before; None for its own."""
        with self._lock:
            if model is None:
                self._meant.pop(name, None)
                self._pinned.discard(name)
            else:
                self._meant[name] = model

    def pin(self, *names: str) -> None:
        """Drop the models *names* for no other, from when they are loaded; their bytes count."""
        with self._lock:
            self._pinned.update(names)

    def unpin(self, *names: str) -> None:
        """The models *names* may be dropped again."""
        with self._lock:
            self._pinned.difference_update(names)

    def _begin(self, name: str) -> _Load[T] | _Failure:
        """The load of *name* that is under way, a new one, or how one failed just now."""
        failed = self._failures.get(name)
        return failed or self._loading.get(name) or self._start(name)

    def _outcome(self, name: str, load: _Load[T] | _Failure, timeout: float | None = None) -> Flow[T]:
        outcome: T | _Failure
        if isinstance(load, _Failure):
            outcome = load
        else:
            if timeout is None:
                timeout = max(self._load_timeout - (self._clock() - load.since), 0)
            try:
                outcome = yield from wait_for(load.future, None if timeout == math.inf else timeout)
            except TimeoutError:
                taken = self._clock() - load.since
                cause = TimeoutError(f"the load of model {name} has taken {taken:.1f} s and continues")
                raise DeploymentLoading(taken) from cause
        # Each caller has an error of its own: one that many raise grows a traceback with each of them.
        if isinstance(outcome, _Failure):
            if isinstance(outcome.error, NotFound):
                raise NotFound(outcome.error.message) from outcome.error
            raise DeploymentUnavailable from outcome.error
        return outcome

    def _start(self, name: str) -> _Load[T]:
        load: _Load[T] = _Load(Future(), self._clock())
        thread = threading.Thread(target=self._run, args=(name, load), name=f"load {name}", daemon=True)
        thread.start()
        self._loading[name] = load
        return load

    def _run(self, name: str, load: _Load[T]) -> None:
        outcome: T | _Failure
        size = 0
        try:
            outcome = self._load(name)
            size = self._sizeof(outcome)
        except BaseException as error:
            logger.error("the model %s cannot be loaded", name, exc_info=error)
            outcome = _Failure(_without_locals(error))
        with self._lock:
            self.loads += 1
            if isinstance(outcome, _Failure):
                self.failures += 1
                self._failures[name] = outcome
            elif self._loading.get(name) is load:
                self._keep(name, _Kept(outcome, size))
            if self._loading.get(name) is load:
                del self._loading[name]
        load.future.set_result(outcome)

    def _keep(self, name: str, kept: _Kept[T]) -> None:
        self._drop(name)
        pinned = {self._meant.get(pin, pin) for pin in self._pinned}
        droppable = [old for old in self._kept if old not in pinned]
        self._kept[name] = kept
        self._bytes += kept.size
        bound = math.inf if self._maxbytes is None else self._maxbytes
        for old in droppable:
            if len(self._kept) <= self._maxsize and self._bytes <= bound:
                break
            self._drop(old)
            self.evictions += 1

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._bytes -= kept.size

    def cache_info(self) -> CacheInfo:
        """Hits, misses, ``maxsize`` and ``currsize``, ``maxbytes`` and ``currbytes``."""
        with self._lock:
            return CacheInfo(
                self._hits, self._misses, self._maxsize, len(self._kept), self._maxbytes, self._bytes
            )

    def cache_clear(self) -> None:
        """Drop every model, pinned ones too, and forget what failed. Requests that hold one keep it."""
        with self._lock:
            self._kept.clear()
            self._failures.clear()
            self._hits = self._misses = self._bytes = 0


def _without_locals(error: BaseException) -> BaseException:
    """*error*, which no longer holds the bytes that were being read when it was raised."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        traceback.clear_frames(cause.__traceback__)
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return error
