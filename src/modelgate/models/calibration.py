"""Calibrate prediction intervals by split conformal prediction.

Source: Lei et al., "Distribution-Free Predictive Inference for Regression", Journal of the American
Statistical Association 113 (2018), section 2.2.
"""

from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ..conformal import conformal_rank
from ..errors import ConfigurationError, RequestError
from ..schema import Schema
from .training_sample import predict_to_lists

__all__ = ["CALIBRATION", "Calibration", "calibrate"]

CALIBRATION = "calibration.json"
"""Member of a package with its calibration."""


class Calibration(msgspec.Struct, frozen=True):
    """Calibration of a model: its errors on rows that it was not fitted on.

    Attributes:
        rows: Number of calibration rows.
        residuals: Absolute errors of each output, in ascending order; None for an output that predicts
            labels.
        method: Method by which intervals are computed from the residuals.
    """

    rows: int
    residuals: list[list[float] | None]
    method: Literal["split_conformal"] = "split_conformal"

    @property
    def max_level(self) -> float:
        """Highest level in percent for which there are enough rows, rounded down to two decimals."""
        return 10_000 * self.rows // (self.rows + 1) / 100

    def half_width(self, output: int, level: float) -> float | None:
        """Return half of the width of an interval, or None if the output predicts labels.

        Args:
            output: Index of the output.
            level: Level in percent, above 0 and at most `max_level`.

        Raises:
            ValueError: *level* is not a number in this range.
        """
        residuals = self.residuals[output]
        # Try the common types first: `isinstance` is slow for an abstract class such as `Real`.
        is_number = type(level) in (int, float) or (isinstance(level, Real) and not isinstance(level, bool))
        rank = conformal_rank(level, self.rows) if is_number else 0
        if not 1 <= rank <= self.rows:
            shown = f"{level:g}" if is_number else f"{level!r:.20}"
            raise ValueError(f"above 0 and at most {self.max_level:g} (got {shown})")
        return None if residuals is None else residuals[rank - 1]


def calibrate(
    model: Any,
    schema: Schema,
    X: Any,  # noqa: N803  scikit-learn's word
    y: Any,
    classes: Sequence[Any],
    levels: Sequence[float],
) -> Calibration:
    """Return the calibration of *model*.

    Args:
        model: Fitted estimator.
        schema: Schema of the rows.
        X: Calibration rows.
        y: True values, of shape (rows,) or (rows, outputs).
        classes: Class labels of each output; None for an output that is a number.
        levels: Levels in percent that callers will request.

    Raises:
        ConfigurationError: The rows do not match the schema, no output is a number, *y* has the wrong shape,
            a true value is not a finite number, or there are too few rows for one of the *levels*.
    """
    try:
        predictions = predict_to_lists(model, schema, X)
    except RequestError as error:
        raise ConfigurationError(f"X must have rows that match the schema: {error}") from None
    predicted, targets = np.array(predictions["predict"], dtype=object), np.asarray(y)
    if targets.shape != predicted.shape:
        raise ConfigurationError(f"y must have the shape {predicted.shape} (got {targets.shape})")
    columns = list(zip(_columns(predicted), _columns(targets), strict=True))
    if len(classes) != len(columns):
        # Some estimators do not store how many numbers they predict.
        classes = [None] * len(columns)
    residuals = [
        _residuals(*values) if labels is None else None
        for labels, values in zip(classes, columns, strict=True)
    ]
    if not any(residuals):
        raise ConfigurationError(f"model must predict a number to have intervals (got the classes {classes})")
    calibration = Calibration(len(targets), residuals)
    for level in levels:
        try:
            calibration.half_width(0, level)
        except ValueError as error:
            raise ConfigurationError(
                f"levels must be numbers {error}: a higher level needs more calibration rows"
            ) from None
    return calibration


def _columns(values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [values] if values.ndim == 1 else list(values.T)


def _residuals(predicted: npt.NDArray[Any], y: npt.NDArray[Any]) -> list[float]:
    try:
        residuals = np.abs(y.astype(np.float64) - predicted.astype(np.float64))
    except (TypeError, ValueError):
        residuals = np.array([np.nan])
    if not np.isfinite(residuals).all():
        raise ConfigurationError("y must have a finite number in each row for each numeric output")
    return np.sort(residuals).tolist()  # type: ignore[no-any-return]
