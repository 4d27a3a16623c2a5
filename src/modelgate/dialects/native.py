"""modelgate's own wire format, with self-explanatory responses::

    POST /deployments/{deployment}/predict      {"age": 41, "plan": "pro"}
                                                [{…}, {…}]  or  {"rows": [{…}, {…}]}

    200  {"prediction": "no", "probabilities": {"no": 0.857, "yes": 0.143},
          "model_version": "1", "request_id": "…"}
    200  {"predictions": [{"prediction": "no", "probabilities": {…}}, …], "model_version": "1", …}
    400  {"type": "about:blank", "title": "Bad Request", "status": 400, "code": "missing_columns",
          "detail": "…", "missing_columns": ["plan"], "request_id": "…"}

For a model with several outputs, the member ``outputs`` replaces ``prediction`` and ``probabilities``. It
contains an object with these two members for each output.

A single row whose only column is called ``rows`` must be sent in an array. Errors are problem details
(RFC 9457). `native_curves` describes response curves.

Rows can also be sent as CSV, NDJSON (an object per line) or an ``.npy`` file with an array of shape (rows,
columns) in the schema's order. The ``Accept`` header selects one of these formats for the response.

These are options of the query string. All but the last one add something to the predictions:

* ``passthrough=id``: the column ``id`` of the request
* ``explain=3``: the three strongest contributions
* ``adjusted=true``: the prediction for one unit of exposure
* ``intervals=80,90``: ``"intervals": {"80": {"low": 1.1, "high": 1.9}, "90": {…}}``, for predicted numbers
* ``context=true``: where the values of the row lie in the training data
* ``hypothetical=true``: the rows are made up, so drift and accuracy do not include them
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from ..codecs.charsets import is_json, lookup_codec, media_type, to_utf8
from ..codecs.json import decode_json
from ..codecs.npy import read_npy
from ..errors import AnswerableError, InvalidInput, UnsupportedMediaType
from ..flow import Flow
from ..http import Request, Response, credentials_from_headers
from ..http.body import decode_json_off_loop, parse_off_loop, read_body, read_json_raw
from ..http.negotiation import best_media_type
from ..http.routing import Route
from ..inference import Prediction, Target
from ..schema import CSV, SplitRows
from ..scoring import Query
from ..scoring.layers.context import add_context
from . import native_forecast
from ._errors import problem_response
from ._explanations import EXPLAINED_WEIGHT, explanation_headers
from ._exposure import NATIVE_ADJUSTED, NATIVE_PARAMETER, parse_flag
from ._forecast import split_forecast_options
from ._humility import NATIVE_HUMILITY
from .native_context import CONTEXT_PARAMETER, CONTEXT_SCHEMA
from .native_curves import CURVES, CURVES_OPERATION, decode_curve, encode_curve
from .native_explanations import (
    EXPLAIN_OPTIONS,
    EXPLANATION_SCHEMA,
    EXPLANATIONS_SCHEMA,
    OPENAPI_PARAMETERS,
    parse_explain,
)
from .native_rows import ENCODERS, JSON, NPY
from .openapi_spec import (
    DETAILS,
    OBJECT,
    ROW,
    ROWS,
    WARNINGS,
    JSONSchema,
    OpenAPISpec,
    any_of_schema,
    array_schema,
    lone_member_schema,
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
_MEDIA_TYPES = tuple(ENCODERS)


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    row = _target_members(targets[0])
    if len(targets) > 1:
        outputs = {
            target.name: object_schema(**_target_members(target), **EXPLANATIONS_SCHEMA) for target in targets
        }
        row = {"outputs": object_schema(list(outputs), **outputs)}
    common = {"model_version": _TEXT, "request_id": _TEXT, **WARNINGS}
    required = [next(iter(row)), "model_version"]
    common |= {"explanation": EXPLANATION_SCHEMA}
    explained = EXPLANATIONS_SCHEMA if len(targets) == 1 else {}
    per_row: JSONSchema = {
        "passthrough": OBJECT,
        **explained,
        **NATIVE_HUMILITY,
        "context": CONTEXT_SCHEMA,
    }
    return any_of_schema(
        object_schema(required, **row, **per_row, **common),
        object_schema(
            ["predictions", "model_version"],
            predictions=array_schema(object_schema(required[:1], **row, **per_row)),
            **common,
        ),
    )


def _target_members(target: Target) -> dict[str, JSONSchema]:
    probabilities: JSONSchema = {"type": "object", "additionalProperties": number_schema(target)}
    return {
        "prediction": value_schema(target),
        **({"probabilities": probabilities} if target.probabilities else {}),
        **({"intervals": _intervals_schema(target)} if target.intervals else {}),
        **({} if target.classes else NATIVE_ADJUSTED),
    }


def _intervals_schema(target: Target) -> JSONSchema:
    limits = object_schema(["low", "high"], low=number_schema(target), high=number_schema(target))
    return {
        "type": "object",
        "description": "Limits of the requested prediction intervals, by level in percent",
        "additionalProperties": limits,
        "examples": [{"90": {"low": 1.5, "high": 2.5}}],
    }


class Native:
    """modelgate's own wire format, dialect ``native``.

    Args:
        escape_formulas: Whether CSV responses have a ``'`` before any text that a spreadsheet would run as a
            formula.
    """

    name = "native"
    max_body = 50 * 1024 * 1024
    keys_in_body = False
    routes: Sequence[Route] = (Route("POST", "/deployments/{deployment}/predict"), Route("POST", CURVES))
    request_template = RequestTemplate(
        "/deployments/{deployment}/predict", {"Authorization": "Bearer {key}"}, "{row}"
    )
    openapi_spec = OpenAPISpec(
        "modelgate's own format",
        {
            "application/json": any_of_schema(ROW, ROWS, lone_member_schema("rows", ROWS)),
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
            columns=array_schema(_TEXT),
            **DETAILS,
        ),
        answer_types=[kind for kind in ENCODERS if kind != JSON],
        parameters=[
            {
                "name": "passthrough",
                "in": "query",
                "description": "Column of the request to return with each prediction; can be repeated",
                "schema": array_schema(_TEXT),
            },
            NATIVE_PARAMETER,
            CONTEXT_PARAMETER,
            {
                "name": "hypothetical",
                "in": "query",
                "description": "Whether the rows are made up, so that drift and accuracy do not include them",
                "schema": {"type": "boolean", "default": False},
            },
        ],
        operations={CURVES: CURVES_OPERATION},
        explanation_parameters=OPENAPI_PARAMETERS,
        interval_parameters=[
            {
                "name": "intervals",
                "in": "query",
                "description": "Levels in percent of the prediction intervals to add to predicted numbers",
                "schema": array_schema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100}),
                "style": "form",
                "explode": False,
                "example": [80, 90],
            },
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

    def __init__(self, *, escape_formulas: bool = False) -> None:
        self._escape_formulas = escape_formulas

    def credentials(self, request: Request) -> Flow[str | None]:
        """Return the key from ``Authorization: Bearer`` or ``x-api-key``."""
        yield from ()
        return credentials_from_headers(request.headers)

    def decode(self, request: Request) -> Flow[Query]:
        """Decode the rows of the body, according to ``Content-Type``, and the options of the query string.

        Raises:
            InvalidInput: The query string has an unknown option, or one with a wrong value.
            MalformedBody: The body is not in the format of its content type.
            UnsupportedMediaType, BodyTooLarge: See `modelgate.http.body.read_body`.
        """
        route = request.context.route
        if route is not None and route.path == CURVES:
            return (yield from decode_curve(request))
        options = _parse_options(request) if request.query_string else {}
        if "explain" in options:
            request.weigh_body(EXPLAINED_WEIGHT)
        content_type = request.headers.get("content-type") or JSON
        # Most requests have exactly this type. Skip the parser to save time.
        kind, parameters = (JSON, {}) if content_type == JSON else media_type(content_type)
        if is_json(kind, parameters):
            rows: Any = yield from _read_json_rows(request)
        else:
            rows = yield from _read_other_rows(request, kind, parameters)
        single = isinstance(rows, bytes) and rows[:1] == b"{"
        return Query(rows, single=single, max_rows=None, **options)

    def decode_usual(self, body: bytes) -> tuple[None, Query] | None:
        """Return ``(None, query)`` for the row in *body*, or None if *body* does not begin like a single row.

        The first item is None, because the body never contains the key. The row is not checked.
        """
        if body[:1] != b"{" or _WRAPPER.match(body):
            return None
        return None, Query(body, single=True, max_rows=None)

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """Encode the prediction of each row in the media type that the caller accepts, by default JSON."""
        assert query.predictor is not None
        if query.adjusted and prediction.outputs[0].adjusted is None:
            raise InvalidInput("adjusted must be false for this deployment, which has no exposure")
        kind = best_media_type(request.headers.get("accept"), _MEDIA_TYPES)
        members = {"model_version": query.predictor.version, "request_id": request.id}
        if prediction.curve is not None:
            headers = [("content-type", JSON), ("x-model-version", query.predictor.version)]
            return Response(200, encode_curve(prediction, members), headers)
        options, charset = self._csv_options(kind)
        if kind == JSON:
            options["members"] = members
        body = ENCODERS[kind](prediction, query, **options)
        headers = [("content-type", kind + charset), ("x-model-version", query.predictor.version)]
        if query.explain is not None:
            headers += explanation_headers(prediction)
        return Response(200, body, headers)

    def encode_usual(self, request: Request, query: Query, prediction: Prediction) -> bytes | None:
        """Return the body of the response, or None if the caller accepts no JSON.

        Call this only if `Request.is_usual` is True.
        """
        if best_media_type(request.headers.get("accept"), _MEDIA_TYPES) != JSON:
            return None
        assert query.predictor is not None
        members = {"model_version": query.predictor.version, "request_id": request.id}
        return ENCODERS[JSON](prediction, query, members=members)  # type: ignore[return-value]  # a single row

    def usual_field(self, query: Query) -> tuple[str, str]:
        """Return the header field that this dialect adds to a response of the quick path."""
        assert query.predictor is not None
        return "x-model-version", query.predictor.version

    def encode_forecast(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """Encode the predicted rows of a forecaster; see `modelgate.dialects.native_forecast`."""
        assert query.predictor is not None
        if query.adjusted:
            raise InvalidInput("adjusted must be false for this deployment, which has no exposure")
        kind = best_media_type(request.headers.get("accept"), tuple(native_forecast.ENCODERS))
        members = {"model_version": query.predictor.version, "request_id": request.id}
        options, charset = self._csv_options(kind)
        headers = [("content-type", kind + charset), ("x-model-version", query.predictor.version)]
        return Response(200, native_forecast.ENCODERS[kind](prediction, members, **options), headers)

    def _csv_options(self, kind: str) -> tuple[dict[str, Any], str]:
        """Return the options of the encoder for *kind*, and the charset parameter; only CSV has either."""
        if kind != "text/csv":
            return {}, ""
        return {"escape_formulas": self._escape_formulas}, "; charset=utf-8"

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """Encode the error as problem details (RFC 9457), with details such as ``missing_columns``."""
        return problem_response(error, request.id)


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
    """Return the rows of a body of the media type *kind*. Plain text can be JSON; see `read_json_body`."""
    if kind == "text/plain" and (yield from read_body(request)).lstrip()[:1] in (b"{", b"["):
        return (yield from _read_json_rows(request))
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


def _parse_options(request: Request) -> dict[str, Any]:
    """Parse the options of the query string, and return them as fields of a `Query`."""
    values: dict[str, list[str]] = {}
    forecast, parameters = split_forecast_options(request.query_string, native_forecast.OPTIONS)
    for name, value in parameters:
        if name not in (*_OPTIONS, *EXPLAIN_OPTIONS):
            known = ", ".join((*_OPTIONS, *EXPLAIN_OPTIONS, *native_forecast.OPTIONS))
            raise InvalidInput(f"The query string has the unknown option {name!r}: the options are {known}")
        values.setdefault(name, []).append(value)
    options = {_OPTIONS[name][0]: _OPTIONS[name][1](values[name]) for name in _OPTIONS if name in values}
    options["forecast"] = forecast
    explain = {name: values[name][-1] for name in EXPLAIN_OPTIONS if name in values}
    extras = [name for name, (field, _) in _OPTIONS.items() if name != "hypothetical" and options.get(field)]
    if explain:
        options["explain"] = parse_explain(explain)
        extras.append("explanations")
    kind = best_media_type(request.headers.get("accept"), _MEDIA_TYPES)
    for extra in extras:
        if extra == "context" and kind in (NPY, "text/csv"):
            raise InvalidInput(
                f"{kind} cannot contain the context: request JSON with the header field Accept"
            )
        if kind == NPY:
            raise InvalidInput(
                f"{NPY} cannot contain {extra}: request JSON or CSV with the header field Accept"
            )
    return options


def _parse_levels(texts: Sequence[str]) -> list[float]:
    try:
        return [float(level) for text in texts for level in text.split(",")]
    except ValueError:
        raise InvalidInput("intervals must be levels in percent, such as intervals=80,90") from None


_OPTIONS: Mapping[str, tuple[str, Callable[[Sequence[str]], Any]]] = {
    "passthrough": ("passthrough_columns", list),
    "intervals": ("intervals", _parse_levels),
    "adjusted": ("adjusted", lambda texts: parse_flag("adjusted", texts[-1])),
    "context": ("layer", lambda texts: add_context if parse_flag("context", texts[-1]) else None),
    "hypothetical": ("hypothetical", lambda texts: parse_flag("hypothetical", texts[-1])),
}
"""Options of the query string: for each, the field of `Query`, and a function that parses its values."""
