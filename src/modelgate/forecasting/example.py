"""Create example rows of a forecast request."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .calendar import Grid
from .forecaster import Forecaster
from .timestamps import format_utc

__all__ = ["generate_rows", "rows_to_test"]

_START = np.datetime64("2024-01-01")
_SEASON = 7


def rows_to_test(forecaster: Forecaster) -> Sequence[Mapping[str, Any]]:
    """Return rows for testing *forecaster*: its example if it has one, or else generated rows."""
    return getattr(forecaster, "example", None) or generate_rows(forecaster)


def generate_rows(forecaster: Forecaster) -> list[dict[str, Any]]:
    """Generate example rows of a request. Unlike training rows, they may be shown to callers.

    The rows reveal only these facts about the training rows: the name of one series, the medians of the
    columns known in advance, and the typical size of the target. They contain more history than needed, so
    that callers can also try earlier forecast points.
    """
    spec = forecaster.spec
    (first, last), (_, farthest) = spec.feature_derivation_window, spec.forecast_window
    positions = np.arange(first - farthest, farthest + 1)
    start = getattr(forecaster, "example_date", _START).astype("datetime64[us]").astype(np.int64)
    keys = Grid(spec.parsed_step, int(start), np.array([start])).keys(positions)
    series = min(getattr(forecaster, "series", None) or {"1"})
    medians, size = getattr(forecaster, "medians", {}), getattr(forecaster, "typical_size", 1.0)
    waves = [
        math.sin(2 * math.pi * index / (spec.parsed_step.season or _SEASON)) for index in positions.tolist()
    ]
    return [
        {
            spec.date_column: date,
            **({} if spec.series_id is None else {spec.series_id: series}),
            spec.target: float(f"{size * (1 + 0.3 * wave):.4g}") if position <= last else None,
            **{name: medians.get(name, 0) for name in spec.known_in_advance},
        }
        for position, wave, date in zip(positions.tolist(), waves, format_utc(keys, unit="s"), strict=True)
    ]
