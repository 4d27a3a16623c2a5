"""Documents of the Plexe inference API.

The examples are those of the public page "Making Predictions" of docs.plexe.ai; headings in quotes
are its own.
"""

import re
import time

import numpy as np
import pytest

from modelgate import Deployment, Gate, Output, Prediction, RateLimit, ResultCache, Round, Schema
from modelgate.dialects.plexe import Plexe
from modelgate.errors import Overloaded
from modelgate.inference import Target
from modelgate.schema import Column
from modelgate.testing import Client

KEY = "YOUR_API_KEY_OF_A_DEPLOYMENT"
HEADERS = {"x-api-key": KEY}
SCHEMA = Schema.of(feature1=str, feature2=Column("feature2", "number", minimum=0, maximum=100), feature3=bool)

# "Using cURL"
ROW = {"feature1": "value1", "feature2": 42, "feature3": True}
INFER, PREDICT = "/models/your_model_name/1/infer", "/predict/your_model_name"


def predict_classes(table):
    classes = ["category_a", "category_b"]
    return Prediction(
        [
            Output(
                "category",
                np.array(["category_b"] * len(table)),
                classes,
                np.array([[0.13, 0.87]] * len(table)),
            ),
        ]
    )


def build_client(interface, function=predict_classes, schema=SCHEMA, gate=None, **options):
    deployment = Deployment("your_model_name", function, schema=schema, **options)
    return Client(getattr(Gate([deployment], keys={KEY: "*"}, **(gate or {})), interface))


@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_response_example(interface, path):
    """ "Using cURL", byte for byte apart from the id and the time, at both URLs."""
    client = build_client(interface, model_id="model_789xyz")
    answer = client.post(path, json=ROW, headers={**HEADERS, "x-request-id": "req_789012"})

    expected = (
        b'{"request_id":"req_789012","result":{"predicted_class":"category_b","confidence":0.87},'
        b'"model_id":"model_789xyz","model_version":"1","processing_time_ms":28}'
    )
    assert (200, expected) == (answer.status, re.sub(rb"\d+}$", b"28}", answer.body))
    assert 0 <= answer.json()["processing_time_ms"] < 10_000


def test_error_example(interface):
    """ "Handling Errors", byte for byte."""
    client = build_client(interface)
    answer = client.post(
        INFER, json={**ROW, "feature2": 101}, headers={**HEADERS, "x-request-id": "req_789012"}
    )

    expected = (
        b'{"error":{"code":"invalid_input","message":"Input validation failed",'
        b'"details":{"feature2":"must be a number between 0 and 100"}},"request_id":"req_789012"}'
    )
    assert (400, expected) == (answer.status, answer.body)
    assert "application/json" == answer.header("content-type")


def test_error_details_name_all_features(interface):
    client = build_client(interface, schema=SCHEMA.with_options(extra_columns="forbid"))
    answer = client.post(INFER, json={"feature1": 1, "feature_2": 42, "feature3": None}, headers=HEADERS)

    assert {
        "feature1": "must be text",
        "feature2": "is missing: was it sent as feature_2?",
        "feature3": "must not be null",
        "feature_2": "is not expected",
    } == answer.json()["error"]["details"]


def test_error_details_have_no_suggestion_for_other_missing_features(interface):
    answer = build_client(interface).post(INFER, json={"feature1": "a", "feature2": 42}, headers=HEADERS)

    assert {"feature3": "is missing"} == answer.json()["error"]["details"]


def test_error_details_have_the_rows_that_lack_a_feature(interface):
    rows = [ROW, {"feature1": "a", "feature2": 42}]
    answer = build_client(interface).post(INFER, json=rows, headers=HEADERS)

    assert {"feature3": "is missing (row 1)"} == answer.json()["error"]["details"]


def test_error_of_hidden_schema_names_no_columns(interface):
    client = build_client(interface, schema=SCHEMA.with_options(show_schema=False))
    answer = client.post(INFER, json={"feature2": "?"}, headers=HEADERS)

    assert {"code": "invalid_input", "message": "Invalid input data"} == answer.json()["error"]


def fail(table):
    raise RuntimeError("the secret recipe")


def raise_overloaded(request, call_next):
    raise Overloaded(3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "code", "options", "request_options"),
    [
        (400, "invalid_input", {}, {"json": {}}),
        (400, "invalid_input", {}, {"body": b"{"}),
        (400, "invalid_input", {}, {"body": b"7"}),
        (401, "unauthorized", {}, {"headers": {}}),
        (401, "unauthorized", {}, {"headers": {"x-api-key": "another-key-nobody-knows"}}),
        (400, "invalid_input", {}, {"headers": {**HEADERS, "authorization": "Bearer other"}}),
        (403, "forbidden", {"gate": {"keys": {KEY: "other"}}}, {}),
        (404, "not_found", {}, {"path": "/models/other/1/infer"}),
        (404, "not_found", {}, {"path": "/models/your_model_name/2/infer"}),
        (404, "not_found", {}, {"path": "/predict/other"}),
        (404, "not_found", {}, {"path": "/models/your_model_name/1"}),
        (405, "method_not_allowed", {}, {"method": "GET"}),
        (413, "body_too_large", {}, {"body": b" " * (1024 * 1024 + 1)}),
        (415, "unsupported_media_type", {}, {"headers": {**HEADERS, "content-type": "text/csv"}}),
        (429, "rate_limit_exceeded", {"gate": {"limits": RateLimit("1/day", by=lambda request: "all")}}, {}),
        (500, "prediction_error", {"function": fail}, {}),
        (503, "deployment_unavailable", {"state": "paused"}, {}),
        (503, "overloaded", {"layers": [raise_overloaded]}, {}),
    ],
)  # fmt: skip
def test_error_codes(interface, status, code, options, request_options):
    """ "Common Error Codes", and the codes of errors that the page does not have."""
    options = {**options, "gate": {"keys": {KEY: "*"}, **options.get("gate", {})}}
    deployment = {name: value for name, value in options.items() if name not in ("gate", "function")}
    gate = Gate(
        [
            Deployment(
                "your_model_name", options.get("function", predict_classes), schema=SCHEMA, **deployment
            )
        ],
        dialects=["plexe"],
        **options["gate"],
    )
    client = Client(getattr(gate, interface))
    request_options = {"method": "POST", "path": INFER, "json": ROW, "headers": HEADERS, **request_options}
    if "body" in request_options:
        del request_options["json"]
    method, path = request_options.pop("method"), request_options.pop("path")
    if status == 429:
        client.request(method, path, **request_options)
    answer = client.request(method, path, **request_options)

    error = answer.json()
    assert (status, code) == (answer.status, error["error"]["code"])
    assert answer.header("x-request-id") == error["request_id"]
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ([2.675], 2.675),
        ([3], 3),
        ({"a": [1.239], "b": ["x"]}, {"a": 1.239, "b": "x"}),
        (Prediction([Output("label", np.array(["x"]), ["x", "y"])]), {"predicted_class": "x"}),
    ],
    ids=["a number", "a whole number", "several outputs", "a label without probabilities"],
)
def test_response_of_other_models(interface, result, expected):
    """The page only has a classifier."""
    answer = build_client(interface, lambda table: result).post(INFER, json=ROW, headers=HEADERS)

    assert expected == answer.json()["result"]


def test_response_of_several_rows(interface):
    answer = build_client(interface).post(INFER, json=[ROW, ROW], headers=HEADERS)

    assert [{"predicted_class": "category_b", "confidence": 0.87}] * 2 == answer.json()["result"]


def test_response_has_warnings_and_the_time(interface):
    """Not as in the document, which has no warnings, and only if there are any."""
    schema = Schema.of(feature1=["a", "b"]).with_options(unknown_levels="warn")

    def predict_slowly(table):
        time.sleep(0.05)
        return predict_classes(table)

    client = build_client(interface, predict_slowly, schema)
    known, unknown = (client.post(INFER, json={"feature1": text}, headers=HEADERS).json() for text in "ax")

    assert ["feature1 has values the model was not trained with"] == unknown["warnings"]
    assert "warnings" not in known
    assert 50 <= known["processing_time_ms"]


def test_result_cache_answers_identical_inputs(interface):
    """ "Consider caching prediction results for identical inputs": per deployment."""
    calls = []

    def counted(name, value):
        def function(table):
            calls.append(name)
            return [value] * len(table)

        return Deployment(name, function, schema=SCHEMA, scoring_layers=[Round(1), shared])

    shared = ResultCache()
    gate = Gate([counted("one", 1.26), counted("two", 2.0)], keys={KEY: "*"})
    client = Client(getattr(gate, interface))
    results = [
        client.post(f"/predict/{name}", json=ROW, headers=HEADERS).json()["result"]
        for name in ("one", "two", "one", "two", "one")
    ]

    assert [1.3, 2.0, 1.3, 2.0, 1.3] == results
    assert ["one", "two"] == calls


NUMBER = {"type": "number"}


def object_of(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    ("targets", "row"),
    [
        ([Target("score", number=True)], NUMBER),
        ([Target("label", ["a", "b"])], object_of(predicted_class={"enum": ["a", "b"]})),
        (
            [Target("score", number=True), Target("animal", ["cat"], probabilities=True)],
            object_of(score=NUMBER, animal=object_of(predicted_class={"enum": ["cat"]}, confidence=NUMBER)),
        ),
    ],
    ids=["number", "class", "both"],
)
def test_openapi_response_has_a_result_or_an_array_of_results(targets, row):
    """Only a class with probabilities has a confidence, and not every response has warnings."""
    expected = object_of(
        request_id={"type": ["string", "null"]},
        result={"anyOf": [row, {"type": "array", "items": row}]},
        model_id={"type": "string"},
        model_version={"type": "string"},
        processing_time_ms={"type": "integer"},
    )
    expected["properties"]["warnings"] = {"type": "array", "items": {"type": "string"}}

    assert expected == Plexe.openapi_spec.answer(targets)
