"""Documents of the ML Clever Prediction API.

The examples are those of the public page "Documentation > Predictions > Prediction API" of ML
Clever, as last updated on 5/3/2025; headings in quotes are its own.
"""

import numpy as np
import pytest

import modelgate
from modelgate import Deployment, Gate, Output, Prediction, Schema
from modelgate.dialects.mlclever import MLClever
from modelgate.inference import Target
from modelgate.scoring import Query
from modelgate.testing import Client, request

KEY = "YOUR_API_KEY_OF_A_DEPLOYMENT"
SCHEMA = Schema.of(feature1_name=str, feature2_name=float, categorical_feature=["category_A", "category_B"])

# "Request Body Structure", "Using cURL"
INPUT_DATA = {"feature1_name": "value1", "feature2_name": 123.45, "categorical_feature": "category_A"}
DOCUMENT = {"api_key": KEY, "input_data": INPUT_DATA}


def build_client(function, interface, schema=SCHEMA, **options):
    gate = Gate([Deployment("d", function, schema=schema, **options)], keys={KEY: "d"})
    return Client(getattr(gate, interface))


def predict_label_and_number(table):
    probabilities = np.array([[0.95, 0.85, 0.10]])
    classes = ["PredictedClassA", "PredictedClassB", "PredictedClassC"]
    return Prediction(
        [
            Output("label", np.array(["PredictedClassA"], dtype=object), classes, probabilities),
            Output("score", np.array([0.847])),
        ]
    )


def test_response_of_several_outputs(interface):
    """ "Success Response": a label and a number, byte for byte."""
    answer = build_client(predict_label_and_number, interface).post("/api/predict", json=DOCUMENT)

    expected = b'{"predictions":["PredictedClassA",0.85],"confidence_intervals":[0.95,0.85,0.1]}'
    assert (200, expected) == (answer.status, answer.body)


def test_key_in_path_or_body(interface):
    """ "Endpoint Details" has the key in the URL, the example request in the body."""
    client = build_client(predict_label_and_number, interface)

    assert client.post(f"/api/predict/{KEY}", json={"input_data": INPUT_DATA}).status == 200
    assert client.post(f"/api/predict/{KEY}", json=DOCUMENT).status == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/api/predict/{KEY}", {}),
        ("/api/predict", {"x-api-key": KEY}),
        ("/api/predict", {"authorization": f"Bearer {KEY}"}),
    ],
    ids=["path", "x-api-key", "bearer"],
)
@pytest.mark.parametrize(
    ("key", "status"), [(KEY, 200), ("another-key-of-this-length", 400), (7, 400), (None, 200)], ids=str
)
def test_key_in_body_must_be_the_one_outside(interface, path, headers, key, status):
    """As for other members, null is the same as no key."""
    client = build_client(predict_label_and_number, interface)
    answer = client.post(path, json={"api_key": key, "input_data": INPUT_DATA}, headers=headers)

    assert status == answer.status
    assert status == 200 or "Two different API keys were sent: send one" == answer.json()["error"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"input_data": 7}, "input_data must be an object of feature names and values"),
        ({"input_data": "7"}, "input_data must be an object of feature names and values"),
        (
            {"input_data": ' {"a": 1}'},
            "input_data is a text that contains JSON: it was encoded twice, so send the object or array itself",
        ),
        ({}, "input_data is missing: send an object of feature names and values"),
        ({"input_data": INPUT_DATA, "deployment": 7}, "deployment must be text"),
    ],
    ids=["number", "text", "encoded twice", "missing", "deployment"],
)
def test_error_of_malformed_members(interface, members, message):
    """Only the error of a missing member has an example."""
    client = build_client(predict_label_and_number, interface)
    error = client.post("/api/predict", json={"api_key": KEY, **members}).json()["error"]

    assert message == error.partition(". Example")[0]
    assert ("Example" in error) == ("missing" in message)


@pytest.mark.parametrize(("name", "status"), [("d", 200), (None, 200), ("other", 404)])
def test_deployment_in_body_is_used(interface, name, status):
    deployment = Deployment("d", predict_label_and_number, schema=SCHEMA)
    client = Client(getattr(Gate([deployment], keys={KEY: "*"}), interface))

    assert status == client.post("/api/predict", json={**DOCUMENT, "deployment": name}).status


def test_response_rounds_regression(interface):
    """ "For regression, it's the predicted numerical value (rounded to 2 decimal places if numeric)"."""
    answer = build_client(lambda table: [2.675], interface).post("/api/predict", json=DOCUMENT)

    assert answer.body == b'{"predictions":[2.67]}'


@pytest.mark.parametrize(
    ("result", "body"),
    [
        ([3], b"3"),
        ([1e21], b"1e21"),
        ([-0.001], b"0.0"),
        (["0.857"], b'"0.857"'),
        ([True], b"true"),
        (np.array([0.1234567], dtype=np.float32), b"0.12"),
        (np.array([[1.005, 2.0]]), b"1.0,2.0"),
        ({"a": [1.239], "b": ["x"]}, b'1.24,"x"'),
    ],
)
def test_response_keeps_value_types(interface, result, body):
    answer = build_client(lambda table: result, interface).post("/api/predict", json=DOCUMENT)

    assert b'{"predictions":[%s]}' % body == answer.body


def test_error_of_missing_columns(interface):
    """ "Error Responses", the first example."""
    schema = Schema.of(feature1_name=str, feature3_name=float, feature4_name=float)
    document = {"api_key": KEY, "input_data": {"feature1_name": "value1"}}
    answer = build_client(predict_label_and_number, interface, schema).post("/api/predict", json=document)

    expected = (
        b'{"error":"Prediction failed due to missing input data",'
        b'"missing_columns":["feature3_name","feature4_name"]}'
    )
    assert (400, expected) == (answer.status, answer.body)


def test_error_of_invalid_key(interface):
    """ "Error Responses", the second example."""
    answer = build_client(predict_label_and_number, interface).post(
        "/api/predict", json={**DOCUMENT, "api_key": "wrong"}
    )

    assert (answer.status, answer.body) == (401, b'{"error":"Invalid API key"}')


def raise_error(table):
    raise ValueError


@pytest.mark.parametrize(
    ("status", "options", "document"),
    [
        (200, {}, DOCUMENT),
        (400, {}, {"api_key": KEY}),
        (400, {}, {**DOCUMENT, "input_data": {**INPUT_DATA, "feature2_name": "123.45"}}),
        (400, {}, {**DOCUMENT, "input_data": {}}),
        (401, {}, {"input_data": INPUT_DATA}),
        (401, {}, {**DOCUMENT, "api_key": "wrong"}),
        (403, {"state": "paused"}, DOCUMENT),
        (500, {"model": raise_error}, DOCUMENT),
    ],
)
def test_error_status_codes(interface, status, options, document):
    """ "Common HTTP Status Codes", except 404 and 429, which follow."""
    options = {"model": predict_label_and_number, **options}
    client = build_client(options.pop("model"), interface, **options)

    assert status == client.post("/api/predict", json=document).status


def test_error_of_unknown_model(interface):
    """404: "The model associated with the API key could not be found"."""
    gate = Gate([], keys={KEY: "gone"})
    answer = Client(getattr(gate, interface)).post("/api/predict", json=DOCUMENT)

    assert (answer.status, answer.json()["error"]) == (404, "Deployment 'gone' could not be found")


def test_rate_limit_defaults():
    """ "Rate Limiting": 1,000,000 a minute and 10,000,000 a day."""
    answer = build_client(predict_label_and_number, "wsgi").post("/api/predict", json=DOCUMENT)

    assert (
        answer.header("x-ratelimit-limit"),
        answer.header("x-ratelimit-remaining"),
    ) == ("1000000", "999999")


def test_response_of_several_rows_and_outputs(interface):
    def both(table):
        return {"a": table["feature2_name"], "b": ["x"] * len(table)}

    rows = [{**INPUT_DATA, "feature2_name": number} for number in (1, 2)]
    answer = build_client(both, interface).post("/api/predict", json={"api_key": KEY, "input_data": rows})

    assert answer.json() == {"predictions": [[1.0, "x"], [2.0, "x"]]}


def test_confidence_intervals_are_joined_over_outputs_and_listed_by_row(interface):
    """For one row, they are the list of its probabilities."""

    def build(*names):
        def predict(table):
            first = table["feature2_name"] / 4
            tables = np.column_stack([first, 1 - first])
            return Prediction(
                [Output(name, np.array(["x"] * len(table)), ["x", "y"], tables) for name in names]
            )

        return build_client(predict, interface)

    rows = [{**INPUT_DATA, "feature2_name": number} for number in (1, 2)]
    answers = [
        client.post("/api/predict", json={"api_key": KEY, "input_data": data}).json()["confidence_intervals"]
        for client in (build("a"), build("a", "b"))
        for data in (rows, rows[0])
    ]

    assert [
        [[0.25, 0.75], [0.5, 0.5]],
        [0.25, 0.75],
        [[0.25, 0.75, 0.25, 0.75], [0.5, 0.5, 0.5, 0.5]],
        [0.25, 0.75, 0.25, 0.75],
    ] == answers


def test_response_has_warnings_if_there_are_any(interface):
    schema = Schema.of(plan=["a", "b"]).with_options(unknown_levels="warn")
    client = build_client(lambda table: [1.0], interface, schema)
    known, unknown = (
        client.post("/api/predict", json={"api_key": KEY, "input_data": {"plan": text}}).json()
        for text in "ax"
    )

    assert {"predictions": [1.0]} == known
    assert ["plan has values the model was not trained with"] == unknown["warnings"]


@pytest.mark.parametrize(
    ("cache_hit", "expected"),
    [(True, [("x-model-cache-hit", "true")]), (False, [("x-model-cache-hit", "false")]), (None, [])],
)
def test_response_has_a_header_on_the_model_cache(cache_hit, expected):
    prediction = Prediction([Output("y", np.array([1.0]))], cache_hit)
    headers = MLClever().encode(request(), Query(b"{}", single=True), prediction).headers

    assert expected == [field for field in headers if field[0] == "x-model-cache-hit"]


def test_dialect_is_found_by_name():
    assert modelgate.Gate(dialects=["mlclever"], keys="open")


def test_error_of_the_server_has_the_request_id(interface):
    client = build_client(lambda table: 1 / 0, interface)
    answer = client.post("/api/predict", json=DOCUMENT, headers={"x-request-id": "ours"})

    assert (500, "ours") == (answer.status, answer.json()["request_id"])


NUMBER = {"type": "number"}
SCORE, ANIMAL = Target("score", number=True), Target("animal", ["cat"], probabilities=True)
PROBABILITIES = {
    "type": "array",
    "items": {"anyOf": [NUMBER, {"type": "array", "items": NUMBER}]},
    "description": "Probability of each class; for several rows, an array of these per row",
}


@pytest.mark.parametrize(
    ("targets", "item", "others"),
    [
        ([SCORE], NUMBER, {}),
        ([ANIMAL], {"enum": ["cat"]}, {"confidence_intervals": PROBABILITIES}),
        (
            [SCORE, ANIMAL],
            {
                "anyOf": [
                    NUMBER,
                    {"enum": ["cat"]},
                    {
                        "type": "array",
                        "items": {"anyOf": [NUMBER, {"enum": ["cat"]}]},
                        "minItems": 2,
                        "maxItems": 2,
                    },
                ]
            },
            {"confidence_intervals": PROBABILITIES},
        ),
    ],
    ids=["number", "class", "both"],
)
def test_openapi_response_has_an_array_of_predictions(targets, item, others):
    """Several outputs of one row are items, those of several rows are arrays."""
    members = {"predictions": {"type": "array", "items": item}, **others}
    warnings = {"type": "array", "items": {"type": "string"}}

    assert {
        "type": "object",
        "properties": {**members, "warnings": warnings},
        "required": ["predictions"],
    } == MLClever.openapi_spec.answer(targets)
