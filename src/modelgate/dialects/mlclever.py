"""ML Clever Prediction API.

Source: https://mlclever.com, "Documentation > Predictions > Prediction API".

A key belongs to one deployment, so the key selects the deployment::

    POST /api/predict          {"api_key": "…", "input_data": {"feature": 1.5}}
    POST /api/predict/<key>    {"input_data": {"feature": 1.5}}

    200  {"predictions": ["yes"], "confidence_intervals": [0.1, 0.9]}
    400  {"error": "…", "missing_columns": ["feature"]}

The document calls class probabilities ``confidence_intervals``. Only classifiers have them.

Extensions to the document:

* The key can also be sent as ``Authorization: Bearer`` or ``x-api-key``.
* ``input_data`` can be an array of rows. The members of the response are then arrays with one item per row.
* With a key for several deployments, ``deployment`` selects one.
* The statuses 405, 413, 415 and 503 have their usual meaning.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..codecs.json import ANY, decode_json, decode_text, reject_encoded_text
from ..errors import AnswerableError, ConflictingCredentials, InvalidInput
from ..flow import Flow
from ..http import MAX_BODY, Request, Response, credentials_from_headers, error_response
from ..http.body import check_body, read_json_members
from ..http.credentials import is_json_web_token, select_key
from ..http.routing import Route
from ..inference import Output, Prediction, Target
from ..scoring import Query
from .openapi_spec import (
    PLAIN_ERROR,
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

__all__ = ["MLClever"]

_DECIMALS = 2
"""Number of decimals in the document's "Success Response"."""

_NAMES = {"api_key", "deployment", "input_data"}


class _UsualBody(msgspec.Struct, forbid_unknown_fields=True):
    input_data: msgspec.Raw
    api_key: str | None = None


_USUAL = msgspec.json.Decoder(_UsualBody)


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    values, number = [value_schema(target) for target in targets], number_schema(targets[0])
    row = any_of_schema(*values)
    if len(values) > 1:
        row = any_of_schema(*values, array_schema(row) | {"minItems": len(values), "maxItems": len(values)})
    members = {"predictions": array_schema(row), **WARNINGS}
    if any(target.probabilities for target in targets):
        members["confidence_intervals"] = {
            **array_schema(any_of_schema(number, array_schema(number))),
            "description": "Probability of each class; for several rows, an array of these per row",
        }
    return object_schema(["predictions"], **members)


class MLClever:
    """ML Clever Prediction API, dialect ``mlclever``."""

    name = "mlclever"
    max_body = MAX_BODY
    keys_in_body = True
    routes: Sequence[Route] = (Route("POST", "/api/predict"), Route("POST", "/api/predict/{key}"))
    request_template = RequestTemplate(
        "/api/predict", {}, {"api_key": "{key}", "deployment": "{deployment}", "input_data": "{row}"}
    )
    openapi_spec = OpenAPISpec(
        "ML Clever Prediction API",
        {
            "application/json": object_schema(
                ["input_data"],
                api_key={"type": ["string", "null"]},
                deployment={
                    "type": ["string", "null"],
                    "description": "Required if the key is for several deployments",
                },
                input_data=any_of_schema(ROW, ROWS),
            )
        },
        _response_schema,
        PLAIN_ERROR,
        keys=(("bearer",), ("x-api-key",), ()),
    )

    def credentials(self, request: Request) -> Flow[str | None]:
        """Return the key from a header or the path, or else the key in the body.

        If the header has a JSON Web Token, the body is read, too, because the token may be meant for the
        hosting platform, not for the gate. A key in the body takes precedence over the token.
        """
        key = _key_outside_body(request)
        if key is None or is_json_web_token(key):
            request.context.envelope = members = yield from read_json_members(request)
            if "api_key" in members:
                # The document's status for an invalid key is 401, even for a key that is not text.
                key = decode_text(members["api_key"]) or ""
        return key

    def decode(self, request: Request) -> Flow[Query]:
        """Decode the rows and the deployment's name from the body.

        Raises:
            ConflictingCredentials: The key in the body differs from the key in the header or the path.
            InvalidInput: ``input_data`` is missing, or neither an object nor an array.
        """
        members: dict[str, msgspec.Raw] | None = request.context.envelope
        is_checked = members is not None or request.context.key_header is not None
        if members is None:
            members = yield from read_json_members(request)
        yield from check_body(request, members, _NAMES)
        if not is_checked and "api_key" in members:
            _check_body_key(request, decode_text(members["api_key"]) or "")
        rows = bytes(members.get("input_data", b""))
        if rows[:1] not in (b"{", b"["):
            if rows[:1] == b'"':
                reject_encoded_text("input_data", decode_json(rows, ANY))
            problem = "must be" if "input_data" in members else "is missing: send"
            error = InvalidInput(f"input_data {problem} an object of feature names and values")
            error.needs_example = "input_data" not in members
            raise error
        deployment = decode_text(members["deployment"]) if "deployment" in members else None
        if deployment is None and "deployment" in members:
            raise InvalidInput("deployment must be text")
        return Query(rows, deployment=deployment, single=rows[:1] == b"{", decimals=_DECIMALS)

    def decode_usual(self, body: bytes) -> tuple[str | None, Query] | None:
        """Return the key in *body*, or None if there is no key, and the query for the row in *body*.

        Return None instead of the pair if `credentials` or `decode` might reject the body. The row is not
        checked.
        """
        try:
            envelope = _USUAL.decode(body)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return None
        row, key = bytes(envelope.input_data), envelope.api_key
        # If no member is repeated, each has one colon.
        if row[:1] != b"{" or body.count(b":") - row.count(b":") != (1 if key is None else 2):
            return None
        return key, Query(row, single=True, decimals=_DECIMALS)

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """Encode ``predictions``, and ``confidence_intervals`` if the model returns probabilities."""
        body = self.encode_usual(request, query, prediction)
        response = Response(200, body, [("content-type", "application/json")])
        if prediction.cache_hit is not None:
            response.headers.append(("x-model-cache-hit", "true" if prediction.cache_hit else "false"))
        return response

    def encode_usual(self, request: Request, query: Query, prediction: Prediction) -> bytes:  # noqa: ARG002
        """Return the body of the response with *prediction*."""
        outputs, single = prediction.outputs, query.single
        if len(outputs) == 1:
            values, table = outputs[0].values.tolist(), outputs[0].probabilities
            probabilities = None if table is None else table.tolist()[0] if single else table.tolist()
        else:
            values, probabilities = _join_values(outputs, single), _join_probabilities(outputs, single)
        members = {"predictions": values}
        if probabilities is not None:
            members["confidence_intervals"] = probabilities
        if prediction.warnings:
            members["warnings"] = list(prediction.warnings)
        return msgspec.json.encode(members)

    def usual_field(self, query: Query) -> tuple[str, str]:  # noqa: ARG002
        """Return the header field that this dialect adds to a response of the quick path."""
        return "x-model-cache-hit", "true"

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """Encode the error as ``{"error": message}`` plus details such as ``missing_columns``."""
        return error_response(error, request.id)


def _key_outside_body(request: Request) -> str | None:
    """Return the key from a header or the path, or None if neither has one.

    Raises:
        ConflictingCredentials: The header and the path have different keys; see `select_key`.
    """
    header_key, path_key = credentials_from_headers(request.headers), request.params.get("key")
    if header_key is None or path_key is None or header_key == path_key:
        return path_key if header_key is None else header_key
    return select_key(header_key, path_key)


def _check_body_key(request: Request, key: str) -> None:
    """Raise `ConflictingCredentials` if a header or the path has a key that contradicts the body's *key*."""
    outside = _key_outside_body(request)
    if outside is not None and outside != key and outside != select_key(outside, key):
        raise ConflictingCredentials


def _join_values(outputs: Sequence[Output], single: bool) -> list[Any]:
    """Return a list of rows, each of which is a list of the values of all *outputs*.

    If *single* is True, return only the list of the single row.
    """
    columns = [output.values.tolist() for output in outputs]
    return [column[0] for column in columns] if single else [list(row) for row in zip(*columns, strict=True)]


def _join_probabilities(outputs: Sequence[Output], single: bool) -> list[Any] | None:
    """Return the probabilities of all *outputs* in the form of `_join_values`, or None if there are none."""
    tables: list[list[list[float]]] = [
        output.probabilities.tolist() for output in outputs if output.probabilities is not None
    ]
    if not tables:
        return None
    if single:
        return [value for table in tables for value in table[0]]
    return [[value for part in row for value in part] for row in zip(*tables, strict=True)]
