"""The schema of a deployment's input."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ..errors import ConfigurationError, InvalidInput
from .columns import Column, Kind, Level
from .decode import Decoder, check
from .infer import columns_of
from .table import Table

__all__ = ["Schema"]

_KINDS: dict[type, Kind] = {float: "number", int: "integer", bool: "boolean", str: "text"}


class Schema:
    """The columns an input must have, compiled for reading.

    Args:
        columns: in the order the model was trained with.

    Raises:
        ConfigurationError: there are none, or two share a name.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        if not self.columns:
            raise ConfigurationError("columns: accepts at least one column")
        if len({column.name for column in self.columns}) != len(self.columns):
            raise ConfigurationError("columns: two columns share a name")
        self._decoder = Decoder(self.columns)

    @classmethod
    def of(cls, **columns: type | Sequence[Level] | Column) -> "Schema":
        """A schema written by hand: ``Schema.of(age=float, plan=["free", "pro"])``.

        Args:
            columns: for each name ``float``, ``int``, ``bool`` or ``str``, the list of values
                allowed, or a `Column`.

        Raises:
            ConfigurationError: one of them is something else.
        """
        return cls([_column(name, told) for name, told in columns.items()])

    @classmethod
    def from_model(cls, model: object) -> "Schema":
        """The schema a fitted scikit-learn estimator tells of itself.

        The names come from ``feature_names_in_`` (``x0``, ``x1``, … for a model fitted on an
        array); what a ColumnTransformer drops is not asked for; the levels of its encoders are the
        values allowed; a column that is imputed may be null.

        Raises:
            ConfigurationError: the model tells neither names nor number of its inputs.
        """
        return cls(columns_of(model))

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __repr__(self) -> str:
        return f"Schema({list(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, in order."""
        return tuple(column.name for column in self.columns)

    def read(self, rows: object) -> Table:
        """The table of *rows*, checked.

        Args:
            rows: raw JSON (an object is one row, an array of objects many), or Python values: a
                mapping (one row; of sequences, columns), a sequence of mappings, an array of
                (rows, columns) in the schema's order, or a pandas or polars DataFrame. NaN counts
                as null.

        Raises:
            MalformedBody: raw JSON that is not rows.
            InvalidInput: Python values that are not rows.
            MissingColumns, InvalidValues: the rows break the schema.
        """
        if isinstance(rows, msgspec.Raw):
            return self._decoder(bytes(rows))
        if isinstance(rows, bytes):
            return self._decoder(rows.strip(b" \t\r\n"))
        return check(self.columns, self._records(rows))

    def _records(self, rows: Any) -> Sequence[object]:
        if hasattr(rows, "to_dicts"):
            rows = rows.to_dicts()
        elif hasattr(rows, "to_dict") and hasattr(rows, "columns"):
            if not rows.columns.is_unique:
                raise InvalidInput("Two columns of the DataFrame share a name")
            rows = rows.to_dict("records")
        elif isinstance(rows, Mapping):
            rows = _by_row(rows)
        elif isinstance(rows, np.ndarray):
            if rows.ndim != 2 or rows.shape[1] != len(self):
                raise InvalidInput(f"The array has the shape {rows.shape}: send (rows, {len(self)})")
            rows = [dict(zip(self.names, row, strict=True)) for row in rows]
        if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
            raise InvalidInput("Send rows: a mapping, a sequence of mappings, an array or a DataFrame")
        return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _column(name: str, told: type | Sequence[Level] | Column) -> Column:
    if isinstance(told, Column):
        return Column(name, told.kind, told.levels, told.required, told.nullable)
    if isinstance(told, type) and told in _KINDS:
        return Column(name, _KINDS[told])
    if isinstance(told, Sequence) and not isinstance(told, str) and told:
        kinds = {_KINDS.get(type(level)) for level in told}
        kind = "number" if kinds == {"number", "integer"} else kinds.pop() if len(kinds) == 1 else None
        if kind is not None:
            return Column(name, kind, tuple(told))
    raise ConfigurationError(
        f"column {name!r}: {told!r}: accepts float, int, bool, str, a list of values of one of them, or a Column"
    )


def _by_row(rows: Mapping[str, Any]) -> list[Any]:
    columns = [isinstance(values, list | tuple) or np.ndim(values) == 1 for values in rows.values()]
    if not columns or not all(columns):
        return [rows]
    if len({len(values) for values in rows.values()}) != 1:
        raise InvalidInput("The columns have different lengths")
    return [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]


def _plain(value: object) -> object:
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
