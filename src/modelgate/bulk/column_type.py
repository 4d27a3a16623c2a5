"""Infer the types of the columns of a database table from CSV cells."""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from math import isfinite
from typing import Any, NamedTuple

from ..backends.sql import sa

__all__ = ["BIGINT", "TEXT", "ColumnType", "infer_types"]

_BATCH_ROWS = 10_000


class ColumnType(NamedTuple):
    """Type of a table column.

    Args:
        sql: Type in SQL.
        lines: Pattern of lines with one cell each that the type can represent. An empty cell is null.
        convert: Function that converts a cell that is not empty to a Python value.
    """

    sql: type[sa.types.TypeEngine[Any]]
    lines: re.Pattern[str]
    convert: Callable[[str], Any]

    def fits(self, cells: Sequence[str]) -> bool:
        """Return whether the type can represent all *cells*."""
        lines = "\n".join(cells) + "\n"
        if lines.count("\n") != len(cells) or self.lines.fullmatch(lines) is None:
            return False
        # PostgreSQL rejects numbers that overflow or underflow. Only those with an exponent can.
        numbers = [float(c) for c in cells if "e" in c or "E" in c] if self.convert is float else []
        return all(number and isfinite(number) for number in numbers)


# A longer number without a fraction is probably an id, and a float would not represent all of its digits.
_WHOLE = "-?(?:0|[1-9][0-9]{0,17})"
_EXPONENT = "[eE][+-]?[0-9]{1,3}"
_FRACTION = rf"-?(?:0|[1-9][0-9]{{0,299}})(?:\.[0-9]{{1,300}}(?:{_EXPONENT})?|{_EXPONENT})"

TEXT = ColumnType(sa.Text, re.compile(".*", re.DOTALL), str)
BIGINT = ColumnType(sa.BigInteger, re.compile(rf"(?:(?:{_WHOLE})?\n)*"), int)
_TYPES: tuple[ColumnType, ...] = (
    ColumnType(sa.Boolean, re.compile(r"(?:(?:True|False)?\n)*"), "True".__eq__),
    BIGINT,
    ColumnType(sa.Double, re.compile(rf"(?:(?:{_FRACTION}|{_WHOLE})?\n)*"), float),
)
"""Types of new columns, the narrowest first."""


def infer_types(columns: int, records: Iterable[Sequence[str]]) -> list[ColumnType]:
    """Return for each column the narrowest type that represents all of its cells.

    Args:
        columns: Number of columns.
        records: Cells of each row.
    """
    remaining, rows = [_TYPES] * columns, iter(records)
    while block := list(islice(rows, _BATCH_ROWS)):
        for index, cells in enumerate(zip(*block, strict=True)):
            remaining[index] = tuple(kind for kind in remaining[index] if kind.fits(cells))
    # All types fit a column of empty cells.
    return [kinds[0] if 0 < len(kinds) < len(_TYPES) else TEXT for kinds in remaining]
