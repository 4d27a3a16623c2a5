"""Columns of a model with the kinds they had in training, where its rows are at hand."""

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .coerce import from_text
from .columns import Column
from .infer import columns_of
from .model_input import spelled_names
from .sources import sampled

__all__ = ["certain_columns", "trained_columns"]


def trained_columns(model: Any, X: Any) -> list[Column]:  # noqa: N803  scikit-learn's word
    """Return the columns that *model* needs, completed from its training rows *X*.

    A column of the kind ``any`` or ``number`` gets the kind that it has in *X*, and a name that LightGBM
    changed its spelling there.

    Args:
        model: Fitted estimator.
        X: DataFrame, array of (rows, columns), or the mapping that `certain_columns` returns.

    Raises:
        ConfigurationError: As for `columns_of`, or a column holds what a single value of JSON cannot say.
    """
    columns = columns_of(model)
    if isinstance(X, np.ndarray):
        fits = X.shape[1] == len(columns)
        return [_trained(column, X[:, at]) if fits else column for at, column in enumerate(columns)]
    known = [name for name in getattr(X, "columns", X) if isinstance(name, str)]
    if len(set(known)) < len(known):
        return columns
    names = spelled_names(model, known) or [column.name for column in columns]
    columns = [replace(column, name=name) for column, name in zip(columns, names, strict=True)]
    told = {name: X[name] for name in known if X[name] is not None}
    return [_trained(column, told[column.name]) if column.name in told else column for column in columns]


def _trained(column: Column, values: Any) -> Column:
    dtype = getattr(getattr(values, "dtype", None), "kind", "O")
    if column.levels is not None or column.kind not in ("any", "number") or dtype in "mM":
        return column
    if column.kind == "number" and dtype in "iuf":
        return column  # without a look at what may be millions of rows
    sample = sampled(column.name, values, max_levels=0)
    contradicts = sample.kind in ("boolean", "text") if column.kind == "number" else sample.kind != "any"
    if sample.typical is None or not contradicts:
        return column
    return replace(column, kind=sample.kind)


def certain_columns(raw: bytes) -> Mapping[str, Any]:
    """Return the columns of CSV whose cells can be nothing but text, or booleans; None for all others.

    Digits may be a number or a code.
    """
    cells = csv.DictReader(io.StringIO(raw.decode("utf-8-sig")))
    rows, names = list(cells), cells.fieldnames or ()
    return {name: _certain([row[name] or None for row in rows]) for name in names}


def _certain(texts: list[str | None]) -> Any:
    values = [None if text is None else from_text(Column("any", "any"), text) for text in texts]
    types = {type(value) for value in values if value is not None}
    if str not in types and types != {bool}:
        return None
    return np.array(texts if str in types else values, dtype=object)
