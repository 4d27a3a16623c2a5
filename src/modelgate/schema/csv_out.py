"""CSV written: columns in, RFC 4180 with a header line out."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from ..strict_json import ANY

__all__ = ["csv_of"]

_STEP = 8192
"""How many rows are text at once: cells take twenty times the bytes they come to."""

_QUOTED = re.compile(r'[",\r\n]')
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(columns: Sequence[tuple[str, Any]], *, escape_formulas: bool = False) -> bytes:
    """The columns as CSV: a comma, a newline, UTF-8.

    Numbers are written as Python's `repr` does, null as an empty cell, what JSON calls an array or an
    object as JSON.

    Args:
        columns: at least one, each its name and its values: an array, or a sequence of plain Python
            values and raw JSON.
        escape_formulas: whether text that a spreadsheet would take for a formula gets a ``'`` in
            front (OWASP, "CSV Injection").
    """
    write = _Writer(escape_formulas, alone=len(columns) == 1)
    names = ",".join(map(write.text, (name for name, _ in columns))) + "\n"
    rows = len(columns[0][1])
    blocks = (write.lines([values[at : at + _STEP] for _, values in columns]) for at in range(0, rows, _STEP))
    return b"".join([names.encode(), *blocks])


class _Writer:
    def __init__(self, escape_formulas: bool, alone: bool) -> None:
        self._escape = escape_formulas
        # A line with nothing in it would be no row to most readers.
        self._empty = '""' if alone else ""

    def lines(self, columns: Iterable[Any]) -> bytes:
        """A line for each row of *columns*."""
        rows = zip(*map(self._cells, columns), strict=True)
        return ("\n".join(map(",".join, rows)) + "\n").encode()

    def _cells(self, values: Any) -> Iterator[str]:
        if isinstance(values, np.ndarray):
            if values.dtype.kind in "iuf":
                return map(repr, values.tolist())
            values = values.tolist()
        return map(self._cell, values)

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
