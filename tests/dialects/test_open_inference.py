"""Documents of the Open Inference Protocol.

Sources, quoted by heading: kserve/open-inference-protocol, specification/protocol/inference_rest.md
(REST), and triton-inference-server/server, docs/protocol/extension_binary_data.md (BINARY).
"""

import gzip
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import RidgeClassifier

from modelgate import Deployment, Gate, Output, Overloaded, Prediction, Schema
from modelgate.dialects import OpenInference
from modelgate.testing import Client

PAIR = Schema.of(a=float, b=float)
INFER = "/v2/models/mymodel/infer"
BINARY = "application/octet-stream"


def summed(table):
    return table["a"] + table["b"]


def gate_of(function=summed, schema=PAIR, *, gate=None, **options):
    options = {"target": "output0", **options}
    return Gate([Deployment("mymodel", function, schema=schema, **options)], **(gate or {"keys": "open"}))


@pytest.fixture(params=["wsgi", "asgi"])
def interface(request):
    return request.param


@pytest.fixture
def client_of(interface):
    return lambda *told, **options: Client(getattr(gate_of(*told, **options), interface))


@pytest.fixture
def client(client_of):
    return client_of()


def tensor(name, *data, shape=None, datatype="FP64", **members):
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": list(data), **members}


def framed(document, *parts):
    """A body with binary tensors, and the header fields that belong to it."""
    head = json.dumps(document).encode()
    return {
        "body": head + b"".join(parts),
        "headers": {"inference-header-content-length": str(len(head)), "content-type": BINARY},
    }


def binary(name, raw, shape, datatype="FP64"):
    return {
        "name": name,
        "shape": shape,
        "datatype": datatype,
        "parameters": {"binary_data_size": len(raw)},
    }


# REST, "Inference Request Examples": its first input, its id, its output.
EXAMPLE = {
    "id": "42",
    "inputs": [{"name": "input0", "shape": [2, 2], "datatype": "UINT32", "data": [1, 2, 3, 4]}],
    "outputs": [{"name": "output0"}],
}


def test_inference_request_example(client):
    """REST, "Inference Request Examples": one tensor of rows and columns, the id given back."""
    answer = client.post(INFER, json=EXAMPLE)

    expected = (
        b'{"model_name":"mymodel","model_version":"1","id":"42","outputs":'
        b'[{"name":"output0","shape":[2],"datatype":"FP64","data":[3.0,7.0]}]}'
    )
    assert (200, expected) == (answer.status, answer.body)
    assert "application/json" == answer.header("content-type")


def test_inference_request_example_as_it_is_printed(client):
    """There its second input has the shape [3] and one element: the tensor at fault is named."""
    second = {"name": "input1", "shape": [3], "datatype": "BOOL", "data": [True]}
    answer = client.post(INFER, json={**EXAMPLE, "inputs": [*EXAMPLE["inputs"], second]})

    told = "Tensor 'input1': the shape is that of 3 elements, and data has 1"
    assert (400, {"error": told}) == (answer.status, answer.json())


def test_binary_example(client):
    """BINARY, "Examples": the same input as 16 bytes, and the output asked for as bytes."""
    raw = struct.pack("<4I", 1, 2, 3, 4)
    document = {
        "model_name": "mymodel",
        "inputs": [binary("input0", raw, [2, 2], "UINT32")],
        "outputs": [{"name": "output0", "parameters": {"binary_data": True}}],
    }
    answer = client.post(INFER, **framed(document, raw))

    head = (
        b'{"model_name":"mymodel","model_version":"1","outputs":[{"name":"output0","shape":[2],'
        b'"datatype":"FP64","parameters":{"binary_data_size":16}}]}'
    )
    assert (200, head + struct.pack("<2d", 3, 7)) == (answer.status, answer.body)
    assert BINARY == answer.header("content-type")
    assert str(len(head)) == answer.header("inference-header-content-length")


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/v2", 200, {"name": "modelgate", "extensions": ["binary_tensor_data"]}),
        ("/v2/health/live", 200, {"live": True}),
        ("/v2/health/ready", 200, {"ready": True}),
        ("/v2/models/mymodel/ready", 200, {"name": "mymodel", "ready": True}),
        ("/v2/models/mymodel/versions/1/ready", 200, {"name": "mymodel", "ready": True}),
        ("/v2/models/mymodel/versions/2/ready", 404, {"error": "This deployment has version 1"}),
        ("/v2/models/other/ready", 404, {"error": "The model of this deployment could not be found"}),
        ("/v2/repository/index", 404, {"error": "Not found"}),
        ("/v2/models/mymodel/infer", 405, {"error": "This path answers to POST only"}),
    ],
)
def test_metadata_and_health(client, path, status, body):
    """REST, "Server Metadata", "Server Live", "Server Ready", "Model Ready"; what is not there says so."""
    answer = client.get(path)
    told = answer.json()

    assert status == answer.status
    assert "application/json" == answer.header("content-type")
    assert body == {name: told[name] for name in body}
    assert set(told) - set(body) == ({"version"} if path == "/v2" else set())


@pytest.mark.parametrize("path", ["/v2/models/mymodel", "/v2/models/mymodel/versions/1"])
def test_model_metadata(client_of, path):
    """REST, "Model Metadata": every kind of column has its datatype."""
    schema = Schema.of(age=float, visits=int, member=bool, plan=["free", "pro"])
    answer = client_of(lambda table: [1.0], schema).get(path)

    assert answer.json() == {
        "name": "mymodel",
        "versions": ["1"],
        "platform": "modelgate",
        "inputs": [
            {"name": "age", "datatype": "FP64", "shape": [-1]},
            {"name": "visits", "datatype": "INT64", "shape": [-1]},
            {"name": "member", "datatype": "BOOL", "shape": [-1]},
            {"name": "plan", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": "output0", "datatype": "FP64", "shape": [-1]}],
    }


def test_metadata_of_a_classifier_is_what_it_answers(interface, wine, wine_row):
    """The outputs of the metadata are those of an answer: names, datatypes and sizes."""
    client = Client(getattr(Gate([Deployment("wine", wine[0])], keys="open"), interface))
    inputs = [
        tensor(name, value, datatype="BYTES" if isinstance(value, str) else "FP32")
        for name, value in wine_row.items()
    ]
    outputs = client.post("/v2/models/wine/infer", json={"inputs": inputs}).json()["outputs"]
    told = client.get("/v2/models/wine").json()["outputs"]

    assert [{**each, "shape": [-1, *each["shape"][1:]]} for each in told] == told
    assert [(each["name"], each["datatype"], each["shape"][1:]) for each in outputs] == [
        (each["name"], each["datatype"], each["shape"][1:]) for each in told
    ]
    assert outputs[1]["parameters"] == {"classes": ["barbera", "barolo", "grignolino"]}
    assert pytest.approx(1) == sum(outputs[1]["data"])


def test_metadata_of_a_classifier_without_probabilities(client_of):
    """There is no tensor for what the model does not tell."""
    model = RidgeClassifier().fit([[0, 0], [1, 1]], [0, 1])

    assert [{"name": "output0", "datatype": "INT64", "shape": [-1]}] == client_of(model, None).get(
        "/v2/models/mymodel"
    ).json()["outputs"]


def test_metadata_of_a_hidden_schema(client_of):
    """A deployment that does not show what it takes does not show it here, and is ready."""
    client = client_of(summed, PAIR.reading(reveal=False))

    assert 403 == client.get("/v2/models/mymodel").status
    assert 200 == client.get("/v2/models/mymodel/ready").status


def sum_of(client, *inputs, **options):
    answer = client.post(INFER, json={"inputs": list(inputs)}, **options)
    told = answer.json()
    return told["outputs"][0]["data"] if answer.status == 200 else told["error"]


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor("a", 1, 3), tensor("b", 2, 4)],
        [tensor("b", 2, 4, shape=[2, 1]), tensor("a", 1, 3)],
        [tensor("a", [1], [3], shape=[2, 1]), tensor("b", 2, 4, datatype="INT8")],
        [tensor("x", 1, 2, 3, 4, shape=[2, 2], datatype="FP16")],
        [tensor("a", [1, 2], [3, 4], shape=[2, 2])],
    ],
)
def test_layouts_of_inputs(client, inputs):
    """A tensor a column, by name, in any order; or one of all columns: flat or nested."""

    assert [3.0, 7.0] == sum_of(client, *inputs)


def test_the_tensor_of_a_model_with_one_column(client_of):
    """May be called anything; where it is called after the column, it is that as well."""
    client = client_of(lambda table: table["a"] * 2, Schema.of(a=float))

    assert [2.0, 4.0] == sum_of(client, tensor("input-0", 1, 2))
    assert [2.0, 4.0] == sum_of(client, tensor("a", 1, 2, shape=[2, 1]))


def test_a_lone_tensor_of_a_model_with_more_columns(client):
    """Is the column it is called after, and the others are missing."""

    assert "Prediction failed due to missing input data: b" == sum_of(client, tensor("a", 1))


def test_values_of_every_kind(client_of):
    """Whole floats are integers, null and NaN are null, and texts are texts; binary or not."""
    schema = Schema.of(n=int, m=float, t=str, f=bool).columns
    schema = Schema([schema[0], type(schema[1])("m", nullable=True), *schema[2:]])
    seen = []
    client = client_of(lambda table: seen.append(table.rows()) or [0.0], schema)
    rest = [tensor("t", "né", datatype="BYTES"), tensor("f", True, datatype="BOOL")]
    plain = client.post(INFER, json={"inputs": [tensor("n", 2.0), tensor("m", None), *rest]})
    parts = [struct.pack("<d", 2), struct.pack("<f", float("nan")), b"\x03\0\0\0n\xc3\xa9", b"\1"]
    inputs = [
        binary(name, raw, [1], datatype)
        for name, raw, datatype in zip("nmtf", parts, ["FP64", "FP32", "BYTES", "BOOL"], strict=True)
    ]
    packed = client.post(INFER, **framed({"inputs": inputs}, *parts))

    assert (200, 200) == (plain.status, packed.status)
    assert [[{"n": 2, "m": None, "t": "né", "f": True}]] * 2 == seen


def test_binary_and_json_tensors_together(client):
    """Only some tensors of a request may be binary."""
    raw = struct.pack("<2q", 2, 4)
    answer = client.post(
        INFER, **framed({"inputs": [tensor("a", 1, 3), binary("b", raw, [2], "INT64")]}, raw)
    )

    assert [3.0, 7.0] == answer.json()["outputs"][0]["data"]


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_body(client, coding, pack):
    """The length of the JSON is that before compression."""
    raw = struct.pack("<2d", 1, 2)
    told = framed({"inputs": [binary("x", raw, [1, 2])]}, raw)
    headers = {**told["headers"], "content-encoding": coding}
    answer = client.post(INFER, body=pack(told["body"]), headers=headers)

    assert [3.0] == answer.json()["outputs"][0]["data"]


@pytest.mark.parametrize("told", [{}, {"content-type": BINARY}, {"content-type": "application/json"}])
def test_content_type(client, told):
    """tritonclient names no type, its asynchronous twin that of bytes: JSON all the same."""
    answer = client.post(INFER, body=json.dumps(EXAMPLE).encode(), headers=told)

    assert 200 == answer.status


def test_content_type_of_something_else(client):
    """A body of another kind is refused."""
    answer = client.post(INFER, body=b"a,b\n1,2\n", headers={"content-type": "text/csv"})

    assert (415, ["error"]) == (answer.status, list(answer.json()))


def test_version(client):
    """The version in the path is the deployment's, or there is nothing."""

    assert 200 == client.post("/v2/models/mymodel/versions/1/infer", json=EXAMPLE).status
    assert 404 == client.post("/v2/models/mymodel/versions/2/infer", json=EXAMPLE).status


def labelled(table):
    told = np.array([[0.75, 0.25]] * len(table))
    return Prediction(
        [Output("y", np.array(["no"] * len(table)), ["no", "yes"], told), Output("z", table["a"] / 4)]
    )


def outputs_of(client, **members):
    document = {"inputs": [tensor("x", 1, 2, shape=[1, 2])], **members}
    answer = client.post(INFER, json=document)
    length = int(answer.header("inference-header-content-length") or len(answer.body))
    return json.loads(answer.body[:length])["outputs"], answer.body[length:]


def test_all_outputs(client_of):
    """Each output has its tensor, and probabilities one of theirs, with the classes beside it."""

    assert outputs_of(client_of(labelled)) == (
        [
            {"name": "y", "shape": [1], "datatype": "BYTES", "data": ["no"]},
            {
                "name": "y_probabilities",
                "shape": [1, 2],
                "datatype": "FP64",
                "parameters": {"classes": ["no", "yes"]},
                "data": [0.75, 0.25],
            },
            {"name": "z", "shape": [1], "datatype": "FP64", "data": [0.25]},
        ],
        b"",
    )


def test_binary_by_output(client_of):
    """Each output is binary or not as it says itself, and else as the request says; in the order asked."""
    asked = [{"name": "z"}, {"name": "y_probabilities", "parameters": {"binary_data": False}}, {"name": "y"}]
    outputs, raw = outputs_of(client_of(labelled), outputs=asked, parameters={"binary_data_output": True})

    assert ["z", "y_probabilities", "y"] == [output["name"] for output in outputs]
    assert ["data" in output for output in outputs] == [False, True, False]
    assert [{"binary_data_size": 8}, {"classes": ["no", "yes"]}, {"binary_data_size": 6}] == [
        output["parameters"] for output in outputs
    ]
    assert struct.pack("<d", 0.25) + b"\2\0\0\0no" == raw


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"outputs": [{"name": "q"}]}, "Output 'q' is none of the model's, or named twice"),
        ({"outputs": [{"name": "z"}, {"name": "z"}]}, "Output 'z' is none of the model's, or named twice"),
        (
            {"outputs": [{"name": "z", "parameters": {"classification": 2}}]},
            "Output 'z': the parameter classification is not served here",
        ),
        (
            {"outputs": [{"name": "z", "parameters": {"binary_data": 1}}]},
            "The parameter binary_data must be true or false",
        ),
        (
            {"parameters": {"binary_data_output": "true"}},
            "The parameter binary_data_output must be true or false",
        ),
    ],
)
def test_outputs_that_cannot_be_given(client_of, members, told):
    """An output that is not there, or is wanted as it is not served, is refused."""
    answer = client_of(labelled).post(INFER, json={"inputs": [tensor("x", 1, 2, shape=[1, 2])], **members})

    assert (400, {"error": told}) == (answer.status, answer.json())


@pytest.mark.parametrize(
    ("values", "datatype", "data"),
    [
        ([1.5], "FP64", [1.5]),
        ([3], "INT64", [3]),
        ([True], "BOOL", [True]),
        (["x"], "BYTES", ["x"]),
        (np.array([2**64 - 1], dtype=np.uint64), "UINT64", [2**64 - 1]),
        (np.array([None], dtype=object), "BYTES", ["null"]),
        (np.array([{"k": [1, "é"]}], dtype=object), "BYTES", ['{"k":[1,"é"]}']),
        (np.array([10**400], dtype=object), "BYTES", [str(10**400)]),
    ],
)
def test_datatypes_of_outputs(client_of, values, datatype, data):
    """By the values; what no datatype holds is text, as JSON spells it."""
    outputs, _ = outputs_of(client_of(lambda table: values))

    assert [{"name": "output0", "shape": [1], "datatype": datatype, "data": data}] == outputs


def test_no_rows(client):
    """No rows, no values: JSON or binary."""
    document = {"inputs": [tensor("a", shape=[0]), tensor("b", shape=[0])]}
    plain = client.post(INFER, json=document)
    packed = client.post(INFER, json={**document, "parameters": {"binary_data_output": True}})

    assert [{"name": "output0", "shape": [0], "datatype": "FP64", "data": []}] == plain.json()["outputs"]
    assert plain.status == packed.status == 200
    assert {"binary_data_size": 0} == json.loads(packed.body)["outputs"][0]["parameters"]
    assert str(len(packed.body)) == packed.header("inference-header-content-length")


def test_warnings(client_of):
    """What the caller should know of rows that passed stands among the parameters."""
    schema = Schema.of(a=float, b=[1.0, 2.0]).reading(unknown_levels="warn")
    answer = client_of(summed, schema).post(INFER, json={"inputs": [tensor("x", 1, 7, shape=[1, 2])]})

    assert {"warnings": ["b has values the model was not trained with"]} == answer.json()["parameters"]


SIZED = {"binary_data_size": 8}
BAD_TENSORS = {
    "no shape": (tensor("x", 1, 2, shape=[]) | {"shape": []}, "the shape must be"),
    "a cube": (tensor("x", 1, 2, shape=[1, 1, 2]), "the shape must be"),
    "negative": (tensor("x", 1, 2, shape=[-1, -2]), "the shape must be"),
    "no columns": (tensor("x", shape=[10**18, 0]), "the shape must be"),
    "over 64 bits": (tensor("x", 1, 2, shape=[2**64, 2]), "the shape must be"),
    "huge": (tensor("x", 1, 2, shape=[2**62, 2**62]), "elements, and data has 2"),
    "too few": (tensor("x", 1, shape=[1, 2]), "that of 2 elements, and data has 1"),
    "too many": (tensor("x", 1, 2, 3, shape=[1, 2]), "that of 2 elements, and data has 3"),
    "ragged": (tensor("x", [1, 2], [3], shape=[2, 2]), "flat, or 2 arrays of 2"),
    "half nested": (tensor("x", [1, 2], 3, shape=[2, 2]), "flat, or 2 arrays of 2"),
    "nested in the other order": (tensor("x", [1, 2], [3, 4], [5, 6], shape=[2, 3]), "2 arrays of 3"),
    "nested too deeply": (tensor("x", [[1, 2]], shape=[1, 2]), "flat, or 1 arrays of 2"),
    "an object": (tensor("x", {}, {}, shape=[1, 2]), "must be numbers"),
    "no array": (tensor("x", shape=[1, 2]) | {"data": "12"}, "data must be an array"),
    "unknown datatype": (tensor("x", 1, 2, shape=[1, 2], datatype="FP8"), "datatype must be one of BOOL"),
    "text for numbers": (tensor("x", "1", "2", shape=[1, 2]), "must be numbers"),
    "true for numbers": (tensor("x", True, 1, shape=[1, 2]), "must be numbers"),
    "half for whole": (tensor("x", 1.5, 2, shape=[1, 2], datatype="INT32"), "must be whole numbers"),
    "over": (tensor("x", 1, 256, shape=[1, 2], datatype="UINT8"), "whole numbers from 0 to 255"),
    "under": (tensor("x", 1, -1, shape=[1, 2], datatype="UINT64"), "whole numbers from 0 to"),
    "infinite as FP16": (tensor("x", 1, 65520, shape=[1, 2], datatype="FP16"), "from -65504.0 to 65504.0"),
    "number for text": (tensor("x", 1, 2, shape=[1, 2], datatype="BYTES"), "must be text"),
    "number for bool": (tensor("x", 1, 0, shape=[1, 2], datatype="BOOL"), "must be true or false"),
    "no data": ({"name": "x", "shape": [1, 2], "datatype": "FP64"}, "either data or the parameter"),
    "shared memory": (
        {"name": "x", "shape": [1], "datatype": "FP64", "parameters": {"shared_memory_region": "r"}},
        "either data or the parameter",
    ),
    "both": (tensor("x", 1, shape=[1], parameters=SIZED), "either data or the parameter"),
    "bytes that are not there": (binary("x", b" " * 8, [1]), "1 elements of FP64 are 8 bytes, and it has 0"),
    "size is no number": (
        {**binary("x", b"", [1]), "parameters": {"binary_data_size": True}},
        "must be a whole number",
    ),
    "size is negative": (
        {**binary("x", b"", [1]), "parameters": {"binary_data_size": -8}},
        "must be a whole number",
    ),
}


@pytest.mark.parametrize(("bad", "told"), BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_bad_tensor(client, bad, told):
    """Whatever is wrong with a tensor, it is named."""
    answer = client.post(INFER, json={"inputs": [bad]})

    assert (400, ["error"]) == (answer.status, list(answer.json()))
    assert answer.json()["error"].startswith("Tensor 'x': ")
    assert told in answer.json()["error"]


BAD_BINARY = {
    "short": (b" " * 15, [1, 2], "FP64", "2 elements of FP64 are 16 bytes, and it has 15"),
    "long": (b" " * 17, [1, 2], "FP64", "2 elements of FP64 are 16 bytes, and it has 17"),
    "huge": (b" " * 16, [2**62, 2**62], "BYTES", "end within element 0"),
    "infinity": (struct.pack("<2f", 1, float("-inf")), [1, 2], "FP32", "an infinity"),
    "no boolean": (b"\1\2", [1, 2], "BOOL", "a byte 0 or 1"),
    "text cut short": (b"\2\0\0\0ab\2\0\0\0a", [1, 2], "BYTES", "end within element 1"),
    "length cut short": (b"\2\0\0\0ab\2\0\0", [1, 2], "BYTES", "end within element 1"),
    "text left over": (b"\1\0\0\0a\1\0\0\0b!", [1, 2], "BYTES", "1 bytes are left after its 2 elements"),
    "not UTF-8": (b"\1\0\0\0a\1\0\0\0\xff", [1, 2], "BYTES", "element 1 is not UTF-8"),
}


@pytest.mark.parametrize(("raw", "shape", "datatype", "told"), BAD_BINARY.values(), ids=BAD_BINARY)
def test_bad_binary_tensor(client, raw, shape, datatype, told):
    """The same of one that is bytes."""
    answer = client.post(INFER, **framed({"inputs": [binary("x", raw, shape, datatype)]}, raw))

    assert 400 == answer.status
    assert answer.json()["error"].startswith("Tensor 'x': ")
    assert told in answer.json()["error"]


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([], "inputs must have a tensor for each column, or one of [rows, columns]"),
        ([tensor("a", 1), tensor("b", 1, 2)], "Tensor 'b': has 2 rows, and 'a' 1"),
        (
            [tensor("a", 1), tensor("b", 1, 2, shape=[1, 2])],
            "Tensor 'b': beside others it must have one column",
        ),
        ([tensor("a", 1), tensor("a", 1)], "Column 'a' is named twice"),
        ([tensor("x", 1, 2, 3, shape=[1, 3])], "Row 0 has 3 values: send 2, one for each column"),
        ([tensor("a", "x", datatype="BYTES"), tensor("b", 1)], "Invalid input data: a must be a number"),
    ],
)
def test_tensors_that_are_no_rows(client, inputs, told):
    """Tensors must be rows together, and the schema's."""

    assert told == sum_of(client, *inputs)


GOOD = json.dumps({"inputs": [tensor("x", 1, 2, shape=[1, 2])]}).encode()
BAD_BODIES = {
    "none": b"",
    "broken": GOOD[:-1],
    "trailing": GOOD + b"x",
    "an array": b"[]",
    "no inputs": b"{}",
    "inputs is an object": b'{"inputs": {}}',
    "inputs are numbers": b'{"inputs": [1]}',
    "name is a number": GOOD.replace(b'"x"', b"1"),
    "shape is text": GOOD.replace(b"[1, 2]", b'"12"', 1),
    "shape is of halves": GOOD.replace(b"[1, 2]", b"[0.5, 4]", 1),
    "NaN": GOOD.replace(b"[1, 2]}", b"[1, NaN]}"),
    "1e400": GOOD.replace(b"[1, 2]}", b"[1, 1e400]}"),
    "5000 digits": GOOD.replace(b"[1, 2]}", b"[1, %s]}" % (b"9" * 5000)),
    "5000 digits in the shape": GOOD.replace(b"[1, 2]", b"[%s, 1]" % (b"9" * 5000), 1),
    "5000 digits in a size": GOOD.replace(b'"data": [1, 2]', b'"parameters": {"binary_data_size": %s}' % (b"9" * 5000)),
    "deep data": GOOD.replace(b"[1, 2]}", b"[" * 500 + b"]" * 500 + b"}"),
    "deeper data": GOOD.replace(b"[1, 2]}", b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep unknown member": GOOD[:-1] + b', "zz": ' + b"[" * 500 + b"]" * 500 + b"}",
    "deep unknown member of a tensor": GOOD.replace(b'"name"', b'"zz": %s, "name"' % (b"[" * 500 + b"]" * 500)),
    "a parameter is an array": GOOD[:-1] + b', "parameters": {"a": []}}',
    "a member twice": GOOD[:-1] + b', "inputs": []}',
    "a member of a tensor twice": GOOD.replace(b'"name"', b'"shape": [1, 2], "name"'),
    "id is a number": GOOD[:-1] + b', "id": 42}',
    "id is long": GOOD[:-1] + b', "id": "%s"}' % (b"a" * 257),
    "not utf-8": GOOD.replace(b'"x"', b'"\xff"'),
    "lone surrogate": GOOD.replace(b'"x"', b'"\\ud800"'),
    "utf-16": GOOD.decode().encode("utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_bad_body(client, body):
    """Whatever is wrong with a body, the answer is a 400 in the protocol's shape."""
    answer = client.post(INFER, body=body)

    assert (400, ["error"]) == (answer.status, list(answer.json()))
    assert "application/json" == answer.header("content-type")


def test_members_nobody_reads(client):
    """A member that the protocol does not have, and colons inside texts, change nothing."""
    document = {**EXAMPLE, "id": "a:b", "note": {"by": ["x:y"]}}

    assert "a:b" == client.post(INFER, json=document).json()["id"]


def test_members_that_are_null(client):
    """Are as good as left out: not every client leaves out what it does not use."""
    document = {**EXAMPLE, "id": None, "parameters": None, "outputs": None}
    document["inputs"] = [{**EXAMPLE["inputs"][0], "parameters": {"content_type": None}}]

    assert ["model_name", "model_version", "outputs"] == list(client.post(INFER, json=document).json())


@pytest.mark.parametrize("length", ["-1", "+9", "1_0", "abc", "9" * 30, "99999", "٣"])
def test_header_length_that_lies(client, length):
    """A length that is none, or is more than there is."""
    headers = {"inference-header-content-length": length.encode().decode("latin-1")}
    answer = client.post(INFER, body=GOOD, headers=headers)

    assert 400 == answer.status
    assert "Inference-Header-Content-Length" in answer.json()["error"]


@pytest.mark.parametrize("by", [-1, 1])
def test_header_length_off_by_one(client, by):
    """The JSON then ends too early or too late."""
    raw = struct.pack("<2d", 1, 2)
    told = framed({"inputs": [binary("x", raw, [1, 2])]}, raw)
    length = int(told["headers"]["inference-header-content-length"]) + by
    headers = {**told["headers"], "inference-header-content-length": str(length)}

    assert 400 == client.post(INFER, body=told["body"], headers=headers).status


def test_bytes_that_belong_to_no_tensor(client):
    """What follows the JSON must be the tensors' alone."""
    told = framed({"inputs": [tensor("x", 1, 2, shape=[1, 2])]}, b"tail")
    answer = client.post(INFER, **told)

    assert {"error": "The tensors are 0 bytes together, and 4 follow the JSON"} == answer.json()


def test_too_many_rows(client):
    """More rows than a request may bring."""

    assert "10001 rows are more than the 10000" in sum_of(client, tensor("x", *[1] * 20002, shape=[10001, 2]))


def failing(table):
    raise RuntimeError("the secret recipe is missing")


@pytest.mark.parametrize(
    ("status", "options", "headers", "field"),
    [
        (401, {"gate": {"keys": {"k" * 20: "mymodel"}}}, {}, "www-authenticate"),
        (403, {"gate": {"keys": {"k" * 20: "other"}}}, {"x-api-key": "k" * 20}, None),
        (403, {"state": "paused"}, {}, None),
        (429, {"gate": {"keys": "open", "limits": "1/minute"}}, {}, "retry-after"),
        (500, {"function": failing}, {}, None),
    ],
)
def test_errors(client_of, status, options, headers, field):
    """Every error is ``{"error": …}`` of exactly application/json, with the fields that belong to it."""
    client = client_of(**options)
    client.post(INFER, json=EXAMPLE, headers=headers)
    answer = client.post(INFER, json=EXAMPLE, headers=headers)

    assert (status, "application/json") == (answer.status, answer.header("content-type"))
    assert isinstance(answer.json()["error"], str)
    assert field is None or answer.header(field)
    assert b"secret" not in answer.body


def test_overloaded(client_of):
    """503, and when to come back."""

    def busy(request, call_next):
        raise Overloaded(3)

    answer = client_of(layers=[busy]).post(INFER, json=EXAMPLE)

    assert (503, "3") == (answer.status, answer.header("retry-after"))
    assert "The server is busy: try again in 3 s" == answer.json()["error"]


def test_missing_columns_hidden(client_of):
    """A schema that is not for callers to see is not told by the sentence either."""
    client = client_of(summed, PAIR.reading(reveal=False))

    assert "Invalid input data" == sum_of(client, tensor("a", 1))


def test_health_needs_no_key(client_of):
    """Health is open to anyone, also above the limit; metadata is not."""
    client = client_of(gate={"keys": {"k" * 20: "mymodel"}, "limits": "1/minute"})

    assert [200] * 3 == [client.get("/v2/health/live").status for _ in range(3)]
    assert 401 == client.get("/v2").status == client.get("/v2/models/mymodel/ready").status


def test_large_tensors(client):
    """A body of many elements, off the event loop: binary both ways."""
    raw = np.arange(20_000, dtype="<f4").tobytes()
    document = {"inputs": [binary("x", raw, [10_000, 2], "FP32")], "parameters": {"binary_data_output": True}}
    answer = client.post(INFER, **framed(document, raw))
    length = int(answer.header("inference-header-content-length"))

    expected = np.arange(20_000.0).reshape(-1, 2).sum(axis=1)
    assert np.array_equal(expected, np.frombuffer(answer.body[length:]))


def test_an_ordinary_route():
    """The dialect is found by its name, also for a route of the app's own."""

    assert [OpenInference.name] == list(
        gate_of(gate={"keys": "open", "dialects": ["open_inference"]})._dialects
    )


DAMAGED = Client(gate_of().wsgi)
RAW = struct.pack("<2d", 1, 2)
FRAMED = framed({"inputs": [binary("x", RAW, [1, 2])]}, RAW)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_bytes_are_answered(data):
    """Damage anywhere in a body, or its length, is a 200 or a 400."""
    body = bytearray(FRAMED["body"])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"-", b'"', b"[", b"}", b"9", b'"INT8"'])
        )
    length = data.draw(st.sampled_from([FRAMED["headers"]["inference-header-content-length"], "0", "7"]))
    headers = {"inference-header-content-length": length} if data.draw(st.booleans()) else {}
    answer = DAMAGED.post(INFER, body=bytes(body), headers=headers)

    assert answer.status in (200, 400)
