"""Example rows of a forecast request."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .calendar import Grid
from .forecaster import Forecaster
from .timestamps import format_utc

__all__ = ["example_rows"]

_START = 1_704_067_200_000_000  # 2024-01-01


def example_rows(forecaster: Forecaster) -> Sequence[Mapping[str, Any]]:
    """Return rows of a request: those that the forecaster has as its example, or generated ones."""
    example: Sequence[Mapping[str, Any]] | None = getattr(forecaster, "example", None)
    if example:
        return example
    spec = forecaster.spec
    (first, last), (_, farthest) = spec.feature_derivation_window, spec.forecast_window
    positions = np.arange(first, farthest + 1)
    keys = Grid(spec.parsed_step, _START, np.array([_START])).keys(positions)
    series = min(getattr(forecaster, "series", None) or {"1"})
    return [
        {
            spec.date_column: date,
            **({} if spec.series_id is None else {spec.series_id: series}),
            spec.target: 1.0 + position % 3 if position <= last else None,
            **dict.fromkeys(spec.known_in_advance, 0),
        }
        for position, date in zip(positions.tolist(), format_utc(keys, unit="s"), strict=True)
    ]
