"""Score forecast queries."""

from functools import partial

from ..errors import InvalidInput
from ..flow import Flow, run_long
from ..forecasting import ForecastOptions
from ..forecasting.read_request import read_request
from ..inference import Prediction
from .many_rows import is_large
from .query import Query

__all__ = ["forecast"]


def forecast(query: Query) -> Flow[Prediction]:
    """Predict the series in the table of *query*. The prediction has a value for each row to predict.

    Raises:
        InvalidInput: The model is not a forecaster, or the rows are not complete; see `read_request`.
        PredictionError: The forecaster failed, or returned NaN.
    """
    assert query.predictor is not None and query.table is not None
    forecaster = query.predictor.forecaster
    if forecaster is None:
        raise InvalidInput("Time series predictions are not available for this deployment")
    if query.layer is not None:
        raise InvalidInput("Curves and context are not available for a deployment that predicts time series")
    options = ForecastOptions.from_option(query.forecast)
    read = partial(read_request, query.table, forecaster, options, query.intervals)
    try:
        # A range of dates may have a prediction for each row and step: 500 rows had 66,000.
        is_long = options.start is not None or is_large(query.rows)
        request = (yield from run_long(read)) if is_long else read()
    except InvalidInput as error:
        if not query.predictor.schema.options.show_schema:
            error.hide()
        raise
    prediction = yield from query.predictor.predict(request)
    prediction.forecast = request.rows
    prediction.warnings = [*prediction.warnings, *request.warnings]
    return prediction
