"""Forecasts in the wire format of DataRobot: options in the query string, and rows as JSON and CSV.

Source: "DataRobot Prediction API", section "Making predictions with time series", and the client
`datarobot-predict`.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from ..codecs.csv_writer import write_csv
from ..forecasting import ForecastOptions, TimeSeriesSpec
from ..inference import Prediction, Target
from ..schema import columns_to_records
from ._forecast import forecast_parameters, split_forecast_options
from .datarobot_openapi import OPENAPI_SPEC
from .openapi_spec import ROWS, WARNINGS, JSONSchema, array_schema, number_schema, object_schema

__all__ = ["FORECAST_OPENAPI_SPEC", "forecast_to_csv", "forecast_to_json", "split_options"]

_NAMES = {
    "forecastPoint": "forecast_point",
    "predictionsStartDate": "start",
    "predictionsEndDate": "end",
    "relaxKnownInAdvanceFeaturesCheck": "relax_known_in_advance",
    "relaxInsufficientHistoryCheck": "relax_history",
    "relaxSeenCrossSeriesCheck": "relax_series",
}

_NULL = msgspec.Raw(b"null")

_SECOND_MARK = re.compile(rf"\?(?=(?:{'|'.join(_NAMES)})=)")
"""A ``?`` in place of ``&`` between two parameters, as in an example URL of the document."""


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    number, text = number_schema(targets[0]), {"type": "string"}
    interval = object_schema(["low", "high"], low=number, high=number)
    row = object_schema(
        [
            "seriesId",
            "forecastPoint",
            "rowId",
            "timestamp",
            "predictionValues",
            "forecastDistance",
            "prediction",
        ],
        seriesId={"type": ["string", "number", "null"]},
        forecastPoint=text,
        rowId={"type": "integer"},
        timestamp=text,
        predictionValues=array_schema(object_schema(["value", "label"], value=number, label=text)),
        forecastDistance={"type": "integer"},
        prediction=number,
        originalFormatTimestamp=text,
        predictionIntervals={"type": "object", "additionalProperties": interval},
        passthroughValues={"type": "object"},
    )
    return object_schema(["data"], data=array_schema(row), **WARNINGS)


FORECAST_OPENAPI_SPEC = replace(
    OPENAPI_SPEC,
    requests={**OPENAPI_SPEC.requests, "application/json": ROWS},
    answer=_response_schema,
    parameters=(*OPENAPI_SPEC.parameters, *forecast_parameters(_NAMES)),
)


def split_options(query_string: str) -> tuple[ForecastOptions | None, list[tuple[str, str]]]:
    """Separate forecast options from the other parameters; see `split_forecast_options`."""
    return split_forecast_options(_SECOND_MARK.sub("&", query_string), _NAMES)


def forecast_to_json(prediction: Prediction, *, original_timestamps: bool = False) -> bytes:
    """Encode the *prediction* of a forecaster as the JSON body of a response.

    Args:
        prediction: Prediction of a forecaster.
        original_timestamps: Whether to add the dates as the caller sent them.
    """
    output, rows = prediction.outputs[0], prediction.forecast
    assert rows is not None
    values: list[float] = output.values.tolist()
    label = f"{output.name} (actual)"
    columns: dict[str, Sequence[Any]] = {
        "seriesId": [None] * len(values) if rows.series is None else rows.series,
        "forecastPoint": rows.points,
        "rowId": rows.row_ids.tolist(),
        "timestamp": rows.timestamps,
        "predictionValues": [[{"value": value, "label": label}] for value in values],
        "forecastDistance": rows.steps.tolist(),
        "prediction": values,
    }
    if original_timestamps:
        columns["originalFormatTimestamp"] = rows.dates
    if output.intervals:
        by_level = {
            level: [{"low": low, "high": high} for low, high in limits.tolist()]
            for level, limits in output.intervals.items()
        }
        columns["predictionIntervals"] = columns_to_records(by_level)
    if prediction.passthrough_columns:
        passthrough = {
            name: rows.select(cells, _NULL) for name, cells in prediction.passthrough_columns.items()
        }
        columns["passthroughValues"] = columns_to_records(passthrough)
    body: dict[str, Any] = {"data": columns_to_records(columns)}
    if prediction.warnings:
        body["warnings"] = list(prediction.warnings)
    return msgspec.json.encode(body)


def forecast_to_csv(prediction: Prediction, spec: TimeSeriesSpec, *, escape_formulas: bool = False) -> bytes:
    """Encode *prediction* as CSV with the columns of DataRobot's page "Output format".

    Args:
        prediction: Prediction of a forecaster.
        spec: Description of the model's time series, with the column names.
        escape_formulas: See `write_csv`.
    """
    output, rows = prediction.outputs[0], prediction.forecast
    assert rows is not None
    columns: dict[str, Any] = {} if spec.series_id is None else {spec.series_id: list(rows.series or ())}
    columns |= {
        "FORECAST_POINT": list(rows.points),
        spec.date_column: list(rows.dates),
        "FORECAST_DISTANCE": rows.steps,
        f"{output.name} (actual)_PREDICTION": output.values,
    }
    for level, limits in (output.intervals or {}).items():
        columns[f"PREDICTION_{level}_PERCENTILE_LOW"] = limits[:, 0]
        columns[f"PREDICTION_{level}_PERCENTILE_HIGH"] = limits[:, 1]
    for name, cells in (prediction.passthrough_columns or {}).items():
        columns.setdefault(name, rows.select(cells, _NULL))
    return write_csv(list(columns.items()), len(prediction), escape_formulas=escape_formulas)
