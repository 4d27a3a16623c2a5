"""The model is taken from the cache."""

import contextlib
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple, TypeAlias

from ..errors import DeploymentLoading, DeploymentUnavailable, NotFound
from ..flow import Flow, Handler, run
from ..schema import Schema
from .predictor import Predictor
from .query import Prediction, Query, Target
from .validate import read_rows

__all__ = ["Known", "Model", "held"]

_Found: TypeAlias = tuple[Predictor, bool]
Source: TypeAlias = Callable[[float | None], _Found | Flow[_Found]]

_TOLD_FOR = 1.0
"""For how many seconds a description holds: what is kept may be replaced at any time."""


class Known(NamedTuple):
    """What is known of a model that need not be in memory for it; *targets* are None where only it tells them."""

    schema: Schema
    targets: Sequence[Target] | None
    version: str


class Model:
    """Take the model a query needs; `Query.predictor` then scores, `Query.cache_hit` tells the truth.

    What is told of a model is told by itself while it is in memory, and else by what is kept.

    Args:
        source: gives the predictor, and whether it was in memory, at once or as a flow:
            ``partial(cache.get, name)`` of a `ModelCache` of predictors, or `held`. It is called with
            `Query.load_timeout`.
        describe: tells of a model without loading it, or None where only the model can.
        peek: gives the predictor where it is in memory; by default *source* is asked.

    Attributes:
        failed: Whether the last load failed. A load that goes on has not failed.
    """

    scores = True

    def __init__(
        self,
        source: Source,
        describe: Callable[[], Flow[Known | None]] | None = None,
        peek: Callable[[], Predictor | None] = lambda: None,
    ) -> None:
        self._source = source
        self._describe = describe
        self._peek = peek
        self._loaded = False
        self._told: Known | None = None
        self._told_until = 0.0
        self._last: Schema | None = None
        self.failed = False

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        predictor = query.predictor or self._taken(query)
        if predictor is None:
            predictor = yield from self._load(query)
            if query.table is not None:
                # What was told of it may have been of another one: its rows are read as it asks itself.
                query.table = yield from read_rows(predictor.schema, query.rows)
        if query.version is not None and query.version != predictor.version:
            raise NotFound(f"This deployment has version {predictor.version}")
        prediction = yield from call_next(query)
        prediction.cache_hit = query.cache_hit
        return prediction

    def schema(self, query: Query) -> Flow[Schema]:
        """The schema the model tells. Where it cannot be had the last one does for a faulty row."""
        predictor = self._taken(query)
        if predictor is not None:
            return predictor.schema
        try:
            schema = (yield from self._teller(query)).schema
        except (NotFound, DeploymentUnavailable):
            if self._last is None:
                raise
            return self._last
        self._last = schema
        return schema

    def targets(self) -> Flow[Sequence[Target]]:
        """What the model predicts."""
        teller = yield from self._teller(Query(b""))
        if isinstance(teller, Known) and teller.targets is not None:
            return teller.targets
        predictor = yield from self.predictor()
        return (yield from run(lambda: predictor.targets))

    def version(self) -> Flow[str]:
        """The version of the model."""
        return (yield from self._teller(Query(b""))).version

    def ready(self) -> Flow[None]:
        """Load the model, if it never was or the last load failed: raises what that raises."""
        if self.failed or not self._loaded:
            yield from self.predictor()

    def predictor(self, timeout: float | None = None) -> Flow[Predictor]:
        """The model itself, loaded if it is not in memory; for *timeout* see `ModelCache.get`."""
        query = Query(b"", load_timeout=timeout)
        return self._taken(query) or (yield from self._load(query))

    def _teller(self, query: Query) -> Flow[Predictor | Known]:
        """What tells of the model: itself where it is in memory, or where nothing else does."""
        told: Predictor | Known | None = self._taken(query)
        if told is None and self._describe is not None:
            told = yield from self._tell(self._describe)
        return told or (yield from self._load(query))

    def _tell(self, describe: Callable[[], Flow[Known | None]]) -> Flow[Known | None]:
        if monotonic() >= self._told_until:
            self._told = None
            # Where that fails the model tells why it cannot be had.
            with contextlib.suppress(NotFound, DeploymentUnavailable):
                self._told = yield from describe()
                self._told_until = monotonic() + _TOLD_FOR
        return self._told

    def _taken(self, query: Query) -> Predictor | None:
        """The model, which the query then has, where it is in memory."""
        timing = query.timing
        if timing is not None:
            timing.mark("checks")
        predictor = self._peek()
        if predictor is not None:
            if timing is not None:
                timing.mark("cache")
            query.predictor, query.cache_hit = predictor, True
            self._loaded, self.failed = True, False
        return predictor

    def _load(self, query: Query) -> Flow[Predictor]:
        try:
            found = self._source(query.load_timeout)
            if not isinstance(found, tuple):
                found = yield from found
            predictor, query.cache_hit = found
        except (NotFound, DeploymentUnavailable) as error:
            self.failed = self.failed or not isinstance(error, DeploymentLoading)
            raise
        if query.timing is not None:
            query.timing.mark("cache")
        query.predictor, self._loaded, self.failed = predictor, True, False
        # What it tells itself holds until it is dropped, and what was told of it before no longer.
        self._last, self._told_until = predictor.schema, 0.0
        return predictor


def held(predictor: Predictor) -> Source:
    """The source of a predictor that is in memory for good."""
    return lambda _: (predictor, True)
