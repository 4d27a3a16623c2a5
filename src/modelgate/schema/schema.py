"""Input schema of a deployment."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..errors import ConfigurationError, InvalidInput
from ..spelling import closest_match
from .coerce import to_json_value
from .column_spec import ColumnSpec, create_column, override_column
from .columns import Column
from .csv_decoder import CSV, ROWS, CSVDecoder
from .introspection import infer_from_sample, read_mlflow_signature, read_pandera_schema
from .introspection.infer_columns import infer_columns
from .json_decoder import Decoder
from .row_validator import check_row_count, validate_rows
from .schema_file import read_file, write_file
from .schema_options import SchemaOptions
from .split_rows import SplitRows, columns_to_records
from .table import Table
from .training import infer_columns_with_training
from .training_dtypes import restore_dtypes

__all__ = ["Schema"]

_STRICT = SchemaOptions()


class Schema:
    """Input schema: columns and their rules, compiled into decoders for JSON and CSV.

    Args:
        columns: Columns, in the order the model was trained with.
        options: Options of the schema as a whole; see `with_options`.

    Attributes:
        has_images: Whether there is an image column. Decoding images takes too long for an event loop.

    Raises:
        ConfigurationError: There are no columns, or two have the same name.
    """

    def __init__(self, columns: Sequence[Column], options: SchemaOptions = _STRICT) -> None:
        self.columns = tuple(columns)
        for column in self.columns:
            if not isinstance(column, Column):
                raise ConfigurationError(f"columns must be a sequence of Column (got {column!r})")
        if not self.columns:
            raise ConfigurationError("columns must contain at least one Column (got none)")
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            duplicate = next(name for name in names if names.count(name) > 1)
            raise ConfigurationError(f"columns must have different names (got {duplicate!r} twice)")
        self.options = options
        self.has_images = any(column.kind == "image" for column in self.columns)
        self._decoder = Decoder(self.columns, options)
        self._csv = CSVDecoder(self.columns, options)
        self._columns_alone: dict[str, Schema] = {}

    @classmethod
    def of(cls, **columns: ColumnSpec) -> "Schema":
        """Create a schema by hand: ``Schema.of(age=float, plan=["free", "pro"])``.

        Args:
            columns: Definition of each column by name: ``float``, ``int``, ``bool``, ``str``,
                ``datetime.datetime``, the name of a kind such as ``"boolean"``, a list of the allowed values,
                an `ImageSpec`, or a `Column`.

        Raises:
            ConfigurationError: The definition of a column has another form.
        """
        return cls([create_column(name, spec) for name, spec in columns.items()])

    @classmethod
    def from_model(cls, model: object, X: object = None) -> "Schema":  # noqa: N803  scikit-learn's word
        """Infer the schema of a fitted scikit-learn estimator.

        Names come from ``feature_names_in_`` (``x0``, ``x1``, … for a model fitted on an array, ``text``
        for one fitted on texts). Columns that a ColumnTransformer drops are left out, the categories of
        encoders become levels, and imputed columns are nullable. Columns passed to a function or to a
        transformer of another library get the kind ``any``.

        Args:
            model: Fitted estimator, or a pipeline, a search or an ensemble of estimators.
            X: Training rows: a DataFrame, an array, or a list of dictionaries or texts. They provide the
                columns and kinds that the model does not store, and the dtypes that it depends on (see
                `with_training_dtypes`). None to use only the model.

        Raises:
            ConfigurationError: The model stores neither the names nor the number of its input columns, or
                encodes values that JSON cannot represent, or fails for rows of *X* or predicts them
                differently when they are sent as JSON.
        """
        if X is None:
            return cls(infer_columns(model))
        return cls(infer_columns_with_training(model, X)).with_training_dtypes(model, X)

    @classmethod
    def from_sample(cls, frame: object, *, max_levels: int = 20) -> "Schema":
        """Infer the schema of a pandas or polars DataFrame.

        Each column gets the kind of its values, and is nullable if it contains nulls. The values of a
        categorical column, or of a text column with few, frequent values, become its levels. The median of a
        numeric column becomes its example. Its range is recorded, but not enforced.

        Args:
            frame: Representative rows, preferably the training data.
            max_levels: Maximum number of levels of a text column. A column with more distinct values gets
                no levels.

        Raises:
            ConfigurationError: *frame* is not a DataFrame, or a column contains lists, bytes or other
                values that JSON cannot represent.
        """
        return cls(infer_from_sample(frame, max_levels))

    @classmethod
    def from_signature(cls, signature: object) -> "Schema":
        """Create a schema with the column names, types and optional columns of an MLflow signature.

        Args:
            signature: MLflow ``ModelSignature``, its ``inputs``, or the ``to_dict()`` of either.

        Raises:
            ConfigurationError: The signature has no inputs, contains tensors, or has a column of a
                composite type.
        """
        return cls(read_mlflow_signature(signature))

    @classmethod
    def from_pandera(cls, schema: object) -> "Schema":
        """Create a schema from a pandera ``DataFrameSchema``: types, nulls, defaults and checks.

        Two options of pandera are not converted. Set their equivalents with `with_options`:

        * ``strict=True``: ``schema.with_options(extra_columns="forbid")``
        * ``coerce=True``: ``schema.with_options(coerce_strings=True)``

        Args:
            schema: pandera ``DataFrameSchema``. For a ``DataFrameModel``, pass its ``to_schema()``.

        Raises:
            ConfigurationError: A check or an option has no equivalent in a `Column`.
        """
        return cls(read_pandera_schema(schema))

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Load a schema from a ``.toml`` or ``.json`` file, written by `save` or by hand.

        Raises:
            ConfigurationError: The file cannot be read or contains an invalid entry.
        """
        return cls(*read_file(path))

    def save(self, path: str | Path) -> None:
        """Write the schema to a ``.toml`` or ``.json`` file.

        Raises:
            ConfigurationError: *path* has a different ending, or cannot be written.
        """
        write_file(path, self.columns, self.options)

    def with_options(self, **options: Any) -> "Schema":
        """Return a copy with other options: ``schema.with_options(extra_columns="forbid")``.

        Args:
            options: Options of `SchemaOptions`: *extra_columns*, *coerce_strings*, *unknown_levels*,
                *nan*, *na_values*, *csv_header*, *echo_values* and *show_schema*.

        Raises:
            ConfigurationError: An option does not exist or has an invalid value.
        """
        known = [option.name for option in fields(SchemaOptions)]
        for option in options:
            if option not in known:
                raise ConfigurationError(f"option must be one of {', '.join(known)} (got {option!r})")
        return Schema(self.columns, replace(self.options, **options))

    def with_columns(self, columns: Mapping[str, ColumnSpec]) -> "Schema":
        """Return a copy with other rules for some columns: ``schema.with_columns({"active": bool})``.

        Args:
            columns: New rules by column name, in any form that `of` accepts. Unless the new rules are a
                `Column`, the options *required*, *nullable* and *description* do not change.

        Raises:
            ConfigurationError: A name is not a column of the schema, or `of` would reject the new rules.
        """
        for name in columns:
            if name not in self.names:
                match = closest_match(name, self.names)
                hint = f": did you mean {match!r}?" if match else ""
                raise ConfigurationError(
                    f"columns must be names of the schema's columns (got {name!r}){hint}"
                )
        changed = [
            override_column(column, columns[column.name]) if column.name in columns else column
            for column in self.columns
        ]
        return Schema(changed, self.options)

    def with_training_dtypes(self, model: object, X: object) -> "Schema":  # noqa: N803
        """Return a copy with the dtypes of the training rows *X* in columns where predictions depend on them.

        Up to 64 rows of *X* are predicted twice: unchanged, and as a deployment converts them. For each
        column with nulls, one more row is predicted, in which the column is null. If the predictions differ,
        columns get the *dtype* that they have in *X*. A column that *model* passes to a function or to
        another library's estimator may get this *dtype* in any case.

        A column that contains no nulls in *X* may be tested with a null. If the null makes *model* fail, or
        changes the prediction for another row, the column is no longer nullable.

        Args:
            model: Fitted model.
            X: Training rows, as a DataFrame or an array.

        Raises:
            ConfigurationError: Even with the dtypes of *X*, the predictions differ, or *model* fails.
        """

        def read(columns: Sequence[Column], rows: object) -> Table:
            return Schema(columns, self.options).read(rows)

        return Schema(restore_dtypes(model, self.columns, X, read), self.options)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __repr__(self) -> str:
        return f"Schema({list(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def example(self) -> dict[str, Any]:
        """Example row: for each column name, a value that the column allows."""
        return {column.name: column.example for column in self.columns}

    def read(self, rows: object, max_rows: int | None = None) -> Table:
        """Validate *rows* and return them as a table.

        The rows are encoded data or Python values:

        * raw JSON: an object for one row, or an array of objects
        * `CSV` or `SplitRows`
        * a mapping: one row, or columns if all values are sequences
        * a sequence of mappings
        * an array of shape (rows, columns), in the order of the schema
        * a pandas or polars DataFrame

        In Python values, NaN counts as null, a date as its ISO 8601 text, and a Decimal as a number.

        Args:
            rows: Rows in one of these forms.
            max_rows: Maximum number of rows; None for no limit.

        Raises:
            MalformedBody: The JSON or CSV is invalid, or the JSON does not consist of rows.
            InvalidInput: The Python values are not rows, or there are more than *max_rows*.
            MissingColumns, InvalidValues: The rows do not match the schema.
        """
        if isinstance(rows, bytes):
            return self._decoder(rows.strip(b" \t\r\n"), max_rows)
        if isinstance(rows, msgspec.Raw | bytearray | memoryview):
            return self._decoder(bytes(rows).strip(b" \t\r\n"), max_rows)
        if isinstance(rows, CSV):
            return self._csv(rows, max_rows)
        if isinstance(rows, SplitRows):
            check_row_count(rows.data, max_rows)
            split = rows.records(self.names)
            if split:
                return self._decoder.convert_records(split)
            # Without rows, check the column names alone, as for a CSV header.
            return self._csv.read_header(list(rows.resolve_columns(self.names)))
        records = self._records(rows)
        columns: Any = rows if isinstance(rows, Mapping) else getattr(rows, "columns", None)
        if not records and columns is not None:
            return self._csv.read_header([str(name) for name in columns])
        check_row_count(records, max_rows)
        return validate_rows(self.columns, records, self.options)

    def read_exact_row(self, raw: bytes) -> Table | None:
        """Return the table of the JSON object *raw* if it is one row with exactly the columns of the schema.

        Otherwise return None, even if `read` would accept *raw*.
        """
        return self._decoder.decode_exact_row(raw)

    def read_column(self, column: Column, values: Sequence[object]) -> Table:
        """Validate *values* of one *column* of the schema, and return them as a table of this column.

        Raises:
            InvalidValues: A value breaks a rule of the column. The error contains the value's index.
        """
        alone = self._columns_alone.get(column.name)
        if alone is None:
            alone = self._columns_alone[column.name] = Schema([column], self.options)
        return alone.read(msgspec.json.encode([{column.name: to_json_value(value)} for value in values]))

    def iter_csv(self, raw: bytes | CSV, rows: int = ROWS) -> Iterator[Table]:
        """Validate CSV that is too large for a single table, and iterate over it in parts.

        Args:
            raw: Bytes of the CSV.
            rows: Maximum number of rows per table.

        Raises:
            InvalidInput: *raw* is not bytes.
            MalformedBody, MissingColumns, InvalidValues: See `read`. The error is raised when the iteration
                reaches the invalid row.
        """
        return self._csv.iter_tables(raw, rows)

    def _records(self, rows: Any) -> Sequence[object]:
        # A narwhals DataFrame wraps one of pandas, polars or another library.
        rows = rows.to_native() if hasattr(rows, "to_native") else rows
        if hasattr(rows, "to_dicts"):
            rows = rows.to_dicts()
        elif hasattr(rows, "to_dict") and hasattr(rows, "columns"):
            if not rows.columns.is_unique:
                raise InvalidInput("Two columns of the DataFrame have the same name: rename one of them")
            rows = rows.to_dict("records")
        elif isinstance(rows, Mapping):
            rows = _mapping_to_rows(rows)
        elif isinstance(rows, np.ndarray):
            if rows.ndim != 2 or rows.shape[1] != len(self):
                raise InvalidInput(
                    f"The array has the shape {rows.shape}: send one of shape (rows, {len(self)})"
                )
            rows = [dict(zip(self.names, row, strict=True)) for row in rows]
        if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
            raise InvalidInput("Send rows: a mapping, a sequence of mappings, an array or a DataFrame")
        names = _names_as_text(dict.fromkeys(name for row in rows for name in row))
        convert = to_json_value if self.options.nan == "reject" else _nan_to_null
        return [{names[name]: convert(value) for name, value in row.items()} for row in rows]


def _names_as_text(names: Iterable[Any]) -> dict[Any, str]:
    """Return *names* as text. A DataFrame without column names has whole numbers as names."""
    texts = {name: str(name) if type(name) is int else name for name in names}
    for name in texts.values():
        if not isinstance(name, str):
            raise InvalidInput(
                f"Column names must be text (got {name!r}): rename the column, or send an array"
            )
    if len(set(texts.values())) < len(texts):
        raise InvalidInput(
            "Column names must be different (got a number and the same number as text): rename one"
        )
    return texts


def _mapping_to_rows(rows: Mapping[str, Any]) -> list[Any]:
    """Return the rows in a mapping that is either one row or several columns."""
    are_columns = [isinstance(values, list | tuple) or np.ndim(values) == 1 for values in rows.values()]
    if not are_columns or not all(are_columns):
        return [rows]
    if len({len(values) for values in rows.values()}) != 1:
        raise InvalidInput("The columns have different lengths: send one value per row in each")
    return columns_to_records(rows)


def _nan_to_null(value: object) -> object:
    value = to_json_value(value)
    return None if isinstance(value, float) and value != value else value
