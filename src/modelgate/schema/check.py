"""Rows checked cell by cell: every rule, and every fault at once.

This is the meaning of a schema; the typed decoder is a faster way to a part of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InvalidInput, MalformedBody
from .coerce import as_kind, from_text
from .columns import Column
from .policy import Policy
from .report import Report
from .table import Table

__all__ = ["check", "refuse_many", "refuse_sparse"]

MOST_ABSENT = 1_000_000
"""How many cells a table may have that its body did not spend a byte on."""

_ABSENT = object()


def check(columns: Sequence[Column], rows: Sequence[object], policy: Policy, *, text: bool = False) -> Table:
    """The table of *rows*.

    Args:
        columns: in the order of the schema.
        rows: mappings of column names to values.
        policy: of the schema.
        text: whether every value is text, as in CSV; an empty one is null then, or the level "".

    Raises:
        MalformedBody: a row is not an object.
        MissingColumns, InvalidValues: the rows break the schema.
    """
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise MalformedBody(f"Row {at} is not an object of column names and values")
    report, warnings = Report(), list[str]()
    kept = [_Cells(column, policy, text=text).read(rows, report, warnings) for column in columns]  # type: ignore[arg-type]
    if report.missing or policy.extra == "forbid":
        names = {column.name for column in columns}
        others = list(dict.fromkeys(name for row in rows for name in row if name not in names))  # type: ignore[attr-defined]
        report.unexpected = others if policy.extra == "forbid" else []
        report.suggest(others)
    report.raise_for_faults(len(rows), columns, policy)
    return _table_of(columns, kept, len(rows), tuple(warnings))


def refuse_sparse(rows: int, columns: int, size: int) -> None:
    """Raises `InvalidInput` where a small body would become a large table: ten thousand times ``{}``."""
    cells = rows * columns
    if cells > MOST_ABSENT and cells > size:
        raise InvalidInput(f"{rows} rows of {columns} columns that are mostly left out: send fewer rows")


def refuse_many(rows: object, max_rows: int | None) -> None:
    """Raises `InvalidInput` where *rows* is a list of more than *max_rows*. Before any cell is looked at."""
    if max_rows is not None and isinstance(rows, list) and len(rows) > max_rows:
        raise InvalidInput(
            f"{len(rows)} rows are more than the {max_rows} accepted at once: send fewer",
            details={"max_rows": max_rows},
        )


class _Cells:
    """How the cells of one column are read."""

    def __init__(self, column: Column, policy: Policy, *, text: bool) -> None:
        self._column = column
        # A level without characters could not be sent otherwise; of null and such a level it is null.
        self._empty_is_null = text and (column.nullable or column.levels is None or not column.has_level(""))
        self._from_text = text or (policy.lenient and column.kind != "any")
        self._unknown_levels = policy.unknown_levels

    def read(self, rows: Sequence[Mapping[str, Any]], report: Report, warnings: list[str]) -> list[Any]:
        """The values of the column, a row each; faults go to *report*."""
        column, values, unknown = self._column, list[Any](), False
        any_level = self._unknown_levels != "refuse"
        for at, row in enumerate(rows):
            value = row.get(column.name, _ABSENT)
            if value is _ABSENT:
                if column.required:
                    # One row that lacks it is enough: a body of empty rows costs what one of them does.
                    report.missing.append(column.name)
                    return values
                values.append(column.default)
            elif value is None or (self._empty_is_null and value == ""):
                if not column.nullable:
                    report.add(column, "must not be null", at, None)
                values.append(None)
            else:
                if self._from_text and isinstance(value, str):
                    value = from_text(column, value)
                if column.allows(value, any_level=any_level):
                    unknown = unknown or not column.has_level(value)
                    values.append(as_kind(column, value))
                else:
                    report.add(column, column.rule, at, value)
        if unknown and self._unknown_levels == "warn":
            warnings.append(f"{column.name} has values the model was not trained with")
        return values


def _table_of(
    columns: Sequence[Column], kept: Sequence[Sequence[Any]], rows: int, warnings: Sequence[str] = ()
) -> Table:
    """The table of checked values, *kept* by column."""
    pairs = list(zip(columns, kept, strict=True))
    numeric = [values for column, values in pairs if column.numeric]
    numbers = np.array(numeric, dtype=np.float64).reshape(len(numeric), rows).T
    return Table(
        columns,
        np.ascontiguousarray(numbers),
        [values for column, values in pairs if not column.numeric],
        warnings,
    )
