"""Convert input values to column values. A table in docs/schema.md lists the rules."""

import datetime
import math
import re
import sys
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from .columns import EXACT, Column

__all__ = [
    "JSON_NUMBER",
    "broken_rule",
    "coerce_to_kind",
    "coercion_warnings",
    "null_texts",
    "parse_text",
    "to_json_value",
]

# RFC 8259, section 6.
JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)

# JSON numbers, plus the spellings of spreadsheets: "+1", ".5", "1.". Unlike float(), this rejects "nan",
# "inf", "1_000" and non-ASCII digits.
_NUMBER = re.compile(r"[+-]?(\d{1,400}(\.\d*)?|\.\d+)([eE][+-]?\d{1,5})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_BOOLEANS = {"true": True, "false": False}
_NULL_WORDS = frozenset(
    {"na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "none", "null", "nil", "-", "--", "?", "."}
)


def parse_text(column: Column, text: str) -> Any:
    """Convert *text* to a number, boolean or datetime if *column* expects one; otherwise return it unchanged.

    White space around a number, boolean or datetime is ignored. In a column of the kind ``any``, ``007``
    stays text, because it may be an article number or a postcode.

    Args:
        column: Column that contains the text.
        text: CSV cell, or a JSON string if the schema has the option ``coerce_strings``.
    """
    if column.kind == "text":
        return text
    bare = text.strip(" \t")
    if column.kind == "datetime":
        moment = column.parse_datetime(bare)
        return text if moment is None else moment
    if (column.kind in ("boolean", "any") or column.accepts_booleans) and bare.lower() in _BOOLEANS:
        return _BOOLEANS[bare.lower()]
    if column.kind == "any" and not JSON_NUMBER.fullmatch(bare):
        return text
    if column.kind != "boolean" and _NUMBER.fullmatch(bare):
        return _parse_number(bare)
    return text


def _parse_number(bare: str) -> int | float:
    """Return the number in a text that `_NUMBER` matches. A whole number keeps all its digits."""
    return int(bare) if bare.lstrip("+-").isdigit() else float(bare)


def null_texts(column: Column, na_values: Collection[str]) -> frozenset[str]:
    """Return the CSV cells that mean null in *column*.

    *na_values* do not apply to columns of the kind ``text`` or ``any``, because ``NA`` may be the country
    code of Namibia.

    Args:
        column: Column that contains the cells.
        na_values: See `SchemaOptions`.
    """
    # An empty cell is the level "" in a column that cannot be null.
    is_level = column.levels is not None and not column.nullable and column.has_level("")
    empty = frozenset() if is_level else frozenset({""})
    return empty if column.kind in ("text", "any") else empty.union(na_values)


def broken_rule(column: Column, value: object, *, text: bool, any_level: bool = False) -> str:
    """Return the rule of *column* that *value* breaks, with a hint for mistakes such as a decimal comma.

    Args:
        column: Column that does not allow *value*.
        value: Value that is not null.
        text: Whether the value was a CSV cell.
        any_level: Whether the column allows values that are not among its levels.
    """
    column = replace(column, levels=None, dtype=None) if any_level else column
    bare = value.strip(" \t") if isinstance(value, str) else ""
    if text and column.nullable and column.kind not in ("text", "any") and bare.lower() in _NULL_WORDS:
        return f"{column.rule}; for null, send an empty cell, or have the option na_values set"
    if column.kind == "boolean" and (value in (0, 1) or bare in ("0", "1")):
        return f"{column.rule}, instead of 1 or 0"
    if column.kind not in ("number", "integer") or isinstance(value, bool):
        return column.rule
    number, quoted = value, False
    if isinstance(value, str):
        if column.kind == "number" and _DECIMAL_COMMA.fullmatch(bare):
            return f"{column.rule}, with a decimal point instead of a comma"
        if _NUMBER.fullmatch(bare):
            number = _parse_number(bare)
        elif _WHOLE.fullmatch(bare):
            number = math.inf  # it has more digits than `_NUMBER` matches
        else:
            return column.rule
        quoted = not text
    limit, shown = (EXACT, EXACT) if column.kind == "integer" else (sys.float_info.max, "1.7e308")
    if column.levels is None and isinstance(number, int | float) and abs(number) > limit:
        return f"is too large: send a number from -{shown} to {shown}"
    if quoted:
        return f"{column.rule}, without quotes"
    return column.rule


def coercion_warnings(column: Column, values: Iterable[Any]) -> list[str]:
    """Return a list with one warning if the CSV *values* of *column* may have been meant as text.

    Only a column of the kind ``any`` without levels gets the warning, and only if some of its values are
    numbers or booleans. In any other case, the list is empty.
    """
    if column.kind != "any" or column.levels is not None:
        return []
    if all(value is None or isinstance(value, str) for value in values):
        return []
    message = "CSV cells that look like numbers or booleans were read as such: send JSON if they are text"
    return [f"{column.name}: {message}"]


def coerce_to_kind(column: Column, value: Any) -> Any:
    """Convert *value* to the kind of *column*. For example, ``2.0`` becomes ``2`` in an integer column.

    *column* must allow *value*. None is returned unchanged.
    """
    if value is None:
        return None
    if column.kind == "datetime":
        return column.parse_datetime(value)
    if column.is_array:
        return column.parse_array(value)
    if column.accepts_booleans and isinstance(value, bool):
        return int(value)
    return int(value) if column.kind == "integer" else value


def to_json_value(value: Any) -> Any:
    """Convert a Python, numpy, pandas or polars value to its JSON equivalent.

    Dates become ISO 8601 text, and Decimals become numbers. NA and NaT of pandas and masked values of
    numpy become None. A value without an equivalent is returned unchanged.
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        if value is np.ma.masked:
            return None
        value = value.item() if value.dtype.kind not in "mM" else _to_python_date(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat() if value == value else None  # NaT is never equal to itself
    if type(value).__name__ == "NAType":
        return None
    try:
        return _to_number(value) if hasattr(value, "as_integer_ratio") else value
    except (ValueError, OverflowError):  # Decimal("sNaN"), or a fraction larger than any float
        return value


def _to_number(value: Any) -> int | float:
    nearest = float(value)
    # Above EXACT, a float may differ from the whole number: return an int.
    return int(value) if EXACT <= abs(nearest) < math.inf and int(value) == value else nearest


def _to_python_date(value: Any) -> Any:
    """Convert a numpy datetime64 to a Python date, or to text if no Python date has the same value.

    NaT becomes None. A timedelta64 is returned unchanged.
    """
    if np.isnat(value):
        return None
    if value.dtype.kind == "m":
        return value
    date = value.item()
    if isinstance(date, int):  # item() returns an int for nanoseconds and for years after 9999
        nearest = value.astype("datetime64[us]")
        date = nearest.item() if nearest == value else str(value)
    return str(value) if isinstance(date, int) else date
