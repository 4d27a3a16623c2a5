"""The REST API of TensorFlow Serving, which is also version 1 of KServe's.

https://github.com/tensorflow/serving, tensorflow_serving/g3doc/api_rest.md::

    POST /v1/models/churn[/versions/1]:predict
         {"instances": [{"age": 41, "plan": "pro"}, …]}     rows by name
         {"instances": [[41, "pro"], …]}                    rows in the schema's order
         {"instances": [41, 20]}                            of a model with one column
         {"inputs": {"age": [41, 20], "plan": […]}}         columns

    200  {"predictions": ["no", "yes"]}, or in answer to inputs {"outputs": ["no", "yes"]}
    400  {"error": "…"}

    GET  /v1/models/churn[/versions/1]     the model's status
    GET  /                                 KServe: {"status": "alive"}

Of a model with several outputs ``predictions`` is an object a row, and ``outputs`` an object of arrays.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import AnswerableError, DeploymentUnavailable, InvalidInput
from ..flow import Flow
from ..http import MAX_BODY, Request, Response, head_credentials
from ..http.bodies import check_body, content, decoded, parsed, require_json
from ..http.strict_json import ANY, decode_json
from ..schema import Split, by_row
from ..scoring import Prediction, Query, Target
from .arrays import by_column, listed
from .base import Catalog, Route
from .document import (
    COLUMNS,
    ITEMS,
    PLAIN_ERROR,
    WARNINGS,
    Document,
    JSONSchema,
    array,
    by_name,
    either,
    members,
    value_of,
)
from .refusals import refusal
from .sample import Sample

__all__ = ["TFServing"]

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])

_SIGNATURE = "serving_default"


_NAME: JSONSchema = {"const": _SIGNATURE}

_REQUEST = either(
    members(["instances"], instances=ITEMS, signature_name=_NAME),
    members(["inputs"], inputs=either(COLUMNS, ITEMS), signature_name=_NAME),
)


def _answer(targets: Sequence[Target]) -> JSONSchema:
    outputs = by_name(targets, lambda target: array(value_of(target)))
    return either(
        members(["predictions"], predictions=array(by_name(targets)), **WARNINGS),
        members(["outputs"], outputs=outputs, **WARNINGS),
    )


class TFServing:
    """The dialect ``tf_serving``."""

    name = "tf_serving"
    max_body = MAX_BODY
    routes: Sequence[Route]
    sample = Sample(
        "/v1/models/{deployment}:predict", {"Authorization": "Bearer {key}"}, {"instances": "{rows}"}
    )
    document = Document("TensorFlow Serving, KServe v1", {"application/json": _REQUEST}, _answer, PLAIN_ERROR)

    def __init__(self) -> None:
        model = [f"/v1/models/{{deployment}}{version}" for version in ("", "/versions/{version}")]
        self.routes = (
            *(Route("POST", f"{path}:predict") for path in model),
            *(Route("GET", path, _status) for path in model),
            Route("GET", "", _alive, open=True),
        )

    def credentials(self, request: Request) -> Flow[str | None]:
        """The key of ``Authorization: Bearer`` or ``x-api-key``."""
        yield from ()
        return head_credentials(request)

    def decode(self, request: Request) -> Flow[Query]:
        """The rows: by name as they came, by place or by column as a `Split`.

        Raises:
            InvalidInput: there are both instances and inputs, or neither, or they are no rows.
        """
        # The document's own example is `curl -d`, which says of JSON that it is a form.
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            require_json(request)
        members = yield from decoded((yield from content(request)), _MEMBERS)
        yield from check_body(request, members, ["instances", "inputs"])
        if "signature_name" in members and decode_json(members["signature_name"], ANY) != _SIGNATURE:
            raise InvalidInput(f"signature_name must be {_SIGNATURE}, or left out")
        if ("instances" in members) == ("inputs" in members):
            raise InvalidInput("Send either instances, an array with an item a row, or inputs")
        sent, request.envelope = (
            ("inputs", "outputs") if "inputs" in members else ("instances", "predictions")
        )
        raw = bytes(members[sent])
        read = by_column if sent == "inputs" and raw[:1] == b"{" else _instances
        return Query((yield from parsed(read, raw)))

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:  # noqa: ARG002
        """``predictions`` by row, or ``outputs`` by column, after what was sent."""
        columns = {output.name: output.values.tolist() for output in prediction.outputs}
        told: Any = columns if len(columns) > 1 else next(iter(columns.values()))
        if len(columns) > 1 and request.envelope == "predictions":
            told = by_row(columns)
        members = {request.envelope: told}
        if prediction.warnings:
            members["warnings"] = list(prediction.warnings)
        return Response.json(members)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """``{"error": message}``: see `refusal`."""
        return refusal(request, error)


def _alive(request: Request, catalog: Catalog) -> Flow[Response]:  # noqa: ARG001
    """Whether the process answers."""
    yield from ()
    return Response.json({"status": "alive"})


def _status(request: Request, catalog: Catalog) -> Flow[Response]:
    """KServe's ``ready`` and TensorFlow Serving's ``model_version_status`` at once."""
    name = request.deployment
    assert name is not None
    if not (yield from catalog.ready(name)):
        raise DeploymentUnavailable
    fine = {"error_code": "OK", "error_message": ""}
    version = yield from catalog.version(name)
    status = {"version": version, "state": "AVAILABLE", "status": fine}
    return Response.json({"name": name, "ready": True, "model_version_status": [status]})


def _instances(raw: bytes) -> bytes | Split:
    if raw[:1] != b"[":
        raise InvalidInput(
            "instances must be an array with an item a row, and inputs that or columns by name"
        )
    return listed(raw)
