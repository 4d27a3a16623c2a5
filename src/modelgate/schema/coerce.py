"""The rules by which a value becomes a column's value. The table in docs/schema.md shows them all."""

import re
from typing import Any

from .columns import Column

__all__ = ["as_kind", "from_text"]

# What JSON takes for a number, and what spreadsheets write beside it: "+1", ".5", "1.". Never "nan",
# "inf", "1_000" or other scripts' digits, all of which Python's float() takes.
_NUMBER = re.compile(r"[+-]?(\d{1,400}(\.\d*)?|\.\d+)([eE][+-]?\d{1,5})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


def from_text(column: Column, text: str) -> Any:
    """What *text*, a CSV cell or a lenient value, means in *column*: *text* itself where it is nothing else.

    White space around a number or a boolean does not count.
    """
    if column.kind == "text":
        return text
    bare = text.strip(" \t")
    if column.kind in ("boolean", "any") and bare.lower() in _BOOLEANS:
        return _BOOLEANS[bare.lower()]
    if column.kind != "boolean" and _NUMBER.fullmatch(bare):
        return int(bare) if bare.lstrip("+-").isdigit() else float(bare)
    return text


def as_kind(column: Column, value: Any) -> Any:
    """*value*, which the column allows, as the type it is kept in: ``2.0`` as an integer is ``2``."""
    return int(value) if column.kind == "integer" else value
