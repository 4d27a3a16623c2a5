"""Tensors of the Open Inference Protocol as functions: datatypes, shapes, JSON and binary data."""

import pytest

from modelgate.dialects.tensors import (
    DATATYPES,
    TensorError,
    from_binary,
    from_json,
    has_elements,
    infer_datatype,
    parse_shape,
    to_binary,
)

LARGEST = 2**63 - 1
RANGES = {
    "INT8": (-128, 127),
    "INT16": (-32768, 32767),
    "INT32": (-2147483648, 2147483647),
    "INT64": (-9223372036854775808, 9223372036854775807),
    "UINT8": (0, 255),
    "UINT16": (0, 65535),
    "UINT32": (0, 4294967295),
    "UINT64": (0, 18446744073709551615),
    "FP16": (-65504.0, 65504.0),
    "FP32": (-3.4028234663852886e38, 3.4028234663852886e38),
    "FP64": (-1.7976931348623157e308, 1.7976931348623157e308),
}


def read_error(function, *arguments):
    with pytest.raises(TensorError) as info:
        function(*arguments)
    return str(info.value)


@pytest.mark.parametrize(("name", "limits"), RANGES.items())
def test_numbers_have_the_range_of_their_datatype(name, limits):
    kind = "whole numbers" if "INT" in name else "numbers"

    assert list(limits) == from_json(name, 2, 1, list(limits))
    assert f"{kind} from {limits[0]} to {limits[1]}" == DATATYPES[name].rule
    for value in (limits[0] * 2 - 1, limits[1] * 2 + 1, True, "1"):
        assert f"data of {name} must be {DATATYPES[name].rule}" == read_error(from_json, name, 1, 1, [value])


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ([0], 0, 1),
        ([3], 3, 1),
        ([0, 1], 0, 1),
        ([3, 2], 3, 2),
        ([LARGEST], LARGEST, 1),
        ([LARGEST, LARGEST], LARGEST, LARGEST),
    ],
)
def test_shape_has_rows_and_columns(shape, rows, columns):
    assert (rows, columns) == parse_shape(shape)


@pytest.mark.parametrize("shape", [[], [-1], [3, 0], [3, -1], [1, 1, 1], [LARGEST + 1], [1, LARGEST + 1]])
def test_other_shapes_are_rejected(shape):
    message = "the shape must be [rows] or [rows, columns], or [rows, …] for a tensor column"

    assert message == read_error(parse_shape, shape)


@pytest.mark.parametrize(
    ("data", "values"),
    [([1, 2, None, 4], [1, 2, None, 4]), ([[1, 2], [None, 4]], [1, 2, None, 4]), ([None] * 4, [None] * 4)],
)
def test_elements_are_in_row_major_order(data, values):
    assert values == from_json("INT8", 2, 2, data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": 1}, "data must be an array"),
        ([[1, 2]], "data must be a flat array, or 2 arrays of 2 elements"),
        ([[1, 2], [3]], "data must be a flat array, or 2 arrays of 2 elements"),
        ([[1, 2], 3, 4], "data must be a flat array, or 2 arrays of 2 elements"),
        ([1, 2, 3], "data must have 4 elements, to fit the shape (got 3)"),
        ([], "data must have 4 elements, to fit the shape (got 0)"),
        ([1, 2, [3], 4], "data of INT8 must be whole numbers from -128 to 127"),
    ],
)
def test_other_data_is_rejected(data, message):
    assert message == read_error(from_json, "INT8", 2, 2, data)


def test_empty_tensor_has_no_elements():
    assert [] == from_json("FP64", 0, 2, [])


def test_elements_of_a_datatype():
    assert has_elements("BOOL", [True, None]) and has_elements("BYTES", []) and has_elements("FP32", [None])
    assert not has_elements("BOOL", [1]) and not has_elements("BYTES", [b"x"])
    assert not has_elements("INT8", [1, None, 128]) and not has_elements("INT7", [])


@pytest.mark.parametrize(
    ("name", "count", "raw", "values"),
    [
        ("INT16", 2, b"\x01\x00\xff\xff", [1, -1]),
        ("UINT16", 1, b"\x01\x02", [513]),
        ("BOOL", 2, b"\0\1", [False, True]),
        ("FP32", 2, b"\0\0\x80\x3f\0\0\xc0\x7f", [1.0, None]),
        ("FP16", 1, b"\0\x3c", [1.0]),
        ("FP64", 1, b"\0\0\0\0\0\0\xf8\x7f", [None]),
        ("BYTES", 2, b"\2\0\0\0\xc3\xa4\0\0\0\0", ["ä", ""]),
        ("BYTES", 0, b"", []),
    ],
)
def test_binary_data_is_little_endian(name, count, raw, values):
    assert values == from_binary(name, count, raw)


@pytest.mark.parametrize(
    ("name", "count", "raw", "message"),
    [
        ("INT16", 2, b"\0" * 3, "binary data of 2 elements of INT16 must be 4 bytes (got 3)"),
        ("BOOL", 2, b"\0\2", "a BOOL element must be the byte 0 or 1"),
        ("BOOL", 1, b"X", "a BOOL element must be the byte 0 or 1"),
        *(
            (name, 1, raw, "elements must be finite numbers, or NaN for null (got an infinity)")
            for name, raw in (
                ("FP16", b"\0\x7c"),
                ("FP32", b"\0\0\x80\xff"),
                ("FP64", b"\0" * 6 + b"\xf0\x7f"),
            )
        ),
        ("BYTES", 1, b"\2\0\0\0a", "the binary data ends inside element 0: send all its bytes"),
        ("BYTES", 2, b"\0\0\0\0\0\0\0", "the binary data ends inside element 1: send all its bytes"),
        ("BYTES", 1, b"\1\0\0\0\xff", "element 0 is not UTF-8 text"),
        ("BYTES", 1, b"\0\0\0\0ab", "the binary data has 2 bytes after its 1 elements: remove them"),
    ],
)
def test_other_binary_data_is_rejected(name, count, raw, message):
    assert message == read_error(from_binary, name, count, raw)


@pytest.mark.parametrize(
    ("name", "values", "raw"),
    [
        ("INT16", [1, -1], b"\x01\x00\xff\xff"),
        ("BOOL", [False, True], b"\0\1"),
        ("BYTES", ["ä", "b" * 300], b"\2\0\0\0\xc3\xa4\x2c\1\0\0" + b"b" * 300),
    ],
)
def test_values_are_written_as_binary_data(name, values, raw):
    assert raw == to_binary(name, values)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([], "FP64"),
        ([True], "BOOL"),
        ([1, -1], "INT64"),
        ([LARGEST + 1], "UINT64"),
        ([LARGEST + 1, -1], "FP64"),
        ([1, 0.5], "FP64"),
        (["a"], "BYTES"),
        (["a", 1], None),
        ([None], None),
    ],
)
def test_datatype_of_predicted_values(values, name):
    assert name == infer_datatype(values)
