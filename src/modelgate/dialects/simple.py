"""Smallest wire format, after the article "APIs for Machine Learning" (Neurootix)::

    POST /simple/fraud     {"amount": 5.1, "country": "DE"}        one row, by name
                           [5.1, "DE"]  or  {"data": [5.1, "DE"]}  one row, in the schema's order
                           [{…}, {…}]  or  {"data": [[…], […]]}    many rows

    200  {"prediction": "cat", "confidence": 0.92}                 for many rows, an array of these
    400  {"error": "…", "missing_columns": ["country"]}

The confidence is the probability of the predicted class; a regression has none. For a model with several
outputs, ``prediction`` and ``confidence`` are objects by output.

The article's server accepts a bare list, but the client in the article sends ``{"data": list}``. This dialect
accepts both. A deployment can have its own path: ``Deployment("fraud", model, endpoint="/detect-fraud")``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..errors import AnswerableError
from ..flow import Flow
from ..http import MAX_BODY, Request, Response, credentials_from_headers, error_response
from ..http.body import check_body, decode_json_off_loop, parse_off_loop, read_json_raw
from ..http.routing import Route
from ..inference import Prediction, Target
from ..schema import columns_to_records
from ..scoring import Query
from ._array_rows import row_from_values, rows_from_array, starts_with_value
from .openapi_spec import (
    PLAIN_ERROR,
    ROW,
    ROWS,
    VALUES,
    JSONSchema,
    OpenAPISpec,
    any_of_schema,
    array_schema,
    lone_member_schema,
    number_schema,
    object_schema,
    targets_schema,
)
from .request_template import RequestTemplate

__all__ = ["Simple"]

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


# Clients of openapi-python-client can send the first alternative that is an array, and no other.
_BARE = any_of_schema(ROW, ROWS, VALUES, array_schema(VALUES))


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    members = {"prediction": targets_schema(targets)}
    confidences = {target.name: number_schema(target) for target in targets if target.probabilities}
    if confidences:
        by_output = object_schema(list(confidences), **confidences)
        members["confidence"] = number_schema(targets[0]) if len(targets) == 1 else by_output
    row = object_schema(list(members), **members)
    return any_of_schema(row, array_schema(row))


class Simple:
    """Smallest wire format, dialect ``simple``."""

    name = "simple"
    max_body = MAX_BODY
    routes: Sequence[Route] = (Route("POST", "/simple/{deployment}"),)
    request_template = RequestTemplate("/simple/{deployment}", {"Authorization": "Bearer {key}"}, "{rows}")
    openapi_spec = OpenAPISpec(
        'The article "APIs for Machine Learning"',
        {"application/json": any_of_schema(_BARE, lone_member_schema("data", _BARE))},
        _response_schema,
        PLAIN_ERROR,
    )

    def credentials(self, request: Request) -> Flow[str | None]:
        """Return the key from ``Authorization: Bearer`` or ``x-api-key``."""
        yield from ()
        return credentials_from_headers(request.headers)

    def decode(self, request: Request) -> Flow[Query]:
        """Decode the rows: objects stay undecoded, arrays become `SplitRows`.

        Raises:
            MalformedBody: The body is neither an object nor an array of rows or values.
        """
        raw = yield from read_json_raw(request)
        if raw[:1] == b"{":
            members = yield from decode_json_off_loop(raw, _MEMBERS)
            data = bytes(members["data"]) if list(members) == ["data"] else b""
            if data[:1] not in (b"{", b"["):
                return Query(raw, single=True)
            yield from check_body(request, members, ["data"])
            raw = data
        if raw[:1] != b"[":
            return Query(raw, single=True)
        if starts_with_value(raw):
            return Query(row_from_values(raw), single=True)
        return Query((yield from parse_off_loop(rows_from_array, raw)))

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:  # noqa: ARG002
        """Encode ``prediction``, and ``confidence`` if the model returns probabilities."""
        outputs = prediction.outputs
        values = {output.name: output.values.tolist() for output in outputs}
        columns = {"prediction": _rows(values, len(outputs))}
        confidences = {
            output.name: output.confidences() for output in outputs if output.probabilities is not None
        }
        if confidences:
            columns["confidence"] = _rows(confidences, len(outputs))
        rows = columns_to_records(columns)
        return Response.json(rows[0] if query.single else rows)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """Encode the error as ``{"error": message}`` plus details such as ``missing_columns``."""
        return error_response(error, request.id)


def _rows(columns: Mapping[str, Sequence[Any]], outputs: int) -> list[Any]:
    """Return an item per row: a value, or an object by output if there are several *outputs*."""
    if outputs == 1:
        return list(next(iter(columns.values())))
    return columns_to_records(columns)
