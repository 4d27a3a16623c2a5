"""Check that a prediction has a value for each row, and that JSON can represent the values."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .prediction import Output, Prediction

__all__ = [
    "ShapeError",
    "UnrepresentableError",
    "check_shape",
    "check_text",
    "check_values",
    "non_finite_rows",
]

_SMALL_ARRAY = 32
_SHOWN = 20


class UnrepresentableError(ValueError):
    """Error for predicted values that JSON cannot represent.

    Attributes:
        problem: Problem with the values, for example "is not a finite number".
        rows: Indices of the rows, from 0.
        count: Total number of rows that were scored.
    """

    def __init__(self, name: str, problem: str, rows: list[int], count: int) -> None:
        self.problem = problem
        self.rows = rows
        self.count = count
        super().__init__(f"output {name!r} {problem} in the rows {rows[:_SHOWN]} ({len(rows)} of {count})")


class ShapeError(ValueError):
    """Error for a model that did not return one value per row."""


def check_shape(prediction: Prediction, rows: int) -> None:
    """Check that each output has a value for each row, and a probability for each row and class.

    Raises:
        ShapeError: An output does not have one value per row.
        ValueError: A probability is missing, or there is no output.
    """
    if not prediction.outputs:
        raise ValueError("the prediction has no outputs")
    for output in prediction.outputs:
        values, probabilities, classes = output.values, output.probabilities, output.classes
        if not isinstance(values, np.ndarray) or values.shape != (rows,):
            raise ShapeError(
                f"output {output.name!r} must be an array with one value for each of {rows} rows"
            )
        if probabilities is not None and (classes is None or probabilities.shape != (rows, len(classes))):
            raise ValueError(f"output {output.name!r} must have a probability for each row and class")


def check_values(prediction: Prediction, *, nullable: bool = False) -> None:
    """Check the values of a prediction that has the right shape.

    Args:
        prediction: Prediction of a model.
        nullable: Whether numbers may be NaN or infinite.

    Raises:
        UnrepresentableError: JSON cannot represent a value, such as NaN, an infinity or a date.
    """
    for output in prediction.outputs:
        values, probabilities = output.values, output.probabilities
        kind = values.dtype.kind
        is_valid = kind in "biuU" or (
            _is_finite(values) if kind == "f" else kind == "O" and all(map(_is_json_value, values))
        )
        if not is_valid or not (probabilities is None or _is_finite(probabilities)):
            _check_invalid(output, nullable=nullable)


def _check_invalid(output: Output, *, nullable: bool) -> None:
    """Raise the error for an output with invalid values. NaN and infinities are valid if *nullable* is True."""
    values, kind, count = output.values, output.values.dtype.kind, len(output.values)
    if kind == "O":
        rows = [i for i, value in enumerate(values) if not (_is_json_value(value) or _is_non_finite(value))]
    else:
        rows = [] if kind in "biufU" else list(range(count))
    if rows:
        raise UnrepresentableError(output.name, "is not text, a boolean or a number", rows, count)
    if not nullable:
        raise UnrepresentableError(output.name, "is not a finite number", non_finite_rows(output), count)


def check_text(prediction: Prediction) -> None:
    """Raise `UnrepresentableError` if a label contains lone surrogates, which UTF-8 cannot encode."""
    for output in prediction.outputs:
        labels = output.values.tolist()
        # A response with probabilities has all class labels in each row.
        classes_valid = all(map(_is_encodable, output.classes or ()))
        rows = [i for i, label in enumerate(labels) if not (classes_valid and _is_encodable(label))]
        if rows:
            raise UnrepresentableError(output.name, "is text that UTF-8 cannot encode", rows, len(labels))


def _is_encodable(value: object) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def non_finite_rows(output: Output) -> list[int]:
    """Return the indices of the rows with a number or a probability that is NaN or infinite."""
    values = output.values
    if values.dtype.kind == "O":
        invalid = np.fromiter(map(_is_non_finite, values), dtype=bool, count=len(values))
    else:
        invalid = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    if output.probabilities is not None:
        invalid |= ~np.isfinite(output.probabilities).all(axis=1)
    return np.flatnonzero(invalid).tolist()


def _is_non_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _is_finite(values: npt.NDArray[Any]) -> bool:
    # numpy's reductions are slow on small arrays: for one row, they took a tenth of the time of a request.
    if values.size <= _SMALL_ARRAY:
        return all(map(math.isfinite, values.ravel().tolist()))
    return bool(np.isfinite(values).all())


def _is_json_value(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json_value(item) for name, item in value.items())
    if isinstance(value, list):
        return all(map(_is_json_value, value))
    return value is None or type(value) in (str, int, bool)
