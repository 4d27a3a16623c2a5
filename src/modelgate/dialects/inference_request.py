"""Inference requests of the Open Inference Protocol: a body in, what it asks and its rows out.

Pure functions; `read` is the way in.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from ..errors import InvalidInput, MalformedBody
from ..http.strict_json import ANY, decode_json, occurrences, refuse_deep_nesting, refuse_duplicate_names
from ..schema import Split
from ..schema.report import SHOWN_TEXT
from .tensors import DATATYPES, TensorError, dimensions, from_binary, from_json

__all__ = ["InferenceRequest", "Parameters", "read"]

_MOST_ID = 256

Parameters = dict[str, bool | int | float | str | None] | None


class _Input(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = None
    data: Any = None


class _Requested(msgspec.Struct, gc=False):
    name: str
    parameters: Parameters = None


class InferenceRequest(msgspec.Struct, gc=False):
    """An inference request, as far as it is JSON."""

    inputs: list[_Input]
    outputs: list[_Requested] | None = None
    id: str | None = None
    parameters: Parameters = None


_REQUEST = msgspec.json.Decoder(InferenceRequest)


class _Lone(Split):
    """Rows of one value each: of the column they name, or of the only one there is, whatever they name."""

    def records(self, names: Sequence[str]) -> list[dict[str, Any]]:
        return Split(None if len(names) == 1 else self.columns, self.data).records(names)


def read(body: bytes, length: str | None) -> tuple[InferenceRequest, Split]:
    """The request, and its rows.

    Args:
        body: its JSON, and the binary tensors behind it.
        length: of the JSON, as the header field says it; None where all of it is JSON.

    Raises:
        MalformedBody: the JSON is no inference request, or what follows it is not as long as it says.
        InvalidInput: a tensor is not what it says of itself, or they are not rows together.
    """
    raw, binary = _parts(body, length)
    document = decode_json(raw, _REQUEST)
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


def _members(document: InferenceRequest) -> int:
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
