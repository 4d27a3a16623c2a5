"""Tables in the form that a fitted model takes."""

from collections.abc import Callable, Collection, Hashable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from ..errors import ConfigurationError
from .columns import Column
from .infer import columns_of, none_columns
from .table import Table
from .ways import has_placeholders, has_renamed, last_names, stored_names, takes_texts

__all__ = ["DtypeKey", "ModelInput", "needed_names", "spelled_names"]

DtypeKey: TypeAlias = Callable[[Table], Hashable]
"""Returns the same key for tables whose columns get the same dtypes, each table alone or all as one."""

_INT64 = range(-(2**63), 2**63)


class ModelInput:
    """Converts tables to what a fitted estimator was trained on: texts, an array, or a DataFrame.

    Args:
        model: Fitted estimator.
        columns: Columns of the schema that the tables were read with.

    Attributes:
        dtype_key: Key by which tables may be joined, or None if any may be: see `DtypeKey`.
        framed: Whether the model is given a DataFrame. Set it to False for an array of the same columns.

    Raises:
        ConfigurationError: The schema lacks columns of the model, or pandas is not installed.
    """

    def __init__(self, model: Any, columns: Sequence[Column]) -> None:
        self._names = needed_names(model, columns)
        self.framed = self._names is not None
        if self._names is not None:
            _require_pandas()
            stores = stored_names(model) is not None
            self._none = none_columns(model) if stores else frozenset()
            # No encoder reads them: they are as in the DataFrame of the training.
            told = {column.name: column.kind for column in columns_of(model)} if stores else {}
            self._plain = {c.name for c in columns if c.kind == "text" and told.get(c.name, "any") == "any"}
        self._texts = takes_texts(model)
        if self._texts and [column.kind for column in columns] != ["text"]:
            raise ConfigurationError("schema: the model takes texts: accepts one column, Schema.of(text=str)")
        kinds = {column.kind for column in columns}
        self._infers_dtype = self._names is None and "any" in kinds and kinds <= {"any", "number"}
        if self._infers_dtype:
            self.dtype_key: DtypeKey | None = _array_dtype
        else:
            self.dtype_key = None if self._texts else _dtype_key(columns, framed=self._names is not None)

    def __call__(self, table: Table) -> Any:
        """Return the rows of *table* for the estimator's methods; they may change it."""
        if self._texts:
            return table.texts[0]
        if self._names is None:
            array = table.to_array()
            return array.astype(_array_dtype(table), copy=False) if self._infers_dtype else array
        frame = table.to_pandas(self._none, plain=self._plain)
        frame = frame if list(frame.columns) == self._names else frame[self._names]
        return frame if self.framed else frame.to_numpy()


def needed_names(model: Any, columns: Sequence[Column]) -> list[str] | None:
    """Return the names of the columns that *model* needs, in its order, or None if they are known by place alone.

    Raises:
        ConfigurationError: One of them is not among *columns*.
    """
    known = [column.name for column in columns]
    names = spelled_names(model, known)
    lacking = [name for name in names or () if name not in known]
    if lacking:
        raise ConfigurationError(f"schema: lacks columns the model needs: {', '.join(lacking)}")
    return names


def spelled_names(model: Any, known: Collection[str]) -> list[str] | None:
    """Return what `needed_names` returns, without its check; LightGBM's ``a_b`` is spelled ``a b`` if *known* has that."""
    names = stored_names(model)
    if names is None:
        # A last step that stores the schema's names was fitted on a frame of them, and so was the first one.
        last = last_names(model)
        return last if last is not None and sorted(last) == sorted(known) else None
    if has_placeholders(model):
        return names if set(names) <= set(known) else None
    needed = [column.name for column in columns_of(model)]
    if has_renamed(model):
        spelled = {name.replace(" ", "_"): name for name in known}
        needed = [name if name in known else spelled.get(name, name) for name in needed]
    return needed


def _require_pandas() -> None:
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            'a model that was fitted with column names is given a DataFrame: pip install "modelgate[pandas]"'
        ) from None


def _dtype_key(columns: Sequence[Column], *, framed: bool) -> DtypeKey | None:
    """Return the key for tables of *columns*, or None where the rows have no influence on the dtypes.

    A null turns a column of whole numbers or booleans into floats. In a frame, pandas infers the dtype of
    a column of the kind ``any`` from all of its values. An array of numbers is float64 in any case.
    """
    numbers = [column for column in columns if column.numeric]
    texts = [column for column in columns if not column.numeric]
    unknown = [at for at, column in enumerate(texts) if column.kind == "any"] if framed else []
    exact = [at for at, column in enumerate(numbers) if column.kind != "number" and _may_be_null(column)]
    if not framed and not texts:
        exact = []
    if not unknown and not exact:
        return None

    def key(table: Table) -> Hashable:
        # A reduction of numpy takes six times as long for one row.
        blocks = table.numbers[:, exact].T.tolist() if exact else ()
        nulls = tuple([any(value != value for value in block) for block in blocks])
        return nulls, *(_types(table.texts[at]) for at in unknown)

    return key


def _array_dtype(table: Table) -> type:
    """Return the dtype of *table* as an array: of numbers where it holds nothing else, as numpy infers it.

    numpy's own functions, such as ``log1p``, reject an array of objects.
    """
    types = set(map(type, chain.from_iterable(table.texts)))
    if not types <= {int, float, type(None)}:
        return object
    if types == {int} and not table.numbers.shape[1]:
        return np.int64 if all(cell in _INT64 for cell in chain.from_iterable(table.texts)) else object
    return float


def _may_be_null(column: Column) -> bool:
    return column.nullable or (not column.required and column.default is None)


def _types(cells: Sequence[Any]) -> Hashable:
    """Return what decides the dtype that pandas infers for *cells*."""
    types = frozenset(map(type, cells))
    if int in types and not all(cell in _INT64 for cell in cells if type(cell) is int):
        # Beyond int64 the values themselves decide: uint64 or object. Such a table stays alone.
        return object()
    return types
