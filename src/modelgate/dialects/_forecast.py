"""Parse forecast options and find forecast encoders, for the dialects that support forecasts."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from ..errors import InvalidInput
from ..forecasting import ForecastOptions
from ..http import Request, Response
from ..inference import Prediction
from ..scoring import Query
from .base import Dialect
from .openapi_spec import JSONSchema

__all__ = ["can_forecast", "forecast_encoder", "forecast_parameters", "split_forecast_options"]

_DATE: JSONSchema = {"type": "string", "description": "Date in ISO 8601"}
_BOOLEAN: JSONSchema = {"type": "boolean"}
_PARAMETERS: Mapping[str, tuple[str, JSONSchema]] = {
    "forecast_point": (
        "Date after which to predict; by default the latest date for which all series have history",
        _DATE,
    ),
    "start": ("First date of a range to predict, from all forecast points that have their history", _DATE),
    "end": ("Date at which the range to predict ends; this date is not predicted", _DATE),
    "relax_known_in_advance": ("Accept missing values of columns known in advance", _BOOLEAN),
    "relax_history": ("Accept missing rows in the history, if the model does", _BOOLEAN),
    "relax_series": ("Accept series that the model was not trained with, if it can predict them", _BOOLEAN),
}
"""Description and schema of the fields of `ForecastOptions`."""

_BOOLEANS = {"true": True, "false": False}


def split_forecast_options(
    query_string: str, names: Mapping[str, str]
) -> tuple[ForecastOptions | None, list[tuple[str, str]]]:
    """Separate forecast options from the other parameters of a query string.

    Args:
        query_string: Query string of a request.
        names: Mapping from the name of each query parameter to the field of `ForecastOptions` that it sets.

    Returns:
        The options, or None if all have their defaults, and the list of the other parameters.

    Raises:
        InvalidInput: An option is sent twice or is empty, or an option that must be true or false has another
            value.
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


def can_forecast(dialect: Dialect) -> bool:
    """Return whether *dialect* has fields for forecasts."""
    return hasattr(dialect, "encode_forecast")


def forecast_parameters(names: Mapping[str, str]) -> list[JSONSchema]:
    """Return the OpenAPI parameter objects for the forecast options.

    Args:
        names: Mapping from the name of each query parameter to the field of `ForecastOptions` that it sets.
    """
    return [
        {"name": name, "in": "query", "description": text, "schema": schema}
        for name, field in names.items()
        for text, schema in [_PARAMETERS[field]]
    ]


def forecast_encoder(dialect: Dialect) -> Callable[[Request, Query, Prediction], Response]:
    """Return the method of *dialect* that encodes forecasts.

    Raises:
        InvalidInput: The dialect cannot encode forecasts.
    """
    encode: Callable[[Request, Query, Prediction], Response] | None = getattr(
        dialect, "encode_forecast", None
    )
    if encode is None:
        raise InvalidInput(
            f"This deployment predicts time series, but the wire format {dialect.name!r} does not support them:"
            " send the rows in the wire format 'native' or 'datarobot'"
        )
    return encode
