"""modelgate's own wire format, with self-explanatory responses::

    POST /deployments/{deployment}/predict      {"age": 41, "plan": "pro"}
                                                [{…}, {…}]  or  {"rows": [{…}, {…}]}

    200  {"prediction": "no", "probabilities": {"no": 0.857, "yes": 0.143},
          "model_version": "1", "request_id": "…"}
    200  {"predictions": [{"prediction": "no", "probabilities": {…}}, …], "model_version": "1", …}
    400  {"type": "about:blank", "title": "Bad Request", "status": 400, "code": "missing_columns",
          "detail": "…", "missing_columns": ["plan"], "request_id": "…"}

For a model with several outputs, the member ``outputs`` takes the place of ``prediction`` and
``probabilities``. It has an object with these two members for each output.
A single row whose only column is called ``rows`` must be sent in an array.

Rows can also be sent as CSV, NDJSON (an object per line) or an ``.npy`` file with an array of shape (rows,
columns) in the schema's order. The ``Accept`` header selects one of these formats for the response. Options
are in the query string: ``?passthrough=id`` returns the column ``id`` with each prediction. Errors are
problem details (RFC 9457).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from ..codecs.charsets import is_json, lookup_codec, media_type, to_utf8
from ..codecs.json import decode_json
from ..codecs.npy import read_npy
from ..errors import AnswerableError, InvalidInput, UnsupportedMediaType
from ..flow import Flow
from ..forecasting import ForecastOptions
from ..http import Request, Response, credentials_from_headers
from ..http.body import decode_json_off_loop, parse_off_loop, read_body, read_json_raw
from ..http.negotiation import best_media_type
from ..http.routing import Route
from ..inference import Prediction, Target
from ..schema import CSV, SplitRows
from ..scoring import Query
from . import native_forecast
from ._errors import problem_response
from ._forecast import split_forecast_options
from .native_rows import ENCODERS, JSON
from .openapi_spec import (
    DETAILS,
    ROW,
    ROWS,
    WARNINGS,
    JSONSchema,
    OpenAPISpec,
    any_of_schema,
    array_schema,
    number_schema,
    object_schema,
    value_schema,
)
from .request_template import RequestTemplate

__all__ = ["Native"]

_WRAPPER = re.compile(rb'\{[ \t\r\n]*"rows"[ \t\r\n]*:')
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW = msgspec.json.Decoder(msgspec.Raw)
_TEXT: JSONSchema = {"type": "string"}


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    row = _target_members(targets[0])
    if len(targets) > 1:
        outputs = {target.name: object_schema(**_target_members(target)) for target in targets}
        row = {"outputs": object_schema(list(outputs), **outputs)}
    common = {"model_version": _TEXT, "request_id": _TEXT, **WARNINGS}
    required = [next(iter(row)), "model_version"]
    passthrough: JSONSchema = {"passthrough": {"type": "object"}}
    return any_of_schema(
        object_schema(required, **row, **passthrough, **common),
        object_schema(
            ["predictions", "model_version"],
            predictions=array_schema(object_schema(required[:1], **row, **passthrough)),
            **common,
        ),
    )


def _target_members(target: Target) -> dict[str, JSONSchema]:
    probabilities: JSONSchema = {"type": "object", "additionalProperties": number_schema(target)}
    return {
        "prediction": value_schema(target),
        **({"probabilities": probabilities} if target.probabilities else {}),
    }


class Native:
    """modelgate's own wire format, dialect ``native``."""

    name = "native"
    max_body = 50 * 1024 * 1024
    routes: Sequence[Route] = (Route("POST", "/deployments/{deployment}/predict"),)
    request_template = RequestTemplate(
        "/deployments/{deployment}/predict", {"Authorization": "Bearer {key}"}, "{row}"
    )
    openapi_spec = OpenAPISpec(
        "modelgate's own format",
        {
            "application/json": any_of_schema(ROW, ROWS, object_schema(["rows"], rows=ROWS)),
            "text/csv": _TEXT,
            "application/x-ndjson": _TEXT,
            "application/x-npy": {"type": "string", "format": "binary"},
        },
        _response_schema,
        object_schema(
            ["type", "title", "status", "code", "detail"],
            type=_TEXT,
            title=_TEXT,
            status={"type": "integer"},
            code=_TEXT,
            detail=_TEXT,
            **DETAILS,
        ),
        answer_types=[kind for kind in ENCODERS if kind != JSON],
        parameters=[
            {
                "name": "passthrough",
                "in": "query",
                "description": "Column of the request to return with each prediction; can be repeated",
                "schema": array_schema(_TEXT),
            }
        ],
    )

    forecast_openapi_spec = replace(
        openapi_spec,
        requests={
            **openapi_spec.requests,
            "application/json": any_of_schema(ROWS, object_schema(["rows"], rows=ROWS)),
        },
        answer=native_forecast.response_schema,
        parameters=[*openapi_spec.parameters, *native_forecast.PARAMETERS],
    )

    def credentials(self, request: Request) -> Flow[str | None]:
        """Return the key from ``Authorization: Bearer`` or ``x-api-key``."""
        yield from ()
        return credentials_from_headers(request.headers)

    def decode(self, request: Request) -> Flow[Query]:
        """Decode the rows of the body, by its ``Content-Type``, and the options of the query string.

        Raises:
            InvalidInput: The query string has an unknown option.
            MalformedBody: The body is not in the format of its content type.
            UnsupportedMediaType, BodyTooLarge: See `modelgate.http.body.read_body`.
        """
        forecast, passthrough = _parse_options(request.query_string) if request.query_string else (None, None)
        content_type = request.headers.get("content-type") or JSON
        # Parsing the media type of most requests would only take time.
        kind, parameters = (JSON, {}) if content_type == JSON else media_type(content_type)
        if is_json(kind, parameters):
            rows: Any = yield from _read_json_rows(request)
        else:
            rows = yield from _read_other_rows(request, kind, parameters)
        single = isinstance(rows, bytes) and rows[:1] == b"{"
        return Query(rows, single=single, max_rows=None, passthrough_columns=passthrough, forecast=forecast)

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """Encode the prediction of each row in the media type that the caller accepts, by default JSON."""
        assert query.predictor is not None
        kind = best_media_type(request.headers.get("accept"), tuple(ENCODERS))
        members = {"model_version": query.predictor.version, "request_id": request.id}
        encode = partial(ENCODERS[kind], prediction)
        body = encode(members, single=query.single) if kind == JSON else encode()
        return _respond(kind, body, query)

    def encode_forecast(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """Encode the predicted rows of a forecaster, see `modelgate.dialects.native_forecast`."""
        assert query.predictor is not None
        kind = best_media_type(request.headers.get("accept"), tuple(native_forecast.ENCODERS))
        members = {"model_version": query.predictor.version, "request_id": request.id}
        return _respond(kind, native_forecast.ENCODERS[kind](prediction, members), query)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """Encode the error as problem details (RFC 9457), with details such as ``missing_columns``."""
        return problem_response(error, request.id)


def _respond(kind: str, body: bytes, query: Query) -> Response:
    assert query.predictor is not None
    charset = "; charset=utf-8" if kind == "text/csv" else ""
    return Response(
        200, body, [("content-type", kind + charset), ("x-model-version", query.predictor.version)]
    )


def _read_json_rows(request: Request) -> Flow[bytes]:
    """Return the rows of a JSON body: an object, or an array that may be wrapped in ``{"rows": …}``."""
    raw = yield from read_json_raw(request)
    if not _WRAPPER.match(raw):
        return raw
    members = yield from decode_json_off_loop(raw, _MEMBERS)
    if len(members) > 1:
        return raw
    rows = bytes(members["rows"])
    if rows[:1] != b"[":
        raise InvalidInput("rows must be an array of objects, one for each row")
    return rows


def _read_other_rows(
    request: Request, kind: str, parameters: Mapping[bytes, bytes]
) -> Flow[bytes | CSV | SplitRows]:
    """Return the rows of a body of the media type *kind*."""
    if kind == "text/csv":
        codec = lookup_codec(parameters.get(b"charset", b"utf-8").decode("latin-1"))
        return CSV((yield from parse_off_loop(to_utf8, (yield from read_body(request)), codec)))
    if kind == "application/x-ndjson":
        return (yield from parse_off_loop(_join_lines, (yield from read_body(request))))
    if kind == "application/x-npy":
        return SplitRows(None, (yield from parse_off_loop(read_npy, (yield from read_body(request)))))
    raise UnsupportedMediaType(", ".join(ENCODERS))


def _join_lines(raw: bytes) -> bytes:
    """Return the objects of an NDJSON body as an array."""
    lines = [decode_json(line, _RAW) for line in raw.splitlines() if line.strip()]
    return b"[" + b",".join(map(bytes, lines)) + b"]"


def _parse_options(query_string: str) -> tuple[ForecastOptions | None, Sequence[str] | None]:
    """Return the options of forecasts, and the columns to echo."""
    forecast, others = split_forecast_options(query_string, native_forecast.OPTIONS)
    for name, _ in others:
        if name != "passthrough":
            raise InvalidInput(
                f"The query string has the option {name!r}: the only option is passthrough, and for forecasts"
                f" {', '.join(native_forecast.OPTIONS)}"
            )
    return forecast, [value for _, value in others] or None
