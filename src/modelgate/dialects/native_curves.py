"""Response curves in the native wire format::

    POST /deployments/{deployment}/curves       {"column": "age", "row": {"age": 41, "plan": "pro"}, "points": 3}

    200  {"column": "age", "grid": [18.0, 49.0, 80.0],
          "curve": {"prediction": ["no", "no", "yes"], "probabilities": {"no": [0.9, 0.8, 0.3], "yes": […]}},
          "model_version": "1", "request_id": "…"}

The member ``grid`` of a request lists the values of the column. If it is left out, the grid consists of the
levels of the column or, for a column without levels, of ``points`` evenly spaced numbers from the 10th to the
90th percentile of the training data. ``"average": true`` adds a member ``average`` with the mean predictions
for the training rows in the model's package. In this case, ``row`` can be left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..codecs.json import reject_duplicate_names
from ..errors import InvalidInput
from ..flow import Flow
from ..http import Request
from ..http.body import read_json, read_json_raw
from ..inference import Output, Prediction, Target
from ..inference.prediction import Average
from ..scoring import Query
from ..scoring.layers.curve import DEFAULT_POINTS, MAX_POINTS, AddCurve
from .native_rows import labels
from .openapi_spec import (
    ROW,
    WARNINGS,
    JSONSchema,
    OperationSpec,
    array_schema,
    number_schema,
    object_schema,
    value_schema,
)

__all__ = ["CURVES", "CURVES_OPERATION", "decode_curve", "encode_curve"]

CURVES = "/deployments/{deployment}/curves"

_GRID = array_schema({"type": ["number", "string", "boolean", "null"]})


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    column: str
    row: msgspec.Raw = msgspec.Raw(b"")
    grid: list[Any] | None = None
    points: int | None = None
    average: bool | None = None


_DECODER = msgspec.json.Decoder(_Body)
_NULL = msgspec.Raw(b"null")


def decode_curve(request: Request) -> Flow[Query]:
    """Decode a request for a response curve to a query. If the request has no ``row``, the query has no rows.

    Raises:
        MalformedBody: The body is not JSON of the right shape.
        InvalidInput: The request has a query string, neither a row nor ``average``, or an invalid grid.
    """
    if request.query_string:
        raise InvalidInput("Options of a response curve are members of the body: leave out the query string")
    body = yield from read_json(request, _DECODER)
    reject_duplicate_names((yield from read_json_raw(request)), 0)
    row = b"" if body.row == _NULL else bytes(body.row)
    if row[:1] != b"{" and (row or not body.average):
        raise InvalidInput(
            "row must be an object of feature names and values: it can be left out only if average is true"
        )
    layer = AddCurve(body.column, body.grid, body.points, average=bool(body.average))
    return Query(row or b"[]", single=bool(row), max_rows=None, layer=layer)


def encode_curve(prediction: Prediction, members: Mapping[str, Any]) -> bytes:
    """Encode the response curve of *prediction* as a JSON object to which *members* are added."""
    curve = prediction.curve
    assert curve is not None
    answer: dict[str, Any] = {"column": curve.column, "grid": curve.grid}
    if len(prediction):
        answer["curve"] = _by_output({output.name: _points(output) for output in prediction.outputs})
    if curve.average is not None:
        answer["average"] = _by_output({mean.name: _points(mean) for mean in curve.average})
    if prediction.warnings:
        answer["warnings"] = list(prediction.warnings)
    return msgspec.json.encode({**answer, **members})


def _by_output(outputs: Mapping[str, Any]) -> Any:
    return {"outputs": outputs} if len(outputs) > 1 else next(iter(outputs.values()))


def _points(output: Output | Average) -> dict[str, Any]:
    """Return the predictions for the points of a curve, and the probabilities of each class."""
    members: dict[str, Any] = {} if output.values is None else {"prediction": output.values.tolist()}
    if output.probabilities is not None:
        members["probabilities"] = dict(
            zip(labels(output.classes), output.probabilities.T.tolist(), strict=True)
        )
    return members


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    return object_schema(
        ["column", "grid", "model_version"],
        column={"type": "string"},
        grid={**_GRID, "description": "Values of the column"},
        curve={
            **_outputs_schema(targets, {target.name: _curve_schema(target) for target in targets}),
            "description": "Predictions for the row, with one item for each value of the grid",
        },
        average={
            **_outputs_schema(targets, {target.name: _average_schema(target) for target in targets}),
            "description": "Mean predictions for the training rows in the package: numbers, or probabilities",
        },
        model_version={"type": "string"},
        request_id={"type": "string"},
        **WARNINGS,
    )


def _outputs_schema(targets: Sequence[Target], schemas: Mapping[str, JSONSchema]) -> JSONSchema:
    if len(targets) == 1:
        return schemas[targets[0].name]
    return object_schema(["outputs"], outputs=object_schema(list(schemas), **schemas))


def _curve_schema(target: Target) -> JSONSchema:
    return object_schema(
        ["prediction"], prediction=array_schema(value_schema(target)), **_probabilities_schema(target)
    )


def _average_schema(target: Target) -> JSONSchema:
    members = _probabilities_schema(target) or {"prediction": array_schema(number_schema(target))}
    return object_schema(list(members), **members)


def _probabilities_schema(target: Target) -> dict[str, JSONSchema]:
    items = array_schema(number_schema(target))
    schema: JSONSchema = {"type": "object", "additionalProperties": items}
    return {"probabilities": schema} if target.probabilities else {}


CURVES_OPERATION = OperationSpec(
    "Response curve",
    object_schema(
        ["column"],
        column={"type": "string", "description": "Column that varies"},
        row={"anyOf": [ROW, {"type": "null"}], "description": "Row from which the other columns are taken"},
        grid={
            **_GRID,
            "type": ["array", "null"],
            "minItems": 1,
            "maxItems": MAX_POINTS,
            "description": "Values of the column; by default its levels, or numbers over its usual range in training",
        },
        # There is no keyword "default": clients of openapi-generator would send it even with a grid.
        points={
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": MAX_POINTS,
            "description": f"Number of values of a numeric column, if there is no grid; by default {DEFAULT_POINTS}",
        },
        average={
            "type": ["boolean", "null"],
            "description": "Whether to add the mean predictions for the training rows in the package",
        },
    ),
    _response_schema,
    lambda row: {"column": next(iter(row)), "row": row, "grid": [next(iter(row.values()))]},
)
