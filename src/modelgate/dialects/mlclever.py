"""The ML Clever Prediction API: https://mlclever.com, "Documentation > Predictions > Prediction API".

A key belongs to a deployment, so the key says which deployment is asked::

    POST /api/predict          {"api_key": "…", "input_data": {"feature": 1.5}}
    POST /api/predict/<key>    {"input_data": {"feature": 1.5}}

    200  {"predictions": ["yes"], "confidence_intervals": [0.1, 0.9]}
    400  {"error": "…", "missing_columns": ["feature"]}

What the document calls ``confidence_intervals`` are class probabilities; they are sent for
classifiers alone.

Beyond the document: the key may also stand in ``Authorization: Bearer`` or ``x-api-key``;
``input_data`` may be an array of rows, whose answers are then arrays with an item a row; and a key
for several deployments names one as ``deployment``. 413, 415, 405 and 503 say what they say
everywhere.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import AnswerableError, ConflictingCredentials, InvalidInput, MalformedBody
from ..flow import Flow
from ..http import MAX_BODY, Request, Response, error_response, head_credentials
from ..http.bodies import check_body, json_members
from ..http.strict_json import decode_json
from ..scoring import Prediction, Query, Target
from .base import Route
from .document import PLAIN_ERROR, ROW, ROWS, WARNINGS, Document, JSONSchema, array, either, members, value_of
from .sample import Sample

__all__ = ["MLClever"]

_TEXT = msgspec.json.Decoder(str)

_DECIMALS = 2
"""The document, "Success Response"."""

_NAMES = {"api_key", "deployment", "input_data"}


def _answer(targets: Sequence[Target]) -> JSONSchema:
    values, number = [value_of(target) for target in targets], {"type": "number"}
    row = either(*values) if len(values) == 1 else either(*values, {"type": "array", "prefixItems": values})
    told = {"predictions": array(row), **WARNINGS}
    if any(target.probabilities for target in targets):
        told["confidence_intervals"] = {
            **array(either(number, array(number))),
            "description": "The probability of each class; of several rows an array of these for each",
        }
    return members(["predictions"], **told)


class MLClever:
    """The dialect ``mlclever``."""

    name = "mlclever"
    max_body = MAX_BODY
    routes: Sequence[Route] = (Route("POST", "/api/predict"), Route("POST", "/api/predict/{key}"))
    sample = Sample(
        "/api/predict", {}, {"api_key": "{key}", "deployment": "{deployment}", "input_data": "{row}"}
    )
    document = Document(
        "ML Clever Prediction API",
        {
            "application/json": members(
                ["input_data"],
                api_key={"type": "string"},
                deployment={"type": "string", "description": "Needed where the key opens several"},
                input_data=either(ROW, ROWS),
            )
        },
        _answer,
        PLAIN_ERROR,
        keys=(("bearer",), ("x-api-key",), ()),
    )

    def credentials(self, request: Request) -> Flow[str | None]:
        """The key of a header field or the path; only where there is none is the body read for it."""
        outside = _key_outside_body(request)
        if outside is not None:
            return outside
        request.envelope = opened = _opened((yield from json_members(request)), None)
        return opened.inside

    def decode(self, request: Request) -> Flow[Query]:
        """The deployment and rows of the body.

        Raises:
            ConflictingCredentials: the body's key is not the one of the header or the path.
            InvalidInput: there is no ``input_data``, or it is no object and no array of objects.
        """
        opened: _Opened | None = request.envelope
        if opened is None:
            opened = _opened((yield from json_members(request)), _key_outside_body(request))
        envelope = opened.members
        yield from check_body(request, envelope, _NAMES)
        if opened.outside is not None and opened.inside not in (None, opened.outside):
            raise ConflictingCredentials
        rows = bytes(envelope.get("input_data", b""))
        if rows[:1] not in (b"{", b"["):
            fault = "must be" if "input_data" in envelope else "is missing: send"
            raise InvalidInput(f"input_data {fault} an object of feature names and values")
        deployment = _text(envelope, "deployment")
        return Query(rows, deployment=deployment, single=rows[:1] == b"{", decimals=_DECIMALS)

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:  # noqa: ARG002
        """``predictions``, and ``confidence_intervals`` where the model gives probabilities."""
        outputs = prediction.outputs
        members = {"predictions": _values([output.values.tolist() for output in outputs], query.single)}
        told = [output.probabilities.tolist() for output in outputs if output.probabilities is not None]
        if told:
            members["confidence_intervals"] = _probabilities(told, query.single)
        if prediction.warnings:
            members["warnings"] = list(prediction.warnings)
        response = Response.json(members)
        if prediction.cache_hit is not None:
            response.headers.append(("x-model-cache-hit", "true" if prediction.cache_hit else "false"))
        return response

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """``{"error": message}``, with ``missing_columns`` and other details beside it."""
        return error_response(request, error)


def _key_outside_body(request: Request) -> str | None:
    """The key of a header field or the path. Raises `ConflictingCredentials` where they differ."""
    key, in_path = head_credentials(request), request.params.get("key")
    if key is not None and in_path is not None and key != in_path:
        raise ConflictingCredentials
    return key if key is not None else in_path


class _Opened(msgspec.Struct):
    """A body whose members are unwrapped, their values raw; and the key that stands outside, and inside."""

    members: dict[str, msgspec.Raw]
    outside: str | None
    inside: str | None


def _opened(members: dict[str, msgspec.Raw], outside: str | None) -> _Opened:
    return _Opened(members, outside, _key_in_body(members))


def _key_in_body(envelope: dict[str, msgspec.Raw]) -> str | None:
    try:
        return _text(envelope, "api_key")
    except InvalidInput:
        # A key that is no text is no key: 401, as the document has it for an invalid one.
        return ""


def _text(envelope: dict[str, msgspec.Raw], name: str) -> str | None:
    raw = envelope.get(name)
    try:
        return decode_json(raw, _TEXT) if raw is not None else None
    except MalformedBody:
        raise InvalidInput(f"{name} must be text") from None


def _values(columns: list[list[Any]], single: bool) -> list[Any]:
    """A value a row, or of several outputs a list a row; of a single row, its values."""
    if len(columns) == 1:
        return columns[0]
    return [column[0] for column in columns] if single else [list(row) for row in zip(*columns, strict=True)]


def _probabilities(tables: list[list[list[float]]], single: bool) -> list[Any]:
    """The probabilities of each row: those of every classifying output, one after the other."""
    if len(tables) == 1:
        return tables[0][0] if single else tables[0]
    if single:
        return [value for table in tables for value in table[0]]
    return [[value for part in row for value in part] for row in zip(*tables, strict=True)]
