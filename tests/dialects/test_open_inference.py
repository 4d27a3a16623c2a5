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


def predict_sums(table):
    return table["a"] + table["b"]


def build_gate(function=predict_sums, schema=PAIR, *, gate=None, **options):
    options = {"target": "output0", **options}
    return Gate([Deployment("mymodel", function, schema=schema, **options)], **(gate or {"keys": "open"}))


@pytest.fixture
def build_client(interface):
    return lambda *args, **options: Client(getattr(build_gate(*args, **options), interface))


@pytest.fixture
def client(build_client):
    return build_client()


def build_tensor(name, *data, shape=None, datatype="FP64", **members):
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": list(data), **members}


def frame(document, *parts):
    """Return a body with binary tensors, and its headers."""
    head = json.dumps(document).encode()
    return {
        "body": head + b"".join(parts),
        "headers": {"inference-header-content-length": str(len(head)), "content-type": BINARY},
    }


def build_binary_tensor(name, raw, shape, datatype="FP64"):
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
    """REST, "Inference Request Examples": one tensor of rows and columns; the id is returned."""
    answer = client.post(INFER, json=EXAMPLE)

    expected = (
        b'{"model_name":"mymodel","model_version":"1","id":"42","outputs":'
        b'[{"name":"output0","shape":[2],"datatype":"FP64","data":[3.0,7.0]}]}'
    )
    assert (200, expected) == (answer.status, answer.body)
    assert "application/json" == answer.header("content-type")


def test_inference_request_example_as_printed(client):
    """Its second input has the shape [3] but one element: the error names that tensor."""
    second = {"name": "input1", "shape": [3], "datatype": "BOOL", "data": [True]}
    answer = client.post(INFER, json={**EXAMPLE, "inputs": [*EXAMPLE["inputs"], second]})

    message = "Tensor 'input1': data must have 3 elements, to fit the shape (got 1)"
    assert (400, {"error": message}) == (answer.status, answer.json())


def test_binary_request_example(client):
    """BINARY, "Examples": the same input as 16 bytes, and a binary output."""
    raw = struct.pack("<4I", 1, 2, 3, 4)
    document = {
        "model_name": "mymodel",
        "inputs": [build_binary_tensor("input0", raw, [2, 2], "UINT32")],
        "outputs": [{"name": "output0", "parameters": {"binary_data": True}}],
    }
    answer = client.post(INFER, **frame(document, raw))

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
        ("/v2/models/mymodel/versions/2/ready", 404, {"error": "This deployment has no such version: use 1"}),
        (
            "/v2/models/other/ready",
            404,
            {"error": "Deployment 'other' could not be found: choose from mymodel"},
        ),
        (
            "/v2/repository/models",
            404,
            {"error": "Not found: send rows with POST to /v2/models/{deployment}/infer"},
        ),
        ("/v2/repository/index", 405, {"error": "This path supports only POST"}),
        ("/v2/models/mymodel/infer", 405, {"error": "This path supports only POST"}),
    ],
)
def test_metadata_and_health(client, path, status, body):
    """REST, "Server Metadata", "Server Live", "Server Ready", "Model Ready"."""
    answer = client.get(path)
    received = answer.json()

    assert status == answer.status
    assert "application/json" == answer.header("content-type")
    assert body == {name: received[name] for name in body}
    assert set(received) - set(body) == ({"version"} if path == "/v2" else set())


@pytest.mark.parametrize("path", ["/v2/models/mymodel", "/v2/models/mymodel/versions/1"])
def test_metadata_of_model(build_client, path):
    """REST, "Model Metadata": the datatype of each column type."""
    schema = Schema.of(age=float, visits=int, member=bool, plan=["free", "pro"])
    answer = build_client(lambda table: [1.0], schema).get(path)

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


@pytest.mark.slow
def test_metadata_matches_the_outputs_of_a_response(interface, wine, wine_row):
    """Names, datatypes and shapes."""
    client = Client(getattr(Gate([Deployment("wine", wine[0])], keys="open"), interface))
    inputs = [
        build_tensor(name, value, datatype="BYTES" if isinstance(value, str) else "FP32")
        for name, value in wine_row.items()
    ]
    outputs = client.post("/v2/models/wine/infer", json={"inputs": inputs}).json()["outputs"]
    metadata = client.get("/v2/models/wine").json()["outputs"]

    assert [{**tensor, "shape": [-1, *tensor["shape"][1:]]} for tensor in metadata] == metadata
    assert [(tensor["name"], tensor["datatype"], tensor["shape"][1:]) for tensor in outputs] == [
        (tensor["name"], tensor["datatype"], tensor["shape"][1:]) for tensor in metadata
    ]
    assert outputs[1]["parameters"] == {"classes": ["barbera", "barolo", "grignolino"]}
    assert pytest.approx(1) == sum(outputs[1]["data"])


def test_metadata_without_probabilities(build_client):
    model = RidgeClassifier().fit([[0, 0], [1, 1]], [0, 1])

    assert [{"name": "output0", "datatype": "INT64", "shape": [-1]}] == build_client(model, None).get(
        "/v2/models/mymodel"
    ).json()["outputs"]


def test_metadata_of_hidden_schema_is_not_shown(build_client):
    """Readiness is."""
    client = build_client(predict_sums, PAIR.with_options(show_schema=False))

    assert 403 == client.get("/v2/models/mymodel").status
    assert 200 == client.get("/v2/models/mymodel/ready").status


def request_sums(client, *inputs, **options):
    answer = client.post(INFER, json={"inputs": list(inputs)}, **options)
    body = answer.json()
    return body["outputs"][0]["data"] if answer.status == 200 else body["error"]


@pytest.mark.parametrize(
    "inputs",
    [
        [build_tensor("a", 1, 3), build_tensor("b", 2, 4)],
        [build_tensor("b", 2, 4, shape=[2, 1]), build_tensor("a", 1, 3)],
        [build_tensor("a", [1], [3], shape=[2, 1]), build_tensor("b", 2, 4, datatype="INT8")],
        [build_tensor("x", 1, 2, 3, 4, shape=[2, 2], datatype="FP16")],
        [build_tensor("a", [1, 2], [3, 4], shape=[2, 2])],
    ],
)
def test_inputs_by_column_or_as_one_tensor(client, inputs):
    """One tensor per column in any order, or one of all columns, flat or nested."""

    assert [3.0, 7.0] == request_sums(client, *inputs)


def test_inputs_of_one_column_can_have_any_name(build_client):
    client = build_client(lambda table: table["a"] * 2, Schema.of(a=float))

    assert [2.0, 4.0] == request_sums(client, build_tensor("input-0", 1, 2))
    assert [2.0, 4.0] == request_sums(client, build_tensor("a", 1, 2, shape=[2, 1]))


def test_inputs_of_a_single_column_among_several(client):
    """The other columns are missing."""

    assert "Prediction failed due to missing input data: b" == request_sums(client, build_tensor("a", 1))


def test_inputs_of_all_types(build_client):
    """Whole floats are integers; null and NaN are null."""
    schema = Schema.of(n=int, m=float, t=str, f=bool).columns
    schema = Schema([schema[0], type(schema[1])("m", nullable=True), *schema[2:]])
    seen = []
    client = build_client(lambda table: seen.append(table.rows()) or [0.0], schema)
    rest = [build_tensor("t", "né", datatype="BYTES"), build_tensor("f", True, datatype="BOOL")]
    plain = client.post(INFER, json={"inputs": [build_tensor("n", 2.0), build_tensor("m", None), *rest]})
    parts = [struct.pack("<d", 2), struct.pack("<f", float("nan")), b"\x03\0\0\0n\xc3\xa9", b"\1"]
    inputs = [
        build_binary_tensor(name, raw, [1], datatype)
        for name, raw, datatype in zip("nmtf", parts, ["FP64", "FP32", "BYTES", "BOOL"], strict=True)
    ]
    packed = client.post(INFER, **frame({"inputs": inputs}, *parts))

    assert (200, 200) == (plain.status, packed.status)
    assert [[{"n": 2, "m": None, "t": "né", "f": True}]] * 2 == seen


def test_inputs_can_mix_binary_and_json(client):
    raw = struct.pack("<2q", 2, 4)
    answer = client.post(
        INFER,
        **frame({"inputs": [build_tensor("a", 1, 3), build_binary_tensor("b", raw, [2], "INT64")]}, raw),
    )

    assert [3.0, 7.0] == answer.json()["outputs"][0]["data"]


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_body_compressed(client, coding, pack):
    """The length of the JSON is that before compression."""
    raw = struct.pack("<2d", 1, 2)
    request_options = frame({"inputs": [build_binary_tensor("x", raw, [1, 2])]}, raw)
    headers = {**request_options["headers"], "content-encoding": coding}
    answer = client.post(INFER, body=pack(request_options["body"]), headers=headers)

    assert [3.0] == answer.json()["outputs"][0]["data"]


@pytest.mark.parametrize("headers", [{}, {"content-type": BINARY}, {"content-type": "application/json"}])
def test_content_types_of_tritonclient(client, headers):
    """It sends none; its asynchronous client sends that of binary data even for JSON."""
    answer = client.post(INFER, body=json.dumps(EXAMPLE).encode(), headers=headers)

    assert 200 == answer.status


def test_content_type_other_is_rejected(client):
    answer = client.post(INFER, body=b"a,b\n1,2\n", headers={"content-type": "text/csv"})

    assert (415, ["error"]) == (answer.status, list(answer.json()))


def test_version_in_path(client):
    assert 200 == client.post("/v2/models/mymodel/versions/1/infer", json=EXAMPLE).status
    assert 404 == client.post("/v2/models/mymodel/versions/2/infer", json=EXAMPLE).status


def predict_labels(table):
    probabilities = np.array([[0.75, 0.25]] * len(table))
    return Prediction(
        [
            Output("y", np.array(["no"] * len(table)), ["no", "yes"], probabilities),
            Output("z", table["a"] / 4),
        ]
    )


def request_outputs(client, **members):
    document = {"inputs": [build_tensor("x", 1, 2, shape=[1, 2])], **members}
    answer = client.post(INFER, json=document)
    length = int(answer.header("inference-header-content-length") or len(answer.body))
    return json.loads(answer.body[:length])["outputs"], answer.body[length:]


def test_outputs_with_probabilities_and_classes(build_client):
    assert request_outputs(build_client(predict_labels)) == (
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


def test_outputs_binary_by_output_or_by_request(build_client):
    """In the requested order."""
    requested = [
        {"name": "z"},
        {"name": "y_probabilities", "parameters": {"binary_data": False}},
        {"name": "y"},
    ]
    outputs, raw = request_outputs(
        build_client(predict_labels), outputs=requested, parameters={"binary_data_output": True}
    )

    assert ["z", "y_probabilities", "y"] == [output["name"] for output in outputs]
    assert ["data" in output for output in outputs] == [False, True, False]
    assert [{"binary_data_size": 8}, {"classes": ["no", "yes"]}, {"binary_data_size": 6}] == [
        output["parameters"] for output in outputs
    ]
    assert struct.pack("<d", 0.25) + b"\2\0\0\0no" == raw


def predict_one_target(table):
    return Prediction(predict_labels(table).outputs[:1])


def test_outputs_have_the_names_that_clients_of_mlserver_request(build_client):
    """mlserver_sklearn.sklearn: PREDICT_OUTPUT and PREDICT_PROBA_OUTPUT. The last one is binary."""
    client = build_client(predict_one_target)
    requested = [
        {"name": "predict_proba"},
        {"name": "y"},
        {"name": "predict", "parameters": {"binary_data": True}},
    ]
    outputs, raw = request_outputs(client, outputs=requested)

    assert [("predict_proba", [1, 2], [0.75, 0.25]), ("y", [1], ["no"]), ("predict", [1], None)] == [
        (output["name"], output["shape"], output.get("data")) for output in outputs
    ]
    assert b"\2\0\0\0no" == raw
    assert ["y", "y_probabilities"] == [output["name"] for output in request_outputs(client)[0]]


def test_output_of_the_model_goes_before_a_name_of_mlserver(build_client):
    client = build_client(lambda table: Prediction([Output("predict_proba", table["a"])]))
    outputs, _ = request_outputs(client, outputs=[{"name": "predict_proba"}, {"name": "predict"}])

    assert [("predict_proba", [1.0]), ("predict", [1.0])] == [(o["name"], o["data"]) for o in outputs]


def test_rejected_output_lists_those_of_the_model(build_client):
    answer = build_client(predict_one_target).post(
        INFER, json={"inputs": [build_tensor("x", 1, 2, shape=[1, 2])], "outputs": [{"name": "q"}]}
    )

    assert answer.json()["error"].endswith("the outputs are y, y_probabilities, predict, predict_proba")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"outputs": [{"name": "predict"}]},
            "Output 'predict': does not exist, or is requested twice: the outputs are y, y_probabilities, z",
        ),
        (
            {"outputs": [{"name": "z"}, {"name": "z"}]},
            "Output 'z': does not exist, or is requested twice: the outputs are y, y_probabilities, z",
        ),
        (
            {"outputs": [{"name": "z", "parameters": {"classification": 2}}]},
            "Output 'z': the parameter classification is not supported: leave it out",
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
def test_outputs_unknown_or_unsupported_are_rejected(build_client, members, message):
    answer = build_client(predict_labels).post(
        INFER, json={"inputs": [build_tensor("x", 1, 2, shape=[1, 2])], **members}
    )

    assert (400, {"error": message}) == (answer.status, answer.json())


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
def test_outputs_have_datatypes_of_their_values(build_client, values, datatype, data):
    """Mixed types become text, as JSON."""
    outputs, _ = request_outputs(build_client(lambda table: values))

    assert [{"name": "output0", "shape": [1], "datatype": datatype, "data": data}] == outputs


def test_response_of_no_rows(client):
    document = {"inputs": [build_tensor("a", shape=[0]), build_tensor("b", shape=[0])]}
    plain = client.post(INFER, json=document)
    packed = client.post(INFER, json={**document, "parameters": {"binary_data_output": True}})

    assert [{"name": "output0", "shape": [0], "datatype": "FP64", "data": []}] == plain.json()["outputs"]
    assert plain.status == packed.status == 200
    assert {"binary_data_size": 0} == json.loads(packed.body)["outputs"][0]["parameters"]
    assert str(len(packed.body)) == packed.header("inference-header-content-length")


def test_response_has_warnings_as_parameters(build_client):
    schema = Schema.of(a=float, b=[1.0, 2.0]).with_options(unknown_levels="warn")
    answer = build_client(predict_sums, schema).post(
        INFER, json={"inputs": [build_tensor("x", 1, 7, shape=[1, 2])]}
    )

    assert {"warnings": ["b has values the model was not trained with"]} == answer.json()["parameters"]


SIZED = {"binary_data_size": 8}
BAD_TENSORS = {
    "no shape": (build_tensor("x", 1, 2, shape=[]) | {"shape": []}, "the shape must be"),
    "negative cube": (build_tensor("x", 1, 2, shape=[1, -1, -2]), "the shape must be"),
    "cube without columns": (build_tensor("x", shape=[1, 0, 2]), "the shape must be"),
    "small cube": (build_tensor("x", 1, 2, shape=[1, 2, 2]), "elements, to fit the shape (got 2)"),
    "ragged cube": (build_tensor("x", [[1, 2], [3]], [[1]], shape=[2, 2, 1]), "data must"),
    "70 dimensions": (build_tensor("x", 1, shape=[1] * 70), "the shape must have at most 32 dimensions"),
    "negative": (build_tensor("x", 1, 2, shape=[-1, -2]), "the shape must be"),
    "no columns": (build_tensor("x", shape=[10**18, 0]), "the shape must be"),
    "over 64 bits": (build_tensor("x", 1, 2, shape=[2**64, 2]), "the shape must be"),
    "huge": (build_tensor("x", 1, 2, shape=[2**62, 2**62]), "elements, to fit the shape (got 2)"),
    "too few": (build_tensor("x", 1, shape=[1, 2]), "must have 2 elements, to fit the shape (got 1)"),
    "too many": (build_tensor("x", 1, 2, 3, shape=[1, 2]), "must have 2 elements, to fit the shape (got 3)"),
    "ragged": (build_tensor("x", [1, 2], [3], shape=[2, 2]), "flat array, or 2 arrays of 2"),
    "half nested": (build_tensor("x", [1, 2], 3, shape=[2, 2]), "flat array, or 2 arrays of 2"),
    "nested in the other order": (build_tensor("x", [1, 2], [3, 4], [5, 6], shape=[2, 3]), "2 arrays of 3"),
    "nested too deeply": (build_tensor("x", [[1, 2]], shape=[1, 2]), "flat array, or 1 arrays of 2"),
    "an object": (build_tensor("x", {}, {}, shape=[1, 2]), "must be numbers"),
    "no array": (build_tensor("x", shape=[1, 2]) | {"data": "12"}, "data must be an array"),
    "unknown datatype": (
        build_tensor("x", 1, 2, shape=[1, 2], datatype="FP8"),
        "datatype must be one of BOOL",
    ),
    "text for numbers": (build_tensor("x", "1", "2", shape=[1, 2]), "must be numbers"),
    "true for numbers": (build_tensor("x", True, 1, shape=[1, 2]), "must be numbers"),
    "half for whole": (build_tensor("x", 1.5, 2, shape=[1, 2], datatype="INT32"), "must be whole numbers"),
    "over": (build_tensor("x", 1, 256, shape=[1, 2], datatype="UINT8"), "whole numbers from 0 to 255"),
    "under": (build_tensor("x", 1, -1, shape=[1, 2], datatype="UINT64"), "whole numbers from 0 to"),
    "infinite as FP16": (
        build_tensor("x", 1, 65520, shape=[1, 2], datatype="FP16"),
        "from -65504.0 to 65504.0",
    ),
    "number for text": (build_tensor("x", 1, 2, shape=[1, 2], datatype="BYTES"), "must be text"),
    "number for bool": (build_tensor("x", 1, 0, shape=[1, 2], datatype="BOOL"), "must be true or false"),
    "no data": ({"name": "x", "shape": [1, 2], "datatype": "FP64"}, "either data or the parameter"),
    "shared memory": (
        {"name": "x", "shape": [1], "datatype": "FP64", "parameters": {"shared_memory_region": "r"}},
        "either data or the parameter",
    ),
    "both": (build_tensor("x", 1, shape=[1], parameters=SIZED), "either data or the parameter"),
    "bytes that are not there": (
        build_binary_tensor("x", b" " * 8, [1]),
        "1 elements of FP64 must be 8 bytes (got 0)",
    ),
    "size is no number": (
        {**build_binary_tensor("x", b"", [1]), "parameters": {"binary_data_size": True}},
        "must be a whole number",
    ),
    "size is negative": (
        {**build_binary_tensor("x", b"", [1]), "parameters": {"binary_data_size": -8}},
        "must be a whole number",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "message"), BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_tensor_errors_name_the_tensor(client, bad, message):
    answer = client.post(INFER, json={"inputs": [bad]})

    assert (400, ["error"]) == (answer.status, list(answer.json()))
    assert answer.json()["error"].startswith("Tensor 'x': ")
    assert message in answer.json()["error"]


BAD_BINARY = {
    "short": (b" " * 15, [1, 2], "FP64", "2 elements of FP64 must be 16 bytes (got 15)"),
    "long": (b" " * 17, [1, 2], "FP64", "2 elements of FP64 must be 16 bytes (got 17)"),
    "huge": (b" " * 16, [2**62, 2**62], "BYTES", "ends inside element 0"),
    "infinity": (struct.pack("<2f", 1, float("-inf")), [1, 2], "FP32", "an infinity"),
    "no boolean": (b"\1\2", [1, 2], "BOOL", "the byte 0 or 1"),
    "text cut short": (b"\2\0\0\0ab\2\0\0\0a", [1, 2], "BYTES", "ends inside element 1"),
    "length cut short": (b"\2\0\0\0ab\2\0\0", [1, 2], "BYTES", "ends inside element 1"),
    "text left over": (b"\1\0\0\0a\1\0\0\0b!", [1, 2], "BYTES", "has 1 bytes after its 2 elements"),
    "not UTF-8": (b"\1\0\0\0a\1\0\0\0\xff", [1, 2], "BYTES", "element 1 is not UTF-8"),
}


@pytest.mark.parametrize(("raw", "shape", "datatype", "message"), BAD_BINARY.values(), ids=BAD_BINARY)
def test_binary_tensor_errors_name_the_tensor(client, raw, shape, datatype, message):
    answer = client.post(INFER, **frame({"inputs": [build_binary_tensor("x", raw, shape, datatype)]}, raw))

    assert 400 == answer.status
    assert answer.json()["error"].startswith("Tensor 'x': ")
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "inputs must have a tensor for each column, or a single tensor [rows, columns]"),
        (
            [build_tensor("a", 1), build_tensor("b", 1, 2)],
            "Tensor 'b': must have as many rows as tensor 'a', which has 1 (got 2)",
        ),
        (
            [build_tensor("a", 1), build_tensor("b", 1, 2, shape=[1, 2])],
            "Tensor 'b': must have one column, because there are several tensors",
        ),
        ([build_tensor("a", 1), build_tensor("a", 1)], "Column 'a' is named twice: name it once"),
        ([build_tensor("x", 1, 2, 3, shape=[1, 3])], "Row 0 has 3 values: send 2, one for each column"),
        (
            [build_tensor("a", "x", datatype="BYTES"), build_tensor("b", 1)],
            "Invalid input data: a must be a number",
        ),
    ],
)
def test_tensors_must_form_rows_of_the_schema(client, inputs, message):
    assert message == request_sums(client, *inputs)


GOOD = json.dumps({"inputs": [build_tensor("x", 1, 2, shape=[1, 2])]}).encode()
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
def test_body_errors_have_the_protocols_form(client, body):
    answer = client.post(INFER, body=body)

    assert (400, ["error"]) == (answer.status, list(answer.json()))
    assert "application/json" == answer.header("content-type")


def test_body_ignores_unknown_members(client):
    """Colons in texts are not counted as members."""
    document = {**EXAMPLE, "id": "a:b", "note": {"by": ["x:y"]}}

    assert "a:b" == client.post(INFER, json=document).json()["id"]


def test_body_reads_null_members_as_missing(client):
    document = {**EXAMPLE, "id": None, "parameters": None, "outputs": None}
    document["inputs"] = [{**EXAMPLE["inputs"][0], "parameters": {"content_type": None}}]

    assert ["model_name", "model_version", "outputs"] == list(client.post(INFER, json=document).json())


@pytest.mark.parametrize("length", ["-1", "+9", "1_0", "abc", "9" * 30, "99999", "٣"])
def test_header_length_must_be_within_the_body(client, length):
    headers = {"inference-header-content-length": length.encode().decode("latin-1")}
    answer = client.post(INFER, body=GOOD, headers=headers)

    assert 400 == answer.status
    assert "Inference-Header-Content-Length" in answer.json()["error"]


@pytest.mark.parametrize("by", [-1, 1])
def test_header_length_off_by_one_is_rejected(client, by):
    raw = struct.pack("<2d", 1, 2)
    request_options = frame({"inputs": [build_binary_tensor("x", raw, [1, 2])]}, raw)
    length = int(request_options["headers"]["inference-header-content-length"]) + by
    headers = {**request_options["headers"], "inference-header-content-length": str(length)}

    assert 400 == client.post(INFER, body=request_options["body"], headers=headers).status


def test_binary_data_without_tensor_is_rejected(client):
    request_options = frame({"inputs": [build_tensor("x", 1, 2, shape=[1, 2])]}, b"tail")
    answer = client.post(INFER, **request_options)

    message = "The binary_data_size of all tensors must add up to the 4 bytes after the JSON (got 0)"
    assert {"error": message} == answer.json()


def test_row_limit(client):
    assert "10001 rows are more than the limit of 10000" in request_sums(
        client, build_tensor("x", *[1] * 20002, shape=[10001, 2])
    )


def fail(table):
    raise RuntimeError("the secret recipe is missing")


@pytest.mark.parametrize(
    ("status", "options", "headers", "field"),
    [
        (401, {"gate": {"keys": {"k" * 20: "mymodel"}}}, {}, "www-authenticate"),
        (403, {"gate": {"keys": {"k" * 20: "other"}}}, {"x-api-key": "k" * 20}, None),
        (403, {"state": "paused"}, {}, None),
        (429, {"gate": {"keys": "open", "limits": "1/minute"}}, {}, "retry-after"),
        (500, {"function": fail}, {}, None),
    ],
)
def test_errors_have_the_protocols_form(build_client, status, options, headers, field):
    """``{"error": …}`` with exactly the content type application/json, and the headers of the error."""
    client = build_client(**options)
    client.post(INFER, json=EXAMPLE, headers=headers)
    answer = client.post(INFER, json=EXAMPLE, headers=headers)

    assert (status, "application/json") == (answer.status, answer.header("content-type"))
    assert isinstance(answer.json()["error"], str)
    assert field is None or answer.header(field)
    assert b"secret" not in answer.body


def test_error_of_overload_has_retry_after(build_client):
    def busy(request, call_next):
        raise Overloaded(3)

    answer = build_client(layers=[busy]).post(INFER, json=EXAMPLE)

    assert (503, "3") == (answer.status, answer.header("retry-after"))
    assert "The server is busy: try again in 3 s" == answer.json()["error"]


def test_error_of_hidden_schema_names_no_columns(build_client):
    client = build_client(predict_sums, PAIR.with_options(show_schema=False))

    assert "Invalid input data" == request_sums(client, build_tensor("a", 1))


def test_health_needs_no_key(build_client):
    """Nor does it count towards a limit. Metadata does both."""
    client = build_client(gate={"keys": {"k" * 20: "mymodel"}, "limits": "1/minute"})

    assert [200] * 3 == [client.get("/v2/health/live").status for _ in range(3)]
    assert 401 == client.get("/v2").status == client.get("/v2/models/mymodel/ready").status


def test_large_tensors_are_read_and_written(client):
    """Off the event loop, in binary."""
    raw = np.arange(20_000, dtype="<f4").tobytes()
    document = {
        "inputs": [build_binary_tensor("x", raw, [10_000, 2], "FP32")],
        "parameters": {"binary_data_output": True},
    }
    answer = client.post(INFER, **frame(document, raw))
    length = int(answer.header("inference-header-content-length"))

    expected = np.arange(20_000.0).reshape(-1, 2).sum(axis=1)
    assert np.array_equal(expected, np.frombuffer(answer.body[length:]))


def test_dialect_is_found_by_name():
    """Also for a route of the app itself."""

    assert [OpenInference.name] == list(
        build_gate(gate={"keys": "open", "dialects": ["open_inference"]})._dialects
    )


DAMAGED = Client(build_gate().wsgi)
RAW = struct.pack("<2d", 1, 2)
FRAMED = frame({"inputs": [build_binary_tensor("x", RAW, [1, 2])]}, RAW)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.data())
@pytest.mark.slow
def test_damaged_bodies_get_200_or_400(data):
    body = bytearray(FRAMED["body"])
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(body)))
        body[start : start + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"-", b'"', b"[", b"}", b"9", b'"INT8"'])
        )
    length = data.draw(st.sampled_from([FRAMED["headers"]["inference-header-content-length"], "0", "7"]))
    headers = {"inference-header-content-length": length} if data.draw(st.booleans()) else {}
    answer = DAMAGED.post(INFER, body=bytes(body), headers=headers)

    assert answer.status in (200, 400)
