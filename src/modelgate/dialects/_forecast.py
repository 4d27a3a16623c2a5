"""Options and encoders of forecasts, in the dialects that have them."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from ..errors import InvalidInput
from ..forecasting import ForecastOptions
from ..http import Request, Response
from ..inference import Prediction
from ..scoring import Query
from .base import Dialect

__all__ = ["forecast_encoder", "split_forecast_options"]

_BOOLEANS = {"true": True, "false": False}


def split_forecast_options(
    query_string: str, names: Mapping[str, str]
) -> tuple[ForecastOptions | None, list[tuple[str, str]]]:
    """Split the options of forecasts from the other parameters of a query string.

    Args:
        query_string: Query string of a request.
        names: Fields of `ForecastOptions` by the names of their parameters.

    Returns:
        The options, or None if all have their defaults; and the other parameters.

    Raises:
        InvalidInput: A parameter is sent twice, empty, or neither true nor false.
    """
    options, others = dict[str, Any](), list[tuple[str, str]]()
    for name, value in parse_qsl(query_string, keep_blank_values=True):
        field = names.get(name)
        if field is None:
            others.append((name, value))
            continue
        if field in options:
            raise InvalidInput(f"{name!r}: is sent twice")
        if not value:
            raise InvalidInput(f"{name!r}: blank value is not allowed")
        options[field] = value
        if field.startswith("relax"):
            if value.lower() not in _BOOLEANS:
                raise InvalidInput(f"{name!r}: must be true or false")
            options[field] = _BOOLEANS[value.lower()]
    is_default = not any(options.values())
    return None if is_default else ForecastOptions(**options), others


def forecast_encoder(dialect: Dialect) -> Callable[[Request, Query, Prediction], Response]:
    """Return the method of *dialect* that encodes forecasts.

    Raises:
        InvalidInput: The dialect has none.
    """
    encode: Callable[[Request, Query, Prediction], Response] | None = getattr(
        dialect, "encode_forecast", None
    )
    if encode is None:
        raise InvalidInput(
            f"This deployment predicts time series, which the wire format {dialect.name!r} has no fields for:"
            " send the rows in the wire format 'native' or 'datarobot'"
        )
    return encode
