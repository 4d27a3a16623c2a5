"""Scoring layer that multiplies predicted rates by the exposure of each row; see `Exposure`."""

from msgspec.structs import replace

from ...flow import Flow, Handler
from ...inference import Exposure, Prediction
from ...inference.nonfinite import prediction_error
from ..many_rows import run_if_many
from ..query import Query

__all__ = ["ApplyExposure"]


class ApplyExposure:
    """Scoring layer that multiplies predicted rates by the exposure. Predicted counts do not change.

    If the caller asks for adjusted predictions, this layer also sets `Output.adjusted`. Inner layers and the
    model get only the input columns of the model.

    Args:
        exposure: Exposure column, and whether the model predicts rates or counts.
    """

    scores = True

    def __init__(self, exposure: Exposure) -> None:
        self._exposure = exposure

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        assert query.table is not None and query.predictor is not None
        schema = query.predictor.schema
        rows = len(query.table)
        exposure = yield from run_if_many(rows, self._exposure.read, query.table, schema)
        inner = query
        if query.predictor.exposure_column is not None:
            inner = replace(query, table=query.table.without(query.predictor.exposure_column))
        prediction = yield from call_next(inner)
        try:
            yield from run_if_many(
                rows, self._exposure.apply, prediction, exposure, schema, adjusted=query.adjusted
            )
        except ValueError as error:
            raise prediction_error(error) from error
        return prediction
