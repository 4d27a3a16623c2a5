"""Scoring layer that caches the predictions of single rows."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from cachetools import TTLCache

from ...errors import ConfigurationError
from ...flow import Flow, Handler
from ...flow.fork_safety import reset_after_fork
from ...inference import Prediction
from ...inference.predictor import Predictor
from ...schema import Table
from ...validation import require_positive_int
from ..query import Query

__all__ = ["ResultCache"]

_Results: TypeAlias = TTLCache[Hashable, Prediction]


class ResultCache:
    """Scoring layer that caches the predictions of single rows.

    Queries of several rows, forecasts, and predictions with explanations are not cached. The key of a
    prediction consists of the predictor, the validated row, and the attributes *adjusted*, *intervals* and
    *decimals* of the query. Therefore a prediction is never returned for another deployment, or after the
    model has been reloaded.

    Args:
        maxsize: Maximum number of cached predictions per model. The least recently used prediction is removed
            first.
        ttl: Number of seconds for which a prediction is cached.
        clock: Function that returns the time in seconds.

    Raises:
        ConfigurationError: An option is not a number above 0.
    """

    scores = True

    def __init__(
        self, maxsize: int = 1024, ttl: float = 300, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        require_positive_int("maxsize", maxsize)
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not ttl > 0:
            raise ConfigurationError(f"ttl must be a number of seconds above 0 (got {ttl!r})")
        self._create: Callable[[], _Results] = lambda: TTLCache(maxsize, ttl, clock)
        self._results: WeakKeyDictionary[Predictor, _Results] = WeakKeyDictionary()
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        assert query.table is not None and query.predictor is not None
        if len(query.table) != 1 or query.explain is not None or query.predictor.forecaster is not None:
            return (yield from call_next(query))
        key = _row_key(query.table), query.adjusted, tuple(query.intervals), query.decimals
        with self._lock:
            results = self._results.get(query.predictor)
            if results is None:
                results = self._results[query.predictor] = self._create()
            prediction = results.get(key)
        if prediction is None:
            prediction = yield from call_next(query)
            # A copy, because the arrays may be views of those of a whole batch.
            prediction = prediction.copy()
            with self._lock:
                results[key] = prediction
        # Outer layers may change the arrays.
        return prediction.copy()


def _row_key(table: Table) -> Hashable:
    # Compare types and bytes: in Python, True equals 1 and -0.0 equals 0.0, but a model may distinguish them.
    return table.numbers.tobytes(), tuple(_cell_key(values[0]) for values in table.texts)


def _cell_key(value: object) -> Hashable:
    return value.tobytes() if isinstance(value, np.ndarray) else (type(value), str(value))
