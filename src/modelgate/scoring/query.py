"""Queries, which contain the rows to score and everything else that scoring layers need from a request."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from ..explanations import Explain
from ..flow import Flow, Handler
from ..flow.timing import Timing
from ..forecasting import ForecastOptions
from ..inference import Prediction, Predictor
from ..schema import Table

__all__ = ["Query", "RowCheck"]

RowCheck: TypeAlias = Callable[[int], Flow[None]]


class Query(msgspec.Struct, eq=False):
    """Rows to score.

    Attributes:
        rows: Rows as received, as raw JSON or Python values; see `modelgate.Schema.read`.
        deployment: Name of the requested deployment; None if the request does not name one.
        version: Requested version of the model; None for any version.
        caller: Identity of the caller, set only if a `Rollout` needs it.
        table: Validated rows; None before validation.
        predictor: Predictor of the model; None before the model is fetched from the cache.
        cache_hit: Whether the model was in the cache; None before it is fetched.
        single: Whether the caller sent a single row that is not in a list, and expects a single result that
            is not in a list.
        max_rows: Maximum number of rows in a request, as in the service that defined the wire format; None
            for no limit.
        decimals: Number of decimals to round predictions to, as in the service that defined the wire format;
            None for no rounding.
        passthrough_columns: Columns to echo back; ``"all"`` for all columns, None for none.
        explain: Explanations to return with the predictions; None for none.
        adjusted: Whether to also return predictions for one unit of exposure; see `Exposure`.
        on_rows: Functions that are called with the number of validated rows. They may reject the query.
        timing: Timing of the phases of the request; None if it is not measured.
        forecast: Options of a forecast; None if the request has none.
        layer: Additional scoring layer for this query, which runs after the model is loaded; None for none.
        intervals: Levels of the prediction intervals to add to predicted numbers, in percent.
        hypothetical: Whether the rows are hypothetical, such as the rows of a what-if analysis; see
            `PredictionRecord`.
        load_timeout: Number of seconds to wait for a model that is being loaded; see `ModelCache.get`.
        model_called: Whether the rows were passed to the model. They may still be in its queue.
    """

    rows: Any
    deployment: str | None = None
    table: Table | None = None
    predictor: Predictor | None = None
    cache_hit: bool | None = None
    single: bool = False
    max_rows: int | None = 10_000
    decimals: int | None = None
    passthrough_columns: Sequence[str] | Literal["all"] | None = None
    explain: Explain | None = None
    on_rows: Sequence[RowCheck] = ()
    version: str | None = None
    caller: str | None = None
    timing: Timing | None = None
    load_timeout: float | None = None
    forecast: ForecastOptions | None = None
    intervals: Sequence[float] = ()
    adjusted: bool = False
    hypothetical: bool = False
    model_called: bool = False
    layer: "Callable[[Query, Handler[Query, Prediction]], Flow[Prediction]] | None" = None
