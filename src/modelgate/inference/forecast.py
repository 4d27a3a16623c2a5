"""Predictions of forecasters."""

import numpy as np
import numpy.typing as npt

from ..forecasting import Forecaster, ForecastRequest
from .prediction import Output, Prediction

__all__ = ["ForecastFunction"]


class ForecastFunction:
    """Function that returns the prediction of *forecaster* for a request.

    Args:
        forecaster: Forecaster.
        nullable: Whether values may be NaN or infinite.
    """

    def __init__(self, forecaster: Forecaster, *, nullable: bool = False) -> None:
        self._forecaster = forecaster
        self._nullable = nullable

    def __call__(self, request: ForecastRequest) -> Prediction:
        """Return the prediction and the prediction intervals of each row.

        Raises:
            ValueError: The forecaster returned another number of values, or NaN or an infinity.
        """
        forecaster, window, future = self._forecaster, request.window, request.future
        values = np.asarray(forecaster.forecast(window, request.horizon, future), dtype=np.float64)
        intervals: dict[str, npt.NDArray[np.float64]] = {
            f"{level:g}": forecaster.intervals(window, future, values, level)  # type: ignore[attr-defined]
            for level in getattr(forecaster, "levels", ())
        }
        for array, shape in [
            (values, (len(request),)),
            *((a, (len(request), 2)) for a in intervals.values()),
        ]:
            if array.shape != shape:
                raise ValueError(f"the forecaster returned the shape {array.shape} instead of {shape}")
            finite = np.isfinite(array)
            if not finite.all() and not self._nullable:
                raise ValueError(
                    f"the forecaster returned NaN or an infinity {np.count_nonzero(~finite)} times of {array.size}"
                )
        return Prediction([Output(forecaster.spec.target, values, intervals=intervals or None)])
