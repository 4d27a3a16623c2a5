"""Forecast requests: the rows of a table, divided into histories and rows to predict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .forecaster import Future, Window

__all__ = ["ForecastRequest", "ForecastRows"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class ForecastRows:
    """Series, forecast point, date and index of each predicted row.

    Each sequence has one item per predicted row.

    Args:
        series: Series, as sent; None for a single series.
        points: Forecast points, in ISO 8601 in UTC.
        row_ids: Indices in the submitted table. Rows that were not sent get the indices after the last row of
            the table.
        timestamps: Dates in ISO 8601 in UTC, with microseconds.
        steps: Number of steps from the forecast point to each row.
        dates: Dates, in the form of the dates that the caller sent.
        sent: Number of rows in the submitted table.
    """

    series: Sequence[Any] | None
    points: Sequence[str]
    row_ids: npt.NDArray[np.int64]
    timestamps: Sequence[str]
    steps: npt.NDArray[np.int64]
    dates: Sequence[str]
    sent: int

    def __len__(self) -> int:
        return len(self.row_ids)

    def select(self, cells: Sequence[T], default: T) -> list[T]:
        """Return the item of *cells* for each predicted row, or *default* for a row that was not sent.

        *cells* has one item for each submitted row.
        """
        return [cells[row] if row < self.sent else default for row in self.row_ids.tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class ForecastRequest:
    """Input of a forecaster, and the identity of the rows that it predicts.

    Args:
        window: Histories.
        future: Rows to predict.
        rows: Series, date and index of each row to predict.
        warnings: Warnings for the caller.
        levels: Levels of the prediction intervals to add, in percent.
    """

    window: Window
    future: Future
    rows: ForecastRows
    warnings: Sequence[str] = ()
    levels: Sequence[float] = ()

    def __len__(self) -> int:
        return len(self.future.steps)

    @property
    def horizon(self) -> int:
        """Largest step to predict."""
        return int(self.future.steps.max())
