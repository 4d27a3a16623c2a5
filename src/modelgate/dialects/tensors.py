"""The elements of tensors, between JSON, bytes and Python values.

The datatypes are those of the Open Inference Protocol; the bytes those of its binary tensor data
extension (triton-inference-server/server, docs/protocol/extension_binary_data.md): little-endian,
row-major, with nothing between elements; a text is its length in four bytes, and its UTF-8.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["DATATYPES", "TensorError", "datatype_of", "dimensions", "from_binary", "from_json", "to_binary"]

_GREATEST = 2**63 - 1


class TensorError(ValueError):
    """What is wrong with a tensor, as its sender is told it."""


class Datatype(NamedTuple):
    """A kind of elements.

    Args:
        code: that of the module struct; empty where elements differ in length.
        types: of its elements as Python values.
        rule: what an element must be.
        least: the least number it holds.
        greatest: the greatest.
    """

    code: str
    types: frozenset[type]
    rule: str
    least: float | None = None
    greatest: float = 0


def _integer(code: str, bits: int, *, signed: bool) -> Datatype:
    least, greatest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return Datatype(code, frozenset({int}), f"whole numbers from {least} to {greatest}", least, greatest)


def _floating(code: str, greatest: float) -> Datatype:
    return Datatype(
        code, frozenset({int, float}), f"numbers from {-greatest} to {greatest}", -greatest, greatest
    )


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

_ANSWERED = ("BOOL", "INT64", "UINT64", "FP64", "BYTES")


def dimensions(shape: Sequence[int]) -> tuple[int, int]:
    """The rows and columns of a tensor: ``[n]`` has one column.

    Raises:
        TensorError: the shape is another.
    """
    rows, columns = shape if len(shape) == 2 else (*shape, 1) if len(shape) == 1 else (-1, 1)
    if not (0 <= rows <= _GREATEST and 0 < columns <= _GREATEST):
        raise TensorError("the shape must be [rows] or [rows, columns]")
    return rows, columns


def from_json(datatype: str, rows: int, columns: int, data: Any) -> list[Any]:
    """The elements of *data*, decoded JSON, in row-major order. Null stays null.

    Args:
        datatype: one of `DATATYPES`.
        rows: of the tensor.
        columns: of the tensor.
        data: the elements, or for each row a list of them.

    Raises:
        TensorError: *data* is neither, has another number of elements, or others.
    """
    if not isinstance(data, list):
        raise TensorError("data must be an array")
    if data and isinstance(data[0], list):
        if len(data) != rows or not all(isinstance(row, list) and len(row) == columns for row in data):
            raise TensorError(f"data must be flat, or {rows} arrays of {columns}")
        data = [value for row in data for value in row]
    values: list[Any] = data
    if len(values) != rows * columns:
        raise TensorError(f"the shape is that of {rows * columns} elements, and data has {len(values)}")
    told = DATATYPES[datatype]
    if not _fits(told, values) and not _fits(told, [value for value in values if value is not None]):
        raise TensorError(f"data of {datatype} must be {told.rule}")
    return values


def from_binary(datatype: str, count: int, raw: bytes) -> list[Any]:
    """The *count* elements that *raw* is. NaN is null.

    Raises:
        TensorError: it is not as many elements, an infinity is among them, or a text is not UTF-8.
    """
    code = DATATYPES[datatype].code
    if not code:
        return _texts(count, raw)
    size = struct.calcsize(f"<{code}")
    if len(raw) != count * size:
        raise TensorError(f"{count} elements of {datatype} are {count * size} bytes, and it has {len(raw)}")
    values = list(struct.unpack(f"<{count}{code}", raw))
    if code == "?" and raw.translate(None, b"\0\1"):
        raise TensorError("an element of BOOL must be a byte 0 or 1")
    if code in "efd":
        if float("inf") in values or float("-inf") in values:
            raise TensorError("an infinity is among its elements")
        return [None if value != value else value for value in values]
    return values


def _texts(count: int, raw: bytes) -> list[str]:
    texts, at = list[str](), 0
    for number in range(count):
        begin = at + 4
        at = begin + int.from_bytes(raw[at:begin], "little")
        if max(begin, at) > len(raw):
            raise TensorError(f"its bytes end within element {number}")
        try:
            texts.append(raw[begin:at].decode())
        except UnicodeDecodeError:
            raise TensorError(f"element {number} is not UTF-8 text") from None
    if at != len(raw):
        raise TensorError(f"{len(raw) - at} bytes are left after its {count} elements")
    return texts


def to_binary(datatype: str, values: Sequence[Any]) -> bytes:
    """The bytes of *values*, all of which are of *datatype*."""
    code = DATATYPES[datatype].code
    if code:
        return struct.pack(f"<{len(values)}{code}", *values)
    raws = [value.encode() for value in values]
    return b"".join([len(raw).to_bytes(4, "little") + raw for raw in raws])


def datatype_of(values: Sequence[Any]) -> str | None:
    """The datatype that a model's *values* are told in; None where they are of several, or of none."""
    if not values:
        return "FP64"
    return next((name for name in _ANSWERED if _fits(DATATYPES[name], values)), None)


def _fits(datatype: Datatype, values: Sequence[Any]) -> bool:
    # True is 1 to Python: types are compared, and not asked for their parents.
    if not datatype.types.issuperset(map(type, values)):
        return False
    least = datatype.least
    return least is None or not values or (least <= min(values) and max(values) <= datatype.greatest)
