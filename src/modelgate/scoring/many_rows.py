"""Process the rows of a query in a worker thread if there are many, so that the event loop is not blocked."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ..codecs.json import LARGE
from ..flow import Flow, run_long
from ..schema import CSV, SplitRows

__all__ = ["MANY_ROWS", "is_large", "run_if_many"]

P = ParamSpec("P")
T = TypeVar("T")

MANY_ROWS = 500
"""Number of rows up to which a worker thread (about 50 µs) costs more than it saves."""


def is_large(rows: object) -> bool:
    """Return whether reading the received *rows* takes too long for an event loop."""
    # A tuple of types is faster than a union, which would be created in each call.
    if isinstance(rows, (bytes, CSV)):
        return len(rows) > LARGE
    return isinstance(rows, SplitRows) and len(rows) > MANY_ROWS


def run_if_many(rows: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
    """Call *function* and return its result. If there are many *rows*, call it in a worker thread."""
    if rows > MANY_ROWS:
        return (yield from run_long(function, *args, **kwargs))
    return function(*args, **kwargs)
