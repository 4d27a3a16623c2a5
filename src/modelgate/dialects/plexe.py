"""Plexe inference API. Source: https://docs.plexe.ai, "Making Predictions"::

    POST /models/{deployment}/{version}/infer      {"feature1": "value1", "feature2": 42}
    POST /predict/{deployment}                     the same, for the current version

    200  {"request_id": "…", "result": {"predicted_class": "b", "confidence": 0.87},
          "model_id": "…", "model_version": "1", "processing_time_ms": 28}
    400  {"error": {"code": "invalid_input", "message": "Input validation failed",
                    "details": {"feature2": "must be a number between 0 and 100"}}, "request_id": "…"}

The document shows no regression. Here, the ``result`` of a regression is the predicted number.

Extensions to the document:

* The key can also be sent as ``Authorization: Bearer``.
* The body can be an array of rows; ``result`` is then an array.
* For a model with several outputs, a result is an object with a member per output.
* Errors that the document does not list (405, 413, 415, overload) have modelgate's own codes.
"""

import time
from collections.abc import Sequence
from typing import Any

from ..errors import AnswerableError, InvalidInput
from ..flow import Flow
from ..http import MAX_BODY, Request, Response, credentials_from_headers
from ..http.body import read_json_raw
from ..http.routing import Route
from ..inference import Output, Prediction, Target
from ..schema import columns_to_records
from ..scoring import Query
from .openapi_spec import (
    ROW,
    ROWS,
    WARNINGS,
    JSONSchema,
    OpenAPISpec,
    any_of_schema,
    array_schema,
    number_schema,
    object_schema,
    targets_schema,
    value_schema,
)
from .request_template import RequestTemplate

__all__ = ["Plexe"]


_ID: JSONSchema = {"type": ["string", "null"]}

_ERROR = object_schema(
    ["error", "request_id"],
    error=object_schema(
        ["code", "message"],
        code={"type": "string"},
        message={"type": "string"},
        details={"type": "object", "additionalProperties": {"type": "string"}},
    ),
    request_id=_ID,
)


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    row = targets_schema(targets, _target_schema)
    return object_schema(
        ["request_id", "result", "model_id", "model_version", "processing_time_ms"],
        request_id=_ID,
        result=any_of_schema(row, array_schema(row)),
        model_id={"type": "string"},
        model_version={"type": "string"},
        processing_time_ms={"type": "integer"},
        **WARNINGS,
    )


def _target_schema(target: Target) -> JSONSchema:
    if target.classes is None:
        return value_schema(target)
    confidence: dict[str, JSONSchema] = {"confidence": number_schema(target)} if target.probabilities else {}
    return object_schema(["predicted_class", *confidence], predicted_class=value_schema(target), **confidence)


class Plexe:
    """Plexe inference API, dialect ``plexe``."""

    name = "plexe"
    max_body = MAX_BODY
    routes: Sequence[Route] = (
        Route("POST", "/models/{deployment}/{version}/infer"),
        Route("POST", "/predict/{deployment}"),
    )
    request_template = RequestTemplate("/predict/{deployment}", {"x-api-key": "{key}"}, "{row}")
    openapi_spec = OpenAPISpec(
        "Plexe inference API", {"application/json": any_of_schema(ROW, ROWS)}, _response_schema, _ERROR
    )

    def credentials(self, request: Request) -> Flow[str | None]:
        """Return the key from ``x-api-key`` or ``Authorization: Bearer``."""
        yield from ()
        return credentials_from_headers(request.headers)

    def decode(self, request: Request) -> Flow[Query]:
        """Return a query for the body, which is a row or an array of rows.

        Raises:
            MalformedBody, UnsupportedMediaType, BodyTooLarge: See `modelgate.http.body.read_json_raw`.
        """
        raw = yield from read_json_raw(request)
        return Query(raw, single=raw[:1] != b"[")

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """Encode ``result``, the model's id and version, and the elapsed time in milliseconds."""
        assert query.predictor is not None
        members: dict[str, Any] = {
            "request_id": request.id,
            "result": _result(prediction.outputs, query.single),
            "model_id": query.predictor.model_id,
            "model_version": query.predictor.version,
            "processing_time_ms": round((time.perf_counter() - request.started) * 1000),
        }
        if prediction.warnings:
            members["warnings"] = list(prediction.warnings)
        return Response.json(members)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """Encode ``error``, with a code, a message and details by feature, and ``request_id``."""
        status, code = _STATUS.get(error.code, (error.status, error.code))
        members: dict[str, Any] = {"code": code, "message": error.message}
        details = _details(error)
        if details:
            members = {"code": code, "message": "Input validation failed", "details": details}
        response = Response.json({"error": members, "request_id": request.id}, status)
        response.headers.extend(error.headers.items())
        return response


_BAD_INPUT = 400, "invalid_input"

# "Common Error Codes" of the document, by modelgate's codes. Other errors keep their status and code.
_STATUS = {
    "bad_request": _BAD_INPUT,
    "malformed_body": _BAD_INPUT,
    "conflicting_credentials": _BAD_INPUT,
    "invalid_values": _BAD_INPUT,
    "missing_columns": _BAD_INPUT,
    "insufficient_scope": (403, "forbidden"),
    "key_inactive": (403, "forbidden"),
    "deployment_inactive": (503, "deployment_unavailable"),
    "deployment_loading": (503, "deployment_unavailable"),
}


def _details(error: AnswerableError) -> dict[str, str]:
    """Return a description of the error of each feature."""
    if not isinstance(error, InvalidInput):
        return {}
    sent = {column: name for name, column in error.details.get("did_you_mean", {}).items()}
    errors = error.details.get("errors", {})
    missing = {
        column: errors.get(column, "is missing")
        + (f": was it sent as {sent[column]}?" if column in sent else "")
        for column in error.details.get("missing_columns", ())
    }
    unexpected = dict.fromkeys(error.details.get("unexpected_columns", ()), "is not expected")
    return {**errors, **missing, **unexpected}


def _result(outputs: Sequence[Output], single: bool) -> Any:
    """Return the result of the only row if *single* is True, or else a list with the result of each row."""
    columns = {output.name: _results(output) for output in outputs}
    rows = columns_to_records(columns) if len(outputs) > 1 else columns[outputs[0].name]
    return rows[0] if single else rows


def _results(output: Output) -> list[Any]:
    values = output.values.tolist()
    if output.classes is None:
        return values  # type: ignore[no-any-return]
    if output.probabilities is None:
        return [{"predicted_class": value} for value in values]
    return [
        {"predicted_class": value, "confidence": confidence}
        for value, confidence in zip(values, output.confidences(), strict=True)
    ]
