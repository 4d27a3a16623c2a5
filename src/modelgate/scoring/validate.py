"""Rows become a table, or are refused."""

from collections.abc import Callable
from typing import TypeAlias

from ..counts import require_count
from ..errors import ConfigurationError
from ..flow import Flow, Handler, run
from ..http.strict_json import LARGE
from ..schema import CSV, Schema, Split, Table
from .query import Prediction, Query

__all__ = ["Validate", "is_large", "read_rows"]

SchemaOf: TypeAlias = Callable[[Query], Flow[Schema]]

_MANY = 500


class Validate:
    """Check the rows of a query against a schema; `Query.table` is then the checked table.

    Args:
        schema: the schema, or what finds it for a query.
        max_rows: the most rows one request may bring; by default `Query.max_rows`.

    Raises:
        ConfigurationError: an option is something else.
    """

    scores = True

    def __init__(self, schema: Schema | SchemaOf, *, max_rows: int | None = None) -> None:
        if not isinstance(schema, Schema) and not callable(schema):
            raise ConfigurationError(f"schema={schema!r}: accepts a Schema")
        if max_rows is not None:
            require_count("max_rows", max_rows)
        self._schema = schema
        self._max_rows = max_rows

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        schema = self._schema if isinstance(self._schema, Schema) else (yield from self._schema(query))
        rows, max_rows = query.rows, self._max_rows or query.max_rows
        # Most are few, and need no flow of their own.
        query.table = (
            (yield from read_rows(schema, rows, max_rows)) if is_large(rows) else schema.read(rows, max_rows)
        )
        for check in query.on_rows:
            yield from check(len(query.table))
        prediction = yield from call_next(query)
        if query.table.warnings:
            prediction.warnings = [*prediction.warnings, *query.table.warnings]
        return prediction


def is_large(rows: object) -> bool:
    """Whether reading *rows* is no work for an event loop."""
    # A union would be made anew each time.
    if isinstance(rows, (bytes, CSV)):
        return len(rows) > LARGE
    return isinstance(rows, Split) and len(rows) > _MANY


def read_rows(schema: Schema, rows: object, max_rows: int | None = None) -> Flow[Table]:
    """`Schema.read`, which for large bodies is no work for an event loop."""
    if is_large(rows):
        return (yield from run(schema.read, rows, max_rows))
    return schema.read(rows, max_rows)
