"""Write columns as CSV (RFC 4180)."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from .json import ANY

__all__ = ["iter_csv", "write_csv"]

_BLOCK_ROWS = 8192
"""Number of rows that are formatted at once. Strings of the cells take ten times the memory of the CSV."""

_QUOTED = re.compile(r'[",\r\n]')
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(
    columns: Sequence[tuple[str, Any]], rows: int, *, escape_formulas: bool = False, header: bool = True
) -> bytes:
    """Return the columns as CSV. The arguments are those of `iter_csv`."""
    return b"".join(iter_csv(columns, rows, escape_formulas=escape_formulas, header=header))


def iter_csv(
    columns: Sequence[tuple[str, Any]], rows: int, *, escape_formulas: bool = False, header: bool = True
) -> Iterator[bytes]:
    """Yield the columns as CSV in UTF-8, with commas and newlines, in parts of at most 8,192 rows.

    Numbers are written with `repr`, and lists and dictionaries as JSON. None becomes an empty cell. In numpy
    arrays, NaN and infinity become empty cells, too.

    Args:
        columns: Name and values of each column. The values may be a numpy array, a list of plain Python
            values and raw JSON, or one value for all rows.
        rows: Number of rows.
        escape_formulas: Whether text that spreadsheets would treat as a formula is prefixed with ``'``
            (OWASP, "CSV Injection").
        header: Whether the first line contains the names.
    """
    formatter = _Formatter(escape_formulas, single_column=len(columns) == 1)
    names = ",".join([formatter.format_text(name) for name, _ in columns]) + "\n"
    before = names.encode() if header else b""
    for start in range(0, rows, _BLOCK_ROWS):
        span = slice(start, min(start + _BLOCK_ROWS, rows))
        yield before + formatter.format_lines([values for _, values in columns], span)
        before = b""
    if not rows:
        yield before


class _Formatter:
    def __init__(self, escape_formulas: bool, single_column: bool) -> None:
        self._escape_formulas = escape_formulas
        # Most readers skip empty lines.
        self._empty = '""' if single_column else ""

    def format_lines(self, columns: Iterable[Any], rows: slice) -> bytes:
        """Return the CSV lines of the slice *rows* of *columns*."""
        cells = [self._format_column(values, rows) for values in columns]
        return ("\n".join(map(",".join, zip(*cells, strict=True))) + "\n").encode()

    def _format_column(self, values: Any, rows: slice) -> Iterable[str]:
        if not isinstance(values, np.ndarray | list):
            return repeat(self._format_value(values), rows.stop - rows.start)
        block = values[rows]
        if isinstance(block, np.ndarray):
            if block.dtype.kind == "f":
                return _format_floats(block.astype(np.float64), self._empty)
            if block.dtype.kind in "iu":
                return map(repr, block.tolist())
            block = block.tolist()
        if set(map(type, block)) == {str}:
            # Usually labels, with few distinct values: format each value once.
            cells = {value: self.format_text(value) for value in set(block)}
            return map(cells.__getitem__, block)
        return map(self._format_value, block)

    def _format_value(self, value: Any) -> str:
        if isinstance(value, msgspec.Raw):
            raw = bytes(value)
            # JSON numbers keep their digits.
            if raw[:1] not in b'"[{n':
                return raw.decode()
            value = ANY.decode(raw)
        if isinstance(value, str):
            return self.format_text(value)
        if isinstance(value, dict | list):
            return self.format_text(msgspec.json.encode(value).decode())
        return self._empty if value is None else str(value)

    def format_text(self, value: str) -> str:
        """Return the cell for a text, quoted and escaped as necessary."""
        if self._escape_formulas and value.startswith(_FORMULA):
            value = "'" + value
        if _QUOTED.search(value):
            return '"' + value.replace('"', '""') + '"'
        return value or self._empty


def _format_floats(values: npt.NDArray[np.float64], empty: str) -> list[str]:
    """Return the `repr` of each finite value, and *empty* for any other value.

    The digits come from msgspec, which writes numbers as JSON twenty times faster than `repr`.
    """
    numbers, size = values.tolist(), np.abs(values)
    cells = msgspec.json.encode(numbers).decode()[1:-1].split(",")
    # JSON and `repr` write 0, and numbers with exponents of -10 or less, in the same way.
    is_same = ((size >= 1e-4) & (size < 1e16)) | (size < 1e-9)
    for index in np.flatnonzero(~is_same).tolist():
        cells[index] = _to_repr(cells[index]) if math.isfinite(numbers[index]) else empty
    return cells


def _to_repr(number: str) -> str:
    """Return the `repr` of a float whose absolute value is less than 0.0001 or at least 1e16.

    Args:
        number: Number in JSON, such as ``0.000012``, ``1e-7`` or ``1e22``.
    """
    sign = "-" if number[0] == "-" else ""
    digits, _, exponent = number[len(sign) :].partition("e")
    if exponent:
        return f"{sign}{digits}e{int(exponent):+03}"
    significant = digits[2:].lstrip("0")
    if not significant:
        return number
    fraction = f".{significant[1:]}" if len(significant) > 1 else ""
    return f"{sign}{significant[0]}{fraction}e{len(significant) - len(digits) + 1:+03}"
