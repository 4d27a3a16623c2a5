"""Validate rows cell by cell, and report all errors at once.

This is the reference implementation. The JSON and CSV decoders have fast paths for valid input.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ..codecs.json import reject_encoded_text
from ..errors import InvalidInput, MalformedBody
from .coerce import broken_rule, coerce_to_kind, coercion_warnings, null_texts, parse_text
from .columns import Column
from .names import match_names
from .report import ValidationReport
from .schema_options import SchemaOptions
from .split_rows import LazyRows
from .table import Table

__all__ = ["check_max_rows", "check_row_count", "check_sparsity", "validate_part", "validate_rows"]

MAX_ABSENT_CELLS = 1_000_000
"""Maximum number of cells in a table if it has more cells than its body has bytes."""

_ABSENT = object()


def validate_rows(
    columns: Sequence[Column], rows: Sequence[object], options: SchemaOptions, *, text: bool = False
) -> Table:
    """Validate *rows* and return them as a table.

    Args:
        columns: Columns of the schema, in order.
        rows: Mappings of column names to values.
        options: Options of the schema.
        text: Whether all values are CSV cells. An empty cell is the level "" if the column has this level
            and is not nullable. In any other column, an empty cell is null.

    Raises:
        MalformedBody: A row is not an object.
        MissingColumns, InvalidValues: The rows do not match the schema.
    """
    report = ValidationReport()
    table = validate_part(columns, rows, options, report, text=text)
    report.raise_for_errors(len(rows), columns, options)
    assert table is not None
    return table


def validate_part(
    columns: Sequence[Column],
    rows: Sequence[object],
    options: SchemaOptions,
    report: ValidationReport,
    names: Collection[str] | None = None,
    *,
    text: bool = False,
) -> Table | None:
    """Validate a part of the rows of an input, and add its errors to *report*.

    The result is None if there are errors in this part or an earlier one. The other arguments are described
    in `validate_rows`.

    Args:
        names: Names of the members in all rows of the input; None to use the names in *rows*.

    Raises:
        MalformedBody: A row is not an object.
    """
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            name = f"Row {report.rows + index}"
            reject_encoded_text(name, row)
            raise MalformedBody(f"{name} is not an object of column names and values")
    records: Sequence[Mapping[str, Any]] = rows  # type: ignore[assignment]
    known = [column.name for column in columns]
    if is_only_part := names is None:
        names = dict.fromkeys(chain.from_iterable(records))
    aliases = match_names(known, names)
    if aliases:
        records = [{aliases.get(name, name): value for name, value in row.items()} for row in records]
    warnings, values = list[str](), list[Sequence[Any]]()
    for column in columns:
        cells: Sequence[Any] = ()
        if column.name in report.missing:
            # An earlier part lacks the column. Its values are then not validated in this part.
            report.add_missing(column, records)
        elif column.is_array:
            cells = _read_arrays(column, records, report)
        else:
            cells = _ColumnReader(column, options, text=text).read(records, report, warnings)
        values.append(cells)
    if report.missing or options.extra_columns == "forbid" or not is_only_part:
        known_names = set(known)
        report.extra = [name for name in names if name not in known_names and name not in aliases]
        report.unexpected = report.extra if options.extra_columns == "forbid" else []
        if not report.rows:
            report.wrapper = _find_wrapper(records, known)
    report.rows += len(records)
    return None if report.has_errors else _build_table(columns, values, len(records), tuple(warnings))


def _find_wrapper(rows: Sequence[Mapping[str, object]], names: Collection[str]) -> str | None:
    """Return the name of the object that contains the columns in the first row, or None if there is none."""
    for name, value in rows[0].items() if rows else ():
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, Mapping) and name not in names and not inner.keys().isdisjoint(names):
            return name
    return None


def check_sparsity(rows: int, columns: int, size: int) -> None:
    """Reject a small body that would become a large table, such as a million rows of ``{}``.

    Args:
        rows: Number of rows.
        columns: Number of columns in the schema.
        size: Size of the body in bytes.

    Raises:
        InvalidInput: The table would have more than `MAX_ABSENT_CELLS` cells, and more cells than the
            body has bytes.
    """
    cells = rows * columns
    if cells > MAX_ABSENT_CELLS and cells > size:
        raise InvalidInput(
            f"The body has {rows} rows that leave out most of the {columns} columns: send fewer rows"
        )


def check_row_count(rows: object, max_rows: int | None) -> None:
    """Raise `InvalidInput` if *rows* is a list or `LazyRows` with more than *max_rows* items."""
    if isinstance(rows, list | LazyRows):
        check_max_rows(len(rows), max_rows)


def check_max_rows(rows: int, max_rows: int | None) -> None:
    """Raise `InvalidInput` if the number of *rows* is larger than *max_rows*."""
    if max_rows is not None and rows > max_rows:
        raise InvalidInput(
            f"{rows} rows are more than the limit of {max_rows} per request: send fewer rows",
            details={"max_rows": max_rows},
        )


class _ColumnReader:
    """Reader of one column, which validates its cells."""

    def __init__(self, column: Column, options: SchemaOptions, *, text: bool) -> None:
        self._column = column
        self._nulls = null_texts(column, options.na_values) if text else None
        self._from_text = (
            text or column.kind == "datetime" or (options.coerce_strings and column.kind != "any")
        )
        self._default = coerce_to_kind(column, column.default)
        self._is_csv = text
        self._unknown_levels = options.unknown_levels

    def read(
        self, rows: Sequence[Mapping[str, Any]], report: ValidationReport, warnings: list[str]
    ) -> list[Any]:
        """Return the values of the column in *rows*. Add errors to *report* and warnings to *warnings*."""
        column, values, unknown = self._column, list[Any](), False
        any_level = self._unknown_levels != "reject"
        for index, row in enumerate(rows):
            value = row.get(column.name, _ABSENT)
            if value is _ABSENT:
                if column.required:
                    report.add_missing(column, rows)
                    return values
                values.append(self._default)
            elif value is None or (self._nulls is not None and value in self._nulls):
                if not column.nullable:
                    report.add(column, "must not be null", index, None)
                values.append(None)
            else:
                if self._from_text and isinstance(value, str):
                    value = parse_text(column, value)
                if column.allows(value, any_level=any_level):
                    unknown = unknown or not column.has_level(value)
                    values.append(coerce_to_kind(column, value))
                else:
                    rule = broken_rule(column, value, text=self._is_csv, any_level=any_level)
                    report.add(column, rule, index, value)
        if self._is_csv and rows and column.name in rows[0]:
            warnings += coercion_warnings(column, values)
        if unknown and self._unknown_levels == "warn":
            warnings.append(f"{column.name} has values the model was not trained with")
        return values


def _read_arrays(
    column: Column, rows: Sequence[Mapping[str, Any]], report: ValidationReport
) -> Sequence[Any]:
    """Return the images or tensors of *column* in *rows*. Add errors to *report*."""
    if not all(column.name in row for row in rows):
        report.add_missing(column, rows)
        return ()
    arrays = list[Any]()
    for index, value in enumerate(row[column.name] for row in rows):
        try:
            arrays.append(column.parse_array(value))
        except ValueError as error:
            report.add(column, "must not be null" if value is None else str(error), index, value)
    return arrays


def _build_table(
    columns: Sequence[Column], values: Sequence[Sequence[Any]], rows: int, warnings: Sequence[str] = ()
) -> Table:
    """Return the table of validated *values*, one sequence per column."""
    pairs = list(zip(columns, values, strict=True))
    numeric = [cells for column, cells in pairs if column.numeric]
    numbers = np.array(numeric, dtype=np.float64).reshape(len(numeric), rows).T
    return Table(
        columns,
        np.ascontiguousarray(numbers),
        [cells for column, cells in pairs if not column.numeric],
        warnings,
    )
