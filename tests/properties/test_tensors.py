"""Round trips of tensors, and arbitrary bytes."""

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate.dialects.tensors import (
    DATATYPES,
    TensorError,
    from_binary,
    from_json,
    infer_datatype,
    parse_shape,
    to_binary,
)

NUMPY = {"BOOL": "?", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"} | {
    f"{sign}INT{bits}": f"<{sign.lower() or 'i'}{bits // 8}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}
ELEMENTS = {
    name: st.integers(int(datatype.minimum), int(datatype.maximum))
    for name, datatype in DATATYPES.items()
    if "INT" in name
} | {
    "BOOL": st.booleans(),
    "BYTES": st.text(max_size=5),
    **{f"FP{bits}": st.floats(width=bits, allow_nan=False, allow_infinity=False) for bits in (16, 32, 64)},
}


def elements(name):
    return st.tuples(st.just(name), st.lists(ELEMENTS[name], max_size=12))


tensors = st.sampled_from(sorted(ELEMENTS)).flatmap(elements)


def test_every_datatype_is_tried():
    """A datatype that is added is tried here too."""

    assert set(ELEMENTS) == set(DATATYPES)


@given(tensors)
def test_binary_round_trip(tensor):
    """What is written is read again, to the bit and the type."""
    name, values = tensor
    read = from_binary(name, len(values), to_binary(name, values))

    assert list(map(repr, values)) == list(map(repr, read))


@given(tensors.filter(lambda tensor: tensor[0] != "BYTES"))
def test_bytes_are_those_of_numpy(tensor):
    """Little-endian, without anything between."""
    name, values = tensor

    assert np.array(values, dtype=NUMPY[name]).tobytes() == to_binary(name, values)


@given(tensors, st.integers(1, 4))
def test_json_round_trip(tensor, columns):
    """Flat or nested, JSON says the same elements."""
    name, values = tensor
    rows = len(values) // columns
    flat = values[: rows * columns]
    nested = [flat[at : at + columns] for at in range(0, len(flat), columns)]

    for data in (flat, nested):
        assert flat == from_json(name, rows, columns, json.loads(json.dumps(data)))


@given(tensors)
def test_inferred_datatype_holds_the_values(tensor):
    """Encoding and decoding in the inferred datatype returns the same values."""
    _, values = tensor
    name = infer_datatype(values)

    assert name is not None
    assert values == from_binary(name, len(values), to_binary(name, values))


@given(st.sampled_from(sorted(DATATYPES)), st.integers(0, 2**126), st.binary(max_size=40))
@pytest.mark.parametrize("small", [True, False])
def test_any_bytes_are_elements_or_an_error(small, name, count, raw):
    """The result is *count* finite elements or a `TensorError`, and does not depend on a huge *count*."""
    count = count % 9 if small else count
    try:
        values = from_binary(name, count, raw)
    except TensorError:
        return

    assert count == len(values)
    assert all(value is None or type(value) in DATATYPES[name].types for value in values)
    assert not any(isinstance(value, float) and math.isinf(value) for value in values)
    if None not in values:
        assert raw == to_binary(name, values)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
# Not st.recursive: it reads the source of its lambda and warns if the file was edited since its import.
json_values = st.deferred(
    lambda: (
        scalars
        | st.lists(json_values, max_size=4)
        | st.dictionaries(st.text(max_size=2), json_values, max_size=4)
    )
)


@given(st.sampled_from(sorted(DATATYPES)), st.integers(0, 4), st.integers(1, 4), json_values)
def test_any_json_is_elements_or_a_fault(name, rows, columns, data):
    """The same of JSON, where null may stand anywhere."""
    try:
        values = from_json(name, rows, columns, data)
    except TensorError:
        return

    assert rows * columns == len(values)
    assert all(value is None or type(value) in DATATYPES[name].types for value in values)


@given(st.lists(st.integers(-3, 3) | st.integers(), max_size=4))
def test_any_shape_is_rows_and_columns_or_a_fault(shape):
    """Rows from none on, columns from one on."""
    try:
        rows, columns = parse_shape(shape)
    except TensorError:
        return

    assert [rows, columns][: len(shape)] == shape
    assert 0 <= rows < 2**63
    assert 0 < columns < 2**63


def test_nan_is_null():
    """In each of the floats."""
    nan = float("nan")

    for name, code in (("FP16", "e"), ("FP32", "f"), ("FP64", "d")):
        assert [1.0, None] == from_binary(name, 2, struct.pack(f"<2{code}", 1, nan))


def test_values_of_several_kinds_have_no_datatype():
    """And what no datatype holds neither."""

    assert [None] * 4 == [infer_datatype(values) for values in (["a", 1], [True, 1], [None], [10**400])]
