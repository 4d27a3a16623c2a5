"""Write columns as CSV (RFC 4180)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from .json import ANY

__all__ = ["iter_csv", "write_csv"]

_BLOCK_ROWS = 8192
"""Number of rows that are formatted at once. Strings of the cells take ten times the memory of the CSV."""

_QUOTED = re.compile(r'[",\r\n]')
_LINE_END = msgspec.Raw(b"\n")
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
        columns: Name and values of each column. The values may be a numpy array, a sequence that may contain
            raw JSON (`msgspec.Raw`), or one value for all rows.
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

    def format_lines(self, columns: Sequence[Any], rows: slice) -> bytes:
        """Return the CSV lines of the slice *rows* of *columns*."""
        width, count = len(columns) + 1, rows.stop - rows.start
        # Encoding one JSON array of all cells takes two thirds of the time that joining strings takes.
        cells: list[Any] = [_LINE_END] * (width * count)
        for index, values in enumerate(columns):
            cells[index::width] = self._format_column(values, rows)
        lines = msgspec.json.encode(cells)[1:-3].split(b",\n,")
        if len(lines) != count:  # A text contains the separator.
            rows_of_cells = (cells[start : start + width - 1] for start in range(0, len(cells), width))
            lines = [msgspec.json.encode(row)[1:-1] for row in rows_of_cells]
        return b"\n".join([*lines, b""])

    def _format_column(self, values: Any, rows: slice) -> Iterable[float | msgspec.Raw]:
        """Return the cells of a column as JSON values: numbers that JSON writes like `repr`, and raw text."""
        if isinstance(values, str | bytes) or not isinstance(values, np.ndarray | Sequence):
            return [self._format_value(values)] * (rows.stop - rows.start)
        block = values[rows]
        if isinstance(block, np.ndarray):
            if block.dtype.kind == "f":
                return _format_floats(block.astype(np.float64), self._empty)
            if block.dtype.kind in "iu":
                return block.tolist()  # type: ignore[no-any-return]
            block = block.tolist()
        if set(map(type, block)) == {str}:
            # Usually labels, with few distinct values: format each value once.
            cells = {value: self._format_value(value) for value in set(block)}
            return map(cells.__getitem__, block)
        return map(self._format_value, block)

    def _format_value(self, value: Any) -> msgspec.Raw:
        if isinstance(value, msgspec.Raw):
            # JSON numbers keep their digits.
            if bytes(value)[:1] not in b'"[{n':
                return value
            value = ANY.decode(value)
        if isinstance(value, dict | list):
            value = msgspec.json.encode(value).decode()
        if isinstance(value, str):
            return msgspec.Raw(self.format_text(value))
        return msgspec.Raw(self._empty if value is None else str(value))

    def format_text(self, value: str) -> str:
        """Return the cell for a text, quoted and escaped as necessary."""
        if self._escape_formulas and value.startswith(_FORMULA):
            value = "'" + value
        if _QUOTED.search(value):
            return '"' + value.replace('"', '""') + '"'
        return value or self._empty


def _format_floats(values: npt.NDArray[np.float64], empty: str) -> list[float | msgspec.Raw]:
    """Return the finite values, and *empty* for any other value.

    A value that `repr` writes in another way than JSON is returned as the text of `repr`.
    """
    cells, size = values.tolist(), np.abs(values)
    # JSON and `repr` write 0, and numbers with exponents of -10 or less, in the same way.
    is_same = ((size >= 1e-4) & (size < 1e16)) | (size < 1e-9)
    if not is_same.all():
        is_finite = np.isfinite(values)
        for index in np.flatnonzero(~is_finite).tolist():
            cells[index] = msgspec.Raw(empty)
        indices = np.flatnonzero(~is_same & is_finite)
        for index, text in zip(indices.tolist(), _to_repr(values[indices].tolist()), strict=True):
            cells[index] = msgspec.Raw(text)
    return cells  # type: ignore[no-any-return]


def _to_repr(numbers: list[float]) -> list[str]:
    """Return the `repr` of each number.

    Absolute values must be at least 1e16, or from 1e-9 to 1e-4. The digits come from msgspec, which writes
    numbers as JSON twenty times faster than `repr`.
    """
    if not numbers:
        return []
    # JSON has 1e16, 1e-6 and 0.00001 for 1e+16, 1e-06 and 1e-05.
    text = msgspec.json.encode(numbers).decode()[1:-1].replace("e", "e+").replace("e+-", "e-0")
    return [_to_scientific(cell) if "0.0000" in cell else cell for cell in text.split(",")]


def _to_scientific(number: str) -> str:
    """Return the scientific notation of a decimal from 0.00001 to 0.0001, such as 1.25e-05 for 0.0000125."""
    sign, _, digits = number.partition("0.0000")
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{sign}{mantissa}e-05"
