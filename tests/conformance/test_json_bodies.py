"""JSON as pandas, R and other programs write it, through every mount."""

import json

import numpy as np
import pandas
import pytest
from sklearn.tree import DecisionTreeRegressor

from modelgate import Deployment, Gate, Schema
from modelgate.dialects import DIALECTS, render_request
from support.keys import KEY, OTHER_KEY
from support.mounts import Mounted

FRAME = pandas.DataFrame({"age": np.arange(60.0) % 7, "income": np.arange(60.0)})
MODEL = DecisionTreeRegressor(random_state=0).fit(FRAME, FRAME["income"] * 3 + FRAME["age"])
SCHEMA = Schema.of(age=float, income=float)
ROWS = FRAME[40:43]
EXPECTED = MODEL.predict(ROWS).tolist()
PREDICTIONS = {
    "/deployments/m/predict": lambda answer: [row["prediction"] for row in answer["predictions"]],
    "/simple/m": lambda answer: [row["prediction"] for row in answer],
    "/predict/m": lambda answer: answer["result"],
    "/api/predict": lambda answer: answer["predictions"],
    "/deployments/m/predictions": lambda answer: [row["prediction"] for row in answer["data"]],
    "/mlflow/m/invocations": lambda answer: answer["predictions"],
    "/v1/models/m:predict": lambda answer: answer["outputs"],
}
"""Predictions in a response, by the path of each wire format that has rows or columns as an object."""


@pytest.fixture(scope="module")
def served(mount):
    return Mounted(mount, Gate([Deployment("m", MODEL, decimals=None)], keys={KEY: "m"}, limits=None))


def post(served, path, rows):
    """Post the JSON text *rows* in the envelope of the wire format at *path*."""
    envelope = {
        "/api/predict": "input_data",
        "/mlflow/m/invocations": "inputs",
        "/v1/models/m:predict": "inputs",
    }
    body = f'{{"{envelope[path]}": {rows}}}' if path in envelope else rows
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    return served.post(path, body=body.encode(), headers=headers)


@pytest.mark.slow
@pytest.mark.parametrize("path", PREDICTIONS)
@pytest.mark.parametrize(
    "rows",
    [
        ROWS.to_json(),
        json.dumps(ROWS.to_dict("list")),
        ROWS[["income", "age"]].to_json(indent=1),
        ROWS.to_json(orient="split"),
        ROWS.to_json(orient="split", index=False),
    ],
    ids=["to_json", "lists", "another order", "split", "split without index"],
)
def test_object_of_columns_is_scored(served, path, rows):
    """With the row numbers of a part of a frame."""
    answer = post(served, path, rows)

    assert (200, EXPECTED) == (answer.status, PREDICTIONS[path](answer.json()))


@pytest.mark.slow
@pytest.mark.parametrize("path", PREDICTIONS)
@pytest.mark.parametrize("count", [0, 1])
def test_object_of_columns_with_few_rows_has_a_list_of_predictions(served, path, count):
    answer = post(served, path, ROWS[:count].to_json())

    assert (200, EXPECTED[:count]) == (answer.status, PREDICTIONS[path](answer.json()))


def test_large_object_of_columns_is_scored(served):
    """In another thread."""
    rows = pandas.concat([FRAME] * 100, ignore_index=True)
    answer = post(served, "/simple/m", rows.to_json())

    assert MODEL.predict(rows).tolist() == [row["prediction"] for row in answer.json()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (
            '{"age": {"0": 1}, "income": {"1": 2}}',
            "An object of columns must have the same rows in each column",
        ),
        ('{"age": [1], "income": [2, 3]}', "An object of columns must have the same rows in each column"),
        ('{"age": {"0": "x"}, "income": {"0": 1}}', "Invalid input data: age must be a number"),
        ('{"age": {"0": 1}}', "Prediction failed due to missing input data"),
        # Nested objects and mixtures are faults of one row.
        ('{"age": {"value": 1}, "income": {"value": 2}}', "Invalid input data: age must be a number; income"),
        ('{"age": {"0": 1, "0": 2}, "income": {"0": 1}}', "An object in the JSON body names a member twice"),
        ('{"age": [1], "income": 2}', "Invalid input data: age must be a number"),
        ('{"age": [1], "income": {"0": 2}}', "Invalid input data: age must be a number; income must"),
    ],
)
def test_fault_in_an_object_of_columns_is_named(served, rows, error):
    answer = post(served, "/simple/m", rows)

    assert 400 == answer.status
    assert answer.json()["error"].startswith(error)


def test_object_of_columns_has_as_many_rows_as_a_request_may_have(served):
    rows = pandas.concat([FRAME] * 200, ignore_index=True)
    answer = post(served, "/simple/m", rows.to_json())

    assert (400, 10_000) == (answer.status, answer.json()["max_rows"])


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("/simple/m", "The JSON body"),
        ("/predict/m", "The JSON body"),
        ("/deployments/m/predictions", "The JSON body"),
        ("/api/predict", "input_data"),
    ],
)
def test_body_that_was_encoded_twice_is_named(served, path, subject):
    for rows in (ROWS.to_json(orient="records"), ROWS[:1].to_json(orient="records")[1:-1]):
        answer = post(served, path, json.dumps(rows))
        message = f"{subject} is a text that contains JSON: it was encoded twice, so send the object or array itself"
        assert 400 == answer.status
        assert message in answer.body.decode()


@pytest.mark.parametrize("path", ["/api/predict", "/mlflow/m/invocations", "/v1/models/m:predict"])
def test_envelope_that_was_encoded_twice_is_named(served, path):
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    answer = served.post(path, body=json.dumps('{"instances": []}').encode(), headers=headers)

    assert 400 == answer.status
    assert "The JSON body is a text that contains JSON: it was encoded twice" in answer.body.decode()


def test_row_that_was_encoded_twice_is_named(served):
    answer = post(served, "/simple/m", '[{"age": 1, "income": 2}, "{\\"age\\": 1}"]')

    assert answer.json()["error"].startswith("Row 1 is a text that contains JSON: it was encoded twice")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ('{"age": NaN, "income": 2}', "no NaN (byte 8): send null for a missing number"),
        ('[{"age": 1, "income": -Infinity}]', "no Infinity (byte 23): send a finite number"),
        ('{"age": 1, "income": Infinity}', "no Infinity (byte 21): send a finite number"),
    ],
)
@pytest.mark.parametrize("path", ["/simple/m", "/predict/m", "/deployments/m/predictions"])
def test_number_that_json_does_not_have_is_named(served, path, rows, problem):
    answer = post(served, path, rows)

    assert 400 == answer.status
    assert f"The body is not valid JSON, which has {problem}" in answer.body.decode()


MISSING = '[{"age": 1, "income": 2}, {"age": 1}, {"age": "x"}, {"age": 1, "income": 2}, {"age": 2}]'


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/simple/m", {"age": "must be a number (row 2)", "income": "is missing (row 1, 2, 4)"}),
        ("/api/predict", {"age": "must be a number (row 2)", "income": "is missing (row 1, 2, 4)"}),
    ],
)
def test_missing_column_names_its_rows(served, path, named):
    answer = post(served, path, MISSING)

    assert (["income"], named) == (answer.json()["missing_columns"], answer.json()["errors"])


def test_missing_column_names_its_rows_in_the_form_of_each_service(served):
    plexe, datarobot = (post(served, path, MISSING) for path in ("/predict/m", "/deployments/m/predictions"))
    details = {"age": "must be a number (row 2)", "income": "is missing (row 1, 2, 4)"}

    assert details == plexe.json()["error"]["details"]
    assert datarobot.json()["message"].endswith(
        "income; age must be a number (row 2); income is missing (row 1, 2, 4)"
    )


def test_column_that_is_missing_everywhere_names_no_rows(served):
    for rows in ('[{"age": 1}, {"age": 2}]', '{"age": 1}'):
        answer = post(served, "/simple/m", rows)
        assert "errors" not in answer.json()
        assert ["income"] == answer.json()["missing_columns"]


@pytest.mark.parametrize("body", [b"{}", b" { }\n"])
def test_empty_object_is_a_row_without_columns(mounted, body):
    """Not an object of columns, of which there are none."""
    response = mounted.post("/simple/double", body=body, headers={"x-api-key": OTHER_KEY})

    assert ["amount"] == response.json()["missing_columns"]


def render(dialect, rows=2):
    """Return the path, the headers without content type, and the decoded body of a request to *dialect*."""
    path, headers, body = render_request(
        DIALECTS[dialect]().request_template, "m", KEY, SCHEMA, ROWS[:rows].to_dict("records")
    )
    del headers["Content-Type"]
    return path, {"authorization": f"Bearer {KEY}", **headers}, json.loads(body)


def score(served, path, headers, body):
    """Return the status and the JSON response, without what differs between any two responses."""
    answer = served.post(path, headers=headers, body=body)
    members = answer.json()
    if isinstance(members, dict):
        members = {
            name: value for name, value in members.items() if name not in ("request_id", "processing_time_ms")
        }
    return answer.status, members


@pytest.mark.slow
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("content_type", ["text/plain", "text/plain;charset=UTF-8"])
def test_json_in_plain_text_is_read_as_json(served, dialect, content_type):
    """As `fetch` in a browser sends a string."""
    path, headers, body = render(dialect)
    text = json.dumps(body).encode()
    expected = score(served, path, {**headers, "content-type": "application/json"}, text)

    assert 200 == expected[0]
    assert expected == score(served, path, {**headers, "content-type": content_type}, text)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", sorted(DIALECTS.keys() - {"datarobot"}))
def test_plain_text_that_is_not_json_is_rejected(served, dialect):
    """Except in DataRobot's format, where plain text is CSV."""
    path, headers, _ = render(dialect)
    answer = served.post(path, headers={**headers, "content-type": "text/plain"}, body=b"age,income\n1,2\n")

    assert 415 == answer.status
    assert answer.header("accept").startswith("application/json")


OPTIONAL = {
    "mlclever": ["api_key", "deployment"],
    "mlflow": ["dataframe_records", "instances", "inputs", "params", "parameters", "signature_name"],
    "open_inference": ["id", "outputs", "parameters"],
    "peltarion": ["warnings"],
    "tf_serving": ["inputs", "signature_name"],
}
"""Optional members of the envelope by dialect. Elsewhere a member of the body is a column or the rows."""


@pytest.mark.parametrize("dialect", OPTIONAL)
def test_null_for_an_optional_member_is_as_if_it_were_left_out(served, dialect):
    """As generated clients send it."""
    path, headers, body = render(dialect)
    headers["content-type"] = "application/json"
    for name in OPTIONAL[dialect]:
        body.pop(name, None)
    expected = score(served, path, headers, json.dumps(body).encode())

    assert 200 == expected[0]
    for names in [*zip(OPTIONAL[dialect], strict=True), OPTIONAL[dialect]]:
        nulls = dict.fromkeys(names)
        assert expected == score(served, path, headers, json.dumps({**body, **nulls}).encode())
        assert expected == score(served, path, headers, json.dumps({**nulls, **body}).encode())


def test_null_for_an_optional_member_of_a_tensor_is_as_if_it_were_left_out(served):
    path, headers, body = render("open_inference")
    headers["content-type"] = "application/json"
    expected = score(served, path, headers, json.dumps(body).encode())
    for tensor in body["inputs"]:
        tensor["parameters"] = None

    assert expected == score(served, path, headers, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("dialect", "member"),
    [
        ("mlclever", "input_data"),
        ("mlflow", "dataframe_split"),
        ("peltarion", "rows"),
        ("tf_serving", "instances"),
    ],
)
def test_null_for_the_rows_is_as_if_they_were_left_out(served, dialect, member):
    path, headers, body = render(dialect)
    headers["content-type"] = "application/json"
    without = {name: value for name, value in body.items() if name != member}
    expected = score(served, path, headers, json.dumps(without).encode())

    assert 400 == expected[0]
    assert expected == score(served, path, headers, json.dumps({**body, member: None}).encode())


def test_null_and_a_value_for_one_member_are_named_twice(served):
    path, headers, body = render("tf_serving")
    headers["content-type"] = "application/json"
    text = json.dumps({**body, "signature_name": None})[:-1] + ', "signature_name": "serving_default"}'

    assert "names a member twice" in score(served, path, headers, text.encode())[1]["error"]
