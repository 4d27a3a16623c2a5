"""Scoring layer that adds passthrough columns to the predictions."""

from functools import partial

from ...flow import Flow, Handler, run_long
from ...inference import Prediction
from ...schema import read_passthrough_columns
from ..many_rows import is_large
from ..query import Query

__all__ = ["add_passthrough_columns"]


def add_passthrough_columns(query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
    """Add the values of `Query.passthrough_columns` to the prediction.

    Raises:
        UnknownColumns: The rows lack one of the columns.
    """
    return call_next(query) if query.passthrough_columns is None else _add_columns(query, call_next)


def _add_columns(query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
    names = None if query.passthrough_columns == "all" else query.passthrough_columns
    read = partial(read_passthrough_columns, query.rows, names)
    columns = (yield from run_long(read)) if is_large(query.rows) else read()
    prediction = yield from call_next(query)
    prediction.passthrough_columns = columns
    return prediction
