"""Forecast requests: the rows of a table, arranged as histories and rows to predict."""

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
    """Identity of each predicted row. All arguments have one item for each of these rows, in their order.

    Args:
        series: Series, as sent; None for a single series.
        points: Forecast points, in ISO 8601 in UTC.
        row_ids: Indices in the submitted table. Rows that were not sent continue its numbers.
        timestamps: Dates in ISO 8601 in UTC, with microseconds.
        steps: Numbers of steps from the forecast point.
        dates: Dates, as sent.
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
        """Return the cells of the predicted rows. *cells* has one for each submitted row.

        A row that was not sent gets *default*.
        """
        return [cells[row] if row < self.sent else default for row in self.row_ids.tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class ForecastRequest:
    """Input of a forecaster, and what its predictions refer to.

    Args:
        window: Histories.
        future: Rows to predict.
        rows: Identity of these rows.
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

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """One value for each row to predict, as in a `Table`."""
        return self.future.steps
