"""Fast paths for CSV. One parses cells column by column, and the other parses large bodies with pandas.

They accept a subset of what `csv_decoder.iter_records` and `validate_rows` accept, with identical results.
For anything else they return None.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from ..codecs.csv_blocks import parse_blocks
from ..codecs.csv_numbers import Numbers, parse_numbers
from .coerce import coerce_to_kind, coercion_warnings, null_texts, parse_text
from .columns import EXACT, Column
from .names import match_names
from .schema_options import SchemaOptions
from .table import Table

__all__ = ["CSVLayout"]

_BOOLEANS = {"true": 1.0, "false": 0.0}


class CSVLayout:
    """Positions of a schema's columns under one CSV header, and fast parsers for its rows.

    Args:
        header: Column names in the first line. A misspelled name that can only mean one column is corrected.
        columns: Columns of the schema, in order.
        options: Options of the schema.

    Attributes:
        missing: Required columns that are not in the header.
        extra: Names in the header that the schema does not have.
        unexpected: Equal to *extra* if the schema forbids extra columns, else empty.
    """

    def __init__(self, header: list[str], columns: Sequence[Column], options: SchemaOptions) -> None:
        aliases = match_names([column.name for column in columns], header)
        self.header = header = [aliases.get(name, name) for name in header]
        self._columns = columns
        positions = {name: position for position, name in enumerate(header)}
        names = {column.name for column in columns}
        self.missing = [c.name for c in columns if c.required and c.name not in positions]
        self.extra = [name for name in header if name not in names]
        self.unexpected = self.extra if options.extra_columns == "forbid" else []
        self._fits = not (self.missing or self.unexpected)
        numeric = [column for column in columns if column.numeric]
        self._na_values = options.na_values
        self._nulls = dict.fromkeys(["", *options.na_values], np.nan)
        self._texts = [(column, positions.get(column.name)) for column in columns if not column.numeric]
        self._sent = [index for index, column in enumerate(numeric) if column.name in positions]
        self._defaults = [None if c.name in positions else c.default for c in numeric]
        sent = [numeric[index] for index in self._sent]
        self._positions = [positions[column.name] for column in sent]
        self._rules = _NumericRules(sent)
        self._numbers = [index for index, column in enumerate(sent) if column.kind != "boolean"]
        self._booleans = [index for index, column in enumerate(sent) if column.kind == "boolean"]
        all_accept = all(column.accepts_booleans for column in sent if column.kind != "boolean")
        self._number = Column("number", accepts_booleans=all_accept)
        self._number_positions = [self._positions[index] for index in self._numbers]
        self._pick = _cell_picker(self._number_positions)
        # With a single column, a blank line could be mistaken for an empty cell.
        self._by_block = self._fits and len(header) > 1 and not any(column.is_array for column in columns)

    def parse_body(self, raw: bytes, start: int, end: int, rows: int) -> Iterator[Table | None]:
        """Parse the lines between the byte offsets *start* and *end*, *rows* at a time.

        The iterator yields tables. If the remaining lines must be parsed in another way, it yields None and
        ends.
        """
        if not self._by_block:
            yield None
            return
        for block in parse_blocks(raw, start, end, len(self.header), rows, self._number_positions):
            yield None if block is None else self._build_table(block[0], block[1].__getitem__)

    def parse_cells(self, cells: list[list[str]]) -> Table | None:
        """Convert *cells*, one list per row, to a table. Return None if `validate_rows` must do this."""
        if not self._fits:
            return None
        numbers = self._parse_numbers(cells)
        if numbers is None:
            return None
        return self._build_table(numbers, lambda position: [row[position] for row in cells])

    def _parse_numbers(self, cells: list[list[str]]) -> Numbers | None:
        if not self._numbers:
            return np.empty((len(cells), 0))
        texts = [cell for row in cells for cell in self._pick(row)]
        values = parse_numbers(texts)
        if values is None and not self._nulls.keys().isdisjoint(texts):
            texts = ["" if text in self._nulls else text for text in texts]
            values = parse_numbers(texts)
        if values is None:
            values = _parse_each(self._number, texts, self._nulls)
        return None if values is None else values.reshape(len(cells), -1)

    def _build_table(self, numbers: Numbers, read_column: Callable[[int], list[str]]) -> Table | None:
        """Return a table of *numbers* and the other columns, or None if `validate_rows` must create it.

        Args:
            numbers: Values of the columns at `_number_positions`.
            read_column: Function that returns the cells of the column at a position.
        """
        rows, texts, warnings = len(numbers), [], list[str]()
        for column, position in self._texts:
            if position is None:
                texts.append([coerce_to_kind(column, column.default)] * rows)
                continue
            values = _parse_texts(column, read_column(position), null_texts(column, self._na_values))
            if values is None:
                return None
            texts.append(values)
            warnings += coercion_warnings(column, values)
        if self._booleans:
            sent, numbers = numbers, np.empty((rows, len(self._positions)))
            numbers[:, self._numbers] = sent
            for index in self._booleans:
                cells = read_column(self._positions[index])
                flags = {cell: _BOOLEANS.get(cell.strip(" \t").lower()) for cell in set(cells)} | self._nulls
                if None in flags.values():
                    return None
                numbers[:, index] = [flags[cell] for cell in cells]
        if not self._rules.allows(numbers):
            return None
        if len(self._sent) < len(self._defaults):
            sent, numbers = numbers, np.tile(np.array(self._defaults, dtype=np.float64), (rows, 1))
            numbers[:, self._sent] = sent
        return Table(self._columns, numbers, texts, warnings)


class _NumericRules:
    """Rules of numeric columns, applied to many rows at once."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._required = [index for index, column in enumerate(columns) if not column.nullable]
        self._integers = [index for index, column in enumerate(columns) if column.kind == "integer"]
        self._levels = [(index, list(c.levels)) for index, c in enumerate(columns) if c.levels is not None]
        lower = [-np.inf if c.minimum is None or c.levels else c.minimum for c in columns]
        upper = [np.inf if c.maximum is None or c.levels else c.maximum for c in columns]
        self._lower, self._upper = np.array(lower, dtype=np.float64), np.array(upper, dtype=np.float64)
        bounded = any(c.minimum is not None or c.maximum is not None for c in columns if c.levels is None)
        # `validate_rows` checks integers before rounding them to float64. Beyond EXACT, the results differ.
        self._limit = float(EXACT) if bounded or self._integers or self._levels else 1e308

    def allows(self, numbers: Numbers) -> bool:
        """Return whether all *numbers* satisfy the rules. NaN stands for null.

        If so, -0.0 in integer columns is replaced by 0.0 in place.
        """
        if not numbers.size:
            return True
        # Reduce first: comparing every number would allocate an array as large as *numbers*.
        smallest, largest = numbers.min(axis=0), numbers.max(axis=0)
        with_null = np.isnan(largest)
        if with_null.any():
            if with_null[self._required].any():
                return False
            smallest, largest = np.fmin.reduce(numbers), np.fmax.reduce(numbers)
        if (np.maximum(-smallest, largest) >= self._limit).any():
            return False
        if (smallest < self._lower).any() or (largest > self._upper).any():
            return False
        for index, levels in self._levels:
            values = numbers[:, index]
            if not (np.isin(values, levels) | np.isnan(values)).all():
                return False
        if self._integers:
            values = numbers[:, self._integers]
            truncated = np.trunc(values)
            if ((truncated != values) & ~np.isnan(values)).any():
                return False
            numbers[:, self._integers] = truncated + 0.0  # -0.0 becomes 0.0
        return True


def _parse_texts(column: Column, cells: list[str], nulls: frozenset[str]) -> list[Any] | None:
    """Return the values of *cells*, with None for *nulls*.

    Returns None instead of a list if *column* forbids a value, or has the kind ``image`` or ``tensor``.
    """
    distinct = set(cells)
    if column.is_array:
        return None
    if not column.nullable and not nulls.isdisjoint(distinct):
        return None
    values: dict[str, Any] = {cell: parse_text(column, cell) for cell in distinct - nulls}
    if not all(map(column.allows, values.values())):
        return None
    values |= dict.fromkeys(nulls)
    return list(map(values.__getitem__, cells))


def _cell_picker(positions: list[int]) -> Callable[[list[str]], Sequence[str]]:
    """Return a function that takes the cells at *positions* from a row."""
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda row: [row[position] for position in positions]


def _parse_each(column: Column, texts: list[str], nulls: Mapping[str, float]) -> Numbers | None:
    """Parse *texts*. Each must be a number in a form that *column* accepts, or a key of *nulls*.

    Returns None if a text is neither a number nor a key.
    """
    values: dict[str, Any] = {text: parse_text(column, text) for text in set(texts)} | dict(nulls)
    if any(isinstance(value, str) for value in values.values()):
        return None
    try:
        return np.array([float(values[text]) for text in texts])
    except OverflowError:
        return None
