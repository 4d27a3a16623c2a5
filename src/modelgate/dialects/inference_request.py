"""Decode inference requests of the Open Inference Protocol to rows; see `read_request`."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..codecs.json import ANY, count_byte, decode_json, reject_deep_nesting, reject_duplicate_names
from ..errors import InvalidInput, MalformedBody
from ..schema import SplitRows
from ..spelling import SHOWN_TEXT
from .tensors import DATATYPES, TensorError, from_binary, from_json, has_elements, parse_shape

__all__ = ["MAX_ID", "InferenceRequest", "Parameters", "read_request"]

MAX_ID = 256
"""Maximum number of characters in the id of a request."""

_MAX_LENGTHS = 31
"""Maximum number of dimensions of one value. An array of numpy 1.26 has at most 32, of which one is for the rows."""

Parameters = dict[str, bool | int | float | str | None] | None


class _Input(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = None
    data: Any = None


class _RequestedOutput(msgspec.Struct, gc=False):
    name: str
    parameters: Parameters = None


class InferenceRequest(msgspec.Struct, gc=False):
    """JSON part of an inference request."""

    inputs: list[_Input]
    outputs: list[_RequestedOutput] | None = None
    id: str | None = None
    parameters: Parameters = None


_REQUEST = msgspec.json.Decoder(InferenceRequest)


class _SingleColumnRows(SplitRows):
    """Rows of a single tensor with one value per row.

    The name of the tensor is ignored if the schema has only one column.
    """

    def resolve_columns(self, names: Sequence[str]) -> Sequence[str]:
        return names if self.columns is None or len(names) == 1 else self.columns


def read_request(body: bytes, length: str | None) -> tuple[InferenceRequest, SplitRows]:
    """Decode a body to the request and its rows.

    Args:
        body: JSON, followed by binary tensors, if any.
        length: Value of the header ``Inference-Header-Content-Length``, the number of bytes that are
            JSON; None if the whole body is JSON.

    Raises:
        MalformedBody: The JSON is not an inference request, or the binary data has the wrong size.
        InvalidInput: A tensor does not match its shape or datatype, or the tensors do not form rows.
    """
    raw, binary = _split_body(body, length)
    document = decode_json(raw, _REQUEST)
    # If there are as many colons as decoded members, no name is duplicated and no unknown member was skipped.
    # Then the slower checks are not needed.
    if count_byte(raw, b":") != _count_members(document):
        reject_duplicate_names(raw, -1)
        reject_deep_nesting(decode_json(raw, ANY))
    if document.id is not None and len(document.id) > MAX_ID:
        raise InvalidInput(f"id must be text of at most {MAX_ID} characters")
    rows = None if binary else _join_flat_tensors(document.inputs)
    if rows is None:
        rows = _join_tensors(list(_read_tensors(document.inputs, binary)))
    return document, rows


def _split_body(body: bytes, length: str | None) -> tuple[bytes, bytes]:
    """Return the JSON and the binary data that follows it."""
    if length is None:
        return body, b""
    if not (length.isascii() and length.isdigit() and len(length) < 20 and int(length) <= len(body)):
        raise MalformedBody(
            "Inference-Header-Content-Length must be the length of the JSON part in bytes,"
            f" at most the {len(body)} bytes of the body"
        )
    return body[: int(length)], body[int(length) :]


def _count_members(document: InferenceRequest) -> int:
    """Return the number of members in all objects of *document*."""
    inputs, outputs = document.inputs, document.outputs or ()
    parameters = [part.parameters for part in (document, *inputs, *outputs)]
    optional = [document.outputs, document.id, *parameters, *[tensor.data for tensor in inputs]]
    # The other members are always there: inputs, the name of an output, and three members of an input.
    required = 1 + len(outputs) + 3 * len(inputs)
    return required + len(optional) - optional.count(None) + sum(map(len, filter(None, parameters)))


class _Block(NamedTuple):
    """Elements of a tensor in row-major order."""

    name: str
    rows: int
    columns: int
    values: list[Any]


def _read_tensors(inputs: Sequence[_Input], binary: bytes) -> Iterator[_Block]:
    """Yield the elements of each tensor.

    Raises:
        InvalidInput: A tensor does not match its shape or datatype.
        MalformedBody: The sizes of the binary tensors do not add up to the size of the binary data.
    """
    end = 0
    for tensor in inputs:
        try:
            start, end = end, end + _binary_size(tensor)
            yield _read_tensor(tensor, binary[start:end])
        except TensorError as error:
            raise InvalidInput(f"Tensor {tensor.name[:SHOWN_TEXT]!r}: {error}") from None
    if end != len(binary):
        raise MalformedBody(
            f"The binary_data_size of all tensors must add up to the {len(binary)} bytes after the JSON"
            f" (got {end})"
        )


def _binary_size(tensor: _Input) -> int:
    """Return the number of bytes that *tensor* has in the binary data."""
    size = (tensor.parameters or {}).get("binary_data_size")
    if (size is None) == (tensor.data is None):
        raise TensorError("send either data or the parameter binary_data_size")
    if size is None:
        return 0
    if type(size) is not int or size < 0:
        raise TensorError("binary_data_size must be a whole number of bytes")
    return size


def _read_tensor(tensor: _Input, binary: bytes) -> _Block:
    if tensor.datatype not in DATATYPES:
        raise TensorError(f"the datatype must be one of {', '.join(DATATYPES)}")
    if len(tensor.shape) > 2:
        return _read_nested_tensor(tensor, binary)
    rows, columns = parse_shape(tensor.shape)
    if tensor.data is None:
        return _Block(tensor.name, rows, columns, from_binary(tensor.datatype, rows * columns, binary))
    return _Block(tensor.name, rows, columns, from_json(tensor.datatype, rows, columns, tensor.data))


def _read_nested_tensor(tensor: _Input, binary: bytes) -> _Block:
    """Read a tensor of more than two dimensions: one column, whose values are nested lists."""
    rows, *lengths = tensor.shape
    if len(lengths) > _MAX_LENGTHS:
        raise TensorError(f"the shape must have at most {_MAX_LENGTHS + 1} dimensions")
    rows, size = parse_shape([rows, math.prod(lengths) if min(lengths) > 0 else 0])
    if tensor.data is None:
        values = from_binary(tensor.datatype, rows * size, binary)
    else:
        values = from_json(tensor.datatype, rows, size, _flatten(tensor.data, tensor.shape))
    elements = np.fromiter(values, dtype=object, count=len(values))
    return _Block(tensor.name, rows, 1, elements.reshape(tensor.shape).tolist())


def _flatten(data: Any, shape: Sequence[int]) -> Any:
    """Return the elements of *data*, which is a flat list, or nested lists with the lengths in *shape*."""
    for length in shape[1:]:
        if not (isinstance(data, list) and data and isinstance(data[0], list)):
            return data
        if not all(isinstance(item, list) and len(item) == length for item in data):
            raise TensorError(f"data must be a flat array, or nested arrays of the shape {shape}")
        data = list(chain.from_iterable(data))
    return data


def _join_flat_tensors(inputs: Sequence[_Input]) -> SplitRows | None:
    """Return the rows of several tensors with one column each and flat data, the usual form of a request.

    All tensors are checked together. If a tensor is invalid or has another form, return None. The caller then
    uses `_read_tensors` and `_join_tensors`, which accept all forms and report errors.
    """
    if len(inputs) < 2:
        return None
    names, shapes, datatypes, parameters, data = zip(*map(msgspec.structs.astuple, inputs), strict=True)
    rows, *columns = shapes[0] or [-1]
    if shapes.count(shapes[0]) < len(inputs) or columns not in ([], [1]):
        return None
    if (
        parameters.count(None) < len(inputs)
        or set(map(type, data)) != {list}
        or set(map(len, data)) != {rows}
    ):
        return None
    for datatype in set(datatypes):
        elements = [column for column, other in zip(data, datatypes, strict=True) if other == datatype]
        if not has_elements(datatype, list(chain.from_iterable(elements))):
            return None
    return SplitRows(names, list(zip(*data, strict=True)))


def _join_tensors(blocks: Sequence[_Block]) -> SplitRows:
    """Return the rows in *blocks*, which are one tensor with all columns, or one tensor per column."""
    if not blocks:
        raise InvalidInput("inputs must have a tensor for each column, or a single tensor [rows, columns]")
    name, rows, width, values = blocks[0]
    if len(blocks) == 1 and width > 1:
        return SplitRows(None, [values[start : start + width] for start in range(0, len(values), width)])
    for block in blocks:
        shown = repr(block.name[:SHOWN_TEXT])
        if block.columns != 1:
            raise InvalidInput(f"Tensor {shown}: must have one column, because there are several tensors")
        if block.rows != rows:
            raise InvalidInput(
                f"Tensor {shown}: must have as many rows as tensor {name[:SHOWN_TEXT]!r}, which has {rows}"
                f" (got {block.rows})"
            )
    data = list(zip(*(block.values for block in blocks), strict=True))
    return (_SingleColumnRows if len(blocks) == 1 else SplitRows)([block.name for block in blocks], data)
