"""Read and write arrays in numpy's ``.npy`` format."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import MalformedBody

__all__ = ["read_npy", "to_npy_dtype", "write_npy"]


def read_npy(raw: bytes) -> list[list[Any]]:
    """Return the rows of an ``.npy`` file with an array of shape (rows, columns). NaN becomes None.

    Raises:
        MalformedBody: *raw* is not such a file, or its array has no columns, or items that are not numbers,
            booleans or text.
    """
    stream = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran_order, dtype = read_header(stream)
    except Exception as error:
        raise MalformedBody("The body is not an .npy file: write it with numpy.save") from error
    if dtype.kind not in "biufU" or len(shape) != 2:
        raise MalformedBody(
            "The .npy file must contain numbers, booleans or text, in an array of shape (rows, columns)"
        )
    # The header is checked against the body before memory is allocated for the array. numpy accepts negative
    # numbers in the header. Without columns, a body of 128 bytes could have any number of rows.
    if shape[0] < 0 or shape[1] < 1 or dtype.itemsize == 0:
        raise MalformedBody(
            "The .npy file must have at least one column, and a text dtype of at least one character (U1)"
        )
    if shape[0] * shape[1] * dtype.itemsize != len(raw) - stream.tell():
        raise MalformedBody(
            "The .npy file is shorter or longer than its header states: send the complete file"
        )
    values = np.frombuffer(raw, dtype, offset=stream.tell()).reshape(
        shape, order="F" if fortran_order else "C"
    )
    if dtype.kind == "U":
        _check_characters(np.frombuffer(raw, dtype.str[0] + "u4", offset=stream.tell()))
    rows = values.astype(object)
    if dtype.kind == "f":
        rows[np.isnan(values)] = None
    return rows.tolist()


def _check_characters(codes: npt.NDArray[np.uint32]) -> None:
    """Raise `MalformedBody` if one of *codes* is not a Unicode scalar value (Unicode, chapter 3.9, D76)."""
    if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any():
        raise MalformedBody("The .npy file contains text with an invalid code point: correct the text")


def to_npy_dtype(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return *values* with Python objects converted to text. None becomes an empty text."""
    if values.dtype.kind != "O":
        return values
    texts: npt.NDArray[Any] = np.frompyfunc(lambda value: "" if value is None else str(value), 1, 1)(values)
    return texts.astype(str)


def write_npy(values: npt.NDArray[Any]) -> bytes:
    """Return *values* as an ``.npy`` file. Their dtype must not be object; see `to_npy_dtype`."""
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()
