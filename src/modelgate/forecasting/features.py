"""Compute the features of a direct forecast: one row of numbers for each date to predict."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .forecaster import Future, Window
from .spec import TimeSeriesSpec

__all__ = ["feature_matrix", "scales"]

_DAY = 86_400_000_000
_YEAR = 365.2425


def scales(window: Window) -> npt.NDArray[np.float64]:
    """Return the scale of each history: its mean absolute value, or 1 if the mean is 0.

    The shape is (histories,).

    Targets are divided by the scale of their history, so that one regressor can learn and predict
    series of any size.
    """
    sizes = np.abs(window.values)
    means: npt.NDArray[np.float64] = (
        np.nanmean(sizes, axis=1) if np.isnan(sizes).any() else sizes.mean(axis=1)
    )
    return np.where(means > 0, means, 1.0)


def feature_matrix(
    spec: TimeSeriesSpec, window: Window, future: Future, scale: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the features of each row to predict, of shape (rows, features).

    These are the history, the value one season before the date, the step, the calendar of the date, and the
    columns known in advance.

    Args:
        spec: Columns and windows of the series.
        window: Histories.
        future: Rows to predict.
        scale: Result of `scales`.
    """
    lags = window.values[future.history] / scale[future.history][:, None]
    columns = [lags, (future.steps / spec.forecast_window[1])[:, None]]
    season = spec.parsed_step.season
    if season is not None and season <= spec.history_length:
        first, last = spec.feature_derivation_window
        seasons = -((last - future.steps) // season)  # number of seasons to go back to reach the history
        columns.append(lags[np.arange(len(lags)), future.steps - seasons * season - first][:, None])
    columns += _calendar(spec, future.dates.astype(np.int64))
    columns += [future.columns[name][:, None] for name in spec.known_in_advance]
    return np.concatenate(columns, axis=1)


def _calendar(spec: TimeSeriesSpec, keys: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the calendar features that suit the length of a step: time of day, weekday, time of year."""
    days, time = np.divmod(keys, _DAY)
    step = spec.parsed_step
    if not step.is_daily:
        yield _waves(time / _DAY, 2)
    if step.microseconds <= _DAY and not step.months:
        yield (((days + 3) % 7)[:, None] == np.arange(7)).astype(np.float64)  # 1970 began on a Thursday
    if step.is_daily:
        yield _waves(days / _YEAR, 2)


def _waves(phase: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Return sines and cosines of *phase*, where 1 is a full cycle, and of its multiples up to *count*."""
    angles = 2 * np.pi * phase[:, None] * np.arange(1, count + 1)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
