"""The Open Inference Protocol, version 2, over HTTP, as KServe, Triton and MLServer speak it.

https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md::

    POST /v2/models/churn[/versions/1]/infer
         {"id": "42", "inputs": [{"name": "age", "shape": [2], "datatype": "FP64", "data": [41, 20]}, …]}

    200  {"model_name": "churn", "model_version": "1", "id": "42", "outputs": [
           {"name": "prediction", "shape": [2], "datatype": "BYTES", "data": ["no", "yes"]},
           {"name": "prediction_probabilities", "shape": [2, 2], "datatype": "FP64",
            "parameters": {"classes": ["no", "yes"]}, "data": [0.9, 0.1, 0.2, 0.8]}]}
    400  {"error": "Tensor 'age': …"}

    GET  /v2  ·  /v2/health/live  ·  /v2/health/ready
         /v2/models/churn[/versions/1]  ·  /v2/models/churn[/versions/1]/ready

The inputs are a tensor a column, ``[rows]`` or ``[rows, 1]``, by the column's name; or one tensor
``[rows, columns]`` of any name, in the schema's order. Tensors may be binary, both ways; see `tensors`.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from typing import Any, NamedTuple

import msgspec

from ..errors import AnswerableError, InvalidInput
from ..flow import Flow
from ..http import MAX_BODY, Request, Response, head_credentials
from ..http.bodies import content, parsed, require_json
from ..schema import Column
from ..schema.report import SHOWN_TEXT
from ..scoring import Output, Prediction, Query, Target
from .base import Catalog, Route
from .document import PLAIN_ERROR, Document, JSONSchema, array, members
from .health import live, ready
from .inference_request import InferenceRequest, Parameters, read
from .refusals import refusal
from .sample import TENSOR_TYPES, Sample
from .tensors import DATATYPES, datatype_of, to_binary

__all__ = ["OpenInference"]

_LENGTH = "inference-header-content-length"
_BINARY = "application/octet-stream"

# What Triton can be asked to do with an output: to leave it undone without a word would be another answer.
_UNSERVED = ("classification", "shared_memory_region")


_TEXT: JSONSchema = {"type": "string"}

_OBJECT: JSONSchema = {"type": "object"}

_TENSOR = members(
    ["name", "shape", "datatype"],
    name=_TEXT,
    shape=array({"type": "integer"}),
    datatype={"enum": list(DATATYPES)},
    parameters=_OBJECT,
    data={"type": "array"},
)

_REQUEST = members(
    ["inputs"],
    inputs=array(_TENSOR) | {"description": "A tensor a column, or one of all columns in their order"},
    id=_TEXT,
    outputs=array(members(["name"], name=_TEXT, parameters=_OBJECT)),
    parameters=_OBJECT,
)


def _answer(targets: Sequence[Target]) -> JSONSchema:
    names = [tensor["name"] for target in targets for tensor in _target(target)]
    # A function may give outputs of other names than it was said to.
    known = all(target.classes is not None or target.number for target in targets)
    name: JSONSchema = {"name": {"enum": names}} if known else {}
    tensor = {**_TENSOR, "properties": {**_TENSOR["properties"], **name}}
    return members(
        ["model_name", "model_version", "outputs"],
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        parameters=_OBJECT,
        outputs=array(tensor),
    )


class OpenInference:
    """The dialect ``open_inference``."""

    name = "open_inference"
    max_body = MAX_BODY
    routes: Sequence[Route]
    sample = Sample(
        "/v2/models/{deployment}/infer", {"Authorization": "Bearer {key}"}, {"inputs": "{tensors}"}
    )
    document = Document(
        "Open Inference Protocol, version 2",
        {"application/json": _REQUEST, _BINARY: {}},
        _answer,
        PLAIN_ERROR,
        answer_types=(_BINARY,),
    )

    def __init__(self) -> None:
        model = [f"/v2/models/{{deployment}}{version}" for version in ("", "/versions/{version}")]
        self.routes = (
            Route("GET", "/v2", _server),
            Route("GET", "/v2/health/live", live, open=True),
            Route("GET", "/v2/health/ready", ready, open=True),
            *(Route("GET", path, _model) for path in model),
            *(Route("GET", f"{path}/ready", ready) for path in model),
            *(Route("POST", f"{path}/infer") for path in model),
        )

    def credentials(self, request: Request) -> Flow[str | None]:
        """The key of ``Authorization: Bearer`` or ``x-api-key``."""
        yield from ()
        return head_credentials(request)

    def decode(self, request: Request) -> Flow[Query]:
        """The tensors as rows. Raises: as `inference_request.read`."""
        if not (request.headers.get("content-type") or "").lower().startswith(_BINARY):
            require_json(request)
        body, length = (yield from content(request)), request.headers.get(_LENGTH)
        request.envelope, rows = yield from parsed(read, body, length)
        return Query(rows)

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """The outputs asked for, or all of them, as JSON or binary.

        Raises:
            InvalidInput: one is asked for that there is none of.
        """
        asked: InferenceRequest = request.envelope
        assert query.predictor is not None
        head: dict[str, Any] = {"model_name": query.deployment, "model_version": query.predictor.version}
        if asked.id is not None:
            head["id"] = asked.id
        if prediction.warnings:
            head["parameters"] = {"warnings": list(prediction.warnings)}
        parts = list[bytes]()
        head["outputs"] = [
            _told(tensor, parts if binary else None)
            for tensor, binary in _chosen(asked, {tensor.name: tensor for tensor in _tensors(prediction)})
        ]
        if not parts:
            return Response.json(head)
        told = msgspec.json.encode(head)
        headers = [("content-type", _BINARY), (_LENGTH, str(len(told)))]
        return Response(200, b"".join([told, *parts]), headers)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """``{"error": message}``: see `refusal`."""
        return refusal(request, error)


def _server(request: Request, catalog: Catalog) -> Flow[Response]:  # noqa: ARG001
    """The server's metadata."""
    yield from ()
    told = {"name": "modelgate", "version": _version(), "extensions": ["binary_tensor_data"]}
    return Response.json(told)


@cache
def _version() -> str:
    return metadata.version("modelgate")


def _model(request: Request, catalog: Catalog) -> Flow[Response]:
    """The tensors a deployment takes and gives."""
    assert request.deployment is not None
    told = yield from catalog.describe(request.deployment)
    return Response.json(
        {
            "name": told.name,
            "versions": [told.version],
            "platform": "modelgate",
            "inputs": [_column(column) for column in told.schema],
            "outputs": [tensor for target in told.targets for tensor in _target(target)],
        }
    )


def _column(column: Column) -> dict[str, Any]:
    return {"name": column.name, "datatype": TENSOR_TYPES[column.kind], "shape": [-1]}


def _target(target: Target) -> Iterator[dict[str, Any]]:
    classes = list(target.classes or ())
    yield {"name": target.name, "datatype": datatype_of(classes) or "BYTES", "shape": [-1]}
    if target.probabilities:
        yield {"name": _probabilities(target.name), "datatype": "FP64", "shape": [-1, len(classes)]}


def _probabilities(name: str) -> str:
    return f"{name}_probabilities"


class _Tensor(NamedTuple):
    """An output of a model, as a tensor."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: list[Any]
    parameters: dict[str, Any]


def _tensors(prediction: Prediction) -> Iterator[_Tensor]:
    for output in prediction.outputs:
        yield _labels(output)
        if output.probabilities is not None:
            values = output.probabilities.ravel().tolist()
            told = {"classes": output.classes}
            yield _Tensor(_probabilities(output.name), "FP64", output.probabilities.shape, values, told)


def _labels(output: Output) -> _Tensor:
    values = output.values.tolist()
    datatype = datatype_of(values)
    if datatype is None:
        # Values of several kinds, which a function may give: text stays, the others as JSON spells them.
        datatype = "BYTES"
        values = [v if isinstance(v, str) else msgspec.json.encode(v).decode() for v in values]
    return _Tensor(output.name, datatype, [len(values)], values, {})


def _chosen(asked: InferenceRequest, tensors: dict[str, _Tensor]) -> Iterator[tuple[_Tensor, bool]]:
    """The tensors to answer, and whether they are to be binary."""
    default = _flag(asked.parameters, "binary_data_output", otherwise=False)
    if not asked.outputs:
        yield from ((tensor, default) for tensor in tensors.values())
        return
    for requested in asked.outputs:
        # A tensor that was given once is there no more: none is given twice.
        tensor = tensors.pop(requested.name, None)
        if tensor is None:
            raise InvalidInput(
                f"Output {requested.name[:SHOWN_TEXT]!r} is none of the model's, or named twice"
            )
        for parameter in _UNSERVED:
            if parameter in (requested.parameters or {}):
                raise InvalidInput(f"Output {requested.name!r}: the parameter {parameter} is not served here")
        yield tensor, _flag(requested.parameters, "binary_data", otherwise=default)


def _flag(parameters: Parameters, name: str, *, otherwise: bool) -> bool:
    told = (parameters or {}).get(name, otherwise)
    if not isinstance(told, bool):
        raise InvalidInput(f"The parameter {name} must be true or false")
    return told


def _told(tensor: _Tensor, parts: list[bytes] | None) -> dict[str, Any]:
    """The tensor in JSON; with *parts* its elements go there."""
    told: dict[str, Any] = {"name": tensor.name, "shape": tensor.shape, "datatype": tensor.datatype}
    parameters = tensor.parameters
    if parts is not None:
        parts.append(to_binary(tensor.datatype, tensor.values))
        parameters = {**parameters, "binary_data_size": len(parts[-1])}
    if parameters:
        told["parameters"] = parameters
    if parts is None:
        told["data"] = tensor.values
    return told
