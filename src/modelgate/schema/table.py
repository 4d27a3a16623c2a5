"""Rows that passed a schema."""

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .columns import Column
from .rows import by_row

if TYPE_CHECKING:
    import pandas

__all__ = ["Table"]


class Table:
    """Validated rows, by column: what a model or a handler is given.

    ``table["age"]`` is an array with a value a row; ``len(table)`` is the number of rows; iterating
    gives the column names, in the schema's order.

    Args:
        columns: the schema's columns.
        numbers: float64, (rows, numeric columns): one block for the columns of kind ``number``,
            ``integer`` and ``boolean``, in their order; null is NaN.
        texts: for each other column, in their order, its values; null is None.
        warnings: what the caller should be told though the rows passed.
    """

    __slots__ = ("_columns", "_place", "numbers", "texts", "warnings")

    def __init__(
        self,
        columns: Sequence[Column],
        numbers: npt.NDArray[np.float64],
        texts: Sequence[Sequence[Any]],
        warnings: Sequence[str] = (),
    ) -> None:
        self._columns = columns
        self.numbers = numbers
        self.texts = texts
        self.warnings = warnings
        self._place: dict[str, tuple[Column, int]] | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[str]:
        return (column.name for column in self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._places()

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """The column *name*: float64, int64 or bool after its kind, object for text and for any.

        A column of integers or booleans with a null in it stays float64, null being NaN.
        """
        column, at = self._places()[name]
        if not column.numeric:
            return np.array(self.texts[at], dtype=object)
        values = self.numbers[:, at]
        if column.kind == "number" or np.isnan(values).any():
            return values
        return values.astype(np.int64 if column.kind == "integer" else np.bool_)

    def _places(self) -> dict[str, tuple[Column, int]]:
        if self._place is None:
            self._place = {}
            counts = [0, 0]
            for column in self._columns:
                self._place[column.name] = column, counts[column.numeric]
                counts[column.numeric] += 1
        return self._place

    @classmethod
    def joined(cls, tables: "Sequence[Table]") -> "Table":
        """One table of the rows of several that have the same columns; their warnings stay with them."""
        first = tables[0]
        if len(tables) == 1:
            return first
        texts = [list(chain.from_iterable(parts)) for parts in zip(*(t.texts for t in tables), strict=True)]
        return cls(first._columns, np.concatenate([table.numbers for table in tables]), texts)

    def part(self, start: int, stop: int) -> "Table":
        """The rows from *start* to *stop*."""
        texts = [cells[start:stop] for cells in self.texts]
        return Table(self._columns, self.numbers[start:stop], texts)

    def taken(self, rows: npt.NDArray[np.bool_]) -> "Table":
        """The rows where *rows*, one value for each, is True."""
        texts = [list(compress(cells, rows)) for cells in self.texts]
        return Table(self._columns, self.numbers[rows], texts)

    def rows(self) -> list[dict[str, Any]]:
        """The rows as dictionaries of plain Python values, null as None."""
        return by_row({column.name: self._plain(column) for column in self._columns})

    def _plain(self, column: Column) -> list[Any]:
        values: list[Any] = self[column.name].tolist()
        if not column.numeric:
            return values
        # Cell by cell: an array with a null in it is of floats, whatever the column's kind.
        kind = {"integer": int, "boolean": bool}.get(column.kind, float)
        return [None if value != value else kind(value) for value in values]

    def to_array(self) -> npt.NDArray[Any]:
        """(rows, columns) in the schema's order: float64, or object where there is text. It is a copy."""
        if not self.texts:
            return self.numbers.copy()
        block = np.empty((len(self), len(self._columns)), dtype=object)
        for at, name in enumerate(self):
            block[:, at] = self[name]
        return block

    def to_pandas(self, none: Collection[str] = ()) -> "pandas.DataFrame":
        """The table as a DataFrame. Needs the extra ``pandas``.

        Args:
            none: the text columns in which null is None; in all others it is NaN.
        """
        import pandas

        if not self.texts and all(column.kind == "number" for column in self._columns):
            return pandas.DataFrame(self.numbers.copy("K"), columns=list(self), copy=False)
        columns = {}
        for column in self._columns:
            values = np.array(self[column.name])
            if not column.numeric and column.name not in none:
                values[values == np.array(None)] = np.nan
            series = pandas.Series(values, dtype=values.dtype, copy=False)
            columns[column.name] = series.infer_objects() if column.kind == "any" else series
        return pandas.DataFrame(columns, copy=False)
