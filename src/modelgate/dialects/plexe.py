"""The Plexe inference API: https://docs.plexe.ai, "Making Predictions"::

    POST /models/{deployment}/{version}/infer      {"feature1": "value1", "feature2": 42}
    POST /predict/{deployment}                     the same, of the version that is served

    200  {"request_id": "…", "result": {"predicted_class": "b", "confidence": 0.87},
          "model_id": "…", "model_version": "1", "processing_time_ms": 28}
    400  {"error": {"code": "invalid_input", "message": "Input validation failed",
                    "details": {"feature2": "must be a number between 0 and 100"}}, "request_id": "…"}

The document shows no result of a regression: ``result`` is then the number. Beyond the document:
``Authorization: Bearer`` in place of ``x-api-key``; an array of rows, whose ``result`` is an array; of a
model with several outputs, a result is an object with a member for each; and the codes of faults the
document does not have (405, 413, 415, an overload) are those of the errors themselves.
"""

import time
from collections.abc import Sequence
from typing import Any

from ..errors import AnswerableError, InvalidInput
from ..flow import Flow
from ..http import MAX_BODY, Request, Response, head_credentials
from ..http.bodies import json_text
from ..schema import by_row
from ..scoring import Output, Prediction, Query, Target
from .base import Route
from .document import ROW, ROWS, WARNINGS, Document, JSONSchema, array, by_name, either, members, value_of
from .sample import Sample

__all__ = ["Plexe"]


_ID: JSONSchema = {"type": ["string", "null"]}

_ERROR = members(
    ["error", "request_id"],
    error=members(
        ["code", "message"],
        code={"type": "string"},
        message={"type": "string"},
        details={"type": "object", "additionalProperties": {"type": "string"}},
    ),
    request_id=_ID,
)


def _answer(targets: Sequence[Target]) -> JSONSchema:
    row = by_name(targets, _told)
    return members(
        ["request_id", "result", "model_id", "model_version", "processing_time_ms"],
        request_id=_ID,
        result=either(row, array(row)),
        model_id={"type": "string"},
        model_version={"type": "string"},
        processing_time_ms={"type": "integer"},
        **WARNINGS,
    )


def _told(target: Target) -> JSONSchema:
    if target.classes is None:
        return value_of(target)
    confidence: dict[str, JSONSchema] = {"confidence": {"type": "number"}} if target.probabilities else {}
    return members(["predicted_class", *confidence], predicted_class=value_of(target), **confidence)


class Plexe:
    """The dialect ``plexe``."""

    name = "plexe"
    max_body = MAX_BODY
    routes: Sequence[Route] = (
        Route("POST", "/models/{deployment}/{version}/infer"),
        Route("POST", "/predict/{deployment}"),
    )
    sample = Sample("/predict/{deployment}", {"x-api-key": "{key}"}, "{row}")
    document = Document("Plexe inference API", {"application/json": either(ROW, ROWS)}, _answer, _ERROR)

    def credentials(self, request: Request) -> Flow[str | None]:
        """The key of ``x-api-key`` or ``Authorization: Bearer``."""
        yield from ()
        return head_credentials(request)

    def decode(self, request: Request) -> Flow[Query]:
        """The row that is the body.

        Raises:
            MalformedBody, UnsupportedMediaType, BodyTooLarge: see `modelgate.http.bodies.json_body`.
        """
        raw = yield from json_text(request)
        return Query(raw, single=raw[:1] != b"[")

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """``result``, and what the document says about the model and the time it took."""
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
        """``error`` with its code, message and details by feature, and the request id."""
        status, code = _STATUS.get(error.code, (error.status, error.code))
        told: dict[str, Any] = {"code": code, "message": error.message}
        details = _details(error)
        if details:
            told = {"code": code, "message": "Input validation failed", "details": details}
        response = Response.json({"error": told, "request_id": request.id}, status)
        response.headers.extend(error.headers.items())
        return response


_BAD_INPUT = 400, "invalid_input"

# "Common Error Codes"; what is not here keeps its own.
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
    """What is wrong, by feature."""
    if not isinstance(error, InvalidInput):
        return {}
    meant = {column: name for name, column in error.details.get("did_you_mean", {}).items()}
    missing = {
        column: "is missing" + (f": did you mean it by {meant[column]}?" if column in meant else "")
        for column in error.details.get("missing_columns", ())
    }
    unexpected = dict.fromkeys(error.details.get("unexpected_columns", ()), "is not expected")
    return {**missing, **error.details.get("errors", {}), **unexpected}


def _result(outputs: Sequence[Output], single: bool) -> Any:
    """The result of each row, or of the only one."""
    columns = {output.name: _results(output) for output in outputs}
    rows = by_row(columns) if len(outputs) > 1 else columns[outputs[0].name]
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
