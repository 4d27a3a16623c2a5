"""Queries: rows to score, with everything that scoring layers need from the request."""

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
        rows: Rows as received: raw JSON or Python values, see `modelgate.Schema.read`.
        deployment: Name of the requested deployment; None if the request does not name one.
        version: Requested version of the model; None for any version.
        caller: Identity of the caller, set only if a `Rollout` needs it.
        table: Validated rows; None before validation.
        predictor: Predictor of the model; None before the model is fetched from the cache.
        cache_hit: Whether the model was in the cache; None before it is fetched.
        single: Whether the caller sent one row outside of a list, and expects one result outside of a list.
        max_rows: Largest number of rows in a request, as in the service that defined the wire format; None
            for no limit.
        decimals: Number of decimals of predictions, as in the service that defined the wire format; None for
            no rounding.
        passthrough_columns: Columns to echo back; ``"all"`` for all columns, None for none.
        explain: Explanations to return with the predictions; None for none.
        adjusted: Whether to also return predictions for one unit of exposure, see `Exposure`.
        on_rows: Checks that are called with the number of validated rows, and may reject the query.
        timing: Timing of the phases of the request; None if it is not measured.
        forecast: Options of a forecast; None if the request has none.
        layer: Scoring layer for this query alone, which runs after the model is loaded; None for none.
        intervals: Levels of the prediction intervals to add to predicted numbers, in percent.
        hypothetical: Whether the rows are made up, such as those of a what-if analysis: see `PredictionRecord`.
        load_timeout: Number of seconds to wait for a model that is being loaded, see `ModelCache.get`.
        model_called: Whether the rows were handed to the model, in whose queue they may still be.
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
