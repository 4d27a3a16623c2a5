"""Documents of the Peltarion Deployment API.

* "Deployment API" and "Interpreting the API output" of https://peltarion.com/knowledge-center, as they
  stood in 2021; headings in quotes are their own.
* sidekick 0.3.1, https://github.com/Peltarion/sidekick: how its client encodes a request.
"""

import base64
import gzip
import io
import json
import re

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import LinearSVC

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
from modelgate.testing import Client
from support.marks import examples

TOKEN = "the-token-of-one-deployment"
THINGS = Schema.of(Type=["animal", "vehicle"], Sound=str, Size=float)
# "Structure of a prediction request", "Payload"
ROWS = [
    {"Type": "animal", "Sound": "miaow", "Size": 0.4},
    {"Type": "animal", "Sound": "woof", "Size": 1.2},
    {"Type": "vehicle", "Sound": "tchoo", "Size": 80},
    {"Type": "vehicle", "Sound": "vroom", "Size": 3.2},
]
PATH = "/deployment/d/forward"
OPENAPI = "/deployment/d/openapi.json"


def build_client(model, interface, schema=THINGS, target="Weight", **options):
    gate = Gate([Deployment("d", model, schema=schema, target=target, **options)], keys={TOKEN: "d"})
    return Client(getattr(gate, interface), headers={"authorization": f"Bearer {TOKEN}"})


def predict_weights(table):
    return {"Weight": [1.2, 4.7, 900000, 3000][: len(table)]}


def predict_sizes(table):
    return table["Size"]


def predict_digits(table):
    scores = np.array([[3.3823929e-12, 0.99999976]] * len(table))
    return Prediction([Output("target", np.array([1] * len(table)), [0, 1], scores)])


def test_request_and_response_examples(interface):
    """ "Structure of a prediction request" and of its response, byte for byte."""
    answer = build_client(predict_weights, interface).post(PATH, json={"rows": ROWS})

    expected = b'{"rows":[{"Weight":1.2},{"Weight":4.7},{"Weight":900000.0},{"Weight":3000.0}]}'
    assert (200, expected) == (answer.status, answer.body)
    assert "application/json" == answer.header("content-type")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # "Regression problem"
        (lambda table: Prediction([Output("target", np.array([0.3740423]))]), b'{"target":0.3740423}'),
        # "Classification problem": "a JSON object that contains the score of each class"
        (predict_digits, b'{"target":{"0":3.3823929e-12,"1":0.99999976}}'),
        # Beyond the document: a classifier that tells no scores
        (lambda table: Prediction([Output("target", np.array([True]), [False, True])]), b'{"target":"true"}'),
        # "There can be more than one output feature"
        (lambda table: {"Weight": [4.7], "Name": ["dog"]}, b'{"Weight":4.7,"Name":"dog"}'),
    ],
)
def test_response_of_all_model_types(interface, model, expected):
    """ "Interpreting the API output": a number, scores of classes, several outputs."""
    answer = build_client(model, interface).post(PATH, json={"rows": ROWS[:1]})

    assert b'{"rows":[%s]}' % expected == answer.body


def test_response_of_no_rows(interface):
    assert b'{"rows":[]}' == build_client(predict_weights, interface).post(PATH, json={"rows": []}).body


def test_response_has_warnings(interface):
    """sidekick ignores them."""
    client = build_client(predict_sizes, interface, THINGS.with_options(unknown_levels="warn"))
    answer = client.post(PATH, json={"rows": [{**ROWS[0], "Type": "plant"}]})

    assert ["Type has values the model was not trained with"] == answer.json()["warnings"]


def encode_npy(array):
    """Encode an array as sidekick's NumpyEncoder does."""
    with io.BytesIO() as buffer:
        np.save(buffer, array)
        encoded = base64.b64encode(buffer.getvalue()).decode()
    return f"data:application/x.peltarion.npy;base64,{encoded}"


ONE = np.array([1.5], dtype=np.float32)


@pytest.mark.parametrize(
    "size",
    [
        {"shape": [1], "data": [1.5]},
        {"data": [1.5], "shape": [1, 1]},
        {"shape": [], "data": [1.5]},
        encode_npy(ONE),
        encode_npy(ONE.reshape(1, 1)),
        encode_npy(np.array(1.5)),
        encode_npy(np.array([1.5], dtype=">f8")),
    ],
)
def test_tensors_of_one_element_are_numbers(interface, size):
    """sidekick's FloatTensorEncoder and NumpyEncoder."""
    rows = [{**ROWS[0], "Size": size}, ROWS[1]]

    assert {"rows": [{"Weight": 1.5}, {"Weight": 1.2}]} == (
        build_client(predict_sizes, interface).post(PATH, json={"rows": rows}).json()
    )


def damage_url(url, start, piece):
    return url[:start] + piece + url[start + len(piece) :]


@pytest.mark.parametrize(
    "size",
    [
        {"shape": [2], "data": [1.5, 2]},
        {"shape": [2], "data": [1.5]},
        {"shape": [1], "data": [1.5, 2]},
        {"shape": [1], "data": []},
        {"shape": [1], "data": [1.5], "more": 1},
        {"shape": [1], "data": [[1.5]]},
        {"shape": [1], "data": ["1.5"]},
        encode_npy(np.array([1.5, 2])),
        encode_npy(np.array([np.nan])),
        encode_npy(np.array([np.inf])),
        encode_npy(np.array(["1.5"])),
        encode_npy(np.array([1.5 + 1j])),
        encode_npy(ONE)[:-8],
        encode_npy(ONE) + "AAAA",
        encode_npy(ONE) + "*",
        damage_url(encode_npy(ONE), 60, "AAAA"),
        "data:application/x.peltarion.npy;base64,",
        "data:application/x.peltarion.npy;base64,é",
        "data:image/png;base64,iVBORw0KGgo=",
    ],
)
def test_tensors_of_other_sizes_are_rejected_by_the_schema(interface, size):
    answer = build_client(predict_sizes, interface).post(PATH, json={"rows": [{**ROWS[0], "Size": size}]})

    assert 400 == answer.status
    assert answer.json()["errors"]["Size"].startswith(("must be a number", "is too large"))


def test_tensors_in_text_are_unchanged(interface):
    sound = 'the "shape" of an x.peltarion.npy'
    answer = build_client(lambda table: table["Sound"], interface).post(
        PATH, json={"rows": [{**ROWS[0], "Sound": sound}]}
    )

    assert {"rows": [{"Weight": sound}]} == answer.json()


@pytest.mark.slow
@examples(2)
@given(st.integers(40, 240), st.text("ABab+/=019", max_size=8), st.binary(max_size=90))
def test_data_urls_are_numbers_or_rejected(start, piece, data):
    """The header of an array is never evaluated."""
    url = damage_url(encode_npy(ONE), start, piece)
    other = (
        "data:application/x.peltarion.npy;base64," + base64.b64encode(b"\x93NUMPY\x01\x00" + data).decode()
    )
    client = build_client(predict_sizes, "wsgi")

    for size in (url, other):
        assert client.post(PATH, json={"rows": [{**ROWS[0], "Size": size}]}).status in (200, 400)


def raise_error(table):
    raise ValueError("a secret of the model")


def raise_unavailable(table):
    raise DeploymentUnavailable(3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "code", "options", "request_options"),
    [
        (400, "BadData", {}, {"json": {"rows": {}}}),
        (400, "BadData", {}, {"json": {}}),
        (400, "FeatureNotFound", {}, {"json": {"rows": [{"Type": "animal"}]}}),
        (400, "JsonParsingError", {}, {"body": b'{"rows": ['}),
        (400, "JsonPropertyTypeMismatch", {}, {"json": {"rows": [{**ROWS[0], "Size": "large"}]}}),
        (401, "InvalidTokenError", {}, {"headers": {"authorization": "Bearer wrong"}}),
        (403, "DeploymentNotEnabled", {"state": "paused"}, {}),
        (403, "DeploymentNotEnabled", {"state": "paused"}, {"method": "GET", "path": OPENAPI}),
        (403, "InsufficientScopeTokenError", {}, {"path": "/deployment/e/forward"}),
        (404, "ResourceNotFound", {}, {"path": "/deployment/d/backward"}),
        (415, "UnsupportedContentType", {}, {"headers": {"content-type": "image/png"}}),
        (500, "InternalError", {"model": raise_error}, {}),
        # Beyond the document
        (405, "MethodNotAllowed", {}, {"method": "PUT"}),
        (413, "BodyTooLarge", {}, {"body": b" " * (50 * 1024 * 1024 + 1)}),
        (429, "RateLimitExceeded", {"layers": [RateLimit("1/minute")]}, {}),
        (503, "InternalError", {"model": raise_unavailable}, {}),
    ],
)
def test_error_codes(interface, status, code, options, request_options):
    """ "Error responses from the API": names and statuses."""
    client = build_client(**{"model": predict_weights, "interface": interface, **options})
    body = {} if "body" in request_options else {"json": {"rows": ROWS}}
    request_options = {"method": "POST", "path": PATH, **body, **request_options}
    client.request(**request_options)
    answer = client.request(**request_options)

    assert (status, code) == (answer.status, answer.json()["errorCode"])
    assert "application/json" == answer.header("content-type")
    assert "secret" not in answer.json()["errorMessage"]
    wanted = {401: "www-authenticate", 405: "allow", 415: "accept", 429: "retry-after", 503: "retry-after"}
    assert status not in wanted or answer.header(wanted[status])


def test_error_of_missing_columns(interface):
    answer = build_client(predict_weights, interface).post(PATH, json={"rows": [{"Type": "animal"}]})

    assert {
        "errorCode": "FeatureNotFound",
        "errorMessage": "Prediction failed due to missing input data",
        "missing_columns": ["Sound", "Size"],
    } == answer.json()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b"[]", "object"),
        (b'{"rows": [], "rows": []}', "twice"),
        (b'{"rows": [{"Size": 1, "Size": 2}]}', "twice"),
        (b'{"rows": [{"Size": {"shape": [1], "data": [1]}, "Size": 2}]}', "twice"),
        (b'{"rows": [{"Size": {"shape": [1], "shape": [1], "data": [1]}}]}', "twice"),
        (b'{"rows": ["\\"shape\\""]}', "not an object"),
        (b'{"rows": [{"shape": NaN}]}', "valid JSON"),
        (b'{"rows": [{"x": {"shape": %s' % (b"[" * 100_000), "valid JSON|too deeply"),
        (b'{"rows": [{"Size": {"shape": [1], "data": [%s1%s]}}]}' % (b"[" * 40, b"]" * 40), "too deeply"),
        (b'{"rows": [], "x": %s%s}' % (b"[" * 40, b"]" * 40), "too deeply"),
        (b'{"rows": [{"shape": "\xff"}]}', "UTF-8|valid JSON"),
    ],
)
def test_bodies_with_errors_are_rejected(interface, body, message):
    answer = build_client(predict_weights, interface).post(PATH, body=body)

    assert 400 == answer.status
    assert re.search(message, answer.json()["errorMessage"])


@pytest.mark.parametrize(
    ("status", "coding", "body"),
    [
        (200, "gzip", gzip.compress(json.dumps({"rows": ROWS}).encode(), mtime=0)),
        (400, "gzip", gzip.compress(json.dumps({"rows": ROWS}).encode(), mtime=0)[:-9]),
        (413, "gzip", gzip.compress(b" " * (50 * 1024 * 1024 + 1), 1, mtime=0)),
        (415, "br", b""),
    ],
)
def test_body_limit_holds_after_decompression(interface, status, coding, body):
    client = build_client(predict_weights, interface)

    assert status == client.post(PATH, body=body, headers={"content-encoding": coding}).status


COLUMNS = Schema(
    [
        Column("a", minimum=0, maximum=9.5, description="how much"),
        Column("b", "integer", nullable=True, required=False),
        Column("c", "boolean"),
        Column("d", "text", max_length=5),
        Column("e", "text", levels=("x", "y"), nullable=True),
        Column("f", "any"),
        Column("g", "any", typical_value="word"),
        Column("h", "integer", levels=(1, 2)),
    ]
)
VALUES = {"a": 1.5, "b": 1, "c": True, "d": "word", "e": "x", "f": 0.5, "g": "word", "h": 2}


def get_document(model, interface, schema, **options):
    answer = build_client(model, interface, schema, **options).get(OPENAPI)
    assert 200 == answer.status
    return answer.json()


def read_features(properties):
    return {
        name: (schema["x-peltarion"]["type"], *schema["x-peltarion"]["shape"])
        for name, schema in properties.items()
    }


def test_openapi_inputs(interface):
    """sidekick's get_feature_specs: a number is numeric with the shape [1], a string is text."""
    schemas = get_document(predict_sizes, interface, COLUMNS)["components"]["schemas"]

    kinds = dict.fromkeys("abcfh", ("numeric", 1)) | dict.fromkeys("deg", ("text", 1))
    assert kinds == read_features(schemas["input-row"]["properties"])
    assert list("acdefgh") == schemas["input-row"]["required"]
    assert {
        "type": "number",
        "minimum": 0,
        "maximum": 9.5,
        "description": "how much",
        "x-peltarion": {"type": "numeric", "shape": [1]},
    } == schemas["input-row"]["properties"]["a"]
    assert [["x", "y", None], [1, 2]] == [schemas["input-row"]["properties"][name]["enum"] for name in "eh"]


X, LABELS = np.arange(24).reshape(12, 2) % 7, np.array([0, 1, 2] * 4)
PLAIN = Schema.of(x0=float, x1=float)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (KNeighborsRegressor(3).fit(X, LABELS), {"y": ("numeric", 1)}),
        (
            MultiOutputRegressor(KNeighborsRegressor(3)).fit(X, X),
            {"y_0": ("numeric", 1), "y_1": ("numeric", 1)},
        ),
        (LogisticRegression().fit(X, LABELS), {"y": ("categorical", 3)}),
        (LinearSVC(max_iter=10_000).fit(X, LABELS), {"y": ("text", 1)}),
        (lambda table: {"y": table["x0"]}, {"y": ("numeric", 1)}),
    ],
)
def test_openapi_outputs_match_a_response(interface, model, expected):
    """sidekick reads them in the array itself."""
    client = build_client(model, interface, PLAIN, target="y")
    document = client.get(OPENAPI).json()
    answer = client.post(PATH, json={"rows": [{"x0": 1, "x1": 2}] * 2}).json()
    schemas = document["components"]["schemas"]
    rows = schemas["output-row-batch"]["properties"]["rows"]

    assert expected == read_features(rows["properties"])
    assert {"$ref": "#/components/schemas/output-row"} == rows["items"]
    assert rows["properties"] == schemas["output-row"]["properties"]
    valid = {"$ref": "#/components/schemas/output-row-batch", "components": document["components"]}
    jsonschema.validate(answer, valid)


def test_openapi_is_valid(interface):
    """Its server is relative."""
    document = get_document(predict_sizes, interface, COLUMNS, version="3")
    body = {"$ref": "#/components/schemas/input-row-batch", "components": document["components"]}

    validate(document)
    assert {"title": "d", "version": "3"} == document["info"]
    assert [{"url": "../.."}] == document["servers"]
    assert ["/deployment/{deploymentId}/forward"] == list(document["paths"])
    assert document["paths"]["/deployment/{deploymentId}/forward"]["x-peltarion-tensorjson"] is True
    jsonschema.validate({"rows": [VALUES, {**VALUES, "b": None, "e": None}]}, body)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"rows": [{**VALUES, "a": 10}]}, body)


def test_openapi_needs_a_key(interface):
    """It is also not shown if the schema is hidden."""
    client = build_client(predict_sizes, interface)
    hidden = build_client(predict_sizes, interface, THINGS.with_options(show_schema=False))

    assert 401 == client.get(OPENAPI, headers={"authorization": ""}).status
    assert 403 == hidden.get(OPENAPI).status


CLIENT = build_client(predict_sizes, "wsgi")
GOOD = [
    json.dumps({"rows": ROWS}).encode(),
    json.dumps({"rows": [{**ROWS[0], "Size": encode_npy(ONE)}]}).encode(),
]


@pytest.mark.slow
@examples(3)
@given(
    st.sampled_from(GOOD),
    st.data(),
    st.binary(max_size=9)
    | st.sampled_from([b"NaN", b"[[", b'"', b"{", b'{"shape":[1],"data":[1]}', b"1e999"]),
)
def test_damaged_bodies_get_predictions_or_400(good, data, damage):
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    answer = CLIENT.post(PATH, body=good[:start] + damage + good[end:])

    assert answer.status in (200, 400)
    assert "rows" in answer.json() or {"errorCode", "errorMessage"} <= answer.json().keys()
