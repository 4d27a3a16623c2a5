"""Conversion of tables to the input of a fitted model."""

from collections.abc import Callable, Collection, Hashable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from ..errors import ConfigurationError
from .columns import Column
from .introspection.column_paths import (
    has_placeholders,
    last_step_names,
    renames_columns,
    stored_names,
    takes_texts,
)
from .introspection.infer_columns import find_none_columns, infer_columns
from .table import Table

__all__ = ["DtypeKey", "ModelInput", "column_labels", "required_names"]

DtypeKey: TypeAlias = Callable[[Table], Hashable]
"""Function that returns a key for a table.

Tables with equal keys can be joined: the model gets the same dtypes as for each table alone.
"""

_INT64 = range(-(2**63), 2**63)


class ModelInput:
    """Converter from tables to the input type of a fitted estimator: texts, an array or a DataFrame.

    Args:
        model: Fitted estimator.
        columns: Columns of the schema that read the tables.

    Attributes:
        dtype_key: Function that decides which tables may be joined (see `DtypeKey`); None if all may.
        framed: Whether `__call__` returns a DataFrame. Set to False to get an array of the same columns.

    Raises:
        ConfigurationError: The schema lacks columns of the model, or pandas is not installed.
    """

    def __init__(self, model: Any, columns: Sequence[Column]) -> None:
        self._names = required_names(model, columns)
        self.framed = self._names is not None
        if self._names is not None:
            _require_pandas()
            stores = stored_names(model) is not None
            self._none = find_none_columns(model) if stores else frozenset()
            # No encoder reads these columns, so they keep the dtype of the training DataFrame.
            kinds = {column.name: column.kind for column in infer_columns(model)} if stores else {}
            self._plain = {c.name for c in columns if c.kind == "text" and kinds.get(c.name, "any") == "any"}
        self._texts = takes_texts(model)
        if self._texts and [column.kind for column in columns] != ["text"]:
            raise ConfigurationError(
                "schema must be one text column for a model fitted on texts: set schema=Schema.of(text=str)"
            )
        schema_kinds = {column.kind for column in columns}
        self._infers_dtype = (
            self._names is None and "any" in schema_kinds and schema_kinds <= {"any", "number"}
        )
        if self._infers_dtype:
            self.dtype_key: DtypeKey | None = _array_dtype
        else:
            self.dtype_key = None if self._texts else _dtype_key(columns, framed=self._names is not None)

    def __call__(self, table: Table) -> Any:
        """Convert *table* to the input of the estimator. The result is a copy that it may modify."""
        if self._texts:
            return table.texts[0]
        if self._names is None:
            array = table.to_array()
            return array.astype(_array_dtype(table), copy=False) if self._infers_dtype else array
        frame = table.to_pandas(self._none, plain=self._plain)
        frame = frame if list(frame.columns) == self._names else frame[self._names]
        return frame if self.framed else frame.to_numpy()


def required_names(model: Any, columns: Sequence[Column]) -> list[str] | None:
    """Return the names of the columns that *model* needs, in the order of its training data.

    Returns None if the model identifies its columns by position.

    Raises:
        ConfigurationError: A name is not among *columns*.
    """
    known = [column.name for column in columns]
    names = column_labels(model, known)
    missing = [name for name in names or () if name not in known]
    if missing:
        raise ConfigurationError(f"schema must have all columns the model needs: add {', '.join(missing)}")
    return names


def column_labels(model: Any, known: Collection[str]) -> list[str] | None:
    """Return the names of the columns that *model* needs, or None if it identifies them by position.

    LightGBM stores ``a b`` as ``a_b``; the original spelling is returned if it is in *known*.

    Args:
        model: Fitted estimator.
        known: Column names of the schema or the training data. The result may contain other names.
    """
    names = stored_names(model)
    if names is None:
        # If the last step was fitted on a DataFrame with the schema's names, so was the first one.
        last = last_step_names(model)
        return last if last is not None and sorted(last) == sorted(known) else None
    if has_placeholders(model):
        return names if set(names) <= set(known) else None
    needed = [column.name for column in infer_columns(model)]
    if renames_columns(model):
        originals = {name.replace(" ", "_"): name for name in known}
        needed = [name if name in known else originals.get(name, name) for name in needed]
    return needed


def _require_pandas() -> None:
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            'a model fitted on named columns needs pandas: pip install "modelgate[pandas]"'
        ) from None


def _dtype_key(columns: Sequence[Column], *, framed: bool) -> DtypeKey | None:
    """Return the `DtypeKey` for tables of *columns*, or None if the dtypes do not depend on the rows.

    A null turns a column of integers or booleans into floats. In a DataFrame, pandas infers the dtype of
    a column of the kind ``any`` from its values. An array of numbers is always float64.
    """
    numbers = [column for column in columns if column.numeric]
    texts = [column for column in columns if not column.numeric]
    unknown = [i for i, column in enumerate(texts) if column.kind == "any"] if framed else []
    exact = [i for i, column in enumerate(numbers) if column.kind != "number" and _may_be_null(column)]
    if not framed and not texts:
        exact = []
    if not unknown and not exact:
        return None

    def key(table: Table) -> Hashable:
        # For a single row, this loop is six times as fast as a numpy reduction.
        values_by_column = table.numbers[:, exact].T.tolist() if exact else ()
        nulls = tuple([any(value != value for value in values) for values in values_by_column])
        return nulls, *(_types_key(table.texts[i]) for i in unknown)

    return key


def _array_dtype(table: Table) -> type:
    """Return the dtype of the array for *table*: int64 or float if all values are such, else object.

    A numeric dtype is used where possible, because functions such as ``numpy.log1p`` reject objects.
    """
    types = set(map(type, chain.from_iterable(table.texts)))
    if not types <= {int, float, type(None)}:
        return object
    if types == {int} and not table.numbers.shape[1]:
        return np.int64 if all(cell in _INT64 for cell in chain.from_iterable(table.texts)) else object
    return float


def _may_be_null(column: Column) -> bool:
    return column.nullable or (not column.required and column.default is None)


def _types_key(cells: Sequence[Any]) -> Hashable:
    """Return a key for *cells*. If two keys are equal, pandas infers the same dtype for the cells."""
    types = frozenset(map(type, cells))
    if int in types and not all(cell in _INT64 for cell in cells if type(cell) is int):
        # Beyond int64, pandas infers uint64 or object from the values. A unique key prevents joining.
        return object()
    return types
