"""Documents of the Plexe inference API.

The examples are those of the public page "Making Predictions" of docs.plexe.ai; headings in quotes
are its own.
"""

import re

import numpy as np
import pytest

from modelgate import Deployment, Gate, Output, Prediction, RateLimit, ResultCache, Round, Schema
from modelgate.errors import Overloaded
from modelgate.schema import Column
from modelgate.testing import Client

KEY = "YOUR_API_KEY_OF_A_DEPLOYMENT"
HEADERS = {"x-api-key": KEY}
SCHEMA = Schema.of(feature1=str, feature2=Column("feature2", "number", minimum=0, maximum=100), feature3=bool)

# "Using cURL"
ROW = {"feature1": "value1", "feature2": 42, "feature3": True}
INFER, PREDICT = "/models/your_model_name/1/infer", "/predict/your_model_name"


def classifier(table):
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


def client_of(interface, function=classifier, schema=SCHEMA, gate=None, **options):
    deployment = Deployment("your_model_name", function, schema=schema, **options)
    return Client(getattr(Gate([deployment], keys={KEY: "*"}, **(gate or {})), interface))


@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_response(interface, path):
    """ "Using cURL", byte for byte but for the id and the time, at both URLs the page shows."""
    client = client_of(interface, model_id="model_789xyz")
    answer = client.post(path, json=ROW, headers={**HEADERS, "x-request-id": "req_789012"})

    expected = (
        b'{"request_id":"req_789012","result":{"predicted_class":"category_b","confidence":0.87},'
        b'"model_id":"model_789xyz","model_version":"1","processing_time_ms":28}'
    )
    assert (200, expected) == (answer.status, re.sub(rb"\d+}$", b"28}", answer.body))
    assert 0 <= answer.json()["processing_time_ms"] < 10_000


def test_error(interface):
    """ "Handling Errors": code, message and details by feature, byte for byte."""
    client = client_of(interface)
    answer = client.post(
        INFER, json={**ROW, "feature2": 101}, headers={**HEADERS, "x-request-id": "req_789012"}
    )

    expected = (
        b'{"error":{"code":"invalid_input","message":"Input validation failed",'
        b'"details":{"feature2":"must be a number between 0 and 100"}},"request_id":"req_789012"}'
    )
    assert (400, expected) == (answer.status, answer.body)
    assert "application/json" == answer.header("content-type")


def test_details_name_every_fault(interface):
    """What is missing, what is wrong and what is not expected, each below its feature."""
    client = client_of(interface, schema=SCHEMA.reading(extra="forbid"))
    answer = client.post(INFER, json={"feature1": 1, "feature_2": 42, "feature3": None}, headers=HEADERS)

    assert {
        "feature1": "must be text",
        "feature2": "is missing: did you mean it by feature_2?",
        "feature3": "must not be null",
        "feature_2": "is not expected",
    } == answer.json()["error"]["details"]


def test_a_schema_that_is_hidden_stays_hidden(interface):
    """`Policy.reveal` holds here too."""
    client = client_of(interface, schema=SCHEMA.reading(reveal=False))
    answer = client.post(INFER, json={"feature2": "?"}, headers=HEADERS)

    assert {"code": "invalid_input", "message": "Invalid input data"} == answer.json()["error"]


def failing(table):
    raise RuntimeError("the secret recipe")


def refuse(request, call_next):
    raise Overloaded(3)


@pytest.mark.parametrize(
    ("status", "code", "options", "asked"),
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
        (500, "prediction_error", {"function": failing}, {}),
        (503, "deployment_unavailable", {"state": "paused"}, {}),
        (503, "overloaded", {"layers": [refuse]}, {}),
    ],
)  # fmt: skip
def test_error_codes(interface, status, code, options, asked):
    """ "Common Error Codes", and beside them those of faults the page does not have."""
    options = {**options, "gate": {"keys": {KEY: "*"}, **options.get("gate", {})}}
    deployment = {name: value for name, value in options.items() if name not in ("gate", "function")}
    gate = Gate(
        [Deployment("your_model_name", options.get("function", classifier), schema=SCHEMA, **deployment)],
        dialects=["plexe"],
        **options["gate"],
    )
    client = Client(getattr(gate, interface))
    asked = {"method": "POST", "path": INFER, "json": ROW, "headers": HEADERS, **asked}
    if "body" in asked:
        del asked["json"]
    method, path = asked.pop("method"), asked.pop("path")
    if status == 429:
        client.request(method, path, **asked)
    answer = client.request(method, path, **asked)

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
def test_results_of_other_models(interface, result, expected):
    """The page shows a classifier alone."""
    answer = client_of(interface, lambda table: result).post(INFER, json=ROW, headers=HEADERS)

    assert expected == answer.json()["result"]


def test_several_rows(interface):
    """Beyond the page: an array of rows has an array of results."""
    answer = client_of(interface).post(INFER, json=[ROW, ROW], headers=HEADERS)

    assert [{"predicted_class": "category_b", "confidence": 0.87}] * 2 == answer.json()["result"]


def test_identical_inputs_are_answered_from_memory(interface):
    """ "Consider caching prediction results for identical inputs": each deployment has its own."""
    calls = []

    def counted(name, value):
        def function(table):
            calls.append(name)
            return [value] * len(table)

        return Deployment(name, function, schema=SCHEMA, scoring=[Round(1), shared])

    shared = ResultCache()
    gate = Gate([counted("one", 1.26), counted("two", 2.0)], keys={KEY: "*"})
    client = Client(getattr(gate, interface))
    results = [
        client.post(f"/predict/{name}", json=ROW, headers=HEADERS).json()["result"]
        for name in ("one", "two", "one", "two", "one")
    ]

    assert [1.3, 2.0, 1.3, 2.0, 1.3] == results
    assert ["one", "two"] == calls
