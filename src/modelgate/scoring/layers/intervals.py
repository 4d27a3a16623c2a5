"""Add prediction intervals, computed from the errors of the model on calibration rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import InvalidInput
from ...flow import Flow
from ...inference import Prediction
from ...models.calibration import Calibration
from ..query import Query

__all__ = ["add_intervals", "to_levels"]


def to_levels(levels: Any) -> list[float]:
    """Return the option *levels* as a list.

    Raises:
        InvalidInput: *levels* is not a list, a tuple or an array.
    """
    if isinstance(levels, str) or not hasattr(levels, "__len__"):
        raise InvalidInput(
            f"intervals must be a list of levels in percent, such as [80, 90] (got {levels!r:.40})"
        )
    return list(levels)


def add_intervals(flow: Flow[Prediction], query: Query) -> Flow[Prediction]:
    """Add prediction intervals with the levels `Query.intervals` to the prediction that *flow* returns.

    Raises:
        InvalidInput: The model is not calibrated, or a level is too high for its calibration.
    """
    assert query.predictor is not None
    calibration = query.predictor.calibration
    if calibration is None:
        raise InvalidInput("This deployment has no prediction intervals: leave out the option intervals")
    widths = _half_widths(calibration, query.intervals)
    prediction = yield from flow
    for output, by_level in zip(prediction.outputs, widths, strict=True):
        if by_level:
            values = output.values.astype(np.float64, copy=False)
            output.intervals = {
                level: values[:, None] + np.array([-width, width]) for level, width in by_level.items()
            }
    return prediction


def _half_widths(calibration: Calibration, levels: Sequence[float]) -> list[dict[str, float]]:
    """Return for each output half the width of its intervals, by level. For labels, the dict is empty."""
    widths: list[dict[str, float]] = [{} for _ in calibration.residuals]
    for index, by_level in enumerate(widths):
        for level in levels:
            try:
                width = calibration.half_width(index, level)
            except ValueError as error:
                raise InvalidInput(f"intervals must be percentages {error}") from None
            if width is not None:
                by_level[f"{level:.15g}"] = width
    return widths
