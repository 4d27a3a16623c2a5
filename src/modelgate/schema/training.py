"""Infer columns from a model and rows of its training data."""

import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .coerce import parse_text
from .columns import Column
from .introspection import infer_from_values
from .introspection.boosting import has_unassigned_categories, stored_categories
from .introspection.classes import target_models
from .introspection.column_paths import stores_columns
from .introspection.infer_columns import infer_columns, merge_columns, passed_categories
from .introspection.libraries import formula_terms
from .model_input import column_labels
from .names import find_labels

__all__ = ["columns_without_guesses", "infer_columns_with_training"]


def infer_columns_with_training(model: Any, X: Any) -> list[Column]:  # noqa: N803  scikit-learn's word
    """Return the columns that *model* needs, refined by its training rows *X*.

    A column of the kind ``any`` or ``number`` gets the kind of its values in *X*. If *X* confirms that a
    column holds numbers, the column no longer accepts booleans. Names that LightGBM changed get their
    original spelling. If the model stores no columns, the columns of *X* are returned.

    Args:
        model: Fitted estimator.
        X: DataFrame, array of (rows, columns), list of dictionaries or texts, or the mapping that
            `columns_without_guesses` returns.

    Raises:
        ConfigurationError: The columns cannot be inferred (see `infer_columns`), or a column of *X* has
            values that JSON cannot represent.
    """
    parts = target_models(model)
    if parts is not None:
        return merge_columns(infer_columns_with_training(part, X) for part in parts.values())
    if isinstance(X, list) and all(isinstance(row, str) for row in X):
        return infer_columns(model) if stores_columns(model) else [Column("text", "text")]
    return (
        _refine_columns(model, infer_columns(model), X)
        if stores_columns(model)
        else _columns_of_sample(model, X)
    )


def _refine_columns(model: Any, columns: list[Column], X: Any) -> list[Column]:  # noqa: N803
    if isinstance(X, list):
        X = _columns_of_records(X)  # noqa: N806
    if isinstance(X, np.ndarray):
        if X.shape[1] != len(columns):
            return columns
        return [_refine_kind(column, X[:, index]) for index, column in enumerate(columns)]
    known = list(getattr(X, "columns", X))
    if len(set(known)) < len(known):
        return columns
    names = column_labels(model, list(map(str, known))) or [column.name for column in columns]
    columns = [replace(column, name=name) for column, name in zip(columns, names, strict=True)]
    values = {name: X[label] for name, label in find_labels(known, names).items() if X[label] is not None}
    if has_unassigned_categories(model):
        columns = [_with_categories(column, values.get(column.name)) for column in columns]
    categories = {columns[index].name: levels for index, levels in stored_categories(model).items()}
    for name, levels in {**categories, **passed_categories(model)}.items():
        if levels is None and name in values:
            column = infer_from_values(name, values[name], max_levels=0)
            index = names.index(name)
            columns[index] = replace(column, dtype=None if column.levels is None else "category")
    return [
        _refine_kind(column, values[column.name]) if column.name in values else column for column in columns
    ]


def _columns_of_sample(model: Any, X: Any) -> list[Column]:  # noqa: N803
    """Return the columns of *X* for a *model* that stores no columns."""
    absent: Collection[str] = ()
    if isinstance(X, np.ndarray):
        values: Mapping[Any, Any] = {f"x{index}": column for index, column in enumerate(X.T)}
    elif isinstance(X, list):
        values = _columns_of_records(X)
        absent = {name for name in values for row in X if name not in row}
    else:
        values = {str(name): X[name] for name in getattr(X, "columns", X)}
    formula = formula_terms(model)
    columns = []
    for name, column in values.items():
        if column is None:
            columns.append(Column(name, "any", nullable=True))
        elif formula is None:
            columns.append(
                replace(infer_from_values(name, column, max_levels=0), required=name not in absent)
            )
        elif re.search(rf"(?<!\w){re.escape(name)}(?!\w)", formula):
            # An unknown level of a formula is an error.
            inferred = infer_from_values(name, column, max_levels=20)
            columns.append(replace(inferred, kind="number") if inferred.kind == "integer" else inferred)
    return columns


def _columns_of_records(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name) for row in rows], dtype=object) for name in names}


def _with_categories(column: Column, values: Any) -> Column:
    """Return *column*, with the levels of *values* if their dtype is category."""
    if str(getattr(values, "dtype", None)) != "category":
        return column
    dtype = "ordered category" if values.dtype.ordered else "category"
    return replace(
        infer_from_values(column.name, values, max_levels=0), dtype=dtype, nullable=column.nullable
    )


def _refine_kind(column: Column, values: Any) -> Column:
    """Return *column*, with the kind of the training *values* if they contradict the inferred kind."""
    dtype = getattr(getattr(values, "dtype", None), "kind", "O")
    if column.levels is not None or column.kind not in ("any", "number") or dtype == "m":
        return column
    if column.kind == "number" and dtype in "iuf":
        # without inspecting what may be millions of rows
        return replace(column, accepts_booleans=False)
    sample = infer_from_values(column.name, values, max_levels=0)
    certain = ("boolean", "text", "datetime")
    contradicts = sample.kind in certain if column.kind == "number" else sample.kind != "any"
    if sample.typical_value is None or not contradicts:
        return column
    return replace(
        column,
        kind=sample.kind,
        accepts_booleans=False,
        timezone=sample.timezone,
        resolution=sample.resolution,
        typical_value=sample.typical_value if sample.kind == "datetime" else column.typical_value,
    )


def columns_without_guesses(raw: bytes) -> Mapping[str, Any]:
    """Return the values of each column of a CSV file by name, or None for a column whose kind is uncertain.

    Only text and booleans are certain. A column of digits, for example, may hold numbers or codes.
    """
    reader = csv.DictReader(io.StringIO(raw.decode("utf-8-sig")))
    rows, names = list(reader), reader.fieldnames or ()
    return {name: _parse_unambiguous([row[name] or None for row in rows]) for name in names}


def _parse_unambiguous(texts: list[str | None]) -> Any:
    values = [None if text is None else parse_text(Column("any", "any"), text) for text in texts]
    types = {type(value) for value in values if value is not None}
    if str not in types and types != {bool}:
        return None
    return np.array(texts if str in types else values, dtype=object)
