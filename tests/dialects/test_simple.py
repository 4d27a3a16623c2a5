"""Documents of the article "APIs for Machine Learning" (Neurootix); headings in quotes are its own."""

import msgspec
import numpy as np
import pytest

from modelgate import ConfigurationError, Deployment, Gate, Output, Prediction, Schema
from modelgate.dialects.simple import Simple
from modelgate.inference import Target
from modelgate.testing import Client

KEY = "a-key-of-sufficient-length"
HEADERS = {"authorization": f"Bearer {KEY}"}
IRIS = Schema.of(sepal_length=float, sepal_width=float, petal_length=float, petal_width=float)

# "Step 2: Call the API (Client Side)"
VALUES = [5.1, 3.5, 1.4, 0.2]
ROW = dict(zip(IRIS.names, VALUES, strict=True))


def predict_cat(table):
    assert VALUES == table.to_array()[0].tolist()
    probabilities = np.array([[0.08, 0.92]] * len(table))
    return Prediction([Output("animal", np.array(["cat"] * len(table)), ["dog", "cat"], probabilities)])


def build_client(interface, function=predict_cat, schema=IRIS, **options):
    gate = Gate([Deployment("animal", function, schema=schema, **options)], keys={KEY: "animal"})
    return Client(getattr(gate, interface))


@pytest.mark.parametrize(
    "body",
    [{"data": VALUES}, VALUES, ROW, {"data": ROW}],
    ids=["the article's client", "the article's server", "by name", "by name, as data"],
)
def test_response_of_one_row(interface, body):
    """ "Why JSON Is Used in ML APIs": the typical response, byte for byte, for each form of a request."""
    answer = build_client(interface).post("/simple/animal", json=body, headers=HEADERS)

    assert (200, b'{"prediction":"cat","confidence":0.92}') == (answer.status, answer.body)


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ([VALUES] * 2, 2),
        ({"data": [VALUES] * 3}, 3),
        ([ROW], 1),
        ({"data": [ROW, ROW]}, 2),
        ([], 0),
        ({"data": []}, 0),
    ],
)
def test_response_of_many_rows_is_an_array(interface, body, rows):
    """Also for one row, or none."""
    answer = build_client(interface).post("/simple/animal", json=body, headers=HEADERS)

    assert (200, rows) == (answer.status, len(answer.json()))
    assert all(row["prediction"] == "cat" for row in answer.json())


def test_deployment_endpoint(interface):
    """ "Common Use Cases of ML APIs": POST /detect-fraud."""
    client = build_client(interface, endpoint="/detect-fraud")

    assert 200 == client.post("/detect-fraud", json={"data": VALUES}, headers=HEADERS).status
    assert 401 == client.post("/detect-fraud", json={"data": VALUES}).status
    assert 405 == client.request("GET", "/detect-fraud", headers=HEADERS).status


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ([2.675], b'{"prediction":2.675}'),
        ([3], b'{"prediction":3}'),
        ({"a": [1.239], "b": ["x"]}, b'{"prediction":{"a":1.239,"b":"x"}}'),
        (
            Prediction(
                [
                    Output("a", np.array([1.5])),
                    Output("b", np.array([True]), [False, True], np.array([[0.25, 0.75]])),
                ]
            ),
            b'{"prediction":{"a":1.5,"b":true},"confidence":{"b":0.75}}',
        ),
    ],
    ids=["a number", "a whole number", "several outputs", "several outputs, one a class"],
)
def test_response_of_other_models(interface, result, expected):
    answer = build_client(interface, lambda table: result).post("/simple/animal", json=ROW, headers=HEADERS)

    assert expected == answer.body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[5.1, 3.5]", "Row 0 has 2 values: send 4, one for each column"),
        (b"[[5.1, 3.5, 1.4, 0.2], [1]]", "Row 1 has 1 values: send 4, one for each column"),
        (b"[5.1, 3.5, 1.4, null]", "Invalid input data: petal_width must not be null"),
        (b'["5.1", 3.5, 1.4, 0.2]', "Invalid input data: sepal_length must be a number, without quotes"),
        (b"[5.1, 3.5, 1.4, [0.2]]", "Invalid input data: petal_width must be a number"),
        (b"7", "Row 0 is not an object of column names and values"),
        (b'{"data": 7}', "Prediction failed due to missing input data"),
        (b'{"data": [1, 2, 3, 4], "data": [1, 2, 3, 4]}', "An object in the JSON body names a member twice: remove one"),
        (b"", "The body is empty: send a JSON object"),
    ],
)  # fmt: skip
def test_errors_say_what_to_send(interface, body, message):
    answer = build_client(interface).post("/simple/animal", body=body, headers=HEADERS)

    assert (400, message) == (answer.status, answer.json()["error"].partition(". Example")[0])


def test_error_of_mixed_items_names_the_position(interface):
    body = b"[[5.1, 3.5, 1.4, 0.2], 7]"
    answer = build_client(interface).post("/simple/animal", body=body, headers=HEADERS)
    with pytest.raises(msgspec.ValidationError) as info:
        msgspec.json.decode(body, type=list[list])

    assert (400, f"The JSON body has the wrong shape: {info.value}") == (
        answer.status,
        answer.json()["error"],
    )


def test_column_named_data(interface):
    """Its value is neither an array nor an object, unlike rows."""
    client = build_client(interface, lambda table: table["data"] + 1, Schema.of(data=float))

    assert {"prediction": 42.0} == client.post("/simple/animal", json={"data": 41}, headers=HEADERS).json()


@pytest.mark.parametrize(
    ("deployments", "options", "message"),
    [
        ([{"endpoint": "detect"}], {}, "endpoint must be a path such as '/detect-fraud'"),
        ([{"endpoint": "/{key}"}], {}, "endpoint must be a path such as '/detect-fraud' (got '/{key}')"),
        (
            [{"endpoint": "/a"}, {"endpoint": "/a"}],
            {},
            "endpoint must be a path that is not in use (got '/a'",
        ),
        (
            [{"endpoint": "/api/predict"}],
            {},
            "endpoint must be a path that is not in use (got '/api/predict'",
        ),
        ([{"endpoint": "/a"}], {"dialects": ["plexe"]}, "endpoint '/a' needs the dialect simple"),
    ],
)
def test_deployment_endpoints_are_checked(deployments, options, message):
    with pytest.raises(ConfigurationError) as info:
        Gate(
            [
                Deployment(f"d{index}", predict_cat, schema=IRIS, **more)
                for index, more in enumerate(deployments)
            ],
            keys="open",
            **options,
        )

    assert str(info.value).startswith(message)


def test_error_of_the_server_has_the_request_id(interface):
    client = build_client(interface, lambda table: 1 / 0)
    answer = client.post("/simple/animal", json=ROW, headers={**HEADERS, "x-request-id": "ours"})

    assert (500, "ours") == (answer.status, answer.json()["request_id"])


NUMBER = {"type": "number"}
SCORE, ANIMAL = Target("score", number=True), Target("animal", ["cat", "dog"], probabilities=True)


def object_of(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    ("targets", "row"),
    [
        ([SCORE], object_of(prediction=NUMBER)),
        ([ANIMAL], object_of(prediction={"enum": ["cat", "dog"]}, confidence=NUMBER)),
        (
            [SCORE, ANIMAL],
            object_of(
                prediction=object_of(score=NUMBER, animal={"enum": ["cat", "dog"]}),
                confidence=object_of(animal=NUMBER),
            ),
        ),
    ],
    ids=["number", "class", "both"],
)
def test_openapi_response_is_a_row_or_an_array_of_rows(targets, row):
    """Only a class with probabilities has a confidence."""
    assert {"anyOf": [row, {"type": "array", "items": row}]} == Simple.openapi_spec.answer(targets)
