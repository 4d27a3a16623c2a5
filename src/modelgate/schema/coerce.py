"""Conversion of input values to column values. A table in docs/schema.md lists the rules."""

import datetime
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from .columns import EXACT, Column

__all__ = ["JSON_NUMBER", "coerce_to_kind", "coercion_warnings", "parse_text", "to_json_value"]

# RFC 8259, section 6.
JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)

# JSON numbers, plus the spellings of spreadsheets: "+1", ".5", "1.". Unlike float(), this rejects "nan",
# "inf", "1_000" and non-ASCII digits.
_NUMBER = re.compile(r"[+-]?(\d{1,400}(\.\d*)?|\.\d+)([eE][+-]?\d{1,5})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


def parse_text(column: Column, text: str) -> Any:
    """Convert *text* to a number, boolean or datetime if *column* expects one; otherwise return it unchanged.

    White space around these is ignored. In a column of the kind ``any``, ``007`` stays
    text, so that article numbers and postcodes keep their zeros.

    Args:
        column: Column the text belongs to.
        text: CSV cell, or a string sent with ``coerce_strings``.
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
        return int(bare) if bare.lstrip("+-").isdigit() else float(bare)
    return text


def coercion_warnings(column: Column, values: Iterable[Any]) -> list[str]:
    """Return a warning if some *values* of *column*, read from CSV, may have been meant as text."""
    if column.kind != "any" or column.levels is not None:
        return []
    if all(value is None or isinstance(value, str) for value in values):
        return []
    message = "CSV cells that look like numbers or booleans were read as such: send JSON if they are text"
    return [f"{column.name}: {message}"]


def coerce_to_kind(column: Column, value: Any) -> Any:
    """Convert an allowed *value* to the column's type: for an integer, ``2.0`` becomes ``2``. None stays None."""
    if value is None:
        return None
    if column.kind == "datetime":
        return column.parse_datetime(value)
    if column.accepts_booleans and isinstance(value, bool):
        return int(value)
    return int(value) if column.kind == "integer" else value


def to_json_value(value: Any) -> Any:
    """Convert a Python, numpy, pandas or polars value to its JSON equivalent.

    Dates become ISO 8601 text and Decimals numbers; pandas' NA and NaT and numpy's masked values become
    None. A value without an equivalent is returned unchanged.
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
    except (ValueError, OverflowError):  # a signalling NaN, a fraction beyond the largest float
        return value


def _to_number(value: Any) -> int | float:
    nearest = float(value)
    # A float cannot represent every whole number from here on.
    return int(value) if EXACT <= abs(nearest) < math.inf and int(value) == value else nearest


def _to_python_date(value: Any) -> Any:
    """Convert a numpy datetime64 to a Python date or its text. A timedelta64 is returned unchanged."""
    if np.isnat(value):
        return None
    if value.dtype.kind == "m":
        return value
    date = value.item()
    if isinstance(date, int):  # nanoseconds, or beyond the year 9999
        nearest = value.astype("datetime64[us]")
        date = nearest.item() if nearest == value else str(value)
    return str(value) if isinstance(date, int) else date
