"""Tensor columns: nested arrays of numbers of a fixed shape."""

import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from modelgate import Column, ConfigurationError, Deployment, Gate, InvalidValues, Schema
from modelgate.schema.json_schema import to_json_schema
from modelgate.schema.tensors import is_shape, parse_tensor
from modelgate.testing import Client

SHAPE = (2, 3)
SCHEMA = Schema([Column("window", "tensor", shape=SHAPE), Column("age")])
WINDOW = [[1, 2, 3], [4, 5.5, 6]]
ELEMENTS = [1, 2, 3, 4, 5.5, 6]


def build_client(interface="wsgi"):
    weights = np.arange(6).reshape(SHAPE)
    deployment = Deployment(
        "m", lambda table: (table["window"] * weights).sum(axis=(1, 2)) + table["age"], schema=SCHEMA
    )
    return Client(getattr(Gate([deployment], keys="open"), interface))


EXPECTED = float((np.array(WINDOW) * np.arange(6).reshape(SHAPE)).sum()) + 1


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_nested_arrays_are_one_array(interface):
    answer = build_client(interface).post("/deployments/m/predict", json={"window": WINDOW, "age": 1})

    assert (200, EXPECTED) == (answer.status, answer.json()["prediction"])


@pytest.mark.parametrize("data", [[WINDOW], ELEMENTS], ids=["nested", "flat"])
def test_open_inference_tensor_has_the_shape_of_the_column(data):
    inputs = [
        {"name": "window", "shape": [1, *SHAPE], "datatype": "FP64", "data": data},
        {"name": "age", "shape": [1], "datatype": "FP64", "data": [1]},
    ]
    client = build_client()
    answer = client.post("/v2/models/m/infer", json={"inputs": inputs})

    assert [EXPECTED] == answer.json()["outputs"][0]["data"]
    assert {"name": "window", "datatype": "FP64", "shape": [-1, *SHAPE]} in client.get("/v2/models/m").json()[
        "inputs"
    ]


def test_binary_open_inference_tensor_has_the_shape_of_the_column():
    raw = np.array(WINDOW, dtype="<f4").tobytes()
    inputs = [
        {"name": "age", "shape": [1], "datatype": "FP64", "data": [1]},
        {
            "name": "window",
            "shape": [1, *SHAPE],
            "datatype": "FP32",
            "parameters": {"binary_data_size": len(raw)},
        },
    ]
    header = json.dumps({"inputs": inputs}).encode()
    answer = build_client().request(
        "POST",
        "/v2/models/m/infer",
        body=header + raw,
        headers={"inference-header-content-length": str(len(header))},
    )

    assert [EXPECTED] == answer.json()["outputs"][0]["data"]


def encode_npy(array):
    with io.BytesIO() as buffer:
        np.save(buffer, array)
        return "data:application/x.peltarion.npy;base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    "tensor",
    [
        {"shape": [2, 3], "data": ELEMENTS},
        encode_npy(np.array(WINDOW)),
        encode_npy(np.array(WINDOW, dtype=">f4")),
        encode_npy(np.asfortranarray(WINDOW)),
    ],
    ids=["JSON", "npy", "big-endian", "Fortran order"],
)
def test_peltarion_tensor_has_the_shape_of_the_column(tensor):
    client = build_client()
    answer = client.post("/deployment/m/forward", json={"rows": [{"window": tensor, "age": 1}]})
    inputs = client.get("/deployment/m/openapi.json").json()["components"]["schemas"]["input-row"]

    assert {"rows": [{"prediction": EXPECTED}]} == answer.json()
    assert {"type": "numeric", "shape": [2, 3]} == inputs["properties"]["window"]["x-peltarion"]


@pytest.mark.parametrize(
    "value",
    [
        1,
        "x",
        [],
        [1, 2],
        [[1, 2, 3]],
        [[1, 2, 3], [4, 5]],
        [[1, 2, 3], [4, 5, "6"]],
        [[1, 2, 3], [4, 5, True]],
        [[1, 2, 3], [4, 5, None]],
        [[[1], [2], [3]], [[4], [5], [6]]],
        {"shape": [2, 3]},
        np.zeros((3, 2)),
        np.full(SHAPE, np.nan),
    ],
    ids=str,
)
def test_other_values_are_rejected(value):
    with pytest.raises(InvalidValues) as info:
        SCHEMA.read([{"window": value, "age": 1}])

    assert {"window": "must be nested arrays of numbers of the shape [2, 3]"} == info.value.errors


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
@pytest.mark.parametrize("value", [1.5, [1.5], [[1.5]], np.float64(1.5)], ids=str)
def test_tensor_of_one_element_may_be_a_number(shape, value):
    schema = Schema([Column("level", "tensor", shape=shape)])
    nested = np.full(shape, 1.5).tolist()
    if isinstance(value, list) and value != nested:
        with pytest.raises(InvalidValues):
            schema.read([{"level": value}])
    else:
        assert [nested] == schema.read([{"level": value}])["level"].tolist()


@pytest.mark.parametrize("value", [True, "1", None, [], [True], [[1.5]], float("inf"), np.empty(0)], ids=repr)
def test_other_values_of_one_element_are_rejected(value):
    with pytest.raises(ValueError, match=r"of the shape \[1\]"):
        parse_tensor(value, (1,))


@pytest.mark.parametrize("dtype", ["int64", "float32", "float16"])
def test_arrays_become_float64(dtype):
    """A copy, so that later changes of the caller's array do not matter."""
    sent = np.ones(2, dtype=dtype)
    array = parse_tensor(sent, (2,))
    sent[0] = 0

    assert (np.float64, [1.0, 1.0]) == (array.dtype, array.tolist())
    assert np.float64 == parse_tensor(np.ones(2), (2,)).dtype


@given(st.data())
def test_arrays_come_back_as_they_were_sent(data):
    array = data.draw(
        arrays(np.float64, array_shapes(max_dims=4, max_side=3), elements=st.floats(-1e300, 1e300))
    )
    schema = Schema([Column("x", "tensor", shape=array.shape)])
    table = schema.read([{"x": array.tolist()}, {"x": array}])

    assert np.array_equal(table["x"], [array, array])
    assert np.array_equal(table.to_array(), [array.ravel()] * 2)


@pytest.mark.parametrize("shape", [None, (), (0,), (2, -1), [2.5], (True,), (10**4, 10**4), "ab"], ids=str)
def test_invalid_shapes_are_rejected(shape):
    with pytest.raises(ConfigurationError, match="shape must be a tuple of whole numbers above 0"):
        Column("window", "tensor", shape=shape)


def test_openapi_and_example_have_the_shape():
    numbers = {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "number"}}

    assert {"type": "array", "minItems": 2, "maxItems": 2, "items": numbers} == to_json_schema(
        SCHEMA.columns[0]
    )
    assert [[0, 0, 0], [0, 0, 0]] == SCHEMA.example["window"]


@pytest.mark.parametrize("ending", [".toml", ".json"])
def test_schema_file_has_the_shape(tmp_path, ending):
    SCHEMA.save(tmp_path / f"schema{ending}")

    assert SCHEMA.columns == Schema.load(tmp_path / f"schema{ending}").columns


def test_shape_may_have_ten_million_elements():
    assert is_shape((10_000, 1000))
    assert not is_shape((10_000_001,))
