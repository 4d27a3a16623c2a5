"""Scoring layer that reports where the values of each row lie in the training data."""

from functools import partial

from ...errors import InvalidInput
from ...flow import Flow, Handler, run_long
from ...inference import Prediction
from ...inference.context import describe_rows
from ..many_rows import MANY_ROWS, is_large
from ..query import Query

__all__ = ["add_context"]


def add_context(query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
    """Set `Prediction.context`. Queries that request the context have this layer as their `Query.layer`.

    Raises:
        InvalidInput: The model was not packaged with training statistics, it is a forecaster, or the schema
            is hidden.
    """
    predictor, table = query.predictor, query.table
    assert predictor is not None and table is not None
    training = None if predictor.forecaster is not None else predictor.training
    if training is None or not training.statistics or not predictor.schema.options.show_schema:
        raise InvalidInput("This deployment has no statistics of its training data: leave out context")
    describe = partial(describe_rows, table, training.statistics, training.rows)
    is_many = len(table) > MANY_ROWS or is_large(query.rows)
    context = (yield from run_long(describe)) if is_many else describe()
    prediction = yield from call_next(query)
    prediction.context = context
    return prediction
