"""CSV read by the block: JSON's decoder for its numbers, and for many of them `csv_numbers`.

What this takes is a part of what `csv_rows` and `check` take, and the same values bit for bit;
where it is in doubt it gives up, and they decide.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np

from ..http.strict_json import occurrences
from .coerce import from_text
from .columns import EXACT, Column
from .csv_numbers import Numbers, block_of, blocks_of, has_short_cells
from .policy import Policy
from .table import Table

__all__ = ["Plan"]

# A line of numbers is a JSON array without its brackets, but for what is no number to `from_text`.
_NO_NUMBER = re.compile(rb"[nN\r\[\]]|[eE][+-]?\d{6}")
_EMPTY = re.compile(rb"(?<![^,\n])(?![^,\n])")


class Plan:
    """Where the columns stand under one header, and how they are read there.

    Args:
        header: the names sent.
        columns: in the order of the schema.
        policy: of the schema.

    Attributes:
        missing: the required columns that were not sent.
        others: the names sent that the schema does not have.
        unexpected: these, where they are forbidden.
    """

    def __init__(self, header: list[str], columns: Sequence[Column], policy: Policy) -> None:
        self.header = header
        self._columns = columns
        place = {name: at for at, name in enumerate(header)}
        names = {column.name for column in columns}
        self.missing = [c.name for c in columns if c.required and c.name not in place]
        self.others = [name for name in header if name not in names]
        self.unexpected = self.others if policy.extra == "forbid" else []
        self._fits = not (self.missing or self.unexpected)
        numeric = [column for column in columns if column.numeric]
        self._texts = [(column, place.get(column.name)) for column in columns if not column.numeric]
        self._sent = [at for at, column in enumerate(numeric) if column.name in place]
        self._unsent = [None if c.name in place else c.default for c in numeric]
        sent = [numeric[at] for at in self._sent]
        self._places = [place[column.name] for column in sent]
        self._rules = _Rules(sent)
        self._booleans = any(column.kind == "boolean" for column in sent)
        self._nullable = any(column.nullable for column in sent)
        types = tuple((bool if column.kind == "boolean" else float) | None for column in sent)
        self._json: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[tuple[types]])  # type: ignore[valid-type]
        self._ordered = self._places == list(range(len(header)))
        # A blank line is no row, and in one column alone it looks like an empty cell.
        self._by_lines = self._fits and not self._texts and len(header) > 1 and bool(sent)
        self._by_block = self._by_lines and not self._booleans

    def of_body(self, raw: bytes, start: int, end: int, rows: int) -> Iterator[Table | None]:
        """The tables of the lines from *start* to *end*, as `blocks_of` gives them."""
        blocks = blocks_of(raw, start, end, len(self.header), rows) if self._by_block else iter([None])
        for numbers in blocks:
            yield self._of_block(numbers)

    def of_lines(self, lines: bytes, rows: int) -> Table | None:
        """The table of *lines* without quotes; None where it is for the cells to say."""
        if not self._by_lines or not has_short_cells(lines, 0, len(lines)):
            return None
        table = self._of_block(block_of(lines, rows, len(self.header))) if self._by_block else None
        if table is not None or not self._ordered:
            return table
        numbers = self._decode(lines, rows)
        return self._table(numbers, rows, []) if numbers is not None else None

    def _of_block(self, numbers: Numbers | None) -> Table | None:
        if numbers is None:
            return None
        return self._table(numbers if self._ordered else numbers[:, self._places], len(numbers), [])

    def of_cells(self, cells: list[list[str]]) -> Table | None:
        """The table of *cells*, a row each; None where it is for `check` to say."""
        if not self._fits:
            return None
        texts = []
        for column, at in self._texts:
            kept = [column.default] * len(cells) if at is None else _texts(column, [row[at] for row in cells])
            if kept is None:
                return None
            texts.append(kept)
        if not self._places:
            return self._table(np.empty((len(cells), 0)), len(cells), texts)
        pick: Callable[[list[str]], Sequence[str]] = (
            itemgetter(*self._places) if len(self._places) > 1 else lambda row: (row[self._places[0]],)
        )
        lines = "\n".join([",".join(pick(row)) for row in cells]).encode()
        numbers = self._decode(lines, len(cells))
        return self._table(numbers, len(cells), texts) if numbers is not None else None

    def _decode(self, lines: bytes, rows: int) -> Numbers | None:
        """The numbers in *lines*. Each cell comes out as one value or the whole does not come out."""
        if occurrences(lines, b"\n") != rows - 1 or _NO_NUMBER.search(lines):
            return None
        if self._booleans:
            lines = lines.lower()
        values = self._values(lines)
        if values is None and self._nullable:
            values = self._values(_EMPTY.sub(b"null", lines))
        return np.array(values, dtype=np.float64) if values is not None else None

    def _values(self, lines: bytes) -> list[tuple[Any, ...]] | None:
        try:
            return self._json.decode(b"[[%b]]" % lines.replace(b"\n", b"],["))  # type: ignore[no-any-return]
        except (msgspec.MsgspecError, ValueError):
            return None

    def _table(self, numbers: Numbers, rows: int, texts: list[list[Any]]) -> Table | None:
        if not self._rules.keep(numbers):
            return None
        if len(self._sent) < len(self._unsent):
            sent, numbers = numbers, np.tile(np.array(self._unsent, dtype=np.float64), (rows, 1))
            numbers[:, self._sent] = sent
        return Table(self._columns, numbers, texts)


class _Rules:
    """The rules of numeric columns, for many rows at once."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._required = [at for at, column in enumerate(columns) if not column.nullable]
        self._whole = [at for at, column in enumerate(columns) if column.kind == "integer"]
        self._levels = [(at, list(c.levels)) for at, c in enumerate(columns) if c.levels is not None]
        free = [column for column in columns if column.levels is None]
        least = [-np.inf if c.minimum is None or c.levels else c.minimum for c in columns]
        greatest = [np.inf if c.maximum is None or c.levels else c.maximum for c in columns]
        self._least, self._greatest = np.array(least, dtype=np.float64), np.array(greatest, dtype=np.float64)
        self._bounded = any(c.minimum is not None or c.maximum is not None for c in free)
        # `check` compares whole numbers before they are rounded to floats; beyond EXACT that matters.
        exact = bool(self._bounded or self._whole or self._levels)
        self._limit = float(EXACT) if exact else 1e308

    def keep(self, numbers: Numbers) -> bool:
        """Whether all *numbers* keep the rules, null being NaN; whole ones become so in place."""
        if not numbers.size:
            return True
        # Column by column: an array of as many answers as numbers takes longer than to find them.
        least, greatest = numbers.min(axis=0), numbers.max(axis=0)
        empty = np.isnan(greatest)
        if empty.any():
            if empty[self._required].any():
                return False
            least, greatest = np.fmin.reduce(numbers), np.fmax.reduce(numbers)
        if (np.maximum(-least, greatest) >= self._limit).any():
            return False
        if (least < self._least).any() or (greatest > self._greatest).any():
            return False
        for at, levels in self._levels:
            values = numbers[:, at]
            if not (np.isin(values, levels) | np.isnan(values)).all():
                return False
        if self._whole:
            values = numbers[:, self._whole]
            whole = np.trunc(values)
            if ((whole != values) & ~np.isnan(values)).any():
                return False
            numbers[:, self._whole] = whole + 0.0  # never -0.0
        return True


def _texts(column: Column, cells: list[str]) -> list[Any] | None:
    kept: dict[str, Any] = {cell: from_text(column, cell) for cell in set(cells)}
    if "" in kept:
        if not column.nullable:
            return None
        del kept[""]
    if not all(map(column.allows, kept.values())):
        return None
    kept[""] = None
    return [kept[cell] for cell in cells]
