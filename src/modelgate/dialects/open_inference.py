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

from ..errors import AnswerableError, InvalidInput, MalformedBody
from ..flow import Flow, run
from ..http import MAX_BODY, Request, Response, content, head_credentials, require_json
from ..schema import Column, Split
from ..schema.report import SHOWN_TEXT
from ..scoring import Output, Prediction, Query, Target
from ..strict_json import (
    ANY,
    LARGE,
    decode_json,
    occurrences,
    refuse_deep_nesting,
    refuse_duplicate_names,
)
from .base import Catalog, Route
from .health import live, ready
from .refusals import refusal
from .tensors import DATATYPES, TensorError, datatype_of, dimensions, from_binary, from_json, to_binary

__all__ = ["OpenInference"]

_LENGTH = "inference-header-content-length"
_BINARY = "application/octet-stream"
_MOST_ID = 256

_COLUMN_TYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "text": "BYTES", "any": "BYTES"}

# What Triton can be asked to do with an output: to leave it undone without a word would be another answer.
_UNSERVED = ("classification", "shared_memory_region")

_Parameters = dict[str, bool | int | float | str | None] | None


class _Input(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    parameters: _Parameters = None
    data: Any = None


class _Requested(msgspec.Struct, gc=False):
    name: str
    parameters: _Parameters = None


class _Document(msgspec.Struct, gc=False):
    """An inference request, as far as it is JSON."""

    inputs: list[_Input]
    outputs: list[_Requested] | None = None
    id: str | None = None
    parameters: _Parameters = None


_DOCUMENT = msgspec.json.Decoder(_Document)


class _Lone(Split):
    """Rows of one value each: of the column they name, or of the only one there is, whatever they name."""

    def records(self, names: Sequence[str]) -> list[dict[str, Any]]:
        return Split(None if len(names) == 1 else self.columns, self.data).records(names)


class OpenInference:
    """The dialect ``open_inference``."""

    name = "open_inference"
    max_body = MAX_BODY
    routes: Sequence[Route]

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
        """The tensors as rows.

        Raises:
            MalformedBody: the JSON is no inference request, or what follows it is not as long as it says.
            InvalidInput: a tensor is not what it says of itself, or they are not rows together.
        """
        if not (request.headers.get("content-type") or "").lower().startswith(_BINARY):
            require_json(request)
        body, length = (yield from content(request)), request.headers.get(_LENGTH)
        read = (yield from run(_read, body, length)) if len(body) > LARGE else _read(body, length)
        request.envelope, rows = read
        return Query(rows)

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """The outputs asked for, or all of them, as JSON or binary.

        Raises:
            InvalidInput: one is asked for that there is none of.
        """
        asked: _Document = request.envelope
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
    return {"name": column.name, "datatype": _COLUMN_TYPES[column.kind], "shape": [-1]}


def _target(target: Target) -> Iterator[dict[str, Any]]:
    classes = list(target.classes or ())
    yield {"name": target.name, "datatype": datatype_of(classes) or "BYTES", "shape": [-1]}
    if target.probabilities:
        yield {"name": _probabilities(target.name), "datatype": "FP64", "shape": [-1, len(classes)]}


def _probabilities(name: str) -> str:
    return f"{name}_probabilities"


def _read(body: bytes, length: str | None) -> tuple[_Document, Split]:
    """The request, and its rows."""
    raw, binary = _parts(body, length)
    document = decode_json(raw, _DOCUMENT)
    # As many colons as members: no name stands twice, and there is none whose value was skipped.
    if occurrences(raw, b":") != _members(document):
        refuse_duplicate_names(raw, -1)
        refuse_deep_nesting(decode_json(raw, ANY))
    if document.id is not None and len(document.id) > _MOST_ID:
        raise InvalidInput(f"id must be text of at most {_MOST_ID} characters")
    return document, _rows(list(_columns(document.inputs, binary)))


def _parts(body: bytes, length: str | None) -> tuple[bytes, bytes]:
    """The JSON, and what follows it."""
    if length is None:
        return body, b""
    if not (length.isascii() and length.isdigit() and len(length) < 20 and int(length) <= len(body)):
        raise MalformedBody(f"Inference-Header-Content-Length must be a part of the body's {len(body)} bytes")
    return body[: int(length)], body[int(length) :]


def _members(document: _Document) -> int:
    """How many members its objects have."""
    count = 0
    for part in (document, *document.inputs, *(document.outputs or ())):
        values = msgspec.structs.astuple(part)
        count += len(values) - values.count(None) + len(part.parameters or ())
    return count


class _Block(NamedTuple):
    """The elements of a tensor, in row-major order."""

    name: str
    rows: int
    columns: int
    values: list[Any]


def _columns(inputs: Sequence[_Input], binary: bytes) -> Iterator[_Block]:
    """The elements of each tensor.

    Raises:
        InvalidInput: of a tensor that is not what it says.
        MalformedBody: the binary ones are more or less than what follows the JSON.
    """
    at = 0
    for tensor in inputs:
        try:
            size = _size(tensor)
            begin, at = at, at + size
            yield _block(tensor, binary[begin:at])
        except TensorError as error:
            raise InvalidInput(f"Tensor {tensor.name[:SHOWN_TEXT]!r}: {error}") from None
    if at != len(binary):
        raise MalformedBody(f"The tensors are {at} bytes together, and {len(binary)} follow the JSON")


def _size(tensor: _Input) -> int:
    """How many bytes after the JSON are its own."""
    size = (tensor.parameters or {}).get("binary_data_size")
    if (size is None) == (tensor.data is None):
        raise TensorError("send either data or the parameter binary_data_size")
    if size is None:
        return 0
    if type(size) is not int or size < 0:
        raise TensorError("binary_data_size must be a whole number of bytes")
    return size


def _block(tensor: _Input, binary: bytes) -> _Block:
    if tensor.datatype not in DATATYPES:
        raise TensorError(f"the datatype must be one of {', '.join(DATATYPES)}")
    rows, columns = dimensions(tensor.shape)
    if tensor.data is None:
        return _Block(tensor.name, rows, columns, from_binary(tensor.datatype, rows * columns, binary))
    return _Block(tensor.name, rows, columns, from_json(tensor.datatype, rows, columns, tensor.data))


def _rows(blocks: Sequence[_Block]) -> Split:
    """The rows of tensors: of one that has them all, or of one for each column."""
    if not blocks:
        raise InvalidInput("inputs must have a tensor for each column, or one of [rows, columns]")
    name, rows, width, values = blocks[0]
    if len(blocks) == 1 and width > 1:
        return Split(None, [values[at : at + width] for at in range(0, len(values), width)])
    for block in blocks:
        if block.columns != 1:
            raise InvalidInput(f"Tensor {block.name[:SHOWN_TEXT]!r}: beside others it must have one column")
        if block.rows != rows:
            raise InvalidInput(
                f"Tensor {block.name[:SHOWN_TEXT]!r}: has {block.rows} rows, and {name[:SHOWN_TEXT]!r} {rows}"
            )
    data = list(zip(*(block.values for block in blocks), strict=True))
    return (_Lone if len(blocks) == 1 else Split)([block.name for block in blocks], data)


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


def _chosen(asked: _Document, tensors: dict[str, _Tensor]) -> Iterator[tuple[_Tensor, bool]]:
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


def _flag(parameters: _Parameters, name: str, *, otherwise: bool) -> bool:
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
