"""Options of a forecast request."""

import msgspec

from ..errors import InvalidInput

__all__ = ["ForecastOptions"]


class ForecastOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a forecast request.

    *start* and *end* must be used together, and without *forecast_point*.

    Attributes:
        forecast_point: Date after which to predict, in ISO 8601. The default is the latest date for which
            every series has the history that the forecaster reads.
        start: First date to predict. Each date is predicted from all forecast points whose window contains
            the date.
        end: Date at which the range ends; it is not predicted.
        relax_known_in_advance: Whether to replace missing values of columns known in advance by their median
            in the training rows, instead of rejecting the request.
        relax_history: Whether to accept a history with missing rows and targets, if the forecaster accepts
            missing values.
        relax_series: Whether to accept series that are not among the training series, if the forecaster can
            predict them.
    """

    forecast_point: str | None = None
    start: str | None = None
    end: str | None = None
    relax_known_in_advance: bool = False
    relax_history: bool = False
    relax_series: bool = False

    @classmethod
    def from_option(cls, option: "ForecastOptions | None") -> "ForecastOptions":
        """Return *option*, or the defaults if it is None.

        Raises:
            InvalidInput: *option* has another type.
        """
        if option is not None and not isinstance(option, cls):
            raise InvalidInput(
                "options of a forecast must be ForecastOptions(forecast_point=…) or None"
                f" (got {type(option).__name__})"
            )
        return option or cls()
