"""Scoring layer that validates rows against a schema."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from ...errors import ConfigurationError, InvalidInput, MalformedBody
from ...flow import Flow, Handler, run_long
from ...inference import Prediction
from ...schema import CSV, Schema, SplitRows, Table, rows_from_columns
from ...validation import require_positive_int
from ..many_rows import is_large
from ..query import Query

__all__ = ["Validate", "read_rows"]

SchemaOf: TypeAlias = Callable[[Query], Flow[Schema]]

_FILLED_OBJECT = re.compile(rb"[ \t\r\n]*+\{[ \t\r\n]*+[^}]")
"""Start of a JSON object with members. An empty object is a row that lacks all columns."""


class Validate:
    """Scoring layer that validates the rows of a query against a schema, and sets `Query.table`.

    Args:
        schema: Schema, or a function that returns the schema for a query.
        max_rows: Maximum number of rows in a request; None for `Query.max_rows`.
        columns: Whether a JSON object of columns is accepted instead of rows; see `rows_from_columns`.

    Raises:
        ConfigurationError: The value of an option is not valid.
    """

    scores = True

    def __init__(
        self, schema: Schema | SchemaOf, *, max_rows: int | None = None, columns: bool = False
    ) -> None:
        if not isinstance(schema, Schema) and not callable(schema):
            raise ConfigurationError(
                f"schema must be a Schema, or a function that returns one (got {schema!r})"
            )
        if max_rows is not None:
            require_positive_int("max_rows", max_rows)
        self._schema = schema
        self._max_rows = max_rows
        self._columns = columns

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        rows, max_rows = query.rows, self._max_rows or query.max_rows
        schema = self._schema if isinstance(self._schema, Schema) else (yield from self._schema(query))
        if type(rows) is CSV and not schema.options.csv_header:
            query.rows = rows = replace(rows, header=schema.names)
        large = is_large(rows) or schema.has_images
        try:
            # Most requests are small. Creating a flow would take longer than reading the rows.
            query.table = (
                (yield from run_long(schema.read, rows, max_rows)) if large else schema.read(rows, max_rows)
            )
        except InvalidInput as error:
            if not (self._columns and isinstance(rows, bytes) and _FILLED_OBJECT.match(rows)):
                raise
            query.rows = rows = yield from _rows_from_columns(rows, error)
            query.single = False
            query.table = yield from read_rows(schema, rows, max_rows)
        for check in query.on_rows:
            yield from check(len(query.table))
        prediction = yield from call_next(query)
        if query.table.warnings:
            prediction.warnings = [*prediction.warnings, *query.table.warnings]
        return prediction


def _rows_from_columns(raw: bytes, error: InvalidInput) -> Flow[SplitRows]:
    """Decode *raw* as an object of columns, or raise *error* if it is not such an object.

    Args:
        raw: JSON object that could not be read as a row.
        error: Error that was raised when *raw* was read as a row.
    """
    try:
        return (yield from run_long(rows_from_columns, raw)) if is_large(raw) else rows_from_columns(raw)
    except MalformedBody:
        raise error from None


def read_rows(schema: Schema, rows: object, max_rows: int | None = None) -> Flow[Table]:
    """Read *rows* with `Schema.read`, in a worker thread if they are large or contain images."""
    if is_large(rows) or schema.has_images:
        return (yield from run_long(schema.read, rows, max_rows))
    return schema.read(rows, max_rows)
