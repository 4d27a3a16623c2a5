"""Tables of validated rows."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .columns import Column
from .datetimes import to_python_datetimes
from .split_rows import columns_to_records

if TYPE_CHECKING:
    import pandas

__all__ = ["Table"]


class Table:
    """Validated rows, stored by column: the input of models and handlers.

    ``table["age"]`` is an array with one value per row, and ``len(table)`` is the number of rows. Iterating
    over a table yields the column names, in the order of the schema.

    Args:
        columns: Columns of the schema.
        numbers: float64 array of shape (rows, numeric columns), for the columns of kind ``number``,
            ``integer`` and ``boolean``, in their order. Null is NaN.
        texts: One sequence of values for each of the other columns, in their order. The values are texts,
            datetime64, arrays or any values. Null is None.
        warnings: Warnings to return to the caller.

    Attributes:
        row_count: Number of rows; faster than ``len(table)``.
    """

    __slots__ = ("_columns", "_indices", "numbers", "row_count", "texts", "warnings")

    def __init__(
        self,
        columns: Sequence[Column],
        numbers: npt.NDArray[np.float64],
        texts: Sequence[Sequence[Any]],
        warnings: Sequence[str] = (),
    ) -> None:
        self._columns = columns
        self.numbers = numbers
        self.row_count = len(numbers)
        self.texts = texts
        self.warnings = warnings
        self._indices: dict[str, tuple[Column, int]] | None = None

    def __len__(self) -> int:
        return self.row_count

    def __iter__(self) -> Iterator[str]:
        return (column.name for column in self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._locate()

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return the values of the column *name* as an array.

        The dtype depends on the kind of the column:

        * ``number``: float64; null is NaN.
        * ``integer``, ``boolean``: int64 and bool, or float64 if there are nulls; null is NaN.
        * ``datetime``: datetime64, in UTC if the column has a time zone; null is NaT.
        * ``text``, ``any``: object; null is None.
        * ``image``, ``tensor``: an array of shape ``(rows, *array_shape)``; see `Column.array_shape`.
        """
        column, index = self._locate()[name]
        if column.is_array:
            return np.array(self.texts[index]).reshape(-1, *column.array_shape)
        if column.kind == "datetime":
            return np.array(self.texts[index], dtype=f"datetime64[{column.resolution or 'us'}]")
        if not column.numeric:
            return np.array(self.texts[index], dtype=object)
        values = self.numbers[:, index]
        if column.kind == "number" or np.isnan(values).any():
            return values
        return values.astype(np.int64 if column.kind == "integer" else np.bool_)

    def stored(self, name: str) -> Sequence[Any] | npt.NDArray[np.float64]:
        """Return the values of the column *name* as they are stored; see *numbers* and *texts*."""
        column, index = self._locate()[name]
        return self.numbers[:, index] if column.numeric else self.texts[index]

    def _locate(self) -> dict[str, tuple[Column, int]]:
        """Return each column by name, with its index in *numbers* or *texts*."""
        if self._indices is None:
            self._indices = {}
            counts = [0, 0]
            for column in self._columns:
                self._indices[column.name] = column, counts[column.numeric]
                counts[column.numeric] += 1
        return self._indices

    @classmethod
    def concat(cls, tables: "Sequence[Table]") -> "Table":
        """Concatenate tables that have the same columns.

        Warnings are dropped, unless there is only one table.
        """
        first = tables[0]
        if len(tables) == 1:
            return first
        texts = [list(chain.from_iterable(parts)) for parts in zip(*(t.texts for t in tables), strict=True)]
        return cls(first._columns, np.concatenate([table.numbers for table in tables]), texts)

    @classmethod
    def join(cls, columns: Sequence[Column], tables: "Iterable[Table]") -> "Table":
        """Concatenate an iterable of *tables* with the columns *columns*, and keep their warnings.

        Only the result and one of the tables need be in memory at the same time.
        """
        texts: list[list[Any]] = [[] for column in columns if not column.numeric]
        numbers = np.empty((0, len(columns) - len(texts)))
        warnings = dict[str, None]()
        for table in tables:
            count = len(numbers)
            # Growing a large array in place avoids the copies of np.concatenate.
            numbers.resize((count + len(table), numbers.shape[1]), refcheck=False)
            numbers[count:] = table.numbers
            for cells, more in zip(texts, table.texts, strict=True):
                cells.extend(more)
            warnings.update(dict.fromkeys(table.warnings))
        return cls(columns, numbers, texts, tuple(warnings))

    def cross(self, values: "Table") -> "Table":
        """Return the rows of this table once for each row of *values*.

        In the first copy of the rows, the columns of *values* are overwritten with the first row of *values*.
        In the second copy they are overwritten with the second row, and so on.
        """
        numbers = np.tile(self.numbers, (len(values), 1))
        texts = [list(cells) * len(values) for cells in self.texts]
        for name, (column, source) in values._locate().items():
            index = self._locate()[name][1]
            if column.numeric:
                numbers[:, index] = np.repeat(values.numbers[:, source], len(self))
            else:
                texts[index] = [cell for cell in values.texts[source] for _ in range(len(self))]
        return Table(self._columns, numbers, texts)

    def slice(self, start: int, stop: int) -> "Table":
        """Return the rows from *start* up to *stop*, without warnings."""
        texts = [cells[start:stop] for cells in self.texts]
        return Table(self._columns, self.numbers[start:stop], texts)

    def slices(self, rows: int) -> "Iterator[Table]":
        """Yield the rows in tables of at most *rows* rows, without warnings."""
        for start in range(0, len(self), rows):
            yield self.slice(start, start + rows)

    def select(self, rows: npt.NDArray[np.bool_]) -> "Table":
        """Return the rows for which the mask *rows* is True, without warnings."""
        texts = [list(compress(cells, rows)) for cells in self.texts]
        return Table(self._columns, self.numbers[rows], texts)

    def without(self, name: str) -> "Table":
        """Return the rows without the numeric column *name*, and without warnings."""
        index = self._locate()[name][1]
        columns = [column for column in self._columns if column.name != name]
        return Table(columns, np.delete(self.numbers, index, axis=1), self.texts)

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each column; see `Column`."""
        return {column.name: column.kind for column in self._columns}

    def rows(self, omit: Collection[str] = ()) -> list[dict[str, Any]]:
        """Return the rows as dictionaries of plain Python values. Null is None.

        Datetimes of a column with a time zone are in that zone.

        Args:
            omit: Columns to leave out.
        """
        columns = {column.name: self._to_list(column) for column in self._columns if column.name not in omit}
        return columns_to_records(columns) if columns else [{} for _ in range(len(self))]

    def _to_list(self, column: Column) -> list[Any]:
        if column.kind == "datetime":
            return to_python_datetimes(self[column.name], column.timezone)
        values: list[Any] = self[column.name].tolist()
        if not column.numeric:
            return values
        # Convert each cell: one null makes the whole array float64.
        convert = {"integer": int, "boolean": bool}.get(column.kind, float)
        return [None if value != value else convert(value) for value in values]

    def _to_objects(self, column: Column, none: bool = False) -> list[Any]:
        """Return the values of a *column* that the model gets with the dtype object.

        Null becomes None if *none* is True or the column has ``missing_value="None"``, else NaN.
        """
        missing = None if none or column.missing_value == "None" else np.nan
        return [missing if value is None else value for value in self._to_list(column)]

    def to_array(self, dtype: str | None = None) -> npt.NDArray[Any]:
        """Return a new array of shape (rows, columns), in the order of the schema.

        An image or a tensor has as many columns as elements, in row-major order.

        Args:
            dtype: dtype of an array of numbers, for example ``int64`` or ``object``. If this dtype cannot
                represent the nulls in the array, float64 is used. None means float64 if all columns are
                numeric, the common numpy dtype of the columns if there are also images or tensors, and object
                if there are other columns.
        """
        if not self.texts and dtype != "object":
            has_null = dtype is not None and dtype[0] in "iub" and bool(np.isnan(self.numbers).any())
            return self.numbers.copy() if dtype is None or has_null else self.numbers.astype(dtype)
        if dtype is None and all(column.numeric or column.is_array for column in self._columns):
            blocks = [np.reshape(self[column.name], (len(self), -1)) for column in self._columns]
            return np.concatenate(blocks, axis=1)
        array = np.empty((len(self), len(self._columns)), dtype=object)
        for index, column in enumerate(self._columns):
            if column.dtype == "object":
                array[:, index] = self._to_objects(column)
            else:
                array[:, index] = self._to_list(column) if column.kind == "datetime" else self[column.name]
        return array

    def to_pandas(self, none: Collection[str] = (), *, plain: Collection[str] = ()) -> "pandas.DataFrame":
        """Return a DataFrame. Requires the extra ``pandas``.

        Args:
            none: Text columns in which null is None. In all other text columns, null is NaN.
            plain: Text columns with the default text dtype of pandas, which is ``str`` from pandas 3 on.
                All other text columns have the dtype object, unless their `Column` has a *dtype*.
        """
        import pandas

        if not self.texts and all(column.kind == "number" and not column.dtype for column in self._columns):
            return pandas.DataFrame(self.numbers.copy("K"), columns=list(self), copy=False)
        columns = {}
        for column in self._columns:
            if column.kind == "datetime":
                columns[column.name] = _to_series(column, self[column.name])
                continue
            if column.dtype == "object":
                cells = self._to_objects(column, column.name in none)
                columns[column.name] = pandas.Series(cells, dtype=object)
                continue
            if column.is_array:
                columns[column.name] = pandas.Series(list(self[column.name]), dtype=object)
                continue
            values = np.array(self[column.name])
            if not column.numeric and column.name not in none:
                values[values == np.array(None)] = np.nan
            series = pandas.Series(values, dtype=values.dtype, copy=False)
            if column.kind == "any":
                series = series.infer_objects()
            elif column.name in plain:
                series = series.astype(pandas.Series(["text"]).dtype)
            if column.dtype is not None and not column.dtype.endswith("category"):
                series = _with_dtype(series, column.dtype)
            columns[column.name] = series
        return pandas.DataFrame(columns, copy=False)


def _with_dtype(series: "pandas.Series[Any]", dtype: str) -> "pandas.Series[Any]":
    """Return *series* with *dtype*, unless it has nulls that *dtype* cannot represent."""
    has_null = dtype[0] in "iub" and dtype != "boolean" and series.hasnans
    return series if has_null else series.astype(dtype)  # type: ignore[call-overload]


def _to_series(column: Column, values: npt.NDArray[Any]) -> "pandas.Series[Any]":
    """Return the datetimes *values* of *column* as a Series with the dtype of the training data."""
    import pandas

    series = pandas.Series(values.astype(f"datetime64[{column.resolution or _default_resolution()}]"))
    if column.timezone is None:
        return series
    return pandas.Series(pandas.DatetimeIndex(series).tz_localize("UTC").tz_convert(column.timezone))


@cache
def _default_resolution() -> str:
    """Return the resolution that the installed pandas gives to datetimes read from text."""
    import pandas

    return pandas.to_datetime(["2024-01-06"]).unit
