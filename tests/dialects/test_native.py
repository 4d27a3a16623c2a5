"""modelgate's own wire format."""

import io

import numpy as np
import pytest

from modelgate import Deployment, Explanations, Gate, Output, Prediction, Schema
from modelgate.dialects import Native
from modelgate.testing import Client
from support.keys import KEY

SCHEMA = Schema.of(age=float, plan=["free", "pro"])
ROW = {"age": 41, "plan": "pro"}
PATH = "/deployments/churn/predict"
CHURN = {"prediction": "no", "probabilities": {"no": 0.75, "yes": 0.25}}


def predict_churn(table):
    rows = len(table)
    return Prediction(
        [Output("churn", np.array(["no"] * rows), ["no", "yes"], np.array([[0.75, 0.25]] * rows))]
    )


def predict_outputs(table):
    rows = len(table)
    return Prediction(
        [
            Output("species", np.array([1] * rows), [0, 1], np.array([[0.5, 0.5]] * rows)),
            Output("weight", np.array([1.25] * rows)),
        ]
    )


def build_client(interface, function=predict_churn, schema=SCHEMA, **options):
    gate = Gate([Deployment("churn", function, schema=schema, version="7", **options)], keys={KEY: "churn"})
    return Client(getattr(gate, interface), headers={"authorization": f"Bearer {KEY}"})


def send(client, body, content_type, accept="*/*", query=""):
    return client.post(PATH + query, body=body, headers={"content-type": content_type, "accept": accept})


def as_npy(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def test_response_of_one_row(interface):
    response = build_client(interface).post(PATH, json=ROW)

    assert 200 == response.status
    assert CHURN | {"model_version": "7", "request_id": response.header("x-request-id")} == response.json()
    assert "7" == response.header("x-model-version")


@pytest.mark.parametrize(
    ("body", "rows"),
    [([ROW], 1), ([ROW, ROW], 2), ({"rows": [ROW, ROW]}, 2), ([], 0), ({"rows": []}, 0)],
)
def test_response_of_many_rows(interface, body, rows):
    """Also for one row in an array, or none."""
    response = build_client(interface).post(PATH, json=body)

    assert [CHURN] * rows == response.json()["predictions"]
    assert {"predictions", "model_version", "request_id"} == set(response.json())


def test_response_of_several_outputs(interface):
    client = build_client(interface, predict_outputs)
    row = {
        "outputs": {
            "species": {"prediction": 1, "probabilities": {"0": 0.5, "1": 0.5}},
            "weight": {"prediction": 1.25},
        }
    }

    assert row.items() <= client.post(PATH, json=ROW).json().items()
    assert [row, row] == client.post(PATH, json=[ROW, ROW]).json()["predictions"]


def test_response_of_a_number_and_of_boolean_classes(interface):
    number = build_client(interface, lambda table: table["age"] * 2).post(PATH, json=ROW).json()
    boolean = build_client(
        interface,
        lambda table: Prediction([Output("x", np.array([True]), [False, True], np.array([[0.25, 0.75]]))]),
    )

    assert 82.0 == number["prediction"]
    assert "probabilities" not in number
    assert {"false": 0.25, "true": 0.75} == boolean.post(PATH, json=ROW).json()["probabilities"]


def test_rows_as_a_column_must_be_in_an_array(interface):
    client = build_client(interface, lambda table: table["rows"] * 2, Schema.of(rows=float))

    assert 400 == client.post(PATH, json={"rows": 1}).status
    assert [2.0] == [row["prediction"] for row in client.post(PATH, json=[{"rows": 1}]).json()["predictions"]]
    assert 200 == client.post(PATH, json={"rows": [{"rows": 1}]}).status


def test_rows_as_one_of_several_columns_need_no_array(interface):
    client = build_client(interface, lambda table: table["rows"], Schema.of(rows=float, columns=float))

    assert 3.0 == client.post(PATH, json={"rows": 3, "columns": 1}).json()["prediction"]


def test_csv_in_and_out(interface):
    response = send(
        build_client(interface),
        "age,plan\n41,pro\n20,free\n".encode("utf-16"),
        "text/csv; charset=utf-16",
        "text/csv",
    )

    assert "text/csv; charset=utf-8" == response.header("content-type")
    assert b"prediction,probability_no,probability_yes\nno,0.75,0.25\nno,0.75,0.25\n" == response.body


def test_csv_escapes_formulas(interface):
    """Numbers are not changed."""
    schema = Schema.of(a=float)
    deployment = Deployment("churn", lambda table: ["=1+1", "-a"], schema=schema)
    gate = Gate([deployment], keys="open", dialects=[Native(escape_formulas=True)])
    answer = Client(getattr(gate, interface)).post(
        f"{PATH}?passthrough=a&passthrough=note",
        json=[{"a": -1, "note": "@x"}, {"a": -2, "note": "x"}],
        headers={"accept": "text/csv"},
    )

    assert b"a,note,prediction\n-1,'@x,'=1+1\n-2,x,'-a\n" == answer.body


def test_csv_of_several_outputs_names_them(interface):
    response = build_client(interface, predict_outputs).post(PATH, json=ROW, headers={"accept": "text/csv"})

    assert (
        b"species_prediction,species_probability_0,species_probability_1,weight_prediction\n1,0.5,0.5,1.25\n"
        == response.body
    )


def test_ndjson_in_and_out(interface):
    body = b'{"age": 41, "plan": "pro"}\n\n {"age": 20,\t"plan": "free"}\r\n'
    response = send(build_client(interface), body, "application/x-ndjson", "application/x-ndjson")

    assert "application/x-ndjson" == response.header("content-type")
    assert b'{"prediction":"no","probabilities":{"no":0.75,"yes":0.25}}\n' * 2 == response.body


def test_ndjson_of_many_rows_is_streamed(interface):
    """The length of a stream is unknown when it begins."""
    client = build_client(interface, lambda table: table["age"] * 2, Schema.of(age=float))
    few, many = (
        send(client, b'{"age": 1}\n' * rows, "application/x-ndjson", "application/x-ndjson")
        for rows in (4096, 10_000)
    )

    assert str(len(few.body)) == few.header("content-length")
    assert many.header("content-length") is None
    assert b'{"prediction":2.0}\n' * 10_000 == many.body


def test_ndjson_of_many_rows_is_checked_before_it_is_streamed(interface):
    """A label that UTF-8 cannot encode is an error, wherever it is."""
    client = build_client(
        interface, lambda table: ["a"] * (len(table) - 1) + ["\ud800"], Schema.of(age=float)
    )
    answer = client.post(PATH, json=[{"age": 1}] * 5000, headers={"accept": "application/x-ndjson"})

    assert 500 == answer.status
    assert "UTF-8 cannot encode (row 4999): send only the other rows" in answer.json()["detail"]


def test_ndjson_lines_are_whole_objects(interface):
    """A line with two, or part of one, is an error instead of other rows."""
    client = build_client(interface)

    for body in (b'{"age":1,"plan":"pro"},{"age":1,"plan":"pro"}\n', b'{"age":1,\n"plan":"pro"}\n'):
        assert "malformed_body" == send(client, body, "application/x-ndjson").json()["code"]


def test_npy_in_and_out(interface):
    client = build_client(interface, lambda table: table["a"] - table["b"], Schema.of(a=float, b=float))

    for values in (np.array([[3.0, 1.0], [5.0, 2.5]]), np.asfortranarray([[3, 1], [5, 2]], dtype="int16")):
        response = send(client, as_npy(values), "application/x-npy", "application/x-npy")
        predictions = np.load(io.BytesIO(response.body), allow_pickle=False)

        assert "application/x-npy" == response.header("content-type")
        assert (values[:, 0] - values[:, 1]).tolist() == predictions.tolist()


def test_npy_of_labels_and_of_text(interface):
    client = build_client(interface, lambda table: list(table["plan"]), Schema.of(plan=str))
    body = as_npy(np.array([["free"], ["pro"]]))

    response = send(client, body, "application/x-npy", "application/x-npy")

    assert ["free", "pro"] == np.load(io.BytesIO(response.body), allow_pickle=False).tolist()


def test_npy_with_nan_is_null(interface):
    client = build_client(interface, lambda table: table["a"], Schema.of(a=float))

    response = send(client, as_npy(np.array([[np.nan]])), "application/x-npy")

    assert "must not be null" == response.json()["errors"]["a"]


def test_npy_header_allocates_no_memory(interface):
    """A file of 100 bytes may claim an array of many terabytes."""
    body = as_npy(np.zeros((1, 2)))

    for wrong in (
        body.replace(b"(1, 2)", b"(9" + b"9" * 12 + b", 2)"),
        body[:-1],
        body + b"x",
        b"",
        b"\x93NUMPY",
    ):
        response = send(build_client(interface), wrong, "application/x-npy")

        assert (400, "malformed_body") == (response.status, response.json()["code"]), wrong


@pytest.mark.parametrize(
    "values", [np.zeros(2), np.zeros((1, 2), "datetime64[s]"), np.array([["2020"]], "S4")]
)
def test_npy_of_other_arrays_is_rejected(interface, values):
    assert (
        "shape (rows, columns)"
        in send(build_client(interface), as_npy(values), "application/x-npy").json()["detail"]
    )


def test_npy_with_pickled_objects_is_rejected(interface):
    body = io.BytesIO()
    np.save(body, np.array([[{}]], dtype=object), allow_pickle=True)

    assert 400 == send(build_client(interface), body.getvalue(), "application/x-npy").status


def test_passthrough_columns(interface):
    client = build_client(interface)
    row = ROW | {"id": 7, "region": "north"}

    single = client.post(PATH + "?passthrough=id&passthrough=region", json=row).json()
    table = client.post(PATH + "?passthrough=id", json=[row], headers={"accept": "text/csv"})

    assert {"id": 7, "region": "north"} == single["passthrough"]
    assert b"id,prediction,probability_no,probability_yes\n7,no,0.75,0.25\n" == table.body


def test_unknown_options_and_columns_are_rejected(interface):
    client = build_client(interface)

    assert "'explaim'" in client.post(PATH + "?explaim=3", json=ROW).json()["detail"]
    assert "unknown_columns" == client.post(PATH + "?passthrough=id", json=ROW).json()["code"]


def test_errors_are_problem_details(interface):
    response = build_client(interface).post(PATH, json={"age": "41 years"})

    assert (400, "application/problem+json") == (response.status, response.header("content-type"))
    assert {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "missing_columns",
        "detail": "Prediction failed due to missing input data",
        "missing_columns": ["plan"],
        "errors": {"age": "must be a number"},
        "request_id": response.header("x-request-id"),
    } == response.json()


def test_unsupported_media_type_lists_the_supported_ones(interface):
    response = send(build_client(interface), b"<row/>", "application/xml")

    assert 415 == response.status
    assert response.json()["detail"].endswith(
        "application/json, text/csv, application/x-ndjson or application/x-npy"
    )


@pytest.mark.slow
def test_large_bodies_give_the_same_predictions_in_every_format(interface):
    """More rows than are encoded at a time."""
    client = build_client(interface, lambda table: table["a"], Schema.of(a=float))
    values = np.arange(9000.0)
    rows = [{"a": value} for value in values.tolist()]

    wrapped = client.post(PATH, json={"rows": rows}).json()["predictions"]
    lines = client.post(PATH, json=rows, headers={"accept": "application/x-ndjson"}).body.splitlines()
    array = send(client, as_npy(values[:, None]), "application/x-npy", "application/x-npy")

    assert values.tolist() == [row["prediction"] for row in wrapped]
    assert 9000 == len(lines)
    assert b'{"prediction":8999.0}' == lines[-1]
    assert values.tolist() == np.load(io.BytesIO(array.body)).tolist()


def build_explaining_client(interface):
    deployment = Deployment(
        "churn",
        lambda table: table["age"] * 2,
        schema=Schema.of(age=float, plan=["free", "pro"]),
        target="cost",
        explanations=Explanations(background=[{"age": 20, "plan": "free"}]),
    )
    gate = Gate([deployment], keys={KEY: "churn"}, dialects=["native"])
    return Client(getattr(gate, interface), headers={"x-api-key": KEY})


EXPLAINED = {
    "prediction": 82.0,
    "explanations": [{"feature": "age", "value": 41, "strength": 42.0, "qualitative_strength": "+++"}],
    "explanation_label": "cost",
    "remaining_strength": 0.0,
}


def test_explanations_of_one_row_and_of_many(interface):
    """Columns without any effect are left out."""
    client = build_explaining_client(interface)
    how = {"explanation": {"method": "permutation", "space": "value", "base_values": {"cost": 40.0}}}

    assert {**EXPLAINED, **how}.items() <= client.post(f"{PATH}?explain=2", json=ROW).json().items()
    many = client.post(f"{PATH}?explain=2", json=[ROW, ROW]).json()
    assert ([EXPLAINED] * 2, how["explanation"]) == (many["predictions"], many["explanation"])


def test_explanations_in_csv_and_ndjson(interface):
    """The headers say how the rows were explained."""
    client = build_explaining_client(interface)
    csv = client.post(f"{PATH}?explain=1", json=ROW, headers={"accept": "text/csv"})
    ndjson = client.post(f"{PATH}?explain=2", json=ROW, headers={"accept": "application/x-ndjson"})

    assert (
        b"prediction,explanation_1_feature,explanation_1_value,explanation_1_strength,"
        b"explanation_1_qualitative_strength\n82.0,age,41,42.0,+++\n" == csv.body
    )
    assert EXPLAINED == ndjson.json()
    for response in (csv, ndjson):
        assert ["permutation", "value", "40.0"] == [
            response.header(f"x-explanation-{name}") for name in ("method", "space", "base-value")
        ]


@pytest.mark.parametrize(
    ("option", "extra"),
    [
        ("explain=1", "explanations"),
        ("passthrough=age", "passthrough"),
        ("intervals=90", "intervals"),
        ("adjusted=true", "adjusted"),
    ],
)
def test_npy_has_predicted_values_alone(interface, option, extra):
    client = build_explaining_client(interface)
    response = client.post(f"{PATH}?{option}", json=ROW, headers={"accept": "application/x-npy"})

    assert 400 == response.status
    remedy = "request JSON or CSV with the header field Accept"
    assert f"application/x-npy cannot contain {extra}: {remedy}" == response.json()["detail"]
