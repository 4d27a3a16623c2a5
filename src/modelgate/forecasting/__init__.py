"""Forecasting: models that predict time series from the history in a request."""

from .direct import DirectForecaster
from .forecaster import Forecaster, Future, Window
from .options import ForecastOptions
from .request import ForecastRequest, ForecastRows
from .skforecast import SkforecastForecaster
from .spec import TimeSeriesSpec
from .statsforecast import StatsforecastForecaster

__all__ = [
    "DirectForecaster",
    "ForecastOptions",
    "ForecastRequest",
    "ForecastRows",
    "Forecaster",
    "Future",
    "SkforecastForecaster",
    "StatsforecastForecaster",
    "TimeSeriesSpec",
    "Window",
]
