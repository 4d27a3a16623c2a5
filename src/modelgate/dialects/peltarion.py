"""The Peltarion Deployment API: https://peltarion.com/knowledge-center, "Deployment API", and its client
sidekick, https://github.com/Peltarion/sidekick::

    POST /deployment/weight/forward    {"rows": [{"Type": "animal", "Sound": "woof", "Size": 1.2}]}

    200  {"rows": [{"Weight": 4.7}]}
    200  {"rows": [{"Cultivar": {"barbera": 0.1, "barolo": 0.9}}]}
    403  {"errorCode": "DeploymentNotEnabled", "errorMessage": "…"}

    GET  /deployment/weight/openapi.json

A row of the answer has a member for each output: a number, or of a classifier an object with the
probability of each class. One that tells no probabilities gives the label, as text.

A number may also come as a tensor of one element, ``{"shape": [1], "data": [1.2]}``, or as the data URL of
such an array in NumPy's format. No column holds an image or a tensor of more elements.
"""

import base64
import math
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from ..errors import AnswerableError, InvalidInput, MalformedBody
from ..flow import Flow
from ..http import MAX_BODY, Request, Response, error_response, head_credentials
from ..http.bodies import check_body, json_members, parsed
from ..http.strict_json import decode_json, refuse_duplicate_names
from ..schema import by_row
from ..scoring import Output, Prediction, Query, Target
from .base import Catalog, Route
from .document import DETAILS, ROWS, WARNINGS, Document, JSONSchema, array, members, value_of
from .peltarion_openapi import document as sidekick_document
from .peltarion_openapi import label_text
from .sample import Sample

__all__ = ["Peltarion"]

_CODES = {
    "malformed_body": "JsonParsingError",
    "missing_columns": "FeatureNotFound",
    "invalid_values": "JsonPropertyTypeMismatch",
    "unauthorized": "InvalidTokenError",
    "forbidden": "InsufficientScopeTokenError",
    "insufficient_scope": "InsufficientScopeTokenError",
    "key_inactive": "InvalidTokenError",
    "deployment_inactive": "DeploymentNotEnabled",
    "not_found": "ResourceNotFound",
    "unsupported_media_type": "UnsupportedContentType",
    "method_not_allowed": "MethodNotAllowed",
    "body_too_large": "BodyTooLarge",
    "rate_limit_exceeded": "RateLimitExceeded",
}
"""By the code of an error: the names of the page "Interpreting the API output"; the last three are not on it."""


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    shape: list[Literal[1]]
    data: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=1)]


_ROWS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_TENSOR = msgspec.json.Decoder(_Tensor)
_TEXT = msgspec.json.Decoder(str)
_NPY_URL = "data:application/x.peltarion.npy;base64,"

# numpy.lib.format, version 1.0: what a shape of one element looks like. Nothing of it is evaluated.
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>][fiu][248])', 'fortran_order': (?:True|False), "
    rb"'shape': \((?:1, ?)*1?\), \} *\n(.*)",
    re.DOTALL,
)


def _openapi(request: Request, catalog: Catalog) -> Flow[Response]:
    """What the deployment takes and gives, where sidekick looks for it."""
    assert request.deployment is not None
    return Response.json(sidekick_document((yield from catalog.describe(request.deployment))))


def _answer(targets: Sequence[Target]) -> JSONSchema:
    told = {target.name: _told(target) for target in targets}
    return members(["rows"], rows=array(members(list(told), **told)), **WARNINGS)


def _told(target: Target) -> JSONSchema:
    if target.classes is None:
        return value_of(target)
    labels = [label_text(label) for label in target.classes]
    if not target.probabilities:
        return {"enum": labels}
    return members(labels, **{label: {"type": "number"} for label in labels})


class Peltarion:
    """The dialect ``peltarion``."""

    name = "peltarion"
    max_body = MAX_BODY
    routes: Sequence[Route] = (
        Route("POST", "/deployment/{deployment}/forward"),
        Route("GET", "/deployment/{deployment}/openapi.json", _openapi),
    )
    sample = Sample("/deployment/{deployment}/forward", {"Authorization": "Bearer {key}"}, {"rows": "{rows}"})
    document = Document(
        "Peltarion Deployment API",
        {"application/json": members(["rows"], rows=ROWS)},
        _answer,
        members(
            ["errorCode", "errorMessage"],
            errorCode={"type": "string"},
            errorMessage={"type": "string"},
            **DETAILS,
        ),
    )

    def credentials(self, request: Request) -> Flow[str | None]:
        """The key of ``Authorization: Bearer`` or ``x-api-key``."""
        yield from ()
        return head_credentials(request)

    def decode(self, request: Request) -> Flow[Query]:
        """The rows as they came, but for tensors of one element, which become numbers.

        Raises:
            InvalidInput: there are no ``rows``, or they are no array.
        """
        members = yield from json_members(request)
        yield from check_body(request, members, ["rows"])
        rows = bytes(members.get("rows", b""))
        if rows[:1] != b"[":
            raise InvalidInput("rows must be an array of examples: " + '{"rows": [{"feature": 1.5}]}')
        if b'"shape"' in rows or b"x.peltarion.npy" in rows:
            rows = yield from parsed(_without_tensors, rows)
        return Query(rows)

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:  # noqa: ARG002
        """``rows``: an object of outputs by name for each row."""
        columns = {output.name: _values(output) for output in prediction.outputs}
        members: dict[str, Any] = {"rows": by_row(columns)}
        if prediction.warnings:
            members["warnings"] = list(prediction.warnings)
        return Response.json(members)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """``errorCode`` and ``errorMessage``, with ``missing_columns`` and other details beside them."""
        code = _CODES.get(error.code, "BadData" if error.status < 500 else "InternalError")
        return error_response(request, error, {"errorCode": code, "errorMessage": error.message})


def _values(output: Output) -> Iterable[Any]:
    values: list[Any] = output.values.tolist()
    if output.classes is None:
        return values
    if output.probabilities is None:
        return map(label_text, values)
    labels = [label_text(label) for label in output.classes]
    return [dict(zip(labels, told, strict=True)) for told in output.probabilities.tolist()]


def _without_tensors(raw: bytes) -> bytes:
    rows = decode_json(raw, _ROWS)
    refuse_duplicate_names(raw, sum(map(len, rows)))
    return msgspec.json.encode([{name: _element(value) for name, value in row.items()} for row in rows])


def _element(value: msgspec.Raw) -> msgspec.Raw | float:
    """The number in a tensor of one element. Anything else stays what it is, for the schema to judge."""
    kind = bytes(value)[:1]
    try:
        if kind == b"{":
            return decode_json(value, _TENSOR).data[0]
        text = decode_json(value, _TEXT) if kind == b'"' else ""
        return _number(text.removeprefix(_NPY_URL)) if text.startswith(_NPY_URL) else value
    except (MalformedBody, ValueError):
        return value


def _number(npy: str) -> float:
    """Raises `ValueError` where *npy* is not the base64 of an array of one finite number."""
    array = _NPY.fullmatch(base64.b64decode(npy, validate=True))
    number: float = math.nan if array is None else np.frombuffer(array[2], array[1].decode()).item()
    if not math.isfinite(number):
        raise ValueError("not one finite number")
    return number
