"""Forecasts in modelgate's own wire format: JSON, CSV, NDJSON and ``.npy``::

    200  {"forecast": [{"series": 1, "forecast_point": "2018-01-09T00:00:00Z", "step": 1,
                        "date": "2018-01-10", "timestamp": "2018-01-10T00:00:00.000000Z", "row": 365,
                        "prediction": 45180.4, "intervals": {"80": {"low": 43000.1, "high": 47360.7}}}, …],
          "model_version": "1", "request_id": "…"}

An item of ``forecast`` is the prediction for one date of one series.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ..codecs.csv_writer import write_csv
from ..codecs.npy import write_npy
from ..forecasting import ForecastOptions
from ..inference import Prediction, Target
from ..schema import columns_to_records
from ._forecast import forecast_parameters
from .openapi_spec import WARNINGS, JSONSchema, array_schema, number_schema, object_schema

__all__ = ["ENCODERS", "OPTIONS", "PARAMETERS", "response_schema"]

OPTIONS = {name: name for name in ForecastOptions.__struct_fields__}
"""Field of `ForecastOptions` for each parameter of the query string."""


PARAMETERS = forecast_parameters(OPTIONS)

_TEXT: JSONSchema = {"type": "string"}
_NUMBER: JSONSchema = {"type": ["number", "null"]}


def response_schema(targets: Sequence[Target]) -> JSONSchema:
    """Return the JSON Schema of a response with forecasts."""
    row = object_schema(
        ["forecast_point", "step", "date", "timestamp", "row", "prediction"],
        series={"type": ["string", "number"]},
        forecast_point=_TEXT,
        step={"type": "integer"},
        date=_TEXT,
        timestamp=_TEXT,
        row={
            "type": "integer",
            "description": "Index of the row in the request; rows that were not sent have the next indices",
        },
        prediction=number_schema(targets[0]),
        intervals={
            "type": "object",
            "description": "Lower and upper end of the prediction intervals, by level in percent",
            "additionalProperties": object_schema(["low", "high"], low=_NUMBER, high=_NUMBER),
        },
        passthrough={"type": "object"},
    )
    return object_schema(
        ["forecast", "model_version"],
        forecast=array_schema(row),
        model_version=_TEXT,
        request_id=_TEXT,
        **WARNINGS,
    )


def _encode_json(prediction: Prediction, members: Mapping[str, Any]) -> bytes:
    """Encode *prediction* as a JSON object to which *members* are added."""
    warnings = {"warnings": list(prediction.warnings)} if prediction.warnings else {}
    return msgspec.json.encode({"forecast": _rows(prediction), **members, **warnings})


def _encode_ndjson(prediction: Prediction, _: Mapping[str, Any]) -> bytes:
    return msgspec.json.Encoder().encode_lines(_rows(prediction))


def _encode_csv(prediction: Prediction, _: Mapping[str, Any], *, escape_formulas: bool) -> bytes:
    """Encode the passthrough columns, then the forecasts, with two columns for each level of intervals."""
    output = prediction.outputs[0]
    columns: list[tuple[str, Any]] = [
        (name, list(values)) for name, values in (_passthrough(prediction) | _identity(prediction)).items()
    ]
    columns.append(("prediction", output.values))
    for level, limits in (output.intervals or {}).items():
        columns += zip((f"low_{level}", f"high_{level}"), limits.T, strict=True)
    return write_csv(columns, len(prediction), escape_formulas=escape_formulas)


def _encode_npy(prediction: Prediction, _: Mapping[str, Any]) -> bytes:
    return write_npy(prediction.values)


ENCODERS: Mapping[str, Callable[..., bytes]] = {
    "application/json": _encode_json,
    "text/csv": _encode_csv,
    "application/x-ndjson": _encode_ndjson,
    "application/x-npy": _encode_npy,
}
"""Encoders by the media type of their result. The first one is the default."""


def _rows(prediction: Prediction) -> list[dict[str, Any]]:
    output, columns = prediction.outputs[0], _identity(prediction)
    columns["prediction"] = output.values.tolist()
    if output.intervals:
        by_level = {
            level: [{"low": low, "high": high} for low, high in limits.tolist()]
            for level, limits in output.intervals.items()
        }
        columns["intervals"] = columns_to_records(by_level)
    passthrough = _passthrough(prediction)
    if passthrough:
        columns["passthrough"] = columns_to_records(passthrough)
    return columns_to_records(columns)


def _identity(prediction: Prediction) -> dict[str, Sequence[Any]]:
    """Return the columns that identify the series and the date of each prediction."""
    rows = prediction.forecast
    assert rows is not None
    return {
        **({} if rows.series is None else {"series": rows.series}),
        "forecast_point": rows.points,
        "step": rows.steps.tolist(),
        "date": rows.dates,
        "timestamp": rows.timestamps,
        "row": rows.row_ids.tolist(),
    }


def _passthrough(prediction: Prediction) -> dict[str, Sequence[Any]]:
    """Return the passthrough columns of the predicted rows. Rows that were not sent have null values."""
    assert prediction.forecast is not None
    return {
        name: prediction.forecast.select(cells, msgspec.Raw(b"null"))
        for name, cells in (prediction.passthrough_columns or {}).items()
    }
