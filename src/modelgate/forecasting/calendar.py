"""Time steps, which are fixed durations or calendar months, and the grids of dates that they form."""

import re
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError

__all__ = ["Grid", "Keys", "Step", "parse_step"]

Keys: TypeAlias = npt.NDArray[np.int64]
"""Dates as microseconds since 1970; see `modelgate.forecasting.timestamps`."""

_STEP = re.compile(r"([1-9]\d{0,5})(s|min|h|D|W|M|Q|Y)", re.ASCII)
_MICROSECONDS = {
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "D": 86_400_000_000,
    "W": 604_800_000_000,
}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_SEASONS = {"1h": 24, "1D": 7, "1W": 52, "1M": 12, "1Q": 4}


class Step(NamedTuple):
    """Time between two rows of a series.

    Attributes:
        microseconds: Fixed duration; 0 for a step of months.
        months: Number of calendar months; 0 for a fixed duration.
        is_daily: True for days and longer units, which are counted in local time. False for shorter units,
            which are counted in UTC.
        season: Number of steps in the usual season of the unit: 24 hours, 7 days, 52 weeks, 12 months or 4
            quarters; None for all other steps.
    """

    microseconds: int
    months: int
    is_daily: bool
    season: int | None


def parse_step(text: object) -> Step:
    """Parse a step, which is a number and a unit, such as ``1D`` or ``15min``.

    Raises:
        ConfigurationError: *text* is not a step.
    """
    match = _STEP.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ConfigurationError(
            'step must be a number and a unit (s, min, h, D, W, M, Q or Y), such as "1D" or "15min"'
            f" (got {text!r})"
        )
    count, unit = int(match[1]), match[2]
    microseconds, months = count * _MICROSECONDS.get(unit, 0), count * _MONTHS.get(unit, 0)
    return Step(microseconds, months, unit not in ("s", "min", "h"), _SEASONS.get(match[0]))


class Grid:
    """Grid of dates that are whole numbers of steps away from an origin.

    With a step of months, all dates have the same day of the month, or the last day if the month is too
    short. If every date in *keys* is the last day of its month, every date of the grid is the last day of its
    month.

    Args:
        step: Time between two dates.
        origin: Date at position 0.
        keys: Dates of the series, which determine the day of the month.
    """

    def __init__(self, step: Step, origin: int, keys: Keys) -> None:
        self._origin = origin
        self._microseconds = step.microseconds
        self._months = step.months
        if self._months:
            month, day, time = _split(np.append(keys, origin))
            self._first_month, self._time = int(month[-1]), int(time[-1])
            self._day = 31 if (day == _last_days(month)).all() else int(day.max())

    def positions(self, keys: Keys) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return the position of each date, rounded down, and whether each date is on the grid."""
        if not self._months:
            positions, rest = np.divmod(keys - self._origin, self._microseconds)
            return positions, np.equal(rest, 0)
        positions = (_split(keys)[0] - self._first_month) // self._months
        return positions, self.keys(positions) == keys

    def keys(self, positions: npt.NDArray[np.int64]) -> Keys:
        """Return the dates at *positions*."""
        if not self._months:
            return positions * self._microseconds + self._origin
        months = self._first_month + positions * self._months
        days = np.minimum(self._day, _last_days(months)) - 1
        keys: Keys = (_first_days(months) + days) * _MICROSECONDS["D"] + self._time
        return keys


def _split(keys: Keys) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the month since 1970, the day of the month from 1, and the time of the day in microseconds."""
    days, time = np.divmod(keys, _MICROSECONDS["D"])
    months: Any = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return months, days - _first_days(months) + 1, time


def _first_days(months: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    days: npt.NDArray[np.int64] = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return days


def _last_days(months: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return _first_days(months + 1) - _first_days(months)
