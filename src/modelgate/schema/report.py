"""Collect all validation errors of an input for one response."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ..errors import InvalidInput, InvalidValues, MissingColumns
from ..spelling import SHOWN_TEXT, closest_match
from .columns import Column
from .names import normalize_name
from .schema_options import SchemaOptions

__all__ = ["ColumnError", "ValidationReport"]

COMPARED = 10
"""Maximum number of names compared to find a misspelling. Limits the cost of a rejected request."""

SHOWN_ROWS, SHOWN_NAMES, SHOWN_ERRORS = 5, 100, 100
"""Limits of an error response: rows per error, unexpected names, columns with errors."""

_MISSING = "is missing"


@dataclass(slots=True)
class ColumnError:
    """Error of a column: the values that break one rule.

    Args:
        rule: Requirement that the values do not meet, such as ``must be a number``.
        value: First wrong value.
        count: Number of wrong values.
        rows: Indices of the first rows with wrong values, from 0.
    """

    rule: str
    value: object = None
    count: int = 0
    rows: list[int] = field(default_factory=list)

    def add(self, row: int) -> None:
        """Count one more wrong value, and record that *row* contains it."""
        self.count += 1
        if len(self.rows) < SHOWN_ROWS:
            self.rows.append(row)


@dataclass(slots=True)
class ValidationReport:
    """All validation errors of an input.

    Args:
        missing: Required columns missing from at least one row.
        errors: Errors by column name, one error for each broken rule.
        unexpected: Sent columns that are not in the schema; empty if the schema ignores such columns.
        extra: Sent names that stand for no column. They are used for suggestions.
        suggestions: Names that are probably misspelled, each with the missing column that the caller probably
            meant.
        wrapper: Name of the object that the caller wrapped around the columns; None if there was no such
            object.
        rows: Number of rows that have been validated. Large inputs are validated in parts, and the row
            indices of the next part begin with this number.
    """

    missing: dict[str, None] = field(default_factory=dict)
    errors: dict[str, list[ColumnError]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    extra: Sequence[str] = ()
    suggestions: dict[str, str] = field(default_factory=dict)
    wrapper: str | None = None
    rows: int = 0

    def add(self, column: Column, rule: str, row: int, value: object) -> None:
        """Record that *value* in *row* breaks *rule*."""
        self._error(column, rule, value).add(self.rows + row)

    def _error(self, column: Column, rule: str, value: object) -> ColumnError:
        """Return the error of *column* for *rule*. If there is none yet, add one with *value*."""
        errors = self.errors.setdefault(column.name, [])
        error = next((error for error in errors if error.rule == rule), None)
        if error is None:
            error = ColumnError(rule, value)
            errors.append(error)
        return error

    def add_missing(self, column: Column, rows: Sequence[Mapping[str, object]]) -> None:
        """Record that *column* is missing, and the indices of the first rows that lack it."""
        self.missing[column.name] = None
        # Rejecting many rows without any of many columns must be cheap.
        if column.name in self.errors or len(self.errors) < SHOWN_ERRORS:
            indices = [index for index, row in enumerate(rows, self.rows) if column.name not in row]
            error = self._error(column, _MISSING, None)
            error.count += len(indices)
            error.rows += indices[: SHOWN_ROWS - len(error.rows)]

    def _suggest(self) -> None:
        """Add suggestions for extra names that resemble a missing column, such as ``beds`` for ``bed``."""
        unused = [name for name in self.extra[:COMPARED] if len(name) <= SHOWN_TEXT]
        for column in islice(self.missing, COMPARED):
            equal = (name for name in unused if normalize_name(name) == normalize_name(column))
            match = next(equal, None) or closest_match(column, unused)
            if match is not None:
                self.suggestions[match] = column

    def raise_for_errors(self, rows: int, columns: Sequence[Column], options: SchemaOptions) -> None:
        """Raise an exception with all recorded errors, if there are any.

        Args:
            rows: Number of rows in the input.
            columns: Columns of the schema.
            options: Options of the schema.

        Raises:
            MissingColumns: Columns are missing. The details of the exception include all other errors.
            InvalidValues: No column is missing, but values break a rule, or there are unexpected columns.
        """
        if not self.has_errors:
            return
        by_name = {column.name: column for column in columns}
        self._drop_missing_everywhere(rows)
        # Parts of an input may report the columns in another order.
        self.missing = {name: None for name in by_name if name in self.missing}
        self._suggest()
        descriptions = {
            name: "; ".join(
                _describe(error, column, rows, echo=options.echo_values) for error in self.errors[name]
            )
            for name, column in by_name.items()
            if name in self.errors
        }
        exception = self._exception(descriptions)
        if not options.show_schema:
            exception.hide()
        raise exception

    @property
    def has_errors(self) -> bool:
        """Whether any errors are recorded."""
        return bool(self.missing or self.errors or self.unexpected)

    def _drop_missing_everywhere(self, rows: int) -> None:
        """Drop the rows recorded for columns that are missing from every row. *rows* is the row count."""
        for name in self.missing:
            errors = self.errors.get(name, [])
            errors[:] = [error for error in errors if error.rule != _MISSING or error.count < rows]
            if not errors:
                self.errors.pop(name, None)

    def _exception(self, errors: Mapping[str, str]) -> InvalidInput:
        """Return the exception for *errors*, which maps a column name to a description of its errors."""
        shown = dict(islice(errors.items(), SHOWN_ERRORS))
        unexpected = self.unexpected[:SHOWN_NAMES]
        details = {
            "missing_columns": list(self.missing),
            "errors": shown,
            "unexpected_columns": unexpected,
            "did_you_mean": self.suggestions,
        }
        details = {name: value for name, value in details.items() if value}
        if self.missing:
            exception = MissingColumns(list(self.missing), errors, details=details)
            if self.wrapper is not None and len(self.wrapper) <= SHOWN_TEXT:
                exception.add_hint(
                    f": the row is one level too deep, send the value of {self.wrapper!r} alone"
                )
            return exception
        problems = [f"{name} {description}" for name, description in shown.items()]
        problems += [f"{name} is not expected" for name in unexpected]
        return InvalidValues(errors, f"Invalid input data: {'; '.join(problems)}", details=details)


def _describe(error: ColumnError, column: Column, rows: int, *, echo: bool) -> str:
    description = error.rule
    if isinstance(error.value, str) and column.levels is not None:
        levels = [level for level in column.levels[: COMPARED**2] if isinstance(level, str)]
        match = closest_match(error.value.strip(), levels) if rows <= COMPARED else None
        description += f": did you mean {match}?" if match is not None else ""
    if echo and error.rule != _MISSING:
        description += f", not {repr(error.value)[:SHOWN_TEXT]}"
    if rows == 1:
        return description
    more = error.count - len(error.rows)
    shown = ", ".join(map(str, error.rows)) + (f" and {more} more" if more else "")
    return f"{description} (row {shown})"
