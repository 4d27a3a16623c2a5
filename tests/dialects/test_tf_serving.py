"""Documents of the REST API of TensorFlow Serving, and of version 1 of KServe's.

Sources, quoted by heading: tensorflow/serving, tensorflow_serving/g3doc/api_rest.md.
"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import Deployment, Gate, Output, Overloaded, Prediction, Schema
from modelgate.testing import Client
from support.marks import examples

PREDICT = "/v1/models/half_plus_three:predict"
X = Schema.of(x=float)
PAIR = Schema.of(tag=["foo", "bar"], signal=float)


def predict_half_plus_three(table):
    return table["x"] / 2 + 3


def build_gate(function=predict_half_plus_three, schema=X, *, gate=None, **options):
    options = {"version": "123", **options}
    return Gate(
        [Deployment("half_plus_three", function, schema=schema, **options)], **(gate or {"keys": "open"})
    )


@pytest.fixture
def build_client(interface):
    return lambda *args, **options: Client(getattr(build_gate(*args, **options), interface))


@pytest.fixture
def client(build_client):
    return build_client()


def request_predictions(client, document):
    answer = client.post(PREDICT, json=document)
    assert "application/json" == answer.header("content-type")
    return answer.json()


def test_request_of_curl(client):
    """ "Make REST API calls to ModelServer": `curl -d` sends the content type of a form."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = client.post(PREDICT, body=b'{"instances": [1.0,2.0,5.0]}', headers=headers)

    assert (200, b'{"predictions":[3.5,4.0,5.5]}') == (answer.status, answer.body)


@pytest.mark.parametrize("path", ["/v1/models/half_plus_three", "/v1/models/half_plus_three/versions/123"])
def test_status_of_model(client, path):
    """The same section, and what KServe adds."""
    answer = client.get(path)
    status = answer.json()

    assert (200, True) == (answer.status, status.pop("ready"))
    assert "half_plus_three" == status.pop("name")
    assert (
        json.loads(
            """{
 "model_version_status": [
  {
   "version": "123",
   "state": "AVAILABLE",
   "status": {
    "error_code": "OK",
    "error_message": ""
   }
  }
 ]
}"""
        )
        == status
    )


def test_status_of_broken_model_is_503(interface, tmp_path):
    """KServe's client reads nothing else."""
    (tmp_path / "half_plus_three.skops").write_bytes(b"no model")
    gate = Gate([Deployment("half_plus_three", tmp_path / "half_plus_three.skops")], keys="open")
    answer = Client(getattr(gate, interface)).get("/v1/models/half_plus_three")

    assert (503, ["error"]) == (answer.status, [name for name in answer.json() if name != "request_id"])


def test_error_of_unknown_model(client):
    """The same section, its last example: 404, and the error as text."""
    answer = client.post("/v1/models/half:predict", json={"instances": [1.0, 5.0]})

    assert (404, "application/json") == (answer.status, answer.header("content-type"))
    assert ["error"] == list(answer.json())


@pytest.mark.parametrize(("version", "status"), [("123", 200), ("124", 404)])
def test_version_in_path(client, version, status):
    """ "Predict API"."""
    path = f"/v1/models/half_plus_three/versions/{version}"

    assert status == client.post(f"{path}:predict", json={"instances": [1.0]}).status
    assert status == client.get(path).status


def test_alive_needs_no_key(build_client):
    """KServe's client requests the root."""
    client = build_client(gate={"keys": {"k" * 20: "half_plus_three"}})

    assert "alive" == client.get("/").json()["status"]
    assert 401 == client.get("/v1/models/half_plus_three").status


@pytest.mark.parametrize(
    "rows",
    [
        {"instances": [{"tag": "foo", "signal": 1}, {"tag": "bar", "signal": 3}]},
        {"instances": [["foo", 1], ["bar", 3]]},
        {"inputs": {"tag": ["foo", "bar"], "signal": [1, 3]}},
        {"inputs": [["foo", 1], ["bar", 3]], "signature_name": "serving_default"},
    ],
)
def test_response_has_the_format_of_the_request(build_client, rows):
    """ "Specifying input tensors in row format", "… in column format"."""
    client = build_client(lambda table: table["tag"], PAIR)

    assert {"predictions" if "instances" in rows else "outputs": ["foo", "bar"]} == request_predictions(
        client, rows
    )


def predict_two_outputs(table):
    probabilities = np.array([[0.75, 0.25]] * len(table))
    return Prediction(
        [Output("y", np.array(["no"] * len(table)), ["no", "yes"], probabilities), Output("z", table["x"])]
    )


def test_response_of_several_outputs(build_client):
    """ "Response format": an object per row, or an object of columns."""
    client = build_client(predict_two_outputs)

    assert {"predictions": [{"y": "no", "z": 1.0}, {"y": "no", "z": 2.0}]} == request_predictions(
        client, {"instances": [1, 2]}
    )
    assert {"outputs": {"y": ["no", "no"], "z": [1.0, 2.0]}} == request_predictions(
        client, {"inputs": {"x": [1, 2]}}
    )


def test_request_with_text_instances(build_client):
    """ "List of 3 scalar tensors"."""
    client = build_client(lambda table: table["t"], Schema.of(t=str))

    assert {"predictions": ["foo", "bar", "baz"]} == request_predictions(
        client, {"instances": ["foo", "bar", "baz"]}
    )


def test_response_of_no_rows(client):
    assert {"predictions": []} == request_predictions(client, {"instances": []})
    assert {"outputs": []} == request_predictions(client, {"inputs": {"x": []}})


def test_response_has_warnings(build_client):
    client = build_client(schema=Schema.of(x=[1.0]).with_options(unknown_levels="warn"))

    assert {
        "predictions": [4.0],
        "warnings": ["x has values the model was not trained with"],
    } == request_predictions(client, {"instances": [2]})


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1_000, 20_000])
def test_large_bodies_give_the_same_predictions(build_client, rows):
    """They are decoded off the event loop."""
    client, numbers = build_client(max_rows=rows), list(range(rows))
    expected = [number / 2 + 3 for number in numbers]

    assert expected == request_predictions(client, {"instances": numbers})["predictions"]
    assert expected == request_predictions(client, {"instances": [[n] for n in numbers]})["predictions"]
    assert expected == request_predictions(client, {"inputs": {"x": numbers}})["outputs"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "Send either instances"),
        ({"instances": [1], "inputs": [1]}, "Send either instances"),
        ({"instances": 1}, "instances must be an array"),
        ({"instances": {"x": 1}}, "instances must be an array"),
        ({"inputs": 1}, "inputs may also be an object"),
        ({"inputs": {}}, "same rows in each column"),
        ({"inputs": {"x": [1], "y": [1, 2]}}, "same rows in each column"),
        ({"inputs": {"x": 1}}, "wrong shape"),
        ({"instances": [[1], 2]}, "wrong shape"),
        ({"instances": [{"x": 1}, 2]}, "not an object"),
        ({"instances": [1, [2]]}, "x must be a number (row 1)"),
        ({"instances": [[[1]]]}, "x must be a number"),
        ({"instances": [[1, 2]]}, "Row 0 has 2 values: send 1"),
        ({"instances": [{"y": 1}]}, "Prediction failed due to missing input data: x"),
        ({"inputs": {"y": [1]}}, "Prediction failed due to missing input data: x"),
        ({"instances": [1] * 10_001}, "10001 rows are more than the limit of 10000"),
        ({"instances": [1], "signature_name": "tensorflow/serving/regress"}, "signature_name must be"),
    ],
)
def test_request_errors(client, document, message):
    answer = client.post(PREDICT, json=document)

    assert 400 == answer.status
    assert message in answer.json()["error"]


BAD_BODIES = {
    "none": b"",
    "broken": b'{"instances": [1]',
    "trailing": b'{"instances": [1]} x',
    "an array": b"[1]",
    "NaN": b'{"instances": [NaN]}',
    "instances twice": b'{"instances": [1], "instances": [2]}',
    "a column twice": b'{"inputs": {"x": [1], "x": [2]}}',
    "a column of a row twice": b'{"instances": [{"x": 1, "x": 2}]}',
    "deep": b'{"instances": %s}' % (b"[" * 100_000 + b"]" * 100_000),
    "deep value": b'{"instances": [%s]}' % (b"[" * 500 + b"]" * 500),
    "deep column": b'{"inputs": {"x": %s}}' % (b"[" * 500 + b"]" * 500),
    "deep unknown member": b'{"instances": [1], "zz": %s}' % (b"[" * 500 + b"]" * 500),
    "deep signature": b'{"instances": [1], "signature_name": %s}' % (b"[" * 500 + b"]" * 500),
    "an open array": b'{"inputs": [',
    "not utf-8": b'{"instances": ["\xff"]}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_body_errors_have_the_protocols_form(client, body):
    answer = client.post(PREDICT, body=body)

    assert (400, "application/json") == (answer.status, answer.header("content-type"))
    assert isinstance(answer.json()["error"], str)


def fail(table):
    raise RuntimeError("the secret recipe is missing")


def raise_overloaded(request, call_next):
    raise Overloaded(3)


@pytest.mark.parametrize(
    ("status", "options", "headers", "field"),
    [
        (401, {"gate": {"keys": {"k" * 20: "half_plus_three"}}}, {}, "www-authenticate"),
        (403, {"gate": {"keys": {"k" * 20: "other"}}}, {"x-api-key": "k" * 20}, None),
        (403, {"state": "paused"}, {}, None),
        (415, {}, {"content-type": "text/csv"}, "accept"),
        (429, {"gate": {"keys": "open", "limits": "1/minute"}}, {}, "retry-after"),
        (500, {"function": fail}, {}, None),
        (503, {"layers": [raise_overloaded]}, {}, "retry-after"),
    ],
)
def test_errors_have_the_protocols_form(build_client, status, options, headers, field):
    """``{"error": …}`` with exactly the content type application/json, and the headers of the error."""
    client, body = build_client(**options), b'{"instances": [1]}'
    client.post(PREDICT, body=body, headers=headers)
    answer = client.post(PREDICT, body=body, headers=headers)

    assert (status, "application/json") == (answer.status, answer.header("content-type"))
    assert isinstance(answer.json()["error"], str)
    assert field is None or answer.header(field)
    assert b"secret" not in answer.body


DAMAGED = Client(build_gate(lambda table: table["tag"], PAIR).wsgi)


@pytest.mark.slow
@examples(2)
@given(
    st.sampled_from(
        [
            b'{"instances": [{"tag": "foo", "signal": 1}]}',
            b'{"instances": [["foo", 1]]}',
            b'{"inputs": {"tag": ["foo"], "signal": [1]}}',
        ]
    ),
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3), st.binary(max_size=3) | st.sampled_from([b"[", b'"', b"1"]))),
)  # fmt: skip
def test_damaged_bodies_get_200_or_400(body, damage):
    damaged = bytearray(body)
    for start, length, piece in damage:
        damaged[start : start + length] = piece

    assert DAMAGED.post(PREDICT, body=bytes(damaged)).status in (200, 400)


def test_path_of_predictions_is_no_version(client):
    """A version may contain a colon."""
    answer = client.get("/v1/models/half_plus_three/versions/1:predict")

    assert (405, "POST") == (answer.status, answer.header("allow"))
