"""The rules by which a value becomes a column's value. The table in docs/schema.md shows them all."""

import datetime
import math
import re
from typing import Any

import numpy as np

from .columns import EXACT, Column

__all__ = ["JSON_NUMBER", "as_json", "as_kind", "from_text"]

# RFC 8259, section 6.
JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)

# What JSON takes for a number, and what spreadsheets write beside it: "+1", ".5", "1.". Never "nan",
# "inf", "1_000" or other scripts' digits, all of which Python's float() takes.
_NUMBER = re.compile(r"[+-]?(\d{1,400}(\.\d*)?|\.\d+)([eE][+-]?\d{1,5})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


def from_text(column: Column, text: str) -> Any:
    """What *text*, a CSV cell or a lenient value, means in *column*: *text* itself where it is nothing else.

    White space around a number or a boolean does not count. Where any value may be, ``007`` is no number:
    an article's or a postcode's zeros are not dropped.
    """
    if column.kind == "text":
        return text
    bare = text.strip(" \t")
    if column.kind in ("boolean", "any") and bare.lower() in _BOOLEANS:
        return _BOOLEANS[bare.lower()]
    if column.kind == "any" and not JSON_NUMBER.fullmatch(bare):
        return text
    if column.kind != "boolean" and _NUMBER.fullmatch(bare):
        return int(bare) if bare.lstrip("+-").isdigit() else float(bare)
    return text


def as_kind(column: Column, value: Any) -> Any:
    """*value*, which the column allows, as the type it is kept in: ``2.0`` as an integer is ``2``."""
    return int(value) if column.kind == "integer" else value


def as_json(value: Any) -> Any:
    """*value*, of Python, numpy, pandas or polars, as JSON says it; as it is, where JSON has no word for it.

    A date is its ISO 8601 text, a Decimal a number; pandas' NA and NaT and numpy's masked values are null.
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        if value is np.ma.masked:
            return None
        value = value.item() if value.dtype.kind not in "mM" else _date(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat() if value == value else None  # NaT is a date that equals none
    if type(value).__name__ == "NAType":
        return None
    try:
        return _number(value) if hasattr(value, "as_integer_ratio") else value
    except (ValueError, OverflowError):  # a signalling NaN, a fraction beyond the largest float
        return value


def _number(value: Any) -> int | float:
    near = float(value)
    # A float would be the neighbour of a whole number that is larger.
    return int(value) if EXACT <= abs(near) < math.inf and int(value) == value else near


def _date(value: Any) -> Any:
    """*value*, a date of numpy, as Python or pandas has it; a duration as it is."""
    if np.isnat(value):
        return None
    if value.dtype.kind == "m":
        return value
    told = value.item()
    if isinstance(told, int):  # of nanoseconds, or beyond the year 9999
        near = value.astype("datetime64[us]")
        told = near.item() if near == value else str(value)
    return str(value) if isinstance(told, int) else told
