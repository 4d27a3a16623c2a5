"""Options of a request for forecasts."""

import msgspec

__all__ = ["ForecastOptions"]


class ForecastOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a request for forecasts.

    *start* and *end* are only valid together, and without *forecast_point*.

    Args:
        forecast_point: Date after which to predict, in ISO 8601. By default the latest date for which every
            series has the history that the forecaster reads.
        start: First date to predict, from all forecast points whose forecast window contains it.
        end: Date before which the predictions end.
        relax_known_in_advance: Whether missing values of columns known in advance are replaced by the
            median of the training data, instead of rejected.
        relax_history: Whether rows and targets may be missing in the history, if the forecaster accepts
            missing values.
        relax_series: Whether series are accepted that are not among the training series, if the forecaster
            can predict them.
    """

    forecast_point: str | None = None
    start: str | None = None
    end: str | None = None
    relax_known_in_advance: bool = False
    relax_history: bool = False
    relax_series: bool = False
