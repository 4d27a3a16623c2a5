"""An LRU cache of models that never loads one twice at once."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

from cachetools import LRUCache

from ..errors import ConfigurationError, DeploymentUnavailable, NotFound
from ..flow import Flow, wait_for

__all__ = ["CacheInfo", "ModelCache"]

T = TypeVar("T")

logger = logging.getLogger("modelgate")


class CacheInfo(NamedTuple):
    """The counts of a cache, as `functools.lru_cache` names them."""

    hits: int
    misses: int
    maxsize: int
    currsize: int


class _Failure(NamedTuple):
    error: BaseException


class ModelCache(Generic[T]):
    """The models used last, by name; the least recently used one goes first.

    However many callers ask for a model at once, it is loaded once: the load has a thread of its
    own and all of them, the first too, only wait for it. So a cancelled caller takes nothing from
    the others. A load that fails is logged once, told to all who waited, and tried again by the
    next. A model that is dropped lives until the last request that uses it ends.

    Args:
        load: makes the model of a name: `ModelStore.load`, for one. It may block.
        maxsize: how many models to keep: 16 by default, as the DataRobot Prediction API, "Model
            caching", has it.

    Raises:
        ConfigurationError: *maxsize* is not a whole number from 1.
    """

    def __init__(self, load: Callable[[str], T], maxsize: int = 16) -> None:
        if not isinstance(maxsize, int) or maxsize < 1:
            raise ConfigurationError(f"maxsize={maxsize!r}: accepts a whole number from 1")
        self._load = load
        self._models: LRUCache[str, T] = LRUCache(maxsize)
        self._loading: dict[str, Future[T | _Failure]] = {}
        self._lock = threading.Lock()
        self._hits = self._misses = 0

    def get(self, name: str) -> Flow[tuple[T, bool]]:
        """The model *name*, and whether it was in the cache.

        Raises:
            NotFound: the load found no such model.
            DeploymentUnavailable: it failed in another way, which is the cause.
        """
        with self._lock:
            try:
                model = self._models[name]
            except KeyError:
                self._misses += 1
            else:
                self._hits += 1
                return model, True
            future = self._loading.get(name) or self._start(name)
        outcome = yield from wait_for(future)
        # Each caller has an error of its own: one that many raise grows a traceback with each of them.
        if isinstance(outcome, _Failure):
            if isinstance(outcome.error, NotFound):
                raise NotFound(outcome.error.message)
            raise DeploymentUnavailable from outcome.error
        return outcome, False

    def _start(self, name: str) -> "Future[T | _Failure]":
        future: Future[T | _Failure] = Future()
        thread = threading.Thread(target=self._run, args=(name, future), name=f"load {name}", daemon=True)
        thread.start()
        self._loading[name] = future
        return future

    def _run(self, name: str, future: "Future[T | _Failure]") -> None:
        outcome: T | _Failure
        try:
            outcome = self._load(name)
        except BaseException as error:
            logger.error("the model %s cannot be loaded", name, exc_info=error)
            outcome = _Failure(error)
        with self._lock:
            if not isinstance(outcome, _Failure):
                self._models[name] = outcome
            del self._loading[name]
        future.set_result(outcome)

    def cache_info(self) -> CacheInfo:
        """Hits, misses, ``maxsize`` and ``currsize``."""
        with self._lock:
            return CacheInfo(self._hits, self._misses, int(self._models.maxsize), int(self._models.currsize))

    def cache_clear(self) -> None:
        """Drop every model. Requests that hold one keep it until they end."""
        with self._lock:
            self._models.clear()
            self._hits = self._misses = 0
