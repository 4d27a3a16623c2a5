"""Convert tensors between JSON, binary data and Python values.

The datatypes are those of the Open Inference Protocol. The binary format is defined by the protocol's
extension for binary tensor data (triton-inference-server/server, docs/protocol/extension_binary_data.md):
little-endian, row-major, without padding. A text is stored as its length in four bytes, followed by the text
in UTF-8.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = [
    "DATATYPES",
    "TensorError",
    "from_binary",
    "from_json",
    "has_elements",
    "infer_datatype",
    "parse_shape",
    "to_binary",
]

_MAX_DIMENSION = 2**63 - 1


class TensorError(ValueError):
    """Invalid tensor. The message is part of the response to the caller."""


class Datatype(NamedTuple):
    """Datatype of the elements of a tensor.

    Args:
        code: Format character of the module struct; empty if the elements have different lengths.
        types: Python types of the elements.
        rule: Description of valid elements, which follows "must be" in error messages.
        minimum: Smallest number; None if the elements are not numbers.
        maximum: Largest number; None if the elements are not numbers.
    """

    code: str
    types: frozenset[type]
    rule: str
    minimum: float | None = None
    maximum: float = 0


def _integer(code: str, bits: int, *, signed: bool) -> Datatype:
    minimum, maximum = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return Datatype(code, frozenset({int}), f"whole numbers from {minimum} to {maximum}", minimum, maximum)


def _floating(code: str, maximum: float) -> Datatype:
    return Datatype(code, frozenset({int, float}), f"numbers from {-maximum} to {maximum}", -maximum, maximum)


DATATYPES = {
    "BOOL": Datatype("?", frozenset({bool}), "true or false"),
    "INT8": _integer("b", 8, signed=True),
    "INT16": _integer("h", 16, signed=True),
    "INT32": _integer("i", 32, signed=True),
    "INT64": _integer("q", 64, signed=True),
    "UINT8": _integer("B", 8, signed=False),
    "UINT16": _integer("H", 16, signed=False),
    "UINT32": _integer("I", 32, signed=False),
    "UINT64": _integer("Q", 64, signed=False),
    "FP16": _floating("e", 65504.0),
    "FP32": _floating("f", 3.4028234663852886e38),
    "FP64": _floating("d", 1.7976931348623157e308),
    "BYTES": Datatype("", frozenset({str}), "text"),
}

_OUTPUT_DATATYPES = ("BOOL", "INT64", "UINT64", "FP64", "BYTES")


def parse_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Return the number of rows and columns. The shape ``[n]`` has one column.

    Raises:
        TensorError: The shape is neither ``[rows]`` nor ``[rows, columns]``.
    """
    rows, columns = shape if len(shape) == 2 else (*shape, 1) if len(shape) == 1 else (-1, 1)
    if not (0 <= rows <= _MAX_DIMENSION and 0 < columns <= _MAX_DIMENSION):
        raise TensorError("the shape must be [rows] or [rows, columns], or [rows, …] for a tensor column")
    return rows, columns


def from_json(datatype: str, rows: int, columns: int, data: Any) -> list[Any]:
    """Return the elements of *data* in row-major order. A null is returned as None.

    Args:
        datatype: Name of one of `DATATYPES`.
        rows: Number of rows of the tensor.
        columns: Number of columns of the tensor.
        data: Decoded JSON: a flat list of elements, or a list of rows that are lists of elements.

    Raises:
        TensorError: *data* is not such a list, or has the wrong number or type of elements.
    """
    if not isinstance(data, list):
        raise TensorError("data must be an array")
    if data and isinstance(data[0], list):
        if len(data) != rows or not all(isinstance(row, list) and len(row) == columns for row in data):
            raise TensorError(f"data must be a flat array, or {rows} arrays of {columns} elements")
        data = [value for row in data for value in row]
    values: list[Any] = data
    if len(values) != rows * columns:
        raise TensorError(f"data must have {rows * columns} elements, to fit the shape (got {len(values)})")
    if not has_elements(datatype, values):
        raise TensorError(f"data of {datatype} must be {DATATYPES[datatype].rule}")
    return values


def has_elements(datatype: str, values: Sequence[Any]) -> bool:
    """Return whether all *values* are None or elements of *datatype*. If there is no such datatype, return False."""
    kind = DATATYPES.get(datatype)
    if kind is None:
        return False
    return _fits(kind, values) or _fits(kind, [value for value in values if value is not None])


def from_binary(datatype: str, count: int, raw: bytes) -> list[Any]:
    """Decode binary data to *count* elements. A NaN is returned as None.

    Raises:
        TensorError: The data has the wrong size, or contains an infinity, a BOOL other than 0 or 1, or
            invalid UTF-8.
    """
    code = DATATYPES[datatype].code
    if not code:
        return _decode_texts(count, raw)
    size = struct.calcsize(f"<{code}")
    if len(raw) != count * size:
        raise TensorError(
            f"binary data of {count} elements of {datatype} must be {count * size} bytes (got {len(raw)})"
        )
    values = list(struct.unpack(f"<{count}{code}", raw))
    if code == "?" and raw.translate(None, b"\0\1"):
        raise TensorError("a BOOL element must be the byte 0 or 1")
    if code in "efd":
        if float("inf") in values or float("-inf") in values:
            raise TensorError("elements must be finite numbers, or NaN for null (got an infinity)")
        return [None if value != value else value for value in values]
    return values


def _decode_texts(count: int, raw: bytes) -> list[str]:
    texts, end = list[str](), 0
    for index in range(count):
        start = end + 4
        end = start + int.from_bytes(raw[end:start], "little")
        if max(start, end) > len(raw):
            raise TensorError(f"the binary data ends inside element {index}: send all its bytes")
        try:
            texts.append(raw[start:end].decode())
        except UnicodeDecodeError:
            raise TensorError(f"element {index} is not UTF-8 text") from None
    if end != len(raw):
        raise TensorError(
            f"the binary data has {len(raw) - end} bytes after its {count} elements: remove them"
        )
    return texts


def to_binary(datatype: str, values: Sequence[Any]) -> bytes:
    """Encode *values*, all of which must be of *datatype*, as binary data."""
    code = DATATYPES[datatype].code
    if code:
        return struct.pack(f"<{len(values)}{code}", *values)
    raws = [value.encode() for value in values]
    return b"".join([len(raw).to_bytes(4, "little") + raw for raw in raws])


def infer_datatype(values: Sequence[Any]) -> str | None:
    """Return the datatype for a model's *values*, or None if no datatype can represent all of them."""
    if not values:
        return "FP64"
    return next((name for name in _OUTPUT_DATATYPES if _fits(DATATYPES[name], values)), None)


def _fits(datatype: Datatype, values: Sequence[Any]) -> bool:
    # Compares exact types, because isinstance(True, int) holds.
    if not datatype.types.issuperset(map(type, values)):
        return False
    minimum = datatype.minimum
    return minimum is None or not values or (minimum <= min(values) and max(values) <= datatype.maximum)
