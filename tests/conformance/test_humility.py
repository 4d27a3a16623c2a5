"""Humility rules in every wire format and through every mount."""

import json

import numpy as np
import pytest

from modelgate import Deployment, Gate, Output, Prediction, Schema
from modelgate.humility import NoOperation, OutlyingInput, OverridePrediction, ThrowError, UncertainPrediction
from support.keys import KEY
from support.mounts import Mounted
from support.openapi import OpenAPIDocument
from support.wire_formats import NUMBERS_IN, REQUESTS, request_of

JSON = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
SENT = [5, 60, 7]


def serve(mount, *rules, model=lambda table: table["x0"] * 2, **options):
    deployment = Deployment("m", model, schema=Schema.of(x0=float), humility=rules, decimals=None, **options)
    return Mounted(mount, Gate([deployment], keys={KEY: "m"}))


@pytest.mark.slow
@pytest.mark.parametrize("dialect", REQUESTS)
def test_override_reaches_every_wire_format(mount, dialect):
    """As a number, and as the OpenAPI document describes it."""
    served = serve(mount, OutlyingInput("x0", upper=50, action=OverridePrediction(-1)))
    path, body = request_of(dialect, SENT)
    answer = served.post(path, body=body, headers=JSON)

    assert [10, -1, 14] == NUMBERS_IN[dialect](answer.json())
    document = OpenAPIDocument(served.request("GET", "/deployments/m/openapi.json", headers=JSON).json())
    document.check_response(document.find_operation(dialect), answer)
    if dialect == "open_inference":
        assert "FP64" == answer.json()["outputs"][0]["datatype"]


@pytest.mark.slow
@pytest.mark.parametrize("rule", [OutlyingInput("x0", upper=50), UncertainPrediction(upper=100)])
@pytest.mark.parametrize("dialect", REQUESTS)
def test_throw_error_rejects_the_whole_request(mount, dialect, rule):
    """One row of a thousand, and no prediction in the response. 480 needs no standard reason phrase."""
    served = serve(mount, type(rule)(**rule.options, action=ThrowError()))
    path, body = request_of(dialect, [70 if index == 567 else 21 for index in range(1000)])
    answer = served.post(path, body=body, headers=JSON)

    assert 480 == answer.status
    assert b"Humility ReturnError action triggered." in answer.body
    assert b"42.0" not in answer.body
    assert b"140.0" not in answer.body


def test_native_reports_rules_and_the_models_prediction(mount):
    rules = [
        UncertainPrediction(upper=100, name="high", rule_id="5ebad4735f11b33a38ff3e0d"),
        OutlyingInput("x0", upper=50, name="old", rule_id="5" * 24, action=OverridePrediction(7)),
    ]
    served = serve(mount, *rules)
    path, body = request_of("native", SENT)
    as_json = served.post(path, body=body, headers=JSON).json()["predictions"]
    as_lines = served.post(path, body=body, headers={**JSON, "accept": "application/x-ndjson"}).body
    as_csv = served.post(path, body=body, headers={**JSON, "accept": "text/csv"}).body

    expected = [
        {"prediction": 10.0},
        {
            "prediction": 7.0,
            "humility": [
                {"rule_id": "5ebad4735f11b33a38ff3e0d", "name": "high", "action": "no_operation"},
                {"rule_id": "5" * 24, "name": "old", "action": "override"},
            ],
            "model_prediction": 120.0,
        },
        {"prediction": 14.0},
    ]
    assert expected == as_json
    assert expected == [json.loads(line) for line in as_lines.splitlines()]
    assert b"prediction,humility\n10.0,\n7.0,high; old\n14.0,\n" == as_csv


def test_native_describes_a_rejected_request(mount):
    served = serve(mount, OutlyingInput("x0", upper=50, action=ThrowError()))
    path, body = request_of("native", SENT)
    answer = served.post(path, body=body, headers=JSON)
    content = answer.json()

    assert content.pop("request_id")
    assert {
        "type": "about:blank",
        "title": "Error",
        "status": 480,
        "code": "humility_error",
        "detail": "Humility ReturnError action triggered.",
        "rows": [1],
    } == content
    document = OpenAPIDocument(served.request("GET", "/deployments/m/openapi.json", headers=JSON).json())
    document.check_response(document.find_operation("native"), answer)


def classify(table):
    risk = table["x0"] / 100
    labels = np.where(risk >= 0.5, "yes", "no")
    return Prediction([Output("m", labels, ["no", "yes"], np.column_stack([1 - risk, risk]))])


@pytest.mark.parametrize("action", [NoOperation(), OverridePrediction("no")], ids=["report", "override"])
def test_probabilities_stay_those_of_the_model(mount, action):
    """Also the threshold 0.5, which the labels of the model agree with."""
    served = serve(mount, UncertainPrediction(0.4, 0.6, action=action), model=classify)
    path, body = request_of("datarobot", SENT)
    rows = served.post(path, body=body, headers=JSON).json()["data"]

    expected = "yes" if isinstance(action, NoOperation) else "no"
    assert [("no", 0.5), (expected, 0.5), ("no", 0.5)] == [
        (row["prediction"], row["predictionThreshold"]) for row in rows
    ]
    assert [0.05, 0.6, 0.07] == [row["predictionValues"][0]["value"] for row in rows]
    assert [False, True, False] == ["humility" in row for row in rows]
