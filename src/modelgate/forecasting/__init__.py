"""Forecasting: models of time series that predict from the history in a request."""

from .direct import DirectForecaster
from .forecaster import Forecaster, Future, Window
from .options import ForecastOptions
from .request import ForecastRequest, ForecastRows
from .spec import TimeSeriesSpec

__all__ = [
    "DirectForecaster",
    "ForecastOptions",
    "ForecastRequest",
    "ForecastRows",
    "Forecaster",
    "Future",
    "TimeSeriesSpec",
    "Window",
]
