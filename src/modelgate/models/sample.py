"""What a package keeps of the training: rows, figures, and an example with its answer."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError, RequestError
from ..schema import Column, Schema
from ..schema.infer import none_columns
from ..schema.ways import takes_texts
from .model_thread import in_model_thread
from .onnx import OnnxModel

__all__ = ["answers", "background", "check_example", "places", "statistics"]

_ROWS = 200
_LEVELS = 50
_CLOSE = {"rel_tol": 1e-6, "abs_tol": 1e-9}


def background(X: Any, schema: Schema) -> list[dict[str, Any]]:  # noqa: N803  scikit-learn's word
    """Some rows of *X*, evenly chosen, as a caller might send them.

    Raises:
        ConfigurationError: they break the schema.
    """
    chosen = places(len(X), _ROWS)
    try:
        return schema.read(X.iloc[chosen] if hasattr(X, "iloc") else X[chosen]).rows()
    except RequestError as error:
        raise ConfigurationError(f"X: its rows break the schema: {error}") from None


def places(count: int, most: int) -> npt.NDArray[np.int64]:
    """Of *count* rows the places of at most *most*, evenly chosen."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)


def statistics(X: Any, y: Any, schema: Schema) -> dict[str, Any]:  # noqa: N803
    """Figures of each column in *X*, and of what is predicted, as far as *y* tells."""
    named = hasattr(X, "columns")
    columns = {
        column.name: _figures(np.asarray(X[column.name] if named else X[:, at]), column)
        for at, column in enumerate(schema)
    }
    told: dict[str, Any] = {"rows": len(X), "columns": columns}
    if y is not None:
        values = np.asarray(y)
        told["target"] = [
            _numbers(part) if part.dtype.kind == "f" else _levels(part) for part in _parts(values)
        ]
    return told


def _parts(values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [values] if values.ndim == 1 else list(values.T)


def _figures(values: npt.NDArray[Any], column: Column) -> dict[str, Any]:
    numeric = column.kind in ("number", "integer", "boolean")
    return _numbers(values.astype(np.float64)) if numeric else _levels(values)


def _numbers(values: npt.NDArray[Any]) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    told: dict[str, Any] = {"nulls": int(len(values) - len(known))}
    if len(known):
        told["mean"], told["std"] = float(known.mean()), float(known.std())
        told["deciles"] = np.quantile(known, np.linspace(0, 1, 11)).tolist()
    return told


def _levels(values: npt.NDArray[Any]) -> dict[str, Any]:
    known = [value for value in values.tolist() if value is not None and value == value]
    return {
        "nulls": len(values) - len(known),
        "levels": [[value, count] for value, count in Counter(known).most_common(_LEVELS)],
    }


def answers(model: Any, schema: Schema, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What *model* itself says of *rows*, as JSON can hold it.

    Raises:
        ConfigurationError: it predicts what is no number.
    """
    told = in_model_thread(_answers, model, schema, rows)
    if not all(np.isfinite(part).all() for part in map(np.asarray, told.values()) if part.dtype.kind == "f"):
        raise ConfigurationError(
            "model: predicts NaN or an infinity for its own rows, which JSON cannot hold"
        )
    return told


def _answers(model: Any, schema: Schema, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    table = schema.read(rows)
    if isinstance(model, OnnxModel):
        values, likely = model.answer(table)
        return {"predict": values.tolist()} | ({} if likely is None else {"predict_proba": likely.tolist()})
    given: Any = table.texts[0] if takes_texts(model) else table.to_array()
    if hasattr(model, "feature_names_in_"):
        given = table.to_pandas(none_columns(model))[list(Schema.from_model(model).names)]
    told = {"predict": np.asarray(model.predict(given)).tolist()}
    if hasattr(model, "predict_proba"):
        likely = model.predict_proba(given)
        told["predict_proba"] = [part.tolist() for part in likely]
    return told


def check_example(model: Any, schema: Schema, example: Mapping[str, Any]) -> None:
    """Replay an example: the model must say what it said when it was packed.

    Labels must be the same, numbers as near as other processors compute them.

    Raises:
        ConfigurationError: it says something else.
    """
    actual = answers(model, schema, example["rows"])
    for method, expected in example["expected"].items():
        if not _alike(expected, actual.get(method)):
            raise ConfigurationError(f"its {method} does not answer the example as it did when it was packed")


def _alike(expected: Any, actual: Any) -> bool:
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(_alike, expected, actual))
    if isinstance(expected, float) and isinstance(actual, float):
        return math.isclose(expected, actual, **_CLOSE)
    return type(expected) is type(actual) and bool(expected == actual)
