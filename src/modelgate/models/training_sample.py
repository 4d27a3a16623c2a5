"""Training data stored in a package: sample rows, statistics, and an example with its predictions."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError, RequestError
from ..flow.model_thread import in_model_thread
from ..schema import Column, Schema
from ..schema.coerce import to_json_value
from ..schema.model_input import ModelInput
from ..schema.names import find_labels
from ..schema.training_dtypes import take_rows
from .onnx import OnnxModel

__all__ = [
    "background_sample",
    "evenly_spaced_indices",
    "reference_answers",
    "to_rows",
    "training_statistics",
    "verify_example",
]

_ROWS = 200
_LEVELS = 50
_CLOSE = {"rel_tol": 1e-6, "abs_tol": 1e-9}


def to_rows(X: Any) -> Any:  # noqa: N803  scikit-learn's word
    """Return *X* if it is a DataFrame, an array of (rows, columns), or a list of dictionaries or texts.

    A Series or an array of texts becomes a list.

    Raises:
        ConfigurationError: *X* is anything else.
    """
    rows = list(X) if getattr(X, "ndim", 2) == 1 else X
    is_list = isinstance(rows, list) and any(
        all(isinstance(row, type_) for row in rows) for type_ in (Mapping, str)
    )
    if is_list or hasattr(rows, "columns") or (isinstance(rows, np.ndarray) and rows.ndim == 2):
        return rows
    raise ConfigurationError(
        "X must be a DataFrame, a 2-D array of rows, a list of dictionaries or a list of texts"
        f" (got {type(X).__name__})"
    )


def background_sample(X: Any, schema: Schema) -> list[dict[str, Any]]:  # noqa: N803  scikit-learn's word
    """Return up to 200 evenly spaced rows of *X*, in the form a caller would send.

    Raises:
        ConfigurationError: The rows do not match the schema.
    """
    indices = evenly_spaced_indices(len(X), _ROWS)
    try:
        rows = schema.read(take_rows(X, indices)).rows()
        return [{name: to_json_value(value) for name, value in row.items()} for row in rows]
    except RequestError as error:
        raise ConfigurationError(f"X must have rows that match the schema: {error}") from None


def evenly_spaced_indices(count: int, limit: int) -> npt.NDArray[np.int64]:
    """Return at most *limit* evenly spaced indices into *count* rows."""
    return np.linspace(0, count - 1, min(count, limit)).astype(np.int64)


def training_statistics(X: Any, y: Any, schema: Schema) -> dict[str, Any]:  # noqa: N803
    """Return statistics of each column of *X*, and of the targets *y* unless *y* is None."""
    columns = {
        column.name: _summarize_column(np.asarray(values), column)
        for column, values in zip(schema, _columns_of(X, schema), strict=True)
    }
    statistics: dict[str, Any] = {"rows": len(X), "columns": columns}
    if y is not None:
        targets = np.asarray(y)
        statistics["target"] = [
            _summarize_numbers(target) if target.dtype.kind == "f" else _count_levels(target)
            for target in ([targets] if targets.ndim == 1 else targets.T)
        ]
    return statistics


def _columns_of(X: Any, schema: Schema) -> Iterator[Any]:  # noqa: N803
    """Yield the values of each column of *schema* in *X*."""
    labels = find_labels(X.columns, schema.names) if hasattr(X, "columns") else {}
    for index, name in enumerate(schema.names):
        if isinstance(X, list):
            yield np.array([row.get(name) for row in X], dtype=object)
        else:
            yield X[:, index] if isinstance(X, np.ndarray) else X[labels[name]]


def _summarize_column(values: npt.NDArray[Any], column: Column) -> dict[str, Any]:
    if values.dtype == object:
        values = np.array([to_json_value(value) for value in values], dtype=object)
    if column.kind == "datetime":
        return _summarize_datetimes(values, column)
    numeric = column.kind in ("number", "integer", "boolean")
    return _summarize_numbers(values.astype(np.float64)) if numeric else _count_levels(values)


def _summarize_numbers(values: npt.NDArray[Any]) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    statistics: dict[str, Any] = {"nulls": int(len(values) - len(finite))}
    if len(finite):
        statistics["mean"], statistics["std"] = float(finite.mean()), float(finite.std())
        statistics["deciles"] = np.quantile(finite, np.linspace(0, 1, 11)).tolist()
    return statistics


def _summarize_datetimes(values: npt.NDArray[Any], column: Column) -> dict[str, Any]:
    moments = [column.parse_datetime(to_json_value(value)) for value in values]
    known = [moment for moment in moments if moment is not None]
    statistics: dict[str, Any] = {"nulls": len(moments) - len(known)}
    if known:
        statistics |= {"earliest": str(min(known)), "latest": str(max(known))}
    return statistics


def _count_levels(values: npt.NDArray[Any]) -> dict[str, Any]:
    known = [value for value in values.tolist() if value is not None and value == value]
    return {
        "nulls": len(values) - len(known),
        "levels": [[value, count] for value, count in Counter(known).most_common(_LEVELS)],
    }


def reference_answers(model: Any, schema: Schema, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a dict with the results of ``predict`` and ``predict_proba`` for *rows*, as lists.

    Raises:
        ConfigurationError: The model raises an error, or predicts NaN or an infinity.
    """
    try:
        answers = in_model_thread(_predict, model, schema, rows)
    except Exception as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"model must be able to predict its example rows (got {error!r})") from error
    if not all(map(_is_finite, answers.values())):
        raise ConfigurationError(
            "model must predict finite numbers for its example rows"
            " (got NaN or an infinity, which JSON cannot represent)"
        )
    return answers


def _predict(model: Any, schema: Schema, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    table = schema.read(rows)
    if isinstance(model, OnnxModel):
        values, probabilities = model.predict_table(table)
        answers = {"predict": values.tolist()}
        if probabilities is not None:
            answers["predict_proba"] = probabilities.tolist()
        return answers
    to_input = ModelInput(model, schema.columns)
    to_input.try_forms(model.predict, [table])
    answers = {"predict": np.asarray(model.predict(to_input(table))).tolist()}
    if hasattr(model, "predict_proba"):
        probabilities = model.predict_proba(to_input(table))
        parts = probabilities if isinstance(probabilities, list) else np.asarray(probabilities)
        answers["predict_proba"] = [np.asarray(part).tolist() for part in parts]
    return answers


def _is_finite(value: Any) -> bool:
    """Return whether *value* has no NaN or infinity. *value* may be nested lists of different lengths."""
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def verify_example(model: Any, schema: Schema, example: Mapping[str, Any]) -> None:
    """Check that *model* makes the same predictions for *example* as when it was packaged.

    Labels must be equal. Numbers may differ slightly, because another processor may round differently.

    Raises:
        ConfigurationError: A prediction differs.
    """
    actual = reference_answers(model, schema, example["rows"])
    for method, expected in example["expected"].items():
        if not _is_close(expected, actual.get(method)):
            raise ConfigurationError(
                f"the result of {method} differs from the example in the package: install the versions of"
                " libraries with which the package was saved, or save the model again"
            )


def _is_close(expected: Any, actual: Any) -> bool:
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(_is_close, expected, actual))
    if isinstance(expected, float) and isinstance(actual, float):
        return math.isclose(expected, actual, **_CLOSE)
    return type(expected) is type(actual) and bool(expected == actual)
