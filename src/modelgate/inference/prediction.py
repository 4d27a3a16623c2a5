"""Predictions of a model or a function, and their validation."""

import math
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ..explanations import RowExplanation
from ..forecasting import ForecastRows

__all__ = [
    "Average",
    "Curve",
    "NonFiniteError",
    "Output",
    "Prediction",
    "ShapeError",
    "Target",
    "TriggeredRule",
    "check_shape",
    "check_values",
    "describe_result",
    "non_finite_rows",
    "output_names",
    "to_prediction",
]

_SMALL_ARRAY = 32
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Target:
    """Properties of a predicted quantity that are known before a row is scored.

    Args:
        name: Name, as in `Output`.
        classes: Class labels, as in `Output`.
        probabilities: Whether the model returns a probability for each class.
        number: Whether the predicted values are known to be numbers.
        nullable: Whether the predicted values and the probabilities may be null.
        intervals: Whether prediction intervals can be requested.
    """

    name: str
    classes: Sequence[Any] | None = None
    probabilities: bool = False
    number: bool = False
    nullable: bool = False
    intervals: bool = False

    @classmethod
    def from_output(cls, output: "Output") -> "Target":
        """Return the description of the quantity in *output*."""
        number = output.classes is None and output.values.dtype.kind in "iuf"
        return cls(output.name, output.classes, output.probabilities is not None, number)


class TriggeredRule(NamedTuple):
    """Humility rule that a row has triggered.

    Args:
        rule_id: Id of the rule, 24 hexadecimal digits.
        name: Name of the rule.
        action: ``"no_operation"``, or ``"override"`` if the rule replaces the prediction.
    """

    rule_id: str
    name: str
    action: str


class Output(msgspec.Struct, eq=False):
    """Values of one predicted quantity.

    Attributes:
        name: Name of the target.
        values: Labels or numbers, of shape (rows,).
        classes: Class labels, in the order of ``classes_``; None for numbers.
        probabilities: Probabilities in the order of *classes*, of shape (rows, classes); None if the model
            returns none.
        positive: Index of the positive one of two classes. *threshold* applies to its probability.
        threshold: Minimum probability for predicting the positive class; None for the labels of the model.
        explanations: Explanation of each row; None if the request asks for none.
        intervals: Prediction intervals by level in percent, such as ``"90"``: arrays of shape (rows, 2) with the
            lower and the upper limits. None if none were requested, or for labels.
        model_values: Values of the model, of shape (rows,), if humility rules have replaced some of *values*;
            else None.
        adjusted: Predicted numbers for one unit of exposure, of shape (rows,), if the deployment has an `Exposure`
            and they are requested; else None.
    """

    name: str
    values: npt.NDArray[Any]
    classes: list[Any] | None = None
    probabilities: npt.NDArray[np.float64] | None = None
    positive: int = 1
    threshold: float | None = None
    explanations: Sequence[RowExplanation] | None = None
    intervals: Mapping[str, npt.NDArray[np.float64]] | None = None
    model_values: npt.NDArray[Any] | None = None
    adjusted: npt.NDArray[np.float64] | None = None

    def split(self, bounds: "Sequence[tuple[int, int]]") -> "list[Output]":
        """Return parts of the output: rows ``[start:stop]`` for each pair (start, stop) of *bounds*."""
        parts = []
        for start, stop in bounds:
            probabilities = None if self.probabilities is None else self.probabilities[start:stop]
            model_values = None if self.model_values is None else self.model_values[start:stop]
            values = self.values[start:stop]
            explanations = None if self.explanations is None else self.explanations[start:stop]
            intervals = self.intervals and {
                level: limits[start:stop] for level, limits in self.intervals.items()
            }
            parts.append(
                Output(
                    self.name,
                    values,
                    self.classes,
                    probabilities,
                    self.positive,
                    self.threshold,
                    explanations,
                    intervals,
                    model_values,
                    None if self.adjusted is None else self.adjusted[start:stop],
                )
            )
        return parts

    def confidences(self) -> list[float | None]:
        """Return the probability of each row's predicted class; None for a label that is not in *classes*."""
        assert self.probabilities is not None and self.classes is not None
        positions = {label: index for index, label in enumerate(self.classes)}
        rows = zip(self.probabilities.tolist(), self.values.tolist(), strict=True)
        return [
            probabilities[positions[value]] if value in positions else None for probabilities, value in rows
        ]


@dataclass(frozen=True, slots=True)
class Average:
    """Mean predictions of one output over many rows, at each point of a grid.

    Args:
        name: Name of the output.
        values: Means of a number, of shape (points,); None for labels.
        classes: Class labels; None for a number.
        probabilities: Means of the probabilities, of shape (points, classes); None for a number.
    """

    name: str
    values: npt.NDArray[np.float64] | None
    classes: list[Any] | None
    probabilities: npt.NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Grid of a response curve, and the mean curve of many rows.

    Args:
        column: Name of the column that varies.
        grid: Values of the column.
        average: Mean predictions of the packaged rows; None if they were not requested.
    """

    column: str
    grid: Sequence[Any]
    average: Sequence[Average] | None


class Prediction(msgspec.Struct, eq=False):
    """Prediction for some rows: an `Output` for each target, in the model's order.

    Attributes:
        outputs: At least one output.
        cache_hit: Whether the model was in the cache; None if no cache was used.
        warnings: Warnings for the caller about rows that passed validation.
        passthrough_columns: Values of the columns of `Query.passthrough_columns`, as raw JSON.
        forecast: Series and dates of the predictions of a forecaster, which are not one per row of the
            request; None for other models.
        humility: Humility rules that each row has triggered; None if the deployment has no rules.
        context: For each row, the place of its values in the training data, see
            `modelgate.inference.context.describe_rows`; None if it was not requested.
        curve: Grid to whose points the rows belong, if the prediction is a response curve.
    """

    outputs: list[Output]
    cache_hit: bool | None = None
    warnings: Sequence[str] = ()
    passthrough_columns: Mapping[str, Sequence[msgspec.Raw]] | None = None
    forecast: ForecastRows | None = None
    humility: Sequence[Sequence[TriggeredRule]] | None = None
    context: Sequence[Mapping[str, Any]] | None = None
    curve: Curve | None = None

    def __len__(self) -> int:
        return len(self.values)

    def split(self, sizes: Sequence[int]) -> "list[Prediction]":
        """Return consecutive parts of the prediction. *sizes* is the number of rows in each part."""
        stops = list(accumulate(sizes))
        bounds = [(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
        parts = zip(*(output.split(bounds) for output in self.outputs), strict=True)
        predictions = [Prediction(list(outputs), self.cache_hit, self.warnings) for outputs in parts]
        for prediction, (start, stop) in zip(predictions, bounds, strict=True):
            if self.passthrough_columns is not None:
                prediction.passthrough_columns = {
                    name: column[start:stop] for name, column in self.passthrough_columns.items()
                }
            if self.humility is not None:
                prediction.humility = self.humility[start:stop]
        return predictions

    @property
    def values(self) -> npt.NDArray[Any]:
        """Values of the first output, of shape (rows,)."""
        return self.outputs[0].values

    @property
    def classes(self) -> list[Any] | None:
        """Class labels of the first output; None for numbers."""
        return self.outputs[0].classes

    @property
    def probabilities(self) -> npt.NDArray[np.float64] | None:
        """Probabilities of the first output, of shape (rows, classes); None if there are none."""
        return self.outputs[0].probabilities

    @property
    def explanations(self) -> Sequence[RowExplanation] | None:
        """Explanation of each row for the first output; None if the request asks for none."""
        return self.outputs[0].explanations

    @property
    def intervals(self) -> Mapping[str, npt.NDArray[np.float64]] | None:
        """Prediction intervals of the first output by level, see `Output`; None if there are none."""
        return self.outputs[0].intervals


class NonFiniteError(ValueError):
    """A model predicted NaN or an infinity, which JSON cannot represent.

    Attributes:
        rows: Indices of the rows, from 0.
        count: Number of all rows that were scored.
    """

    def __init__(self, name: str, rows: list[int], count: int) -> None:
        self.rows = rows
        self.count = count
        super().__init__(
            f"output {name!r} is not finite in the rows {rows[:_SHOWN]} ({len(rows)} of {count})"
        )


class ShapeError(ValueError):
    """Error for a model that did not return one value per row."""


def to_prediction(
    result: Any, rows: int, target: str | Sequence[str], *, nullable: bool = False
) -> Prediction:
    """Convert the return value of a model or a handler to a prediction.

    Args:
        result: A `Prediction`; values by output name; or an array or list of shape (rows,) or
            (rows, outputs).
        rows: Number of rows scored.
        target: Name of the output, or of each output.
        nullable: Whether numbers may be NaN or infinite.

    Raises:
        ValueError: *result* has another type, has the wrong number of rows, or contains values that JSON
            cannot represent. NaN and infinities are among them, unless *nullable*.
    """
    prediction = result if isinstance(result, Prediction) else Prediction(_outputs(result, target))
    check_shape(prediction, rows)
    check_values(prediction, nullable=nullable)
    return prediction


def describe_result(result: object) -> str:
    """Return the type and size of *result* for the log, without its values, which may be private."""
    if result is None:
        return "None"
    size: object = getattr(result, "shape", None)
    if size is None and isinstance(result, Sized):
        size = len(result)
    return type(result).__name__ + ("" if size in (None, ()) else f" of size {size}")


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
        NonFiniteError: A number or a probability is NaN or infinite.
        ValueError: JSON cannot represent a value.
    """
    for output in prediction.outputs:
        kind = output.values.dtype.kind
        is_valid = kind in "biuU" or (
            _is_finite(output.values)
            if kind == "f"
            else kind == "O" and all(map(_is_json_value, output.values))
        )
        if not is_valid or not (output.probabilities is None or _is_finite(output.probabilities)):
            _check_invalid(output, nullable=nullable)


def _check_invalid(output: Output, *, nullable: bool) -> None:
    """Raise the error for an output with invalid values. NaN and infinities are valid if *nullable*."""
    values, kind = output.values, output.values.dtype.kind
    is_json = (
        all(_is_json_value(value) or _is_non_finite(value) for value in values)
        if kind == "O"
        else kind in "biufU"
    )
    if not is_json:
        raise ValueError(
            f"output {output.name!r} must be text, booleans or finite numbers:"
            " JSON cannot represent other values"
        )
    if not nullable:
        raise NonFiniteError(output.name, non_finite_rows(output), len(output.values))


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
    # numpy's reductions are slow on small arrays: for one row, they took a tenth of the request.
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


def _outputs(result: Any, target: str | Sequence[str]) -> list[Output]:
    if isinstance(result, Mapping):
        return [Output(str(name), _to_array(values)) for name, values in result.items()]
    values = _to_array(result)
    if values.ndim != 2:
        return [Output(output_names(target, 1)[0], values)]
    names = output_names(target, values.shape[1])
    return [Output(name, values[:, index]) for index, name in enumerate(names)]


def _to_array(values: Any) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind == "U" and not isinstance(values, np.ndarray):
        # numpy turns [1, "a"] into ["1", "a"]; an object array preserves the types.
        array = np.array(values, dtype=object)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def output_names(target: str | Sequence[str], count: int) -> list[str]:
    """Return the names of *count* outputs.

    These are the names in *target* if it is a sequence of the right length, otherwise ``target_0``,
    ``target_1`` and so on.
    """
    if not isinstance(target, str) and len(target) == count:
        return list(target)
    stem = target if isinstance(target, str) else target[0]
    return [stem] if count == 1 else [f"{stem}_{index}" for index in range(count)]
