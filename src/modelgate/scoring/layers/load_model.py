"""Scoring layer that fetches the model, usually from a cache."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

from ...errors import DeploymentLoading, DeploymentUnavailable, NotFound
from ...flow import Flow, Handler, run
from ...forecasting import TimeSeriesSpec
from ...forecasting.example import generate_rows
from ...inference import Prediction, Target
from ...inference.predictor import Predictor
from ...schema import Schema
from ..error_record import ErrorRecord
from ..query import Query
from .validate import read_rows

__all__ = ["LoadModel", "ModelMetadata"]

_Found: TypeAlias = tuple[Predictor, bool]
PredictorSource: TypeAlias = Callable[[float | None], _Found | Flow[_Found]]

_METADATA_TTL = 1.0
"""Seconds for which metadata is cached. This is short, because the stored model may be replaced."""


class ModelMetadata(NamedTuple):
    """Metadata of a model, which is available before the model is loaded.

    Attributes:
        schema: Schema of the input.
        targets: Predicted targets; None if only the loaded model provides them.
        version: Version of the model.
        time_series: Columns and windows of a forecaster; None for other models.
    """

    schema: Schema
    targets: Sequence[Target] | None
    version: str
    time_series: TimeSeriesSpec | None = None


class LoadModel:
    """Scoring layer that fetches the model and sets `Query.predictor` and `Query.cache_hit`.

    The layer also provides the schema, the targets and the version of the model. It reads them from the model
    while the model is in memory, and otherwise from the metadata stored with the model.

    Args:
        source: Predictor that stays in memory, or a function that loads one. The function is called with
            `Query.load_timeout`. It returns the predictor and whether it was already in memory, as a pair or
            as a flow with this result. For a `ModelCache` of predictors, pass ``partial(cache.get, name)``.
        describe: Function that returns the stored metadata without loading the model, or None if no metadata
            is stored. By default, the model is loaded to get its metadata.
        peek: Function that returns the predictor if it is in memory, else None. By default, *source* is
            always called.

    Attributes:
        failed: Whether the last finished load failed.
        load_error: Error of the last load that failed; None if none has failed since the model was loaded.
        known_schema: Schema that was last read from the model or its metadata; None if none was read.
    """

    scores = True

    def __init__(
        self,
        source: PredictorSource | Predictor,
        describe: Callable[[], Flow[ModelMetadata | None]] | None = None,
        peek: Callable[[], Predictor | None] = lambda: None,
    ) -> None:
        self._predictor = source if isinstance(source, Predictor) else None
        self._source = source
        self._describe = describe
        self._peek = peek
        self._loaded = False
        self._metadata: ModelMetadata | None = None
        self._metadata_expires_at = 0.0
        self.known_schema: Schema | None = None if self._predictor is None else self._predictor.schema
        self.failed = False
        self.load_error: ErrorRecord | None = None

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        predictor = query.predictor or self.use_loaded(query)
        if predictor is None:
            predictor = yield from self._load(query)
            if query.table is not None:
                # The table may have been read with stored metadata of an older model.
                query.table = yield from read_rows(predictor.schema, query.rows)
        if query.version is not None and query.version != predictor.version:
            raise NotFound(f"This deployment has no such version: use {predictor.version}")
        flow = call_next(query) if query.layer is None else query.layer(query, call_next)
        prediction = yield from flow
        prediction.cache_hit = query.cache_hit
        return prediction

    @property
    def schema_source(self) -> Schema | Callable[[Query], Flow[Schema]]:
        """Argument for `Validate`: the schema, or the method `schema` if the model does not stay in memory."""
        return self.schema if self._predictor is None else self._predictor.schema

    def schema(self, query: Query) -> Flow[Schema]:
        """Return the schema of the model.

        If the model is unavailable, return the last known schema. Callers who send invalid rows then still
        get the validation errors.
        """
        predictor = self.use_loaded(query)
        if predictor is not None:
            return predictor.schema
        try:
            schema = (yield from self._model_or_metadata(query)).schema
        except (NotFound, DeploymentUnavailable):
            if self.known_schema is None:
                raise
            return self.known_schema
        self.known_schema = schema
        return schema

    def schema_in_memory(self) -> Schema | None:
        """Return the schema if it is known without reading a file, else None.

        While a forecaster is in memory, return None.
        """
        predictor = self._predictor or self._peek()
        if predictor is not None and predictor.forecaster is not None:
            return None  # a single row of its schema cannot be scored
        return self.known_schema if predictor is None else predictor.schema

    def targets(self) -> Flow[Sequence[Target]]:
        """Return the predicted targets. If they are not in the metadata, load the model."""
        described = yield from self._model_or_metadata(Query(b""))
        if isinstance(described, ModelMetadata) and described.targets is not None:
            return described.targets
        predictor = yield from self.predictor()
        return (yield from run(lambda: predictor.targets))

    def version(self) -> Flow[str]:
        """Return the version of the model."""
        return (yield from self._model_or_metadata(Query(b""))).version

    def time_series(self) -> Flow[TimeSeriesSpec | None]:
        """Return the columns and windows of a forecaster, or None for another model."""
        described = yield from self._model_or_metadata(Query(b""))
        if isinstance(described, ModelMetadata):
            return described.time_series
        return None if described.forecaster is None else described.forecaster.spec

    def example_in_memory(self) -> Sequence[Mapping[str, Any]] | None:
        """Return generated rows that a forecaster in memory can score, else None."""
        predictor = self._predictor or self._peek()
        if predictor is None or predictor.forecaster is None:
            return None
        return generate_rows(predictor.forecaster)

    def ready(self, timeout: float | None = None) -> Flow[None]:
        """Load the model if it has never been loaded, or if the last load failed.

        For *timeout*, see `ModelCache.get`.

        Raises:
            NotFound, DeploymentUnavailable: The model cannot be loaded.
        """
        if self.failed or not self._loaded:
            yield from self.predictor(timeout)

    def predictor(self, timeout: float | None = None) -> Flow[Predictor]:
        """Return the predictor. Load the model if it is not in memory.

        For *timeout*, see `ModelCache.get`.
        """
        query = Query(b"", load_timeout=timeout)
        return self.use_loaded(query) or (yield from self._load(query))

    def _model_or_metadata(self, query: Query) -> Flow[Predictor | ModelMetadata]:
        """Return the predictor if it is in memory, else the stored metadata.

        If there is no metadata, load the model and return the predictor.
        """
        described: Predictor | ModelMetadata | None = self.use_loaded(query)
        if described is None and self._describe is not None:
            described = yield from self._read_metadata(self._describe)
        return described or (yield from self._load(query))

    def _read_metadata(
        self, describe: Callable[[], Flow[ModelMetadata | None]]
    ) -> Flow[ModelMetadata | None]:
        if monotonic() >= self._metadata_expires_at:
            self._metadata = None
            # Ignore this error. Loading the model raises the error to report.
            with contextlib.suppress(NotFound, DeploymentUnavailable):
                self._metadata = yield from describe()
                self._metadata_expires_at = monotonic() + _METADATA_TTL
        return self._metadata

    def use_loaded(self, query: Query) -> Predictor | None:
        """If the predictor is in memory, set it in *query* and return it. Otherwise return None."""
        timing = query.timing
        if timing is not None:
            timing.mark("checks")
        predictor = self._predictor or self._peek()
        if predictor is not None:
            if timing is not None:
                timing.mark("cache")
            query.predictor, query.cache_hit = predictor, True
            self._loaded, self.failed, self.known_schema = True, False, predictor.schema
        return predictor

    def _load(self, query: Query) -> Flow[Predictor]:
        assert not isinstance(self._source, Predictor)  # `use_loaded` returns it
        try:
            found = self._source(query.load_timeout)
            if not isinstance(found, tuple):
                found = yield from found
            predictor, query.cache_hit = found
        except (NotFound, DeploymentUnavailable) as error:
            if not isinstance(error, DeploymentLoading):
                self.failed, self.load_error = True, ErrorRecord.of_load(error.__cause__ or error)
            raise
        if query.timing is not None:
            query.timing.mark("cache")
        query.predictor, self._loaded, self.failed, self.load_error = predictor, True, False, None
        # Discard stored metadata, which may be older than the loaded model.
        self.known_schema, self._metadata_expires_at = predictor.schema, 0.0
        return predictor
