"""Rows made up after a schema, for a plan and its estimator to answer both."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...schema import Column, Schema, Table

__all__ = ["ODD", "MadeUp", "varied_rows"]

_LARGE = (0.0, -0.0, 1e10, -1e30, 5e-324, 2.0**53)
_TOO_LARGE = (1e300, -1e300)  # for float32, which trees read
_UNKNOWN = ("?", "", "an unknown level")
_PARTS = "0 0,0;0:0-0_0/0=0|0@0.0"
"""A text that has parts, whichever separator a model splits it at."""

_VARIED = ("a", 1, "1", 0.5, "2024-01-06", -1, "2024-01-06T10:00:00", 50, _PARTS, True, 2000, False, 1e6)
"""Values of many kinds and sizes: of most rules that a model may have for its values, some keep it."""


class MadeUp:
    """Makes up tables; the same ones each time.

    Args:
        schema: whose rules the rows keep.
        told: the columns as the model tells them: a level it knows should be among the rows.
    """

    def __init__(self, schema: Schema, told: Schema) -> None:
        self._columns = schema.columns
        self._told = {column.name: column for column in told.columns}
        self._random = np.random.default_rng(0)

    @property
    def guessed(self) -> list[str]:
        """The columns of numbers whose range nothing tells."""
        return [
            column.name
            for column in self._columns
            if column.numeric and column.kind != "boolean" and not self._levels(column)
            if not _tells(column) and not _tells(self._told.get(column.name, column))
        ]

    def rows(self, count: int, odd: "Callable[[Column], Sequence[Any]] | None" = None) -> Table:
        """*count* rows as callers send them; where *odd* is given, with its values among them."""
        columns = [
            self._odd(self._plain(column, count), odd(column) if odd else ()) for column in self._columns
        ]
        numbers = [values for column, values in zip(self._columns, columns, strict=True) if column.numeric]
        return Table(
            self._columns,
            np.array(numbers, dtype=np.float64).reshape(len(numbers), count).T.copy(),
            [values for column, values in zip(self._columns, columns, strict=True) if not column.numeric],
        )

    def _plain(self, column: Column, count: int) -> list[Any]:
        levels = self._levels(column)
        if levels:
            return [levels[at] for at in self._random.integers(len(levels), size=count)]
        if not column.numeric:
            return [column.example] * count
        if column.kind == "boolean":
            return list(self._random.integers(2, size=count).tolist())
        least, greatest = _range(column, self._told.get(column.name, column))
        numbers = self._random.uniform(least, greatest, size=count)
        return list(numbers.round() if column.kind == "integer" else numbers)

    def _levels(self, column: Column) -> list[Any]:
        told = self._told.get(column.name, column).levels or ()
        return [level for level in column.levels or told if column.allows(level)]

    def _odd(self, values: list[Any], odd: Sequence[Any]) -> list[Any]:
        if not odd:
            return values
        chosen = self._random.integers(3 * len(odd), size=len(values)).tolist()
        return [odd[at] if at < len(odd) else value for at, value in zip(chosen, values, strict=True)]


def varied_rows(schema: Schema) -> list[dict[str, Any]]:
    """A few rows that share no value where a column allows several; the first one is the schema's example."""
    values = [_varied(column) for column in schema]
    return [
        {column.name: those[at % len(those)] for column, those in zip(schema, values, strict=True)}
        for at in range(max(map(len, values)))
    ]


def _varied(column: Column) -> list[Any]:
    nulls = [None] if column.nullable or column.example is None else []
    if column.levels is not None:
        return [column.example, *column.levels[: len(_VARIED)], *nulls]
    return [column.example, *(value for value in _VARIED if column.allows(value)), *nulls]


def _tells(column: Column) -> bool:
    return (
        column.seen is not None
        or isinstance(column.typical, int | float)
        or None not in (column.minimum, column.maximum)
    )


def _range(column: Column, told: Column) -> tuple[float, float]:
    typical = next((c.typical for c in (column, told) if isinstance(c.typical, int | float)), 0.0)
    seen = column.seen or told.seen or (typical - abs(typical) - 2.0, typical + abs(typical) + 2.0)
    least, greatest = (_bounded(column, value) for value in seen)
    return least, greatest


def _bounded(column: Column, value: float) -> float:
    value = value if column.minimum is None else max(value, column.minimum)
    return value if column.maximum is None else min(value, column.maximum)


def _nulls(column: Column) -> Sequence[Any]:
    return (None,) if column.nullable else ()


def _unknown(column: Column) -> Sequence[Any]:
    if column.kind == "text":
        return [text for text in _UNKNOWN if column.allows(text, any_level=True)]
    return [number for number in (-1, 7919) if column.levels and column.allows(number, any_level=True)]


def _large(column: Column) -> Sequence[Any]:
    return [number for number in _LARGE if column.levels is None and column.numeric and column.allows(number)]


def _too_large(column: Column) -> Sequence[Any]:
    return [
        number for number in _TOO_LARGE if column.levels is None and column.numeric and column.allows(number)
    ]


ODD = (_nulls, _unknown, _large, _too_large)
"""What comes seldom, and is easily answered otherwise."""
