"""Answers kept for rows that are asked again."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import TypeAlias
from weakref import WeakKeyDictionary

from cachetools import TTLCache
from msgspec.structs import replace

from ..counts import require_count
from ..errors import ConfigurationError
from ..flow import Flow, Handler
from ..schema import Table
from .predictor import Predictor
from .query import Output, Prediction, Query

__all__ = ["ResultCache"]

_Results: TypeAlias = TTLCache[Hashable, Prediction]


class ResultCache:
    """Answer a row that was scored before from memory. Batches are scored each time.

    A result belongs to the very predictor that gave it and to the row as the schema read it: another
    deployment, or a model that was loaded anew, never answers with it.

    Args:
        maxsize: how many results to keep for each model; the least recently used one goes first.
        ttl: for how many seconds.
        clock: gives the time in seconds.

    Raises:
        ConfigurationError: an option is not a number above 0.
    """

    scores = True

    def __init__(
        self, maxsize: int = 1024, ttl: float = 300, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        require_count("maxsize", maxsize)
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not ttl > 0:
            raise ConfigurationError(f"ttl={ttl!r}: accepts seconds above 0")
        self._make: Callable[[], _Results] = lambda: TTLCache(maxsize, ttl, clock)
        self._results: WeakKeyDictionary[Predictor, _Results] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        assert query.table is not None and query.predictor is not None
        if len(query.table) != 1:
            return (yield from call_next(query))
        row = _row(query.table)
        with self._lock:
            results = self._results.get(query.predictor)
            if results is None:
                results = self._results[query.predictor] = self._make()
            prediction = results.get(row)
        if prediction is None:
            prediction = yield from call_next(query)
            with self._lock:
                results[row] = prediction
        return replace(prediction, outputs=[_copied(output) for output in prediction.outputs])


def _copied(output: Output) -> Output:
    """For the layers outside, which may change what they are given."""
    told = output.probabilities
    return replace(output, values=output.values.copy(), probabilities=None if told is None else told.copy())


def _row(table: Table) -> Hashable:
    # To Python True is 1, and -0.0 is 0.0; not to a model.
    texts = tuple((type(values[0]), str(values[0])) for values in table.texts)
    return table.numbers.tobytes(), texts
