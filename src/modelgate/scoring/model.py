"""The model is taken from the cache."""

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from ..errors import DeploymentUnavailable, NotFound
from ..flow import Flow, Handler, run
from ..schema import Schema
from .predictor import Predictor
from .query import Prediction, Query, Target
from .validate import read_rows

__all__ = ["Known", "Model", "held"]

_Found: TypeAlias = tuple[Predictor, bool]
Source: TypeAlias = Callable[[], _Found | Flow[_Found]]


class Known(NamedTuple):
    """What is known of a model that need not be in memory for it."""

    schema: Schema
    targets: Sequence[Target]
    version: str


class Model:
    """Take the model a query needs; `Query.predictor` then scores, `Query.cache_hit` tells the truth.

    Args:
        source: gives the predictor, and whether it was in memory, at once or as a flow:
            ``partial(cache.take, name)`` of a `ModelCache` of predictors, or `held`.
        describe: tells of a model without loading it, or None where only the model can.

    Attributes:
        failed: whether it could not be loaded when it was asked for last.
    """

    scores = True

    def __init__(
        self, source: Source, describe: Callable[[], Flow[tuple[Known | None, bool]]] | None = None
    ) -> None:
        self._source = source
        self._describe = describe
        self._loaded = False
        self._known: Schema | None = None
        self._targets: Sequence[Target] | None = None
        self._version: str | None = None
        self.failed = False

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        predictor = yield from self._take(query)
        if self._known is not None and self._known.columns != predictor.schema.columns:
            # The model was replaced since: its rows are read as the new one asks.
            self._known, self._targets = predictor.schema, None
            query.table = yield from read_rows(predictor.schema, query.rows)
        prediction = yield from call_next(query)
        prediction.cache_hit = query.cache_hit
        return prediction

    def schema(self, query: Query) -> Flow[Schema]:
        """The schema the model tells. Once known it is kept, also while the model is not."""
        yield from self._tell()
        if self._known is None:
            self._known = (yield from self._take(query)).schema
        return self._known

    def targets(self) -> Flow[Sequence[Target]]:
        """What the model predicts. Kept as the schema is."""
        yield from self._tell()
        if self._targets is None:
            predictor = yield from self.predictor()
            self._targets = yield from run(lambda: predictor.targets)
        return self._targets

    def version(self) -> Flow[str]:
        """The version of the model. Kept as the schema is."""
        yield from self._tell()
        return self._version or (yield from self.predictor()).version

    def _tell(self) -> Flow[None]:
        if self._known is None and self._describe is not None:
            # Where that fails the model may be in memory, or tells why it cannot be.
            with contextlib.suppress(NotFound, DeploymentUnavailable):
                told, _ = yield from self._describe()
                if told is not None:
                    self._known, self._targets, self._version = told

    def ready(self) -> Flow[None]:
        """Load the model, if it never was: raises what that raises."""
        if not self._loaded:
            yield from self.predictor()

    def predictor(self) -> Flow[Predictor]:
        """The model itself, loaded if it is not in memory."""
        return self._take(Query(b""))

    def _take(self, query: Query) -> Flow[Predictor]:
        if query.predictor is not None:
            return query.predictor
        if query.timing is not None:
            query.timing.mark("checks")
        try:
            found = self._source()
            if not isinstance(found, tuple):
                found = yield from found
            predictor, query.cache_hit = found
        except (NotFound, DeploymentUnavailable):
            self.failed = True
            raise
        if query.timing is not None:
            query.timing.mark("cache")
        query.predictor, self._loaded, self.failed = predictor, True, False
        if self._version != predictor.version:
            # It was not known, or the model was loaded anew from where there is another one by now.
            self._version, self._targets = predictor.version, None
        if query.version is not None and query.version != predictor.version:
            raise NotFound(f"This deployment has version {predictor.version}")
        return predictor


def held(predictor: Predictor) -> Source:
    """The source of a predictor that is in memory for good."""
    return lambda: (predictor, True)
