"""Encode exposure-adjusted predictions in the wire formats that define them."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from ..errors import InvalidInput
from ..inference import Output, Prediction
from ..schema import columns_to_records
from .openapi_spec import JSONSchema, array_schema, object_schema

__all__ = [
    "DATAROBOT_ADJUSTED",
    "DATAROBOT_PARAMETER",
    "EXCLUDE_ADJUSTED",
    "NATIVE_ADJUSTED",
    "NATIVE_PARAMETER",
    "adjusted_columns",
    "includes_adjusted",
    "parse_flag",
]

EXCLUDE_ADJUSTED = "excludeAdjustedPredictions"
"""Query parameter of the DataRobot Prediction API."""

_FLAGS = {"true": True, "1": True, "false": False, "0": False}

_NUMBER: JSONSchema = {"type": ["number", "null"]}

DATAROBOT_PARAMETER: JSONSchema = {
    "name": EXCLUDE_ADJUSTED,
    "in": "query",
    "description": "Whether to leave out predictions for one unit of exposure",
    "schema": {"enum": list(_FLAGS), "default": "true"},
}

DATAROBOT_ADJUSTED: JSONSchema = {
    "adjustedPrediction": {"description": "Prediction for one unit of exposure", "examples": [0.1462]},
    "adjustedPredictionValues": {
        **array_schema(object_schema(["value", "label"], value=_NUMBER, label={"type": "string"})),
        "examples": [[{"value": 0.1462, "label": "claims"}]],
    },
}
"""Members of a row of the DataRobot Prediction API."""

NATIVE_PARAMETER: JSONSchema = {
    "name": "adjusted",
    "in": "query",
    "description": "Whether to also return predictions for one unit of exposure",
    "schema": {"type": "boolean", "default": False},
}

NATIVE_ADJUSTED: JSONSchema = {
    "adjusted_prediction": {
        **_NUMBER,
        "description": "Prediction for one unit of exposure",
        "examples": [0.1462],
    }
}
"""Member of an output of the native format."""


def parse_flag(name: str, value: str) -> bool:
    """Return the value of the query parameter *name*: ``true`` or ``false`` in any case, ``1`` or ``0``.

    Raises:
        InvalidInput: *value* has another form.
    """
    flag = _FLAGS.get(value.lower())
    if flag is None:
        raise InvalidInput(f"{name!r}: value must be true or false")
    return flag


def includes_adjusted(query_string: str) -> bool:
    """Return whether the query string of a DataRobot request requests adjusted predictions.

    Raises:
        InvalidInput: See `parse_flag`.
    """
    options = parse_qsl(query_string)
    excludes = [parse_flag(name, value) for name, value in options if name == EXCLUDE_ADJUSTED]
    return not all(excludes)


def adjusted_columns(prediction: Prediction, span: slice) -> dict[str, Sequence[Any]]:
    """Return the members ``adjustedPrediction`` and ``adjustedPredictionValues`` of the rows in *span*.

    For a deployment without exposure, return no members.
    """
    by_output = {output.name: _adjusted_values(output, span) for output in prediction.outputs}
    if not all(by_output.values()):
        return {}
    records = columns_to_records(by_output)
    values = [[{"value": value, "label": name} for name, value in record.items()] for record in records]
    first, *others = by_output.values()
    return {"adjustedPrediction": records if others else first, "adjustedPredictionValues": values}


def _adjusted_values(output: Output, span: slice) -> list[float]:
    return [] if output.adjusted is None else output.adjusted[span].tolist()
