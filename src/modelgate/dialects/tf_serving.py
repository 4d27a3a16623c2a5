"""REST API of TensorFlow Serving, also version 1 of KServe's protocol.

Source: https://github.com/tensorflow/serving, tensorflow_serving/g3doc/api_rest.md::

    POST /v1/models/churn[/versions/1]:predict
         {"instances": [{"age": 41, "plan": "pro"}, …]}     rows by name
         {"instances": [[41, "pro"], …]}                    rows in the schema's order
         {"instances": [41, 20]}                            for a model with one column
         {"inputs": {"age": [41, 20], "plan": […]}}         columns

    200  {"predictions": ["no", "yes"]}, or in response to inputs {"outputs": ["no", "yes"]}
    400  {"error": "…"}

    GET  /v1/models/churn[/versions/1]     status of the model
    GET  /v1/models                        {"models": ["churn", …]}, from KServe's protocol

For a model with several outputs, ``predictions`` has an object per row, and ``outputs`` is an object of
arrays.
"""

from collections.abc import Sequence
from typing import Any

from ..codecs.json import ANY, decode_json
from ..context import RequestContext
from ..errors import AnswerableError, DeploymentUnavailable, InvalidInput
from ..flow import Flow
from ..http import MAX_BODY, Request, Response, credentials_from_headers
from ..http.body import check_body, parse_off_loop, read_json_members
from ..http.routing import Route
from ..inference import Prediction, Target
from ..schema import SplitRows, columns_to_records, rows_from_columns
from ..scoring import Query
from ._array_rows import rows_from_array
from ._errors import json_error
from .openapi_spec import (
    COLUMNS,
    ITEMS,
    PLAIN_ERROR,
    WARNINGS,
    JSONSchema,
    OpenAPISpec,
    any_of_schema,
    array_schema,
    object_schema,
    targets_schema,
    value_schema,
)
from .request_template import RequestTemplate

__all__ = ["TFServing"]

_SIGNATURE = "serving_default"

_NAME: JSONSchema = {"type": ["string", "null"], "enum": [_SIGNATURE, None]}

_REQUEST = any_of_schema(
    object_schema(["instances"], instances=ITEMS, signature_name=_NAME),
    object_schema(["inputs"], inputs=any_of_schema(COLUMNS, ITEMS), signature_name=_NAME),
)


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    outputs = targets_schema(targets, lambda target: array_schema(value_schema(target)))
    return any_of_schema(
        object_schema(["predictions"], predictions=array_schema(targets_schema(targets)), **WARNINGS),
        object_schema(["outputs"], outputs=outputs, **WARNINGS),
    )


class TFServing:
    """REST API of TensorFlow Serving, dialect ``tf_serving``."""

    name = "tf_serving"
    max_body = MAX_BODY
    routes: Sequence[Route]
    request_template = RequestTemplate(
        "/v1/models/{deployment}:predict", {"Authorization": "Bearer {key}"}, {"instances": "{rows}"}
    )
    openapi_spec = OpenAPISpec(
        "TensorFlow Serving, KServe v1", {"application/json": _REQUEST}, _response_schema, PLAIN_ERROR
    )

    def __init__(self) -> None:
        model = [f"/v1/models/{{deployment}}{version}" for version in ("", "/versions/{version}")]
        self.routes = (
            *(Route("POST", f"{path}:predict") for path in model),
            *(Route("GET", path, _get_status) for path in model),
            Route("GET", "/v1/models", _get_models),
        )

    def credentials(self, request: Request) -> Flow[str | None]:
        """Return the key from ``Authorization: Bearer`` or ``x-api-key``."""
        yield from ()
        return credentials_from_headers(request.headers)

    def decode(self, request: Request) -> Flow[Query]:
        """Read the rows of the body. Arrays, plain values and columns are decoded to `SplitRows`.

        Rows that are JSON objects are passed on as raw JSON, which the schema decodes later.

        Raises:
            InvalidInput: The body does not have exactly one of ``instances`` and ``inputs``, or has malformed
                rows.
        """
        # The document's examples use `curl -d`, which sends JSON with the content type of a form.
        members = yield from read_json_members(request, "application/x-www-form-urlencoded")
        yield from check_body(request, members, ["instances", "inputs"])
        if "signature_name" in members and decode_json(members["signature_name"], ANY) != _SIGNATURE:
            raise InvalidInput(f"signature_name must be {_SIGNATURE}, or left out")
        if ("instances" in members) == ("inputs" in members):
            raise InvalidInput("Send either instances (an array with an item per row) or inputs, not both")
        member, request.context.envelope = (
            ("inputs", "outputs") if "inputs" in members else ("instances", "predictions")
        )
        raw = bytes(members[member])
        decode = rows_from_columns if member == "inputs" and raw[:1] == b"{" else _decode_instances
        return Query((yield from parse_off_loop(decode, raw)))

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:  # noqa: ARG002
        """Encode ``predictions`` by row if the request has ``instances``, otherwise ``outputs`` by column."""
        columns = {output.name: output.values.tolist() for output in prediction.outputs}
        member = request.context.envelope
        values: Any = columns if len(columns) > 1 else next(iter(columns.values()))
        if len(columns) > 1 and member == "predictions":
            values = columns_to_records(columns)
        members = {member: values}
        if prediction.warnings:
            members["warnings"] = list(prediction.warnings)
        return Response.json(members)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """Encode the error as ``{"error": message}`` plus details; see `json_error`."""
        return json_error(request, error)


def _get_models(request: Request) -> Flow[Response]:
    """Return the names of the deployments that the key permits."""
    yield from ()
    return Response.json({"models": request.context.readable_deployments()})


def _get_status(request: Request) -> Flow[Response]:
    """Return KServe's ``ready`` and TensorFlow Serving's ``model_version_status`` in one object."""
    context: RequestContext = request.context
    name, catalog = context.deployment, context.catalog
    assert name is not None and catalog is not None
    if not (yield from catalog.ready(name)):
        raise DeploymentUnavailable
    no_error = {"error_code": "OK", "error_message": ""}
    version = yield from catalog.version(name)
    status = {"version": version, "state": "AVAILABLE", "status": no_error}
    return Response.json({"name": name, "ready": True, "model_version_status": [status]})


def _decode_instances(raw: bytes) -> bytes | SplitRows:
    if raw[:1] != b"[":
        raise InvalidInput(
            "instances must be an array with an item per row; inputs may also be an object with an array per"
            " column"
        )
    return rows_from_array(raw)
