"""Describe the series that a forecaster predicts: columns, step and windows."""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import msgspec

from ..errors import ConfigurationError
from ..schema import Column, Schema
from ..schema.datetimes import find_zone
from .calendar import Step, parse_step

__all__ = ["TimeSeriesSpec"]

_LONGEST = 10_000


class TimeSeriesSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Specification of the series that a forecaster predicts: columns, step and windows.

    Windows count steps from the forecast point and include both ends. With daily rows, (-13, 0) contains the
    forecast point and the 13 days before it, and (1, 7) contains the week after it.

    Attributes:
        date_column: Column with the date of a row, in ISO 8601.
        target: Column with the value to predict.
        step: Time between two rows: a number and a unit (``s``, ``min``, ``h``, ``D``, ``W``, ``M`` for
            months, ``Q`` or ``Y``).
        feature_derivation_window: First and last step of the history that the forecaster reads.
        forecast_window: First and last step that the forecaster predicts.
        series_id: Column with the name or number of the series; None for a single series.
        known_in_advance: Numeric columns whose values are known for the dates to predict.
        unknown_series: ``"accept"`` to predict series that are not among the training series; ``"reject"`` to
            reject them.
        timezone: Time zone of dates without a UTC offset, such as ``Europe/Berlin``; None for UTC. Set it for
            hourly rows in local time.

    Raises:
        ConfigurationError: A value is not valid.
    """

    date_column: str
    target: str
    step: str
    feature_derivation_window: tuple[int, int]
    forecast_window: tuple[int, int]
    series_id: str | None = None
    known_in_advance: Sequence[str] = ()
    unknown_series: Literal["reject", "accept"] = "reject"
    timezone: str | None = None

    def __post_init__(self) -> None:
        parse_step(self.step)
        self._check_columns()
        for option, limits in (
            ("feature_derivation_window", (-_LONGEST, 0)),
            ("forecast_window", (1, _LONGEST)),
        ):
            window, (lowest, highest) = getattr(self, option), limits
            if not _is_pair(window) or not lowest <= window[0] <= window[1] <= highest:
                raise ConfigurationError(
                    f"{option} must be the first and the last step, from {lowest} to {highest} (got {window!r})"
                )
        if self.unknown_series not in ("reject", "accept"):
            raise ConfigurationError(
                f'unknown_series must be "reject" or "accept" (got {self.unknown_series!r})'
            )
        if self.timezone is not None:
            try:
                find_zone(self.timezone)
            except (TypeError, ValueError):
                raise ConfigurationError(
                    f"timezone must be a time zone such as Europe/Berlin or UTC+01:00 (got {self.timezone!r})"
                ) from None

    def _check_columns(self) -> None:
        if isinstance(self.known_in_advance, str) or not isinstance(self.known_in_advance, Sequence):
            raise ConfigurationError(
                f"known_in_advance must be a list of column names (got {self.known_in_advance!r})"
            )
        names = [self.date_column, self.target, *self.known_in_advance]
        names += [] if self.series_id is None else [self.series_id]
        for name in names:
            if not isinstance(name, str) or not name:
                raise ConfigurationError(
                    f"column names must be text of at least one character (got {name!r})"
                )
        if len(set(names)) < len(names):
            raise ConfigurationError(
                f"date_column, target, series_id and known_in_advance must be different columns (got {names})"
            )

    @cached_property
    def parsed_step(self) -> Step:
        """Parsed form of *step*."""
        return parse_step(self.step)

    @property
    def history_length(self) -> int:
        """Number of steps in the feature derivation window."""
        return self.feature_derivation_window[1] - self.feature_derivation_window[0] + 1

    @property
    def steps(self) -> range:
        """Steps of the forecast window."""
        return range(self.forecast_window[0], self.forecast_window[1] + 1)

    def schema(self) -> Schema:
        """Return the schema of the rows of a request, both history and rows to predict."""
        date = f"Date in ISO 8601; the step between two rows of a series is {self.step}"
        columns = [
            Column(self.date_column, "text", max_length=64, description=date, typical_value="2024-01-06")
        ]
        if self.series_id is not None:
            columns.append(Column(self.series_id, "any", description="Name or number of the series"))
        target = "Value to predict; null in the rows to predict"
        columns.append(Column(self.target, nullable=True, required=False, description=target))
        columns += [
            Column(name, nullable=True, required=False, accepts_booleans=True, description="Known in advance")
            for name in self.known_in_advance
        ]
        return Schema(columns)


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(type(item) is int for item in value)
