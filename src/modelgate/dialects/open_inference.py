"""Open Inference Protocol, version 2, over HTTP, as implemented by KServe, Triton and MLServer.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md::

    POST /v2/models/churn[/versions/1]/infer
         {"id": "42", "inputs": [{"name": "age", "shape": [2], "datatype": "FP64", "data": [41, 20]}, …]}

    200  {"model_name": "churn", "model_version": "1", "id": "42", "outputs": [
           {"name": "prediction", "shape": [2], "datatype": "BYTES", "data": ["no", "yes"]},
           {"name": "prediction_probabilities", "shape": [2, 2], "datatype": "FP64",
            "parameters": {"classes": ["no", "yes"]}, "data": [0.9, 0.1, 0.2, 0.8]}]}
    400  {"error": "Tensor 'age': …"}

    GET  /v2  ·  /v2/health/live  ·  /v2/health/ready
         /v2/models/churn[/versions/1]  ·  /v2/models/churn[/versions/1]/ready
    POST /v2/repository/index      see `repository_index`

For a model with one target, ``outputs`` in a request can also use the names of MLServer's scikit-learn
runtime: ``predict`` and ``predict_proba``.

The inputs are one tensor per column, with the column's name and the shape ``[rows]`` or ``[rows, 1]``;
or a single tensor ``[rows, columns]`` of any name, with the columns in the schema's order. Tensors of
requests and responses can be binary; see `tensors`.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from typing import Any, NamedTuple

import msgspec

from ..context import RequestContext
from ..errors import AnswerableError, InvalidInput
from ..flow import Flow
from ..http import MAX_BODY, Request, Response, credentials_from_headers
from ..http.body import parse_off_loop, read_body, read_json_body
from ..http.routing import Route
from ..inference import Output, Prediction, Target
from ..schema import Column
from ..scoring import Query
from ..spelling import SHOWN_TEXT
from ._errors import json_error
from .health import live, ready
from .inference_request import MAX_ID, InferenceRequest, Parameters, read_request
from .openapi_spec import OBJECT, PLAIN_ERROR, JSONSchema, OpenAPISpec, array_schema, object_schema
from .repository_index import get_index
from .request_template import TENSOR_TYPES, RequestTemplate
from .tensors import DATATYPES, infer_datatype, to_binary

__all__ = ["OpenInference"]

_LENGTH = "inference-header-content-length"
_BINARY = "application/octet-stream"

# Parameters of an output that change the response of Triton. If they were ignored, its clients (tritonclient)
# would get a response that they did not request.
_UNSUPPORTED = ("classification", "shared_memory_region")


# Names that clients of MLServer request from its scikit-learn runtime.
_MLSERVER_NAMES = ("predict", "predict_proba")


_TEXT: JSONSchema = {"type": "string"}

_TENSOR = object_schema(
    ["name", "shape", "datatype"],
    name=_TEXT,
    shape=array_schema({"type": "integer"}),
    datatype={"enum": list(DATATYPES)},
    parameters=OBJECT,
    data=array_schema({}),
)

_PARAMETERS: JSONSchema = {
    "type": ["object", "null"],
    "additionalProperties": {"type": ["boolean", "number", "string", "null"]},
}

_REQUEST = object_schema(
    ["inputs"],
    inputs=array_schema({**_TENSOR, "properties": {**_TENSOR["properties"], "parameters": _PARAMETERS}})
    | {
        "description": "One tensor per column, or a single one with all columns in the schema's order",
        "minItems": 1,
    },
    id={"type": ["string", "null"], "maxLength": MAX_ID},
    outputs={
        "type": ["array", "null"],
        "items": object_schema(["name"], name=_TEXT, parameters=_PARAMETERS),
    },
    parameters=_PARAMETERS,
)


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    names = [tensor["name"] for target in targets for tensor in _target_metadata(target)]
    if len(targets) == 1:
        names += _MLSERVER_NAMES[: len(names)]
    # The names of a function's outputs may differ from the declared targets.
    is_known = all(target.classes is not None or target.number for target in targets)
    name: JSONSchema = {"name": {"enum": names}} if is_known else {}
    tensor = {**_TENSOR, "properties": {**_TENSOR["properties"], **name}}
    return object_schema(
        ["model_name", "model_version", "outputs"],
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        parameters=OBJECT,
        outputs=array_schema(tensor),
    )


class OpenInference:
    """Open Inference Protocol, version 2, dialect ``open_inference``."""

    name = "open_inference"
    max_body = MAX_BODY
    routes: Sequence[Route]
    request_template = RequestTemplate(
        "/v2/models/{deployment}/infer", {"Authorization": "Bearer {key}"}, {"inputs": "{tensors}"}
    )
    openapi_spec = OpenAPISpec(
        "Open Inference Protocol, version 2",
        {"application/json": _REQUEST, _BINARY: {"type": "string", "format": "binary"}},
        _response_schema,
        PLAIN_ERROR,
        answer_types=(_BINARY,),
    )

    def __init__(self) -> None:
        model = [f"/v2/models/{{deployment}}{version}" for version in ("", "/versions/{version}")]
        self.routes = (
            Route("GET", "/v2", _get_server_metadata),
            Route("GET", "/v2/health/live", live, is_public=True),
            Route("GET", "/v2/health/ready", ready, is_public=True),
            Route("POST", "/v2/repository/index", get_index),
            *(Route("GET", path, _get_model_metadata) for path in model),
            *(Route("GET", f"{path}/ready", ready) for path in model),
            *(Route("POST", f"{path}/infer") for path in model),
        )

    def credentials(self, request: Request) -> Flow[str | None]:
        """Return the key from ``Authorization: Bearer`` or ``x-api-key``."""
        yield from ()
        return credentials_from_headers(request.headers)

    def decode(self, request: Request) -> Flow[Query]:
        """Decode the tensors to rows.

        Raises:
            MalformedBody, InvalidInput: See `inference_request.read_request`.
        """
        is_binary = (request.headers.get("content-type") or "").lower().startswith(_BINARY)
        body = yield from (read_body if is_binary else read_json_body)(request)
        length = request.headers.get(_LENGTH)
        request.context.envelope, rows = yield from parse_off_loop(read_request, body, length)
        return Query(rows)

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """Encode the requested outputs as JSON or binary tensors. If none are requested, encode all outputs.

        Raises:
            InvalidInput: A requested output does not exist, or is requested twice.
        """
        inference: InferenceRequest = request.context.envelope
        assert query.predictor is not None
        head: dict[str, Any] = {"model_name": query.deployment, "model_version": query.predictor.version}
        if inference.id is not None:
            head["id"] = inference.id
        if prediction.warnings:
            head["parameters"] = {"warnings": list(prediction.warnings)}
        tensors = {tensor.name: tensor for tensor in _output_tensors(prediction)}
        if inference.outputs and len(prediction.outputs) == 1:
            for name, tensor in zip(_MLSERVER_NAMES, list(tensors.values()), strict=False):
                tensors.setdefault(name, tensor._replace(name=name))
        chunks = list[bytes]()
        head["outputs"] = [
            _encode_tensor(tensor, chunks if is_binary else None)
            for tensor, is_binary in _select_tensors(inference, tensors)
        ]
        if not chunks:
            return Response.json(head)
        raw = msgspec.json.encode(head)
        headers = [("content-type", _BINARY), (_LENGTH, str(len(raw)))]
        return Response(200, b"".join([raw, *chunks]), headers)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """Encode the error as ``{"error": message}`` plus details; see `json_error`."""
        return json_error(request, error)


def _get_server_metadata(request: Request) -> Flow[Response]:  # noqa: ARG001
    yield from ()
    return Response.json({"name": "modelgate", "version": _version(), "extensions": ["binary_tensor_data"]})


@cache
def _version() -> str:
    return metadata.version("modelgate")


def _get_model_metadata(request: Request) -> Flow[Response]:
    """Describe the input and output tensors of a deployment."""
    context: RequestContext = request.context
    assert context.catalog is not None and context.deployment is not None
    description = yield from context.catalog.describe(context.deployment)
    return Response.json(
        {
            "name": description.name,
            "versions": [description.version],
            "platform": "modelgate",
            "inputs": [_column_metadata(column) for column in description.schema],
            "outputs": [tensor for target in description.targets for tensor in _target_metadata(target)],
        }
    )


def _column_metadata(column: Column) -> dict[str, Any]:
    return {"name": column.name, "datatype": TENSOR_TYPES[column.kind], "shape": [-1, *(column.shape or ())]}


def _target_metadata(target: Target) -> Iterator[dict[str, Any]]:
    classes = list(target.classes or ())
    yield {"name": target.name, "datatype": infer_datatype(classes) or "BYTES", "shape": [-1]}
    if target.probabilities:
        yield {"name": _probabilities_name(target.name), "datatype": "FP64", "shape": [-1, len(classes)]}


def _probabilities_name(output: str) -> str:
    return f"{output}_probabilities"


class _Tensor(NamedTuple):
    """Values or probabilities of an output as a tensor."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: list[Any]
    parameters: dict[str, Any]


def _output_tensors(prediction: Prediction) -> Iterator[_Tensor]:
    for output in prediction.outputs:
        yield _values_tensor(output)
        if output.probabilities is not None:
            shape, values = output.probabilities.shape, output.probabilities.ravel().tolist()
            parameters = {"classes": output.classes}
            yield _Tensor(_probabilities_name(output.name), "FP64", shape, values, parameters)


def _values_tensor(output: Output) -> _Tensor:
    values = output.values.tolist()
    # A number that is not finite is null in JSON, and NaN in binary data.
    datatype = "FP64" if output.values.dtype.kind == "f" else infer_datatype(values)
    if datatype is None:
        # A function can return values of mixed types. Strings are unchanged, and other values become JSON.
        datatype = "BYTES"
        values = [v if isinstance(v, str) else msgspec.json.encode(v).decode() for v in values]
    return _Tensor(output.name, datatype, [len(values)], values, {})


def _select_tensors(request: InferenceRequest, tensors: dict[str, _Tensor]) -> Iterator[tuple[_Tensor, bool]]:
    """Yield each requested tensor, and whether to encode the tensor as binary data.

    A tensor that is requested by name is removed from *tensors*.
    """
    default = _get_flag(request.parameters, "binary_data_output", default=False)
    if not request.outputs:
        yield from ((tensor, default) for tensor in tensors.values())
        return
    names = ", ".join(name[:SHOWN_TEXT] for name in tensors)
    for requested in request.outputs:
        # Remove the tensor, so that an output that is requested twice is rejected.
        tensor = tensors.pop(requested.name, None)
        if tensor is None:
            raise InvalidInput(
                f"Output {requested.name[:SHOWN_TEXT]!r}: does not exist, or is requested twice:"
                f" the outputs are {names}"
            )
        for parameter in _UNSUPPORTED:
            if parameter in (requested.parameters or {}):
                raise InvalidInput(
                    f"Output {requested.name!r}: the parameter {parameter} is not supported: leave it out"
                )
        yield tensor, _get_flag(requested.parameters, "binary_data", default=default)


def _get_flag(parameters: Parameters, name: str, *, default: bool) -> bool:
    value = (parameters or {}).get(name, default)
    if not isinstance(value, bool):
        raise InvalidInput(f"The parameter {name} must be true or false")
    return value


def _encode_tensor(tensor: _Tensor, binary: list[bytes] | None) -> dict[str, Any]:
    """Return *tensor* as a JSON object.

    If *binary* is a list, the values of the tensor are appended to it as bytes, and left out of the object.
    """
    members: dict[str, Any] = {"name": tensor.name, "shape": tensor.shape, "datatype": tensor.datatype}
    parameters = tensor.parameters
    if binary is not None:
        binary.append(to_binary(tensor.datatype, tensor.values))
        parameters = {**parameters, "binary_data_size": len(binary[-1])}
    if parameters:
        members["parameters"] = parameters
    if binary is None:
        members["data"] = tensor.values
    return members
