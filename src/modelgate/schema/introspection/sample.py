"""Infer columns from sample data in a pandas or polars DataFrame."""

import math
import statistics
from collections import Counter
from datetime import date
from typing import Any

from ...errors import ConfigurationError
from ..columns import Column
from ..datetimes import read_datetime_dtype
from .kinds import infer_kind, kind_of_dtype, to_level

__all__ = ["infer_from_sample", "infer_from_values"]

_ROWS_PER_LEVEL = 5
"""Texts become levels if each distinct text occurs in this many rows on average. A cautious guess."""


def infer_from_sample(frame: Any, max_levels: int = 20) -> list[Column]:
    """Infer the columns of a pandas or polars DataFrame from its values.

    Args:
        frame: Representative rows.
        max_levels: Maximum number of levels of a text column. A column with more distinct values gets no
            levels.

    Raises:
        ConfigurationError: *frame* is not a DataFrame, *max_levels* is not a whole number of at least 0,
            or a column contains values that JSON cannot represent.
    """
    if type(max_levels) is not int or max_levels < 0:
        raise ConfigurationError(f"max_levels must be a whole number of at least 0 (got {max_levels!r})")
    frame = frame.to_native() if hasattr(frame, "to_native") else frame  # narwhals
    if hasattr(frame, "iter_columns"):
        return [infer_from_values(series.name, series, max_levels) for series in frame.iter_columns()]
    if hasattr(frame, "items") and hasattr(frame, "columns"):
        # A DataFrame without column names has whole numbers instead.
        return [
            infer_from_values(str(name) if type(name) is int else name, series, max_levels)
            for name, series in frame.items()
        ]
    raise ConfigurationError(f"sample must be a pandas or polars DataFrame (got {type(frame).__name__})")


def infer_from_values(name: Any, series: Any, max_levels: int) -> Column:
    """Infer a column from its values.

    Args:
        name: Column name.
        series: Column of a DataFrame, or a one-dimensional array.
        max_levels: Maximum number of levels of a text column. A column with more distinct values gets no
            levels.

    Raises:
        ConfigurationError: The column contains values that JSON cannot represent.
    """
    values = _to_list(series)
    present = [to_level(name, value) for value in values if value is not None]
    nullable = len(present) < len(values)
    datetime_options = _find_datetime_options(series, values)
    if datetime_options is not None:
        typical = Counter(present).most_common(1)[0][0] if present else None
        return Column(name, "datetime", nullable=nullable, typical_value=typical, **datetime_options)
    categories = _find_categories(series)
    if categories:
        categories = [to_level(name, category) for category in categories]
    if categories or present:
        kind = infer_kind(categories or present)
    else:
        kind = kind_of_dtype(name, str(series.dtype))
    if not categories and all(isinstance(value, str) for value in values if value is not None):
        distinct = set(present)
        if 0 < len(distinct) <= max_levels and len(present) >= _ROWS_PER_LEVEL * len(distinct):
            categories = sorted(distinct)
    levels = tuple(categories) if categories else None
    if kind not in ("number", "integer"):
        typical = Counter(present).most_common(1)[0][0] if present and kind != "any" else None
        return Column(name, kind, levels, nullable=nullable, typical_value=typical)
    finite = [value for value in present if math.isfinite(value)]
    if not finite:
        return Column(name, kind, levels, nullable=nullable)
    # The mean of two middle values need not be a level or a whole number.
    may_average = kind == "number" and levels is None
    median = float(statistics.median(finite)) if may_average else statistics.median_low(finite)
    observed = (float(min(finite)), float(max(finite)))
    return Column(name, kind, levels, nullable=nullable, typical_value=median, observed_range=observed)


def _to_list(series: Any) -> list[Any]:
    """Return the values of *series* as Python objects. Null is None."""
    if hasattr(series, "isna"):
        nulls = series.isna().tolist()
        return [None if null else value for value, null in zip(series.tolist(), nulls, strict=True)]
    values = series.tolist() if hasattr(series, "tolist") else series.to_list()
    return [None if _is_nan(value) else value for value in values]


def _find_datetime_options(series: Any, values: list[Any]) -> dict[str, Any] | None:
    """Return the options of a datetime column, or None if *series* has no datetimes."""
    options = read_datetime_dtype(series.dtype)
    if options is None and str(series.dtype) == "object":
        present = [value for value in values if value is not None]
        if present and all(isinstance(v, date) and getattr(v, "tzinfo", None) is None for v in present):
            return {}
    return options


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value


def _find_categories(series: Any) -> list[Any] | None:
    """Return the categories of a categorical *series*, or None if *series* is not categorical.

    A polars Categorical does not list its categories, so its distinct values are returned.
    """
    categories = getattr(series.dtype, "categories", None)
    if categories is not None and hasattr(categories, "tolist"):
        return list(categories.tolist())
    if categories is not None and type(series.dtype).__name__ == "Enum":
        return list(categories)
    if type(series.dtype).__name__ == "Categorical":
        return sorted({value for value in series.to_list() if value is not None})
    return None
