"""The schema of a deployment's input."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..errors import ConfigurationError, InvalidInput
from .check import check, refuse_many
from .coerce import as_json
from .columns import Column, Kind, Level
from .csv_rows import CSV, ROWS, CSVDecoder
from .decode import Decoder
from .files import read_file, write_file
from .infer import columns_of
from .policy import Policy
from .rows import Split, by_row
from .sources import columns_of_pandera, columns_of_sample, columns_of_signature
from .table import Table

__all__ = ["Schema"]

_STRICT = Policy()

_KINDS: dict[type, Kind] = {float: "number", int: "integer", bool: "boolean", str: "text"}


class Schema:
    """The columns an input must have, compiled for reading.

    Args:
        columns: in the order the model was trained with.
        policy: what the columns do not settle; see `reading`.

    Raises:
        ConfigurationError: there are none, or two share a name.
    """

    def __init__(self, columns: Sequence[Column], policy: Policy = _STRICT) -> None:
        self.columns = tuple(columns)
        for column in self.columns:
            if not isinstance(column, Column):
                raise ConfigurationError(f"columns: {column!r}: accepts a Column")
        if not self.columns:
            raise ConfigurationError("columns: accepts at least one column")
        if len({column.name for column in self.columns}) != len(self.columns):
            raise ConfigurationError("columns: two columns share a name")
        self.policy = policy
        self._decoder = Decoder(self.columns, policy)
        self._csv = CSVDecoder(self.columns, policy)

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
        array, ``text`` for one fitted on texts); what a ColumnTransformer drops is not asked for;
        the levels of its encoders are the values allowed; a column that is imputed may be null. What
        goes to a function, or to another library's transformer, may be any single value: only the
        model knows.

        Args:
            model: an estimator, or a pipeline, a search or an ensemble of them.

        Raises:
            ConfigurationError: the model tells neither names nor number of its inputs, or encodes a
                column of dates, or of other values that no request can hold.
        """
        return cls(columns_of(model))

    @classmethod
    def from_sample(cls, frame: object, *, max_levels: int = 20) -> "Schema":
        """The schema of a pandas or polars DataFrame with rows as they will come.

        Each column is of the kind of its values; where nulls are among them it may be null; a
        categorical one, or a text of few and frequent values, has these as its levels. What numbers
        came is kept as an example, and bounds nothing.

        Args:
            frame: the rows, preferably those of the training.
            max_levels: a text with more different values than this is free text.

        Raises:
            ConfigurationError: *frame* is no DataFrame, or a column holds lists, bytes or the like.
        """
        return cls(columns_of_sample(frame, max_levels))

    @classmethod
    def from_signature(cls, signature: object) -> "Schema":
        """The schema of an MLflow signature: its names, types, and what is optional.

        Args:
            signature: a ``ModelSignature``, its ``inputs``, or what ``to_dict()`` makes of either.

        Raises:
            ConfigurationError: it has no inputs, is one of tensors, or a column is no single value.
        """
        return cls(columns_of_signature(signature))

    @classmethod
    def from_pandera(cls, schema: object) -> "Schema":
        """The schema of a pandera ``DataFrameSchema``: types, nulls, defaults and checks.

        ``strict=True`` is ``schema.reading(extra="forbid")`` here, and ``coerce=True`` is
        ``schema.reading(lenient=True)``.

        Args:
            schema: of pandera; of a ``DataFrameModel``, its ``to_schema()``.

        Raises:
            ConfigurationError: a check or an option cannot be read; the column at fault is named.
        """
        return cls(columns_of_pandera(schema))

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """The schema in a ``.toml`` or ``.json`` file, as `save` writes it and a person may edit it.

        Raises:
            ConfigurationError: it cannot be read; the entry at fault is named.
        """
        return cls(*read_file(path))

    def save(self, path: str | Path) -> None:
        """Write the schema to a ``.toml`` or ``.json`` file.

        Raises:
            ConfigurationError: *path* has another ending.
        """
        write_file(path, self.columns, self.policy)

    def reading(self, **options: Any) -> "Schema":
        """The same schema, which reads otherwise: ``schema.reading(extra="forbid", lenient=True)``.

        Args:
            options: those of `Policy`: *extra*, *lenient*, *unknown_levels*, *nan*, *echo*, *reveal*.

        Raises:
            ConfigurationError: an option is none of them, or has another value than it accepts.
        """
        known = [option.name for option in fields(Policy)]
        for option in options:
            if option not in known:
                raise ConfigurationError(f"{option}: accepts the options {', '.join(known)}")
        return Schema(self.columns, replace(self.policy, **options))

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

    @property
    def example(self) -> dict[str, Level | None]:
        """A row as a caller might send it."""
        return {column.name: column.example for column in self.columns}

    def read(self, rows: object, max_rows: int | None = None) -> Table:
        """The table of *rows*, checked.

        Args:
            rows: raw JSON (an object is one row, an array of objects many), `CSV`, `Split`, or Python
                values: a mapping (one row; of sequences, columns), a sequence of mappings, an array
                of (rows, columns) in the schema's order, or a pandas or polars DataFrame. NaN
                counts as null, a date is its ISO 8601 text, and a Decimal a number.
            max_rows: the most rows to read; None for any number.

        Raises:
            MalformedBody: raw JSON that is not rows, or CSV that is none.
            InvalidInput: Python values that are not rows, or more than *max_rows*.
            MissingColumns, InvalidValues: the rows break the schema.
        """
        if isinstance(rows, bytes):
            return self._decoder(rows.strip(b" \t\r\n"), max_rows)
        if isinstance(rows, msgspec.Raw | bytearray | memoryview):
            return self._decoder(bytes(rows).strip(b" \t\r\n"), max_rows)
        if isinstance(rows, CSV):
            return self._csv(rows.raw, max_rows)
        if isinstance(rows, Split):
            refuse_many(rows.data, max_rows)
            return self._decoder.of_records(rows.records(self.names))
        records = self._records(rows)
        columns: Any = rows if isinstance(rows, Mapping) else getattr(rows, "columns", None)
        if not records and columns is not None:
            # No rows to tell it: as of a CSV header alone.
            return self._csv.empty([str(name) for name in columns])
        refuse_many(records, max_rows)
        return check(self.columns, records, self.policy)

    def iter_csv(self, raw: bytes | CSV, rows: int = ROWS) -> Iterator[Table]:
        """The tables of CSV, for more of it than should be in memory as values: at most *rows* rows each.

        Raises:
            InvalidInput: *raw* is not bytes.
            MalformedBody, MissingColumns, InvalidValues: as `read`, once the row at fault is reached.
        """
        return self._csv.tables(raw, rows)

    def _records(self, rows: Any) -> Sequence[object]:
        if hasattr(rows, "to_dicts"):
            rows = rows.to_dicts()
        elif hasattr(rows, "to_dict") and hasattr(rows, "columns"):
            if not rows.columns.is_unique:
                raise InvalidInput("Two columns of the DataFrame share a name")
            rows = rows.to_dict("records")
        elif isinstance(rows, Mapping):
            rows = _rows_of(rows)
        elif isinstance(rows, np.ndarray):
            if rows.ndim != 2 or rows.shape[1] != len(self):
                raise InvalidInput(f"The array has the shape {rows.shape}: send (rows, {len(self)})")
            rows = [dict(zip(self.names, row, strict=True)) for row in rows]
        if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
            raise InvalidInput("Send rows: a mapping, a sequence of mappings, an array or a DataFrame")
        for name in dict.fromkeys(name for row in rows for name in row):
            if not isinstance(name, str):
                raise InvalidInput(f"A column is called {name!r}: name columns in text, or send an array")
        plain = as_json if self.policy.nan == "refuse" else _nan_as_null
        return [{name: plain(value) for name, value in row.items()} for row in rows]


def _column(name: str, told: type | Sequence[Level] | Column) -> Column:
    if isinstance(told, Column):
        return replace(told, name=name)
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


def _rows_of(rows: Mapping[str, Any]) -> list[Any]:
    columns = [isinstance(values, list | tuple) or np.ndim(values) == 1 for values in rows.values()]
    if not columns or not all(columns):
        return [rows]
    if len({len(values) for values in rows.values()}) != 1:
        raise InvalidInput("The columns have different lengths")
    return by_row(rows)


def _nan_as_null(value: object) -> object:
    value = as_json(value)
    return None if isinstance(value, float) and value != value else value
