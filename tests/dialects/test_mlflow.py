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
from hypothesis import given
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
from modelgate.dialects.mlflow import _replace_nan
from modelgate.testing import Client
from support.marks import examples

KEY = "a-key-for-one-deployment"
OTHER_KEY = "a-key-for-all-deployments"
PAIR = Schema.of(a=float, b=float)
MIXED = Schema.of(age=Column("age", nullable=True), plan=["free", "pro"])
ROW = {"age": 41, "plan": "pro"}
ROWS = {"instances": [ROW]}
PATH = "/mlflow/d/invocations"


def build_gate(function, schema=MIXED, **options):
    return Gate([Deployment("d", function, schema=schema, **options)], keys={KEY: "d", OTHER_KEY: "*"})


def build_client(function, interface, schema=MIXED, **options):
    gate = build_gate(function, schema, **options)
    return Client(getattr(gate, interface), headers={"authorization": f"Bearer {KEY}"})


def predict_total(table):
    return table.to_array().sum(axis=1)


def predict_labels(table):
    probabilities = np.array([[0.75, 0.25]] * len(table))
    return Prediction([Output("churn", np.array(["no"] * len(table), object), ["no", "yes"], probabilities)])


def predict_ages(table):
    return [-1.0 if math.isnan(age) else age for age in table["age"]]


def raise_error(table):
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


@pytest.mark.slow
@pytest.mark.parametrize("path", [PATH, "/endpoints/d/invocations", "/invocations"])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_request_formats(interface, path, document):
    """Each form of the documents, on the path of each service, byte for byte."""
    schema, content_type, body, expected = DOCUMENTS[document]
    headers = {} if content_type is None else {"content-type": content_type}
    answer = build_client(predict_total, interface, schema).post(path, body=body, headers=headers)

    assert (200, b'{"predictions":%s}' % expected) == (answer.status, answer.body)
    assert "application/json" == answer.header("content-type")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (predict_labels, b'["no"]'),
        (lambda table: [3], b"[3]"),
        (lambda table: {"high": [1.5], "risk": ["low"]}, b'[{"high":1.5,"risk":"low"}]'),
    ],
)
def test_response_formats(interface, function, expected):
    """ "Source", predictions_to_json: labels or numbers; for several outputs, the records of a DataFrame."""
    answer = build_client(function, interface).post(PATH, json=ROWS)

    assert b'{"predictions":%s}' % expected == answer.body


@pytest.mark.parametrize("body", [{"instances": []}, {"inputs": []}, {"dataframe_records": []}])
def test_response_of_no_rows(interface, body):
    assert b'{"predictions":[]}' == build_client(predict_labels, interface).post(PATH, json=body).body


@pytest.mark.parametrize("columns", [[0, 1], None])
def test_split_without_names_uses_schema_order(interface, columns):
    frame = {"data": [[41, "pro"]]} | ({} if columns is None else {"columns": columns})

    assert build_client(predict_ages, interface).post(PATH, json={"dataframe_split": frame}).json() == {
        "predictions": [41.0]
    }


def test_split_with_other_numbers_uses_them_as_names(interface):
    """As in a DataFrame with a column per year."""
    frame = {"columns": [2021, 2020], "data": [[1, 2]]}
    client = build_client(lambda table: table["2020"], interface, Schema([Column("2020"), Column("2021")]))

    assert client.post(PATH, json={"dataframe_split": frame}).json() == {"predictions": [2.0]}


def test_response_has_warnings(interface):
    """MLflow's client ignores members that it does not know."""
    client = build_client(predict_labels, interface, MIXED.with_options(unknown_levels="warn"))
    answer = client.post(PATH, json={"instances": [{"age": 1, "plan": "basic"}]})

    assert {"predictions": ["no"], "warnings": ["plan has values the model was not trained with"]} == (
        answer.json()
    )


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (predict_labels, b"no\nno\n"),
        (lambda table: {"p": [0.5, 1.25], "label": ["a,b", 'c"']}, b'0.5,"a,b"\n1.25,"c"""\n'),
    ],
)
def test_response_as_csv(interface, function, expected):
    """ "SageMaker", Accept: its own containers send CSV without a header. Errors are JSON."""
    client = build_client(function, interface)
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


NAMED = ["/mlflow/d/ping", "/mlflow/d/health", "/endpoints/d/ping"]
HEALTH = [*NAMED, "/ping", "/health"]


def get(gate, interface, path):
    """Send a request with a key if the path has a deployment."""
    headers = {} if path in HEALTH[-2:] else {"x-api-key": KEY}
    return Client(getattr(gate, interface), headers=headers).get(path)


@pytest.mark.parametrize("path", [*NAMED, "/mlflow/d/version"])
def test_health_with_deployment_needs_a_key(interface, path):
    """Existing and unknown names get the same response."""
    client = Client(getattr(build_gate(predict_labels), interface))
    none = path.replace("/d/", "/none/")

    assert [401, 401] == [client.get(url).status for url in (path, none)]
    assert 403 == client.get(none, headers={"x-api-key": KEY}).status


@pytest.mark.parametrize("path", HEALTH)
def test_health_of_ready_deployment(interface, path):
    """ "Source", ping: a line break, as JSON."""
    answer = get(build_gate(predict_labels), interface, path)

    assert (200, b"\n", "application/json") == (answer.status, answer.body, answer.header("content-type"))


@pytest.mark.parametrize("path", HEALTH)
def test_health_of_broken_deployment(interface, path, tmp_path):
    """ "SageMaker" and "Vertex AI": any status but 200. The reason is not shown."""
    (tmp_path / "m.skops").write_bytes(b"broken")
    answer = get(Gate([Deployment("d", tmp_path / "m.skops")], keys={KEY: "d"}), interface, path)

    assert (503, b"\n") == (answer.status, answer.body)


def test_health_of_paused_and_unknown_deployments_is_the_same(interface):
    gate = build_gate(predict_labels, state="paused")
    client = Client(getattr(gate, interface), headers={"x-api-key": OTHER_KEY})

    assert [(503, b"\n")] * 2 == [
        (answer.status, answer.body) for answer in map(client.get, ["/mlflow/d/ping", "/mlflow/e/ping"])
    ]


@pytest.mark.parametrize("path", ["/version", "/mlflow/d/version"])
def test_version_of_protocol(interface, path):
    """ "Source", version."""
    answer = Client(getattr(build_gate(predict_labels), interface), headers={"x-api-key": KEY}).get(path)

    assert (200, b"2.0.0") == (answer.status, answer.body)


def test_routes_from_vertex_ai_variables(interface, monkeypatch):
    """AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE, read when the gate is created."""
    predict, health = "/v1/endpoints/7/deployedModels/8:predict/", "/v1/endpoints/7/deployedModels/8/"
    before = build_client(predict_labels, interface)
    monkeypatch.setenv("AIP_PREDICT_ROUTE", predict)
    monkeypatch.setenv("AIP_HEALTH_ROUTE", health)
    client = build_client(predict_labels, interface)

    assert 404 == before.post(predict, json=ROWS).status
    assert b'{"predictions":["no"]}' == client.post(predict, json=ROWS).body
    assert 200 == Client(getattr(build_gate(predict_labels), interface)).get(health).status


def basic_auth(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


SIGNATURE = "AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-west-1/sagemaker/aws4_request, Signature=7ce3"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"authorization": f"Bearer {KEY}"}),
        (200, {"x-api-key": KEY}),
        (200, {"authorization": basic_auth("anyone", KEY)}),
        (200, {"authorization": basic_auth("", KEY), "x-api-key": KEY}),
        (200, {"authorization": SIGNATURE, "x-api-key": KEY}),
        (401, {"authorization": SIGNATURE}),
        (401, {"authorization": basic_auth(KEY, "wrong")}),
        (401, {"authorization": f"Basic {KEY}"}),
        (401, {"authorization": "Basic"}),
        (401, {}),
        (400, {"authorization": basic_auth("anyone", KEY), "x-api-key": OTHER_KEY}),
    ],
)
def test_key_headers(interface, status, headers):
    """requests reads the password of Basic from netrc. A signature of AWS is not a key."""
    answer = Client(getattr(build_gate(predict_labels), interface)).post(PATH, json=ROWS, headers=headers)

    assert status == answer.status


def test_key_for_several_deployments_needs_a_path(interface):
    gate = Gate(
        [Deployment("d", predict_labels, schema=MIXED), Deployment("e", predict_ages, schema=MIXED)],
        keys={KEY: "d", OTHER_KEY: "*"},
    )
    client = Client(getattr(gate, interface))

    assert 200 == client.post("/invocations", json=ROWS, headers={"x-api-key": KEY}).status
    assert 400 == client.post("/invocations", json=ROWS, headers={"x-api-key": OTHER_KEY}).status


def test_error_of_missing_columns(interface):
    answer = build_client(predict_labels, interface).post(PATH, json={"instances": [{"age": 41}]})

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


def raise_unavailable(table):
    raise DeploymentUnavailable(3)


LARGE = {"instances": ["x" * 6 * 1024 * 1024]}


@pytest.mark.parametrize(
    ("status", "code", "options", "request_options"),
    [
        (400, "BAD_REQUEST", {}, {"json": {}}),
        (401, "UNAUTHENTICATED", {}, {"headers": {"authorization": "Bearer wrong"}}),
        (403, "PERMISSION_DENIED", {"state": "paused"}, {}),
        (403, "PERMISSION_DENIED", {}, {"path": "/mlflow/e/invocations"}),
        (404, "ENDPOINT_NOT_FOUND", {}, {"path": "/mlflow/d/invoke"}),
        (405, "BAD_REQUEST", {}, {"method": "GET"}),
        (413, "BAD_REQUEST", {}, {"json": LARGE}),
        (415, "BAD_REQUEST", {}, {"headers": {"content-type": "image/png"}}),
        (429, "RESOURCE_EXHAUSTED", {"layers": [RateLimit("1/minute")]}, {}),
        (500, "INTERNAL_ERROR", {"function": raise_error}, {}),
        (503, "TEMPORARILY_UNAVAILABLE", {"function": raise_unavailable}, {}),
    ],
)
def test_error_codes(interface, status, code, options, request_options):
    """ "Source", HTTP_STATUS_TO_ERROR_CODE; other statuses are BAD_REQUEST."""
    client = build_client(**{"function": predict_labels, "interface": interface, **options})
    request_options = {"method": "POST", "path": PATH, "json": ROWS, **request_options}
    client.request(**request_options)
    answer = client.request(**request_options)

    assert (status, code) == (answer.status, answer.json()["error_code"])
    assert "application/json" == answer.header("content-type")
    assert "secret" not in answer.json()["message"]
    wanted = {401: "www-authenticate", 405: "allow", 415: "accept", 429: "retry-after", 503: "retry-after"}
    assert status not in wanted or answer.header(wanted[status])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b"[]", "object"),
        (b'"instances"', "object"),
        (b'{"instances": [[1, "pro"]', "valid JSON"),
        (b'{"instances": [], "inputs": []}', "exactly one of dataframe_split"),
        (b'{"messages": []}', "exactly one of dataframe_split"),
        (b'{"instances": [], "instances": []}', "twice"),
        (b'{"instances": [{"age": 1, "age": 2, "plan": "pro"}]}', "twice"),
        (b'{"instances": null}', "Send the rows as exactly one of"),
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
        (b'{"inputs": {"age": [1, 2], "plan": ["pro"]}}', "same rows in each column"),
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
def test_bodies_with_errors_are_rejected(interface, body, message):
    answer = build_client(predict_labels, interface).post(PATH, body=body)

    assert (400, "BAD_REQUEST") == (answer.status, answer.json()["error_code"])
    assert re.search(message, answer.json()["message"])


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
        (413, {"content-encoding": "gzip"}, gzip.compress(b" " * 7 * 1024 * 1024, mtime=0)),
        (415, {"content-encoding": "br"}, b"NaN"),
        (415, {"content-type": "application/x-parquet"}, b"NaN"),
    ],
)
def test_bodies_with_other_charsets_and_encodings_are_rejected(interface, status, headers, body):
    assert status == build_client(predict_labels, interface).post(PATH, body=body, headers=headers).status


@pytest.mark.parametrize(
    "body",
    [
        b'{"dataframe_split": {"columns": ["age", "plan"], "data": [[NaN, "pro"], [41, "free"]]}}',
        b'{"dataframe_records": [{"age": NaN, "plan": "pro"}, {"age": 41, "plan": "free"}]}',
        b'{"instances": [[NaN,"pro"],[41,"free"]]}',
        b'{"inputs": {"age": [NaN, 41], "plan": ["pro", "free"]}}',
    ],
)
def test_nan_becomes_null(interface, body):
    """MLflow's client sends a missing number as the literal NaN."""

    assert {"predictions": [-1.0, 41.0]} == build_client(predict_ages, interface).post(PATH, body=body).json()


@pytest.mark.parametrize("text", ["NaN", 'say "NaN"', "\\", "NaN\\"])
def test_nan_in_text_is_unchanged(interface, text):
    client = build_client(lambda table: table["b"], interface, Schema.of(a=Column("a", nullable=True), b=str))
    body = json.dumps({"instances": [{"a": math.nan, "b": text}]}).encode()

    assert {"predictions": [text]} == client.post(PATH, body=body).json()


TEXTS = st.text(st.sampled_from('NaN"\\ é{}[]:,'), max_size=9)
# Not st.recursive: it reads the source of its lambda and warns if the file was edited since its import.
VALUES = st.deferred(
    lambda: (
        st.none()
        | st.just(math.nan)
        | st.integers(-9, 9)
        | TEXTS
        | st.lists(VALUES, max_size=4)
        | st.dictionaries(TEXTS, VALUES, max_size=4)
    )
)


def nan_to_none(value):
    if isinstance(value, dict):
        return {name: nan_to_none(item) for name, item in value.items()}
    if isinstance(value, list):
        return [nan_to_none(item) for item in value]
    return None if value != value else value


@given(VALUES, st.booleans())
def test_nan_replacement_changes_nothing_else(value, ascii_only):
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()

    assert json.dumps(nan_to_none(value), ensure_ascii=ascii_only).encode() == _replace_nan(raw)


CLIENT = build_client(predict_ages, "wsgi")
GOOD = [document[2] for document in DOCUMENTS.values()] + [json.dumps(ROWS).encode()]


@examples(3)
@given(
    st.sampled_from(GOOD),
    st.data(),
    st.binary(max_size=9) | st.sampled_from([b"NaN", b"[[", b'"', b"{", b"null", b'"inputs":1,', b"1e999"]),
    st.sampled_from(["application/json", "text/csv"]),
)
@pytest.mark.slow
def test_damaged_bodies_get_predictions_or_400(good, data, damage, content_type):
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    answer = CLIENT.post(
        PATH, body=good[:start] + damage + good[end:], headers={"content-type": content_type}
    )

    assert answer.status in (200, 400)
    assert "predictions" in answer.json() or {"error_code", "message"} <= answer.json().keys()


@pytest.mark.slow
def test_large_body_keeps_row_order(interface):
    data = [[float(index), "free"] for index in range(9000)]
    body = {"dataframe_split": {"columns": ["age", "plan"], "data": data}}

    assert [row[0] for row in data] == build_client(predict_ages, interface).post(PATH, json=body).json()[
        "predictions"
    ]
