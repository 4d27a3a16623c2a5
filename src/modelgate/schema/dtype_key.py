"""Dtype keys, which show whether tables can be concatenated.

If two tables have equal keys, the concatenated table has the same dtypes as each of the two.
"""

from collections.abc import Callable, Hashable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from .columns import Column
from .table import Table

__all__ = ["DtypeKey", "array_dtype", "depends_on_null", "dtype_key"]

DtypeKey: TypeAlias = Callable[[Table], Hashable]
"""Function that returns a key for a table.

Tables with equal keys can be joined: the model gets the same dtypes as for each table alone.
"""

_INT64 = range(-(2**63), 2**63)


def dtype_key(columns: Sequence[Column], *, framed: bool) -> DtypeKey | None:
    """Return the `DtypeKey` for tables of *columns*, or None if the dtypes do not depend on the rows.

    The dtypes depend on the rows in two cases:

    * A null turns a column of integers or booleans into floats. There are two exceptions: a column whose
      dtype can represent null, and an array of numeric columns without a *dtype*, which is always float64.
    * In a DataFrame, pandas infers the dtype of a column of the kind ``any`` from the values.

    Args:
        columns: Columns of the schema.
        framed: Whether the model gets a DataFrame, not an array.
    """
    numbers = [column for column in columns if column.numeric]
    texts = [column for column in columns if not column.numeric]
    unknown = (
        [i for i, column in enumerate(texts) if column.kind == "any" and not column.dtype] if framed else []
    )
    exact = [i for i, column in enumerate(numbers) if depends_on_null(column)]
    if not framed and not texts and not any(column.dtype for column in numbers):
        exact = []
    if not unknown and not exact:
        return None

    def key(table: Table) -> Hashable:
        # For a single row, this loop is six times as fast as a numpy reduction.
        values_by_column = table.numbers[:, exact].T.tolist() if exact else ()
        nulls = tuple([any(value != value for value in values) for values in values_by_column])
        return nulls, *(_types_key(table.texts[i]) for i in unknown)

    return key


def array_dtype(table: Table) -> type:
    """Return the dtype of the array for *table*: int64 or float if all values fit, else object.

    The dtype object is avoided, because functions such as ``numpy.log1p`` reject it.
    """
    types = set(map(type, chain.from_iterable(table.texts)))
    if not types <= {int, float, type(None)}:
        return object
    if types == {int} and not table.numbers.shape[1]:
        return np.int64 if all(cell in _INT64 for cell in chain.from_iterable(table.texts)) else object
    return float


def depends_on_null(column: Column) -> bool:
    """Return whether a numeric *column* may contain nulls, and a null changes its dtype."""
    may_be_null = column.nullable or (not column.required and column.default is None)
    if column.dtype is None:
        return may_be_null and column.kind != "number"
    return may_be_null and column.dtype[0] in "iub" and column.dtype != "boolean"


def _types_key(cells: Sequence[Any]) -> Hashable:
    """Return a key for *cells*. If two keys are equal, pandas infers the same dtype for the cells."""
    types = frozenset(map(type, cells))
    if int in types and not all(cell in _INT64 for cell in cells if type(cell) is int):
        # Beyond int64, pandas infers uint64 or object from the values. A unique key prevents joining.
        return object()
    return types
