"""Documents of MLflow's scoring protocol, of SageMaker and of Vertex AI.

* "Local": MLflow, "Deploy MLflow Model as a Local Inference Server".
* "Serving": MLflow, "MLflow Model Serving".
* "Source": ``mlflow/pyfunc/scoring_server/__init__.py`` and ``mlflow/exceptions.py``, MLflow 3.17.
* "SageMaker": "Custom Inference Code with Hosting Services".
* "Vertex AI": "Custom container requirements for prediction".
"""

import base64
import gzip
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgate import (
    Column,
    Deployment,
    DeploymentUnavailable,
    Gate,
    Output,
    Prediction,
    RateLimit,
    Schema,
)
from modelgate.dialects.mlflow import _without_nan
from modelgate.testing import Client

KEY = "a-key-for-one-deployment"
OTHER_KEY = "a-key-for-all-deployments"
PAIR = Schema.of(a=float, b=float)
MIXED = Schema.of(age=Column("age", nullable=True), plan=["free", "pro"])
ROW = {"age": 41, "plan": "pro"}
ROWS = {"instances": [ROW]}
PATH = "/mlflow/d/invocations"


@pytest.fixture(params=["wsgi", "asgi"])
def interface(request):
    return request.param


def gate_of(function, schema=MIXED, **options):
    return Gate([Deployment("d", function, schema=schema, **options)], keys={KEY: "d", OTHER_KEY: "*"})


def client_of(function, interface, schema=MIXED, **options):
    gate = gate_of(function, schema, **options)
    return Client(getattr(gate, interface), headers={"authorization": f"Bearer {KEY}"})


def total(table):
    return table.to_array().sum(axis=1)


def labelled(table):
    probabilities = np.array([[0.75, 0.25]] * len(table))
    return Prediction([Output("churn", np.array(["no"] * len(table), object), ["no", "yes"], probabilities)])


def ages(table):
    return [-1.0 if math.isnan(age) else age for age in table["age"]]


def raising(table):
    raise ValueError("a secret of the model")


JSON = "application/json"
DOCUMENTS = {
    # "Local", "Deploying Inference Server", with the semicolon of its curl command
    "matrix": (PAIR, "application/json;", b'{"inputs": [[1, 2], [3, 4], [5, 6]]}', b"[3.0,7.0,11.0]"),
    # "Serving", "Using Python"
    "dataframe_split": (
        Schema([Column(f"feature{n}") for n in (1, 2, 3, 4)]),
        JSON,
        b'{"dataframe_split": {"columns": ["feature1", "feature2", "feature3", "feature4"], "data": [[1, 2, 3, 4]]}}',
        b"[10.0]",
    ),
    # "Local", "Wrapped Payload Dict": what pandas makes of a frame, which has an index
    "split of pandas": (
        PAIR,
        JSON,
        b'{"dataframe_split": {"index": [0, 1], "columns": ["b", "a"], "data": [[1, 2], [3, 4]]}}',
        b"[3.0,7.0]",
    ),
    "dataframe_records": (PAIR, JSON, b'{"dataframe_records": [{"a": 1, "b": 2}]}', b"[3.0]"),
    "instances": (Schema.of(a=float), JSON, b'{"instances": [1.0, 2.0, 5.0]}', b"[1.0,2.0,5.0]"),
    # "Vertex AI", "Request requirements": any JSON values
    "objects": (PAIR, JSON, b'{"instances": [{"a": 1, "b": 2}], "parameters": {}}', b"[3.0]"),
    # "Local", "JSON Input": columns by name
    "columns": (PAIR, JSON, b'{"inputs": {"a": [1, 3], "b": [2, 4]}, "params": null}', b"[3.0,7.0]"),
    # "Local", "CSV Input": the type of its text, and that of "Source"
    "csv": (PAIR, "application/csv", b"a,b\n1,2\n3,4\n", b"[3.0,7.0]"),
    "text/csv": (PAIR, "text/csv; charset=UTF-8", b"b,a\r\n1,2\r\n", b"[3.0]"),
    "no type": (PAIR, None, b'{"instances": [[1, 2]]}', b"[3.0]"),
}


@pytest.mark.parametrize("path", [PATH, "/endpoints/d/invocations", "/invocations"])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents(interface, path, document):
    """Each form of the documents is the rows it means, on the path of each service, byte for byte."""
    schema, kind, body, expected = DOCUMENTS[document]
    headers = {} if kind is None else {"content-type": kind}
    answer = client_of(total, interface, schema).post(path, body=body, headers=headers)

    assert (200, b'{"predictions":%s}' % expected) == (answer.status, answer.body)
    assert "application/json" == answer.header("content-type")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (labelled, b'["no"]'),
        (lambda table: [3], b"[3]"),
        (lambda table: {"high": [1.5], "risk": ["low"]}, b'[{"high":1.5,"risk":"low"}]'),
    ],
)
def test_predictions(interface, function, expected):
    """ "Source", predictions_to_json: labels or numbers; of several outputs the records of a DataFrame."""
    answer = client_of(function, interface).post(PATH, json=ROWS)

    assert b'{"predictions":%s}' % expected == answer.body


@pytest.mark.parametrize("body", [{"instances": []}, {"inputs": []}, {"dataframe_records": []}])
def test_no_rows(interface, body):
    """No rows, no predictions."""

    assert b'{"predictions":[]}' == client_of(labelled, interface).post(PATH, json=body).body


@pytest.mark.parametrize("columns", [[0, 1], None])
def test_a_frame_without_names(interface, columns):
    """A DataFrame that numbers its columns has them in the schema's order, and one that leaves them out."""
    frame = {"data": [[41, "pro"]]} | ({} if columns is None else {"columns": columns})

    assert client_of(ages, interface).post(PATH, json={"dataframe_split": frame}).json() == {
        "predictions": [41.0]
    }


def test_columns_named_by_numbers(interface):
    """Other numbers are names, as a DataFrame of years has them."""
    frame = {"columns": [2021, 2020], "data": [[1, 2]]}
    client = client_of(lambda table: table["2020"], interface, Schema([Column("2020"), Column("2021")]))

    assert client.post(PATH, json={"dataframe_split": frame}).json() == {"predictions": [2.0]}


def test_warnings_stand_beside_the_predictions(interface):
    """MLflow's client keeps members it does not know."""
    client = client_of(labelled, interface, MIXED.reading(unknown_levels="warn"))
    answer = client.post(PATH, json={"instances": [{"age": 1, "plan": "basic"}]})

    assert {"predictions": ["no"], "warnings": ["plan has values the model was not trained with"]} == (
        answer.json()
    )


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (labelled, b"no\nno\n"),
        (lambda table: {"p": [0.5, 1.25], "label": ["a,b", 'c"']}, b'0.5,"a,b"\n1.25,"c"""\n'),
    ],
)
def test_csv_is_answered_where_it_is_asked_for(interface, function, expected):
    """ "SageMaker", Accept: its own containers answer CSV without a header; errors are JSON all the same."""
    client = client_of(function, interface)
    answer = client.post(
        "/endpoints/d/invocations", json={"instances": [ROW, ROW]}, headers={"accept": "text/csv"}
    )
    refused = client.post("/endpoints/d/invocations", json={}, headers={"accept": "text/csv"})

    assert (200, expected, "text/csv; charset=utf-8") == (
        answer.status,
        answer.body,
        answer.header("content-type"),
    )
    assert (400, "application/json") == (refused.status, refused.header("content-type"))


HEALTH = ["/mlflow/d/ping", "/mlflow/d/health", "/endpoints/d/ping", "/ping", "/health"]


@pytest.mark.parametrize("path", HEALTH)
def test_health_of_what_is_ready(interface, path):
    """ "Source", ping: a line break, as JSON. Nobody needs a key."""
    answer = Client(getattr(gate_of(labelled), interface)).get(path)

    assert (200, b"\n", "application/json") == (answer.status, answer.body, answer.header("content-type"))


@pytest.mark.parametrize("path", HEALTH)
def test_health_of_what_is_not_ready(interface, path, tmp_path):
    """ "SageMaker" and "Vertex AI": any other status than 200. Nothing is told of the reason."""
    (tmp_path / "m.skops").write_bytes(b"broken")
    gate = Gate([Deployment("d", tmp_path / "m.skops")], keys={KEY: "d"})
    answer = Client(getattr(gate, interface)).get(path)

    assert (503, b"\n") == (answer.status, answer.body)


def test_health_does_not_tell_what_there_is(interface):
    """One that is paused, and one that is not there, are both not ready."""
    client = Client(getattr(gate_of(labelled, state="paused"), interface))

    assert [(503, b"\n")] * 2 == [
        (answer.status, answer.body) for answer in map(client.get, ["/mlflow/d/ping", "/mlflow/e/ping"])
    ]


@pytest.mark.parametrize("path", ["/version", "/mlflow/d/version"])
def test_version(interface, path):
    """ "Source", version: that of MLflow, as text."""
    answer = Client(getattr(gate_of(labelled), interface)).get(path)

    assert (200, b"2.0.0") == (answer.status, answer.body)


def test_the_routes_vertex_ai_names(interface, monkeypatch):
    """ "Vertex AI", AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE, read when the gate is made."""
    predict, health = "/v1/endpoints/7/deployedModels/8:predict/", "/v1/endpoints/7/deployedModels/8/"
    before = client_of(labelled, interface)
    monkeypatch.setenv("AIP_PREDICT_ROUTE", predict)
    monkeypatch.setenv("AIP_HEALTH_ROUTE", health)
    client = client_of(labelled, interface)

    assert 404 == before.post(predict, json=ROWS).status
    assert b'{"predictions":["no"]}' == client.post(predict, json=ROWS).body
    assert 200 == Client(getattr(gate_of(labelled), interface)).get(health).status


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


SIGNATURE = "AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-west-1/sagemaker/aws4_request, Signature=7ce3"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"authorization": f"Bearer {KEY}"}),
        (200, {"x-api-key": KEY}),
        (200, {"authorization": basic("anyone", KEY)}),
        (200, {"authorization": basic("", KEY), "x-api-key": KEY}),
        (200, {"authorization": SIGNATURE, "x-api-key": KEY}),
        (401, {"authorization": SIGNATURE}),
        (401, {"authorization": basic(KEY, "wrong")}),
        (401, {"authorization": f"Basic {KEY}"}),
        (401, {"authorization": "Basic"}),
        (401, {}),
        (400, {"authorization": basic("anyone", KEY), "x-api-key": OTHER_KEY}),
    ],
)
def test_where_the_key_may_stand(interface, status, headers):
    """The password of Basic is what requests reads from netrc; a signature of AWS is no key."""
    answer = Client(getattr(gate_of(labelled), interface)).post(PATH, json=ROWS, headers=headers)

    assert status == answer.status


def test_a_key_for_several_deployments_needs_a_path(interface):
    """At the root the key says which deployment is asked, where it can."""
    gate = Gate(
        [Deployment("d", labelled, schema=MIXED), Deployment("e", ages, schema=MIXED)],
        keys={KEY: "d", OTHER_KEY: "*"},
    )
    client = Client(getattr(gate, interface))

    assert 200 == client.post("/invocations", json=ROWS, headers={"x-api-key": KEY}).status
    assert 400 == client.post("/invocations", json=ROWS, headers={"x-api-key": OTHER_KEY}).status


def test_missing_columns(interface):
    """The words of a missing column, with the columns beside them."""
    answer = client_of(labelled, interface).post(PATH, json={"instances": [{"age": 41}]})

    expected = {
        "error_code": "BAD_REQUEST",
        "message": "Prediction failed due to missing input data",
        "missing_columns": ["plan"],
    }
    assert (400, expected, "application/json") == (
        answer.status,
        answer.json(),
        answer.header("content-type"),
    )


def unavailable(table):
    raise DeploymentUnavailable(3)


LARGE = {"instances": ["x" * 6 * 1024 * 1024]}


@pytest.mark.parametrize(
    ("status", "code", "options", "asked"),
    [
        (400, "BAD_REQUEST", {}, {"json": {}}),
        (401, "UNAUTHENTICATED", {}, {"headers": {"authorization": "Bearer wrong"}}),
        (403, "PERMISSION_DENIED", {"state": "paused"}, {}),
        (403, "PERMISSION_DENIED", {}, {"path": "/mlflow/e/invocations"}),
        (404, "ENDPOINT_NOT_FOUND", {}, {"path": "/mlflow/d/invoke"}),
        (405, "BAD_REQUEST", {}, {"method": "GET"}),
        (413, "BAD_REQUEST", {}, {"json": LARGE}),
        (415, "BAD_REQUEST", {}, {"headers": {"content-type": "text/plain"}}),
        (429, "RESOURCE_EXHAUSTED", {"layers": [RateLimit("1/minute")]}, {}),
        (500, "INTERNAL_ERROR", {"function": raising}, {}),
        (503, "TEMPORARILY_UNAVAILABLE", {"function": unavailable}, {}),
    ],
)
def test_error_codes(interface, status, code, options, asked):
    """ "Source", HTTP_STATUS_TO_ERROR_CODE; what it does not name is a BAD_REQUEST."""
    client = client_of(**{"function": labelled, "interface": interface, **options})
    asked = {"method": "POST", "path": PATH, "json": ROWS, **asked}
    client.request(**asked)
    answer = client.request(**asked)

    assert (status, code) == (answer.status, answer.json()["error_code"])
    assert "application/json" == answer.header("content-type")
    assert "secret" not in answer.json()["message"]
    wanted = {401: "www-authenticate", 405: "allow", 415: "accept", 429: "retry-after", 503: "retry-after"}
    assert status not in wanted or answer.header(wanted[status])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "empty"),
        (b"[]", "object"),
        (b'"instances"', "object"),
        (b'{"instances": [[1, "pro"]', "valid JSON"),
        (b'{"instances": [], "inputs": []}', "exactly one of dataframe_split"),
        (b'{"messages": []}', "exactly one of dataframe_split"),
        (b'{"instances": [], "instances": []}', "twice"),
        (b'{"instances": [{"age": 1, "age": 2, "plan": "pro"}]}', "twice"),
        (b'{"instances": null}', "Row 0 is not an object"),
        (b'{"instances": [[41]]}', "Row 0 has 1 values: send 2"),
        (b'{"instances": [[41, "pro"], 3]}', "wrong shape"),
        (b'{"instances": [1]}', "Row 0 has 1 values: send 2"),
        (b'{"instances": [[[[41]], "pro"]]}', "age must be a number"),
        (b'{"instances": [[1e400, "pro"]]}', "out of range"),
        (b'{"instances": [[NaN, 1e400]]}', "out of range"),
        (b'{"instances": [[Infinity, "pro"]]}', "valid JSON"),
        (b'{"instances": [[NaN, -Infinity]]}', "valid JSON"),
        (b'{"instances": [[-NaN, "pro"]]}', "valid JSON"),
        (b'{"instances": ["NaN", NaN', "valid JSON"),
        (b'{"instances": "NaN', "valid JSON"),
        (b'{"instances": NaN, "x": "%s' % (b'\\"' * 400_000), "valid JSON"),
        (b'{"inputs": {"age": [1, 2], "plan": ["pro"]}}', "all of one length"),
        (b'{"inputs": {"age": 1, "plan": "pro"}}', "wrong shape"),
        (b'{"inputs": {"age": [1], "age": [2], "plan": ["pro"]}}', "twice"),
        (b'{"dataframe_split": {"columns": ["age", "plan"]}}', "dataframe_split has no data"),
        (b'{"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}}', "'age' is named twice"),
        (b'{"dataframe_split": {"data": [[1, "pro"]], "data": []}}', "twice"),
        (b'{"dataframe_split": {"columns": {}, "data": []}}', "wrong shape"),
        (b'{"dataframe_split": {"data": [], "index": %s%s}}' % (b"[" * 40, b"]" * 40), "too deeply"),
        (b'{"instances": [], "x": %s%s}' % (b"[" * 40, b"]" * 40), "too deeply"),
        (b'{"instances": %s' % (b"[" * 100_000), "valid JSON|too deeply"),
        (b'{"instances": [[41, "\xff"]]}', "UTF-8|valid JSON"),
        (
            b'{"instances": [[41, "pro"]], "params": {"max_answer_len": 10}}',
            "params must be left out or empty",
        ),
        (b'{"instances": [[41, "pro"]], "parameters": {"confidence": 0.5}}', "parameters must be left out"),
    ],
)
def test_bodies_that_are_refused(interface, body, told):
    """Each is a 400 in MLflow's words that says what is wrong."""
    answer = client_of(labelled, interface).post(PATH, body=body)

    assert (400, "BAD_REQUEST") == (answer.status, answer.json()["error_code"])
    assert re.search(told, answer.json()["message"])


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {"content-type": "text/csv; charset=us-ascii"}, b"age,plan\n41,pro\n"),
        (415, {"content-type": "text/csv; charset=zlib"}, b"age,plan\n41,pro\n"),
        (200, {"content-type": 'text/csv; Charset="latin-1"'}, b"age,plan\n41,pro\n"),
        (400, {"content-type": "text/csv"}, b"age,plan\n41\n"),
        (400, {"content-type": "text/csv"}, b""),
        (200, {"content-encoding": "gzip"}, gzip.compress(json.dumps(ROWS).encode(), mtime=0)),
        (400, {"content-encoding": "gzip"}, gzip.compress(json.dumps(ROWS).encode(), mtime=0)[:-9]),
        (413, {"content-encoding": "gzip"}, gzip.compress(b" " * 7 * 1024 * 1024)),
        (415, {"content-encoding": "br"}, b"NaN"),
        (415, {"content-type": "application/x-parquet"}, b"NaN"),
    ],
)
def test_charsets_and_codings(interface, status, headers, body):
    """UTF-8 is the only charset of CSV; a coding that is damaged, too large or unknown is refused."""

    assert status == client_of(labelled, interface).post(PATH, body=body, headers=headers).status


@pytest.mark.parametrize(
    "body",
    [
        b'{"dataframe_split": {"columns": ["age", "plan"], "data": [[NaN, "pro"], [41, "free"]]}}',
        b'{"dataframe_records": [{"age": NaN, "plan": "pro"}, {"age": 41, "plan": "free"}]}',
        b'{"instances": [[NaN,"pro"],[41,"free"]]}',
        b'{"inputs": {"age": [NaN, 41], "plan": ["pro", "free"]}}',
    ],
)
def test_nan_is_null(interface, body):
    """MLflow's client sends a missing number as the literal NaN."""

    assert {"predictions": [-1.0, 41.0]} == client_of(ages, interface).post(PATH, body=body).json()


@pytest.mark.parametrize("text", ["NaN", 'say "NaN"', "\\", "NaN\\"])
def test_nan_in_a_text_stays(interface, text):
    """The text is what it was, whatever quotes stand in it."""
    client = client_of(lambda table: table["b"], interface, Schema.of(a=Column("a", nullable=True), b=str))
    body = json.dumps({"instances": [{"a": math.nan, "b": text}]}).encode()

    assert {"predictions": [text]} == client.post(PATH, body=body).json()


TEXTS = st.text(st.sampled_from('NaN"\\ é{}[]:,'), max_size=9)
VALUES = st.recursive(
    st.none() | st.just(math.nan) | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)


def nulled(value):
    if isinstance(value, dict):
        return {name: nulled(item) for name, item in value.items()}
    if isinstance(value, list):
        return [nulled(item) for item in value]
    return None if value != value else value


@given(VALUES, st.booleans())
def test_every_nan_is_null_and_nothing_else(value, ascii_only):
    """Whatever JSON it stands in, in Python's own spelling."""
    told = json.dumps(value, ensure_ascii=ascii_only).encode()

    assert json.dumps(nulled(value), ensure_ascii=ascii_only).encode() == _without_nan(told)


CLIENT = client_of(ages, "wsgi")
GOOD = [document[2] for document in DOCUMENTS.values()] + [json.dumps(ROWS).encode()]


@settings(max_examples=300)
@given(
    st.sampled_from(GOOD),
    st.data(),
    st.binary(max_size=9) | st.sampled_from([b"NaN", b"[[", b'"', b"{", b"null", b'"inputs":1,', b"1e999"]),
    st.sampled_from(["application/json", "text/csv"]),
)
def test_any_bytes_are_answered_in_the_dialect(good, data, damage, kind):
    """A damaged body is a prediction or a 400, and nothing else."""
    at = data.draw(st.integers(0, len(good)))
    until = data.draw(st.integers(at, len(good)))
    answer = CLIENT.post(PATH, body=good[:at] + damage + good[until:], headers={"content-type": kind})

    assert answer.status in (200, 400)
    assert "predictions" in answer.json() or {"error_code", "message"} <= answer.json().keys()


def test_a_large_body_is_read(interface):
    """Thousands of rows, each in its place."""
    data = [[float(at), "free"] for at in range(9000)]
    body = {"dataframe_split": {"columns": ["age", "plan"], "data": data}}

    assert [row[0] for row in data] == client_of(ages, interface).post(PATH, json=body).json()["predictions"]
