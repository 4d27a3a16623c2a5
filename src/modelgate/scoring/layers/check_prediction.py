"""Scoring layer that checks the prediction returned by the inner layers."""

from ...flow import Flow, Handler
from ...inference import Prediction
from ...inference.checks import check_shape, check_values
from ...inference.nonfinite import prediction_error
from ..many_rows import run_if_many
from ..query import Query

__all__ = ["check_prediction"]


def check_prediction(query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
    """Check that the inner layers return a valid prediction; see `check_shape` and `check_values`.

    Raises:
        PredictionError: The prediction is not valid.
    """
    prediction = yield from call_next(query)
    table = query.table if prediction.forecast is None else prediction.forecast
    rows = len(table) if table is not None else 0
    nullable = query.predictor is not None and query.predictor.nullable
    try:
        check_shape(prediction, rows)
        yield from run_if_many(rows, check_values, prediction, nullable=nullable)
    except (ValueError, AttributeError) as error:
        raise prediction_error(error) from error
    return prediction
