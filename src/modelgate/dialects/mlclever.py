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
from ..http import Request, Response, check_body, error_response, head_credentials, json_members
from ..scoring import Prediction, Query
from ..strict_json import decode_json
from .base import Route

__all__ = ["MLClever"]

_TEXT = msgspec.json.Decoder(str)

_NAMES = {"api_key", "deployment", "input_data"}


class MLClever:
    """The dialect ``mlclever``."""

    name = "mlclever"
    routes: Sequence[Route] = (Route("POST", "/api/predict"), Route("POST", "/api/predict/{key}"))

    def credentials(self, request: Request) -> Flow[str | None]:
        """The key of a header field or the path; only where there is none is the body read for it."""
        key = _key_outside_body(request)
        if key is None:
            key = _key_in_body((yield from _envelope(request)))
        return key

    def decode(self, request: Request) -> Flow[Query]:
        """The deployment and rows of the body.

        Raises:
            ConflictingCredentials: the body's key is not the one of the header or the path.
            InvalidInput: there is no ``input_data``, or it is no object and no array of objects.
        """
        envelope = yield from _envelope(request)
        yield from check_body(request, envelope, _NAMES)
        outside, inside = _key_outside_body(request), _key_in_body(envelope)
        if outside is not None and inside is not None and outside != inside:
            raise ConflictingCredentials
        rows = bytes(envelope.get("input_data", b""))
        if rows[:1] not in (b"{", b"["):
            raise InvalidInput("input_data is missing: send an object of feature names and values")
        return Query(rows, deployment=_text(envelope, "deployment"), single=rows[:1] == b"{")

    def encode(self, query: Query, prediction: Prediction) -> Response:
        """``predictions``, and ``confidence_intervals`` where the model gives probabilities."""
        outputs = prediction.outputs
        members = {"predictions": _values([output.values.tolist() for output in outputs], query.single)}
        told = [output.probabilities.tolist() for output in outputs if output.probabilities is not None]
        if told:
            members["confidence_intervals"] = _probabilities(told, query.single)
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


def _envelope(request: Request) -> Flow[dict[str, msgspec.Raw]]:
    """The body's members, unwrapped once; their values stay raw."""
    if request.envelope is None:
        request.envelope = yield from json_members(request)
    envelope: dict[str, msgspec.Raw] = request.envelope
    return envelope


def _key_in_body(envelope: dict[str, msgspec.Raw]) -> str | None:
    try:
        return _text(envelope, "api_key")
    except MalformedBody:
        # A key that is no text is no key: 401, as the document has it for an invalid one.
        return ""


def _text(envelope: dict[str, msgspec.Raw], name: str) -> str | None:
    raw = envelope.get(name)
    return decode_json(raw, _TEXT) if raw is not None else None


def _values(columns: list[list[Any]], single: bool) -> list[Any]:
    """A value a row, or of several outputs a list a row; of a single row, its values."""
    if single:
        return [column[0] for column in columns]
    return columns[0] if len(columns) == 1 else [list(row) for row in zip(*columns, strict=True)]


def _probabilities(tables: list[list[list[float]]], single: bool) -> list[Any]:
    """The probabilities of each row: those of every classifying output, one after the other."""
    if single:
        return [value for table in tables for value in table[0]]
    return [[value for part in row for value in part] for row in zip(*tables, strict=True)]
