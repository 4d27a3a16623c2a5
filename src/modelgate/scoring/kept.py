"""Columns the caller wants back are kept beside the prediction."""

from functools import partial

from ..flow import Flow, Handler, run
from ..schema import kept_columns
from .query import Prediction, Query
from .validate import is_large

__all__ = ["keep_columns"]


def keep_columns(query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
    """A scoring layer that puts the columns of `Query.keep` into `Prediction.kept`.

    Raises:
        UnknownColumns: some of them were not sent.
    """
    return call_next(query) if query.keep is None else _kept(query, call_next)


def _kept(query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
    read = partial(kept_columns, query.rows, None if query.keep == "all" else query.keep)
    kept = (yield from run(read)) if is_large(query.rows) else read()
    prediction = yield from call_next(query)
    prediction.kept = kept
    return prediction
