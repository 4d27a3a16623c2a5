"""Predictions of a model or a function."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from ..explanations import RowExplanation
from ..forecasting import ForecastRows

__all__ = [
    "Average",
    "Curve",
    "Output",
    "Prediction",
    "Target",
    "TriggeredRule",
]


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
        """Return the target that *output* belongs to."""
        number = output.classes is None and output.values.dtype.kind in "iuf"
        return cls(output.name, output.classes, output.probabilities is not None, number)


class TriggeredRule(NamedTuple):
    """Humility rule that a row has triggered.

    Attributes:
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
        positive: Index of the positive class if there are two classes. *threshold* applies to its
            probability.
        threshold: Minimum probability for predicting the positive class; None to keep the labels of the model.
        explanations: Explanation of each row; None if not requested.
        intervals: Prediction intervals by level in percent, such as ``"90"``: arrays of shape (rows, 2) with
            the lower and the upper limits. None if not requested, or for labels.
        model_values: Values that the model predicted, of shape (rows,); None unless humility rules have
            replaced some of them.
        adjusted: Predicted numbers for one unit of exposure, of shape (rows,); None unless the deployment has
            an `Exposure` and the caller requests them.
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

    def copy(self) -> "Output":
        """Return a copy that shares no array with this output."""
        intervals = self.intervals
        return replace(
            self,
            values=_copy(self.values),
            classes=_copy(self.classes),
            probabilities=_copy(self.probabilities),
            explanations=_copy(self.explanations),
            intervals=intervals and {level: limits.copy() for level, limits in intervals.items()},
            model_values=_copy(self.model_values),
            adjusted=_copy(self.adjusted),
        )

    def split(self, bounds: "Sequence[tuple[int, int]]") -> "list[Output]":
        """Return an output with the rows ``[start:stop]`` for each pair (start, stop) of *bounds*."""
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
        values: Means of the predicted numbers, of shape (points,); None if the output is a label.
        classes: Class labels; None if the output is a number.
        probabilities: Means of the probabilities, of shape (points, classes); None if the output is a number.
    """

    name: str
    values: npt.NDArray[np.float64] | None
    classes: list[Any] | None
    probabilities: npt.NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Grid of a response curve, with the mean predictions for the packaged rows at its points.

    Args:
        column: Name of the column that varies.
        grid: Values of the column.
        average: Mean predictions for the packaged rows; None if they were not requested.
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
        forecast: Series and date of each prediction of a forecaster. The number of predictions may differ
            from the number of rows in the request. None for other models.
        humility: Humility rules that each row has triggered; None if the deployment has no rules.
        context: For each row, a comparison of its values with the training data; see
            `modelgate.inference.context.describe_rows`. None if it was not requested.
        curve: Grid of a response curve, with one point for each row; None for any other prediction.
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

    def copy(self) -> "Prediction":
        """Return a copy that shares no output with this prediction."""
        return replace(self, outputs=list(map(Output.copy, self.outputs)))

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
        """Explanation of each row for the first output; None if not requested."""
        return self.outputs[0].explanations

    @property
    def intervals(self) -> Mapping[str, npt.NDArray[np.float64]] | None:
        """Prediction intervals of the first output by level (see `Output`); None if there are none."""
        return self.outputs[0].intervals


def _copy(value: Any) -> Any:
    # `copy.copy` takes ten times as long as the method of an array.
    return value.copy() if isinstance(value, np.ndarray) else None if value is None else copy(value)
