"""Generate synthetic rows from a schema, to test models and to compare a plan with its estimator."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...schema import Column, Schema, Table
from ...schema.coerce import coerce_to_kind

__all__ = ["UNUSUAL_VALUES", "SyntheticRows", "vary_rows"]

_LARGE_NUMBERS = (0.0, -0.0, 1e10, -1e30, 5e-324, 2.0**53)
_TOO_LARGE_NUMBERS = (1e300, -1e300)  # too large for float32, to which trees convert numbers
_UNKNOWN_LEVELS = ("?", "", "an unknown level")
_SPLITTABLE = "0 0,0;0:0-0_0/0=0|0@0.0"
"""Text that has several parts for any separator by which a model may split it."""

_VARIED = ("a", 1, "1", 0.5, "2024-01-06", -1, "2024-01-06T10:00:00", 50, _SPLITTABLE, True, 2000, False, 1e6)
"""Values of many kinds and sizes. Most models accept at least one of them in each column."""


class SyntheticRows:
    """Generator of synthetic tables. The tables are the same in every process.

    Args:
        schema: Schema that the rows satisfy.
        model_schema: Schema inferred from the model. Its levels and ranges are used where *schema* has none.
    """

    def __init__(self, schema: Schema, model_schema: Schema) -> None:
        self._columns = schema.columns
        self._model_columns = {column.name: column for column in model_schema.columns}
        self._random = np.random.default_rng(0)

    @property
    def unbounded_columns(self) -> list[str]:
        """Names of the numeric columns whose range is unknown."""
        return [
            column.name
            for column in self._columns
            if column.numeric and column.kind != "boolean" and not self._levels(column)
            if not _has_range(column) and not _has_range(self._model_column(column))
        ]

    def rows(self, count: int, unusual_values: "Callable[[Column], Sequence[Any]] | None" = None) -> Table:
        """Return *count* rows with random values that the schema allows.

        Args:
            count: Number of rows.
            unusual_values: Function that returns rare values of a column, which replace about a third of
                the random values; None to replace none.
        """
        columns = [
            self._mix(self._usual(column, count), unusual_values(column) if unusual_values else ())
            for column in self._columns
        ]
        numbers = [values for column, values in zip(self._columns, columns, strict=True) if column.numeric]
        return Table(
            self._columns,
            np.array(numbers, dtype=np.float64).reshape(len(numbers), count).T.copy(),
            [values for column, values in zip(self._columns, columns, strict=True) if not column.numeric],
        )

    def _model_column(self, column: Column) -> Column:
        return self._model_columns.get(column.name, column)

    def _usual(self, column: Column, count: int) -> list[Any]:
        levels = self._levels(column)
        if levels:
            chosen = self._random.integers(len(levels), size=count)
            return [coerce_to_kind(column, levels[index]) for index in chosen]
        if not column.numeric:
            return [coerce_to_kind(column, column.example)] * count
        if column.kind == "boolean":
            return list(self._random.integers(2, size=count).tolist())
        minimum, maximum = _range(column, self._model_column(column))
        numbers = self._random.uniform(minimum, maximum, size=count)
        return list(numbers.round() if column.kind == "integer" else numbers)

    def _levels(self, column: Column) -> list[Any]:
        levels = column.levels or self._model_column(column).levels or ()
        return [level for level in levels if column.allows(level)]

    def _mix(self, values: list[Any], unusual: Sequence[Any]) -> list[Any]:
        if not unusual:
            return values
        # Each unusual value replaces one of 3 x len(unusual) values, so a third of all is unusual.
        indices = self._random.integers(3 * len(unusual), size=len(values)).tolist()
        return [
            unusual[index] if index < len(unusual) else value
            for index, value in zip(indices, values, strict=True)
        ]


def vary_rows(schema: Schema) -> list[dict[str, Any]]:
    """Return rows in which the value of each column varies, if the column allows several values.

    The first row is the example of the schema.
    """
    columns = [_varied_values(column) for column in schema]
    return [
        {column.name: values[index % len(values)] for column, values in zip(schema, columns, strict=True)}
        for index in range(max(map(len, columns)))
    ]


def _varied_values(column: Column) -> list[Any]:
    nulls = [None] if column.nullable or column.example is None else []
    if column.levels is not None:
        return [column.example, *column.levels[: len(_VARIED)], *nulls]
    return [column.example, *(value for value in _VARIED if column.allows(value)), *nulls]


def _has_range(column: Column) -> bool:
    return (
        column.observed_range is not None
        or isinstance(column.typical_value, int | float)
        or None not in (column.minimum, column.maximum)
    )


def _range(column: Column, model_column: Column) -> tuple[float, float]:
    typical = 0.0
    for value in (column.typical_value, model_column.typical_value):
        if isinstance(value, int | float):
            typical = value
            break
    around_typical = (typical - abs(typical) - 2.0, typical + abs(typical) + 2.0)
    minimum, maximum = column.observed_range or model_column.observed_range or around_typical
    return _clip(column, minimum), _clip(column, maximum)


def _clip(column: Column, value: float) -> float:
    value = value if column.minimum is None else max(value, column.minimum)
    return value if column.maximum is None else min(value, column.maximum)


def _nulls(column: Column) -> Sequence[Any]:
    return (None,) if column.nullable else ()


def _unknown_levels(column: Column) -> Sequence[Any]:
    if column.kind == "text":
        return [text for text in _UNKNOWN_LEVELS if column.allows(text, any_level=True)]
    return [number for number in (-1, 7919) if column.levels and column.allows(number, any_level=True)]


def _large_numbers(column: Column) -> Sequence[Any]:
    return _allowed_numbers(column, _LARGE_NUMBERS)


def _too_large_numbers(column: Column) -> Sequence[Any]:
    return _allowed_numbers(column, _TOO_LARGE_NUMBERS)


def _allowed_numbers(column: Column, numbers: Sequence[float]) -> Sequence[float]:
    if column.levels is not None or not column.numeric:
        return ()
    return [number for number in numbers if column.allows(number)]


UNUSUAL_VALUES = (_nulls, _unknown_levels, _large_numbers, _too_large_numbers)
"""Functions that return rare values of a column, for which a plan is more likely to be wrong."""
