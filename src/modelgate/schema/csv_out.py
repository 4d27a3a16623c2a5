"""CSV written: columns in, RFC 4180 with a header line out."""

import re
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..http.strict_json import ANY

__all__ = ["csv_of"]

_STEP = 8192
"""How many rows are text at once: cells take ten times the bytes they come to."""

_QUOTED = re.compile(r'[",\r\n]')
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(
    columns: Sequence[tuple[str, Any]], rows: int, *, escape_formulas: bool = False, header: bool = True
) -> bytes:
    """The columns as CSV: a comma, a newline, UTF-8.

    Numbers are written as Python's `repr` does, null as an empty cell, what JSON calls an array or an
    object as JSON.

    Args:
        columns: each its name and its values: an array, a list of plain Python values and raw JSON,
            or one value for all rows.
        rows: how many there are.
        escape_formulas: whether text that a spreadsheet would take for a formula gets a ``'`` in
            front (OWASP, "CSV Injection").
        header: whether the names stand in the first line.
    """
    write = _Writer(escape_formulas, alone=len(columns) == 1)
    names = ",".join([write.text(name) for name, _ in columns]) + "\n"
    parts = (slice(at, min(at + _STEP, rows)) for at in range(0, rows, _STEP))
    blocks = (write.lines([values for _, values in columns], part) for part in parts)
    return b"".join([names.encode() if header else b"", *blocks])


class _Writer:
    def __init__(self, escape_formulas: bool, alone: bool) -> None:
        self._escape = escape_formulas
        # A line with nothing in it would be no row to most readers.
        self._empty = '""' if alone else ""

    def lines(self, columns: Iterable[Any], rows: slice) -> bytes:
        """A line for each of *rows*."""
        cells = [self._cells(values, rows) for values in columns]
        return ("\n".join(map(",".join, zip(*cells, strict=True))) + "\n").encode()

    def _cells(self, values: Any, rows: slice) -> Iterable[str]:
        if not isinstance(values, np.ndarray | list):
            return repeat(self._cell(values), rows.stop - rows.start)
        block = values[rows]
        if isinstance(block, np.ndarray):
            if block.dtype.kind == "f":
                return _reprs(block.astype(np.float64))
            if block.dtype.kind in "iu":
                return map(repr, block.tolist())
            block = block.tolist()
        if set(map(type, block)) == {str}:
            # Labels: a few, again and again.
            cells = {value: self.text(value) for value in set(block)}
            return map(cells.__getitem__, block)
        return map(self._cell, block)

    def _cell(self, value: Any) -> str:
        if isinstance(value, msgspec.Raw):
            raw = bytes(value)
            # A number of JSON stays digit for digit what it was.
            if raw[:1] not in b'"[{n':
                return raw.decode()
            value = ANY.decode(raw)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict | list):
            return self.text(msgspec.json.encode(value).decode())
        return self._empty if value is None else str(value)

    def text(self, value: str) -> str:
        """A cell of text."""
        if self._escape and value.startswith(_FORMULA):
            value = "'" + value
        if _QUOTED.search(value):
            return '"' + value.replace('"', '""') + '"'
        return value or self._empty


def _reprs(values: npt.NDArray[np.float64]) -> list[str]:
    """The `repr` of each, which costs three times what JSON does: of most numbers both are the same."""
    numbers, size = values.tolist(), np.abs(values)
    cells = msgspec.json.encode(numbers).decode()[1:-1].split(",")
    for at in np.flatnonzero(~((size >= 1e-4) & (size < 1e16))).tolist():
        cells[at] = repr(numbers[at])
    return cells
