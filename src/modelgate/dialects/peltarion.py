"""Peltarion Deployment API.

Source: https://peltarion.com/knowledge-center, "Deployment API", and its Python client sidekick,
https://github.com/Peltarion/sidekick::

    POST /deployment/weight/forward    {"rows": [{"Type": "animal", "Sound": "woof", "Size": 1.2}]}

    200  {"rows": [{"Weight": 4.7}]}
    200  {"rows": [{"Cultivar": {"barbera": 0.1, "barolo": 0.9}}]}
    403  {"errorCode": "DeploymentNotEnabled", "errorMessage": "…"}

    GET  /deployment/weight/openapi.json

A row of the response has a member per output:

* for a regression, the number;
* for a classifier, an object with the probability of each class;
* for a classifier that returns no probabilities, the class as text.

sidekick can send a number as a tensor of one element: as JSON, ``{"shape": [1], "data": [1.2]}``, or as a
data URL in NumPy's format. Values of a tensor column are larger tensors in the same formats. Values of an
image column are data URLs.
"""

import base64
import math
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ..codecs.json import decode_json, reject_duplicate_names
from ..context import RequestContext
from ..errors import AnswerableError, InvalidInput, MalformedBody
from ..flow import Flow
from ..http import Request, Response, credentials_from_headers, error_response
from ..http.body import check_body, parse_off_loop, read_json_members
from ..http.routing import Route
from ..inference import Output, Prediction, Target
from ..schema import columns_to_records
from ..scoring import Query
from .openapi_spec import (
    DETAILS,
    ROWS,
    WARNINGS,
    JSONSchema,
    OpenAPISpec,
    array_schema,
    number_schema,
    object_schema,
    value_schema,
)
from .peltarion_openapi import build_openapi, label_text
from .request_template import RequestTemplate

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
"""Peltarion's error codes by modelgate's, from the page "Interpreting the API output".

The last three are not on that page; they follow its style.
"""


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    shape: list[Annotated[int, msgspec.Meta(ge=1)]]
    data: list[msgspec.Raw]


_ROWS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_TENSOR = msgspec.json.Decoder(_Tensor)
_TEXT = msgspec.json.Decoder(str)
_NPY_URL = "data:application/x.peltarion.npy;base64,"

# Header (numpy.lib.format, version 1.0) of an array of numbers, which sidekick's NumpyEncoder sends.
# np.load is avoided on purpose: it evaluates the header and can unpickle.
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>][fiu][248]|\|[iu]1)', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,9}, ?)*(?:\d{1,9})?)\), \} *\n(.*)",
    re.DOTALL,
)


def _get_openapi(request: Request) -> Flow[Response]:
    """Return the OpenAPI document of the deployment in the form that sidekick reads."""
    context: RequestContext = request.context
    assert context.catalog is not None and context.deployment is not None
    return Response.json(build_openapi((yield from context.catalog.describe(context.deployment))))


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    members = {target.name: _target_schema(target) for target in targets}
    row = object_schema(list(members), **members)
    return object_schema(["rows"], rows=array_schema(row), **WARNINGS)


def _target_schema(target: Target) -> JSONSchema:
    if target.classes is None:
        return value_schema(target)
    labels = [label_text(label) for label in target.classes]
    if not target.probabilities:
        return {"enum": [*labels, None] if target.nullable else labels}
    return object_schema(labels, **dict.fromkeys(labels, number_schema(target)))


class Peltarion:
    """Peltarion Deployment API, dialect ``peltarion``."""

    name = "peltarion"
    # sidekick sends up to 128 images in a request.
    max_body = 50 * 1024 * 1024
    routes: Sequence[Route] = (
        Route("POST", "/deployment/{deployment}/forward"),
        Route("GET", "/deployment/{deployment}/openapi.json", _get_openapi),
    )
    request_template = RequestTemplate(
        "/deployment/{deployment}/forward", {"Authorization": "Bearer {key}"}, {"rows": "{rows}"}
    )
    openapi_spec = OpenAPISpec(
        "Peltarion Deployment API",
        {"application/json": object_schema(["rows"], rows=ROWS)},
        _response_schema,
        object_schema(
            ["errorCode", "errorMessage"],
            errorCode={"type": "string"},
            errorMessage={"type": "string"},
            **DETAILS,
        ),
    )

    def credentials(self, request: Request) -> Flow[str | None]:
        """Return the key from ``Authorization: Bearer`` or ``x-api-key``."""
        yield from ()
        return credentials_from_headers(request.headers)

    def decode(self, request: Request) -> Flow[Query]:
        """Decode the rows. Tensors of one element become numbers; larger tensors become nested arrays.

        Raises:
            InvalidInput: ``rows`` is missing or not an array.
        """
        members = yield from read_json_members(request)
        yield from check_body(request, members, ["rows"])
        rows = bytes(members.get("rows", b""))
        if rows[:1] != b"[":
            raise InvalidInput("rows must be an array of examples: " + '{"rows": [{"feature": 1.5}]}')
        if b'"shape"' in rows or b"x.peltarion.npy" in rows:
            rows = yield from parse_off_loop(_replace_tensors, rows)
        return Query(rows)

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:  # noqa: ARG002
        """Encode ``rows``: for each row, an object with a member per output."""
        columns = {output.name: _values(output) for output in prediction.outputs}
        members: dict[str, Any] = {"rows": columns_to_records(columns)}
        if prediction.warnings:
            members["warnings"] = list(prediction.warnings)
        return Response.json(members)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """Encode ``errorCode`` and ``errorMessage`` plus details such as ``missing_columns``."""
        code = _CODES.get(error.code, "BadData" if error.status < 500 else "InternalError")
        return error_response(error, request.id, {"errorCode": code, "errorMessage": error.message})


def _values(output: Output) -> Iterable[Any]:
    values: list[Any] = output.values.tolist()
    if output.classes is None:
        return values
    if output.probabilities is None:
        return [None if value is None else label_text(value) for value in values]
    labels = [label_text(label) for label in output.classes]
    return [dict(zip(labels, row, strict=True)) for row in output.probabilities.tolist()]


def _replace_tensors(raw: bytes) -> bytes:
    rows = decode_json(raw, _ROWS)
    reject_duplicate_names(raw, sum(map(len, rows)))
    return msgspec.json.encode([{name: _unwrap(value) for name, value in row.items()} for row in rows])


def _unwrap(value: msgspec.Raw) -> Any:
    """Return the number or the nested lists if *value* is a tensor, else *value* unchanged."""
    first = bytes(value)[:1]
    try:
        if first == b"{":
            tensor = decode_json(value, _TENSOR)
            return _nest(np.fromiter(tensor.data, dtype=object), tensor.shape)
        text = decode_json(value, _TEXT) if first == b'"' else ""
        return _decode_npy(text.removeprefix(_NPY_URL)) if text.startswith(_NPY_URL) else value
    except (MalformedBody, ValueError):
        return value


def _decode_npy(encoded: str) -> Any:
    """Decode base64 data in NumPy's format to a number or to nested lists.

    Raises:
        ValueError: The data is not an array of finite numbers.
    """
    match = _NPY.fullmatch(base64.b64decode(encoded, validate=True))
    numbers = np.empty(0) if match is None else np.frombuffer(match[4], match[1].decode())
    if match is None or not np.isfinite(numbers).all():
        raise ValueError("must be an array of finite numbers")
    shape = [int(length) for length in match[3].decode().replace(",", " ").split()]
    return _nest(numbers, shape, "F" if match[2] == b"True" else "C")


def _nest(elements: npt.NDArray[Any], shape: Sequence[int], order: Literal["C", "F"] = "C") -> Any:
    """Return *elements* as nested lists of *shape*, or the element itself if there is only one.

    Raises:
        ValueError: The number of *elements* does not fit *shape*.
    """
    return (
        elements.item()
        if elements.size == 1 == math.prod(shape)
        else elements.reshape(shape, order=order).tolist()
    )
