"""Create the training data in a package: sample rows, statistics, and an example with its predictions."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError, RequestError
from ..flow.model_thread import in_model_thread
from ..forecasting.forecaster import is_forecaster
from ..forecasting.read_request import read_request
from ..schema import Column, Schema
from ..schema.coerce import to_json_value
from ..schema.model_input import ModelInput
from ..schema.names import find_labels
from ..schema.training_dtypes import take_rows
from .multi_target import MultiTarget
from .onnx import OnnxModel

__all__ = [
    "MAX_LEVELS",
    "background_sample",
    "evenly_spaced_indices",
    "predict_to_lists",
    "training_statistics",
    "verify_example",
]

_ROWS = 200
MAX_LEVELS = 50
"""Maximum number of levels in the statistics of a column. Only the most frequent levels are stored."""
_BINS = 20
_CLOSE = {"rel_tol": 1e-6, "abs_tol": 1e-9}


def background_sample(X: Any, schema: Schema) -> list[dict[str, Any]]:  # noqa: N803  scikit-learn's word
    """Return up to 200 evenly spaced rows of *X*, in the form that callers would send.

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
    labels = find_labels(X.columns, schema.names) if hasattr(X, "columns") else None
    columns = {
        column.name: _summarize_column(
            np.asarray(X[:, index] if labels is None else X[labels[column.name]]), column
        )
        for index, column in enumerate(schema)
    }
    statistics: dict[str, Any] = {"rows": len(X), "columns": columns}
    if y is not None:
        statistics["target"] = [_summarize_target(target) for target in _target_columns(y)]
    return statistics


def _summarize_target(values: npt.NDArray[Any]) -> dict[str, Any]:
    # Whole numbers with few different values may be labels. With many, the count of each value says little.
    if values.dtype.kind == "f" or (values.dtype.kind in "iu" and len(np.unique(values)) >= MAX_LEVELS):
        return _summarize_numbers(values)
    return _count_levels(values)


def _target_columns(y: Any) -> list[npt.NDArray[Any]]:
    if hasattr(y, "columns"):
        # Converted as a whole, a DataFrame would have a single dtype for labels and numbers.
        return [np.asarray(y[name]) for name in y.columns]
    targets = np.asarray(y)
    return [targets] if targets.ndim == 1 else list(targets.T)


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
        deciles = np.quantile(finite, np.linspace(0, 1, 11))
        statistics["deciles"] = deciles.tolist()
        statistics["at_most"] = np.searchsorted(np.sort(finite), deciles, side="right").tolist()
        statistics |= _count_bins(finite)
    return statistics


def _count_bins(values: npt.NDArray[Any]) -> dict[str, Any]:
    """Return the histogram of *values*: counts in bins of equal width from the minimum to the maximum."""
    low, high = float(values.min()), float(values.max())
    width = high - low
    if not 0 < width < math.inf:
        return {}
    bins = np.minimum((values - low) / width * _BINS, _BINS - 1).astype(np.int64)
    return {"histogram": np.bincount(bins, minlength=_BINS).tolist()}


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
        "levels": [[value, count] for value, count in Counter(known).most_common(MAX_LEVELS)],
    }


def predict_to_lists(model: Any, schema: Schema, rows: Any) -> dict[str, Any]:
    """Return a dict with the results of ``predict`` and ``predict_proba`` for *rows*, as lists.

    For a forecaster, the dict has the result of ``forecast``.

    Raises:
        ConfigurationError: The model raises an error, or predicts NaN or an infinity.
    """
    try:
        predictions = in_model_thread(_predict, model, schema, rows)
    except (ConfigurationError, RequestError):
        raise
    except Exception as error:
        raise ConfigurationError(f"model must be able to predict its example rows (got {error!r})") from error
    if not all(map(_is_finite, predictions.values())):
        raise ConfigurationError(
            "model must predict finite numbers for its example rows"
            " (got NaN or an infinity, which JSON cannot represent)"
        )
    return predictions


def _predict(model: Any, schema: Schema, rows: Any) -> dict[str, Any]:
    if isinstance(model, MultiTarget):
        targets = [_predict(part, schema, rows) for part in model.target_models.values()]
        return {
            "predict": [list(row) for row in zip(*(target["predict"] for target in targets), strict=True)],
            "predict_proba": [target["predict_proba"] for target in targets if "predict_proba" in target],
        }
    table = schema.read(rows)
    if is_forecaster(model):
        request = read_request(table, model)
        return {"forecast": model.forecast(request.window, request.horizon, request.future).tolist()}
    if isinstance(model, OnnxModel):
        values, probabilities = model.predict_table(table)
        predictions = {"predict": values.tolist()}
        if probabilities is not None:
            predictions["predict_proba"] = probabilities.tolist()
        return predictions
    to_input = ModelInput(model, schema.columns)
    to_input.try_forms(model.predict, [table])
    predictions = {"predict": np.asarray(model.predict(to_input(table))).tolist()}
    if hasattr(model, "predict_proba"):
        probabilities = model.predict_proba(to_input(table))
        parts = probabilities if isinstance(probabilities, list) else np.asarray(probabilities)
        predictions["predict_proba"] = [np.asarray(part).tolist() for part in parts]
    return predictions


def _is_finite(value: Any) -> bool:
    """Return whether all numbers in *value* are finite. *value* may be nested lists of different lengths."""
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def verify_example(model: Any, schema: Schema, example: Mapping[str, Any]) -> None:
    """Check that *model* still makes the predictions that are stored in *example*.

    Labels must be equal. Numbers may differ slightly, because another processor may round differently.

    Raises:
        ConfigurationError: A prediction differs.
    """
    actual = predict_to_lists(model, schema, example["rows"])
    for method, expected in example["expected"].items():
        if not _is_close(expected, actual.get(method)):
            raise ConfigurationError(
                f"the result of {method} differs from the example in the package: install the library"
                " versions that the package was saved with, or save the model again"
            )


def _is_close(expected: Any, actual: Any) -> bool:
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(_is_close, expected, actual))
    if isinstance(expected, float) and isinstance(actual, float):
        return math.isclose(expected, actual, **_CLOSE)
    return type(expected) is type(actual) and bool(expected == actual)
