"""Compare the values of a row with the model's training data."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ..models.training_sample import MAX_LEVELS
from ..schema import Table

__all__ = ["count_booleans", "describe_rows"]


def describe_rows(
    table: Table, statistics: Mapping[str, Any], training_rows: int
) -> list[dict[str, dict[str, Any]]]:
    """Compare the values of each row with the training data, and return the results by column name.

    The result for a value is a dict:

    - For a number, ``percentile`` is the percentage of training values below it, interpolated between the
      stored deciles. If the number is less or greater than all training values, ``outside`` is ``"below"``
      or ``"above"``.
    - For any other value, including null, ``share`` is the fraction of training rows that have the value. If
      no training row has the value, ``unseen`` is True.

    Columns without statistics, such as datetimes, are left out. If the statistics of a column count only its
    most frequent values, other values are left out, too.

    Args:
        table: Rows.
        statistics: Training statistics by column.
        training_rows: Number of training rows.
    """
    comparisons: dict[str, list[dict[str, Any] | None]] = {}
    rows = table.rows()
    for name in table:
        values = [row[name] for row in rows]
        column = statistics.get(name, {})
        is_boolean = "mean" in column and any(isinstance(value, bool) for value in values)
        nulls = {"share": column.get("nulls", 0) / training_rows}
        if column.get("deciles") and not is_boolean:
            comparisons[name] = [
                nulls if v is None else _compare_number(v, column["deciles"]) for v in values
            ]
        elif is_boolean or "levels" in column:
            levels = count_booleans(column, training_rows) if is_boolean else column["levels"]
            counts = {_level_key(level): count for level, count in levels}
            is_complete = len(counts) < MAX_LEVELS
            comparisons[name] = [
                nulls if v is None else _compare_level(v, counts, training_rows, is_complete=is_complete)
                for v in values
            ]
    return [
        {name: result for name, column in comparisons.items() if (result := column[row]) is not None}
        for row in range(len(rows))
    ]


def _compare_number(value: float, deciles: Sequence[float]) -> dict[str, Any]:
    if value < deciles[0]:
        return {"percentile": 0.0, "outside": "below"}
    if value > deciles[-1]:
        return {"percentile": 100.0, "outside": "above"}
    left, right = bisect_left(deciles, value), bisect_right(deciles, value)
    if left < right:
        # Several deciles are equal if many rows have the same value. Its percentile is the middle of these
        # deciles.
        return {"percentile": (left + right - 1) * 5.0}
    below, above = deciles[left - 1], deciles[left]
    return {"percentile": round((left - 1 + (value - below) / (above - below)) * 10, 2)}


def count_booleans(column: Mapping[str, Any], training_rows: int) -> list[tuple[bool, int]]:
    """Return True and False, each with its number of training rows. A value without rows is left out.

    The statistics of a boolean column are those of a column of zeros and ones.
    """
    known = training_rows - column["nulls"]
    true = round(column["mean"] * known)
    return [(level, count) for level, count in ((True, true), (False, known - true)) if count]


def _compare_level(
    value: Any, counts: Mapping[Any, int], training_rows: int, *, is_complete: bool
) -> dict[str, Any] | None:
    """Return the share of *value*, or None if it is unknown because *counts* lacks the value.

    If *is_complete* is True, *counts* has all training values, so a value that it lacks has the share 0.
    """
    count = counts.get(_level_key(value))
    if count is not None:
        return {"share": count / training_rows}
    return {"share": 0.0, "unseen": True} if is_complete else None


def _level_key(level: Any) -> tuple[bool, Any]:
    # In Python, True equals 1, but they are different levels.
    return isinstance(level, bool), level
