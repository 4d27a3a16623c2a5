"""Interface of forecasters, which predict the next steps of series from the history in a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
import numpy.typing as npt

from .spec import TimeSeriesSpec

__all__ = ["Forecaster", "Future", "Window", "is_forecaster"]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Histories of the target, one for each series and forecast point.

    Args:
        series: Name of the series of each history, as text.
        values: Target values, oldest first, of shape (histories, `TimeSeriesSpec.history_length`). NaN occurs
            only if the request permits missing history.
        points: Forecast point of each history, as datetime64[us] of shape (histories,).
    """

    series: Sequence[str]
    values: npt.NDArray[np.float64]
    points: npt.NDArray[np.datetime64]


@dataclass(frozen=True, slots=True, eq=False)
class Future:
    """Rows to predict. All arrays have the shape (rows,).

    Args:
        history: Index in `Window` of the history that precedes each row.
        steps: Number of steps from the forecast point to each row.
        dates: Dates, as datetime64[us].
        columns: Values of the columns known in advance, by name.
    """

    history: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    dates: npt.NDArray[np.datetime64]
    columns: Mapping[str, npt.NDArray[np.float64]]

    def select(self, rows: slice | npt.NDArray[np.bool_]) -> "Future":
        """Return the rows in the slice *rows*, or those for which the mask *rows* is True."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Future(self.history[rows], self.steps[rows], self.dates[rows], columns)


@runtime_checkable
class Forecaster(Protocol):
    """Protocol of models that predict series from the history in a request.

    These attributes are optional:

    * ``series``: names of the training series, as text. Without it, every series is accepted.
    * ``medians``: replacements for missing values of the columns known in advance, by column name. Without
      medians, these columns must not have missing values.
    * ``allows_missing``: True if the history may contain NaN.
    * ``allows_new_series``: True if the forecaster can predict series that are not among the training series.
    * ``example``: rows of a request. They are used to test the forecaster when it is loaded.
    * ``example_date``: forecast point in examples for callers, as datetime64. It is needed for a model that
      accepts only certain dates, such as Sundays.
    * ``typical_size``: size of the generated values in examples for callers.

    To provide prediction intervals, a forecaster needs the method ``intervals(window, future, values,
    level)``, which returns an array of shape (rows, 2), and the attribute ``levels`` with the levels in
    percent that are returned by default. If it also has the method ``has_level(level)``, callers can request
    other levels.
    """

    spec: TimeSeriesSpec

    def forecast(self, window: Window, horizon: int, future: Future) -> npt.NDArray[np.float64]:
        """Return the prediction of each row of *future*, of shape (rows,).

        Args:
            window: Histories of the series.
            horizon: Largest step in *future*.
            future: Rows to predict.
        """


def is_forecaster(model: Any) -> TypeGuard[Forecaster]:
    """Return whether *model* is a `Forecaster`."""
    return isinstance(getattr(model, "spec", None), TimeSeriesSpec) and hasattr(model, "forecast")
