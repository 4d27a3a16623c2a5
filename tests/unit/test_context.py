"""Place of the values of a row in the training data."""

import httpx
import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelgate import Deployment, Gate, InvalidInput, ModelPackage, Query, Schema, drive
from modelgate.client import Client as ModelClient
from modelgate.flow import Wait
from modelgate.inference.context import describe_rows
from modelgate.scoring.layers.context import add_context
from modelgate.scoring.score import predict
from modelgate.testing import Client
from support.openapi import OpenAPIDocument

AGES = np.arange(101.0)
X = pd.DataFrame({"age": AGES, "plan": ["free"] * 76 + ["pro"] * 25})
X.loc[[3, 4], "age"] = np.nan
MODEL = make_pipeline(
    make_column_transformer((SimpleImputer(), ["age"]), (OneHotEncoder(handle_unknown="ignore"), ["plan"])),
    LinearRegression(),
).fit(X, AGES)
ROW = {"age": 50.0, "plan": "pro"}


@pytest.fixture(scope="module")
def gate():
    package = ModelPackage.from_estimator(MODEL, X, AGES)
    return Gate(
        [Deployment("price", package, unknown_levels="accept"), Deployment("bare", MODEL)], keys="open"
    )


@pytest.fixture(params=["wsgi", "asgi"])
def client(gate, request):
    return Client(getattr(gate, request.param))


def place(kind, value, statistics, rows=100):
    table = Schema.of(a=kind).with_columns({"a": kind}).read([{"a": value}])
    return describe_rows(table, {"a": statistics}, rows)[0].get("a")


@pytest.mark.slow
def test_native_returns_context_on_request(client):
    rows = [ROW, {"age": 200, "plan": "gold"}, {"age": None, "plan": "free"}, {"age": -1, "plan": "pro"}]
    answer = client.post("/deployments/price/predict?context=true", json=rows).json()["predictions"]

    assert [
        {"age": {"percentile": pytest.approx(50, abs=1.1)}, "plan": {"share": 25 / 101}},
        {"age": {"percentile": 100, "outside": "above"}, "plan": {"share": 0, "unseen": True}},
        {"age": {"share": 2 / 101}, "plan": {"share": 76 / 101}},
        {"age": {"percentile": 0, "outside": "below"}, "plan": {"share": 25 / 101}},
    ] == [row["context"] for row in answer]


def test_context_is_absent_unless_requested(client, gate):
    for path in ("predict", "predict?context=false"):
        assert b"context" not in client.post(f"/deployments/price/{path}", json=ROW).body
    assert gate.score("price", ROW).context is None


def test_gate_score_and_client_return_context(gate):
    context = gate.score("price", [ROW] * 5, context=True).context
    http = httpx.Client(transport=httpx.WSGITransport(gate.wsgi))
    client = ModelClient("http://gate/price", http=http, batch_rows=2)

    assert 5 == len(context)
    assert context == client.predict([ROW] * 5, context=True).context
    assert client.predict([ROW]).context is None
    with pytest.raises(InvalidInput, match="no statistics of its training data"):
        gate.score("bare", ROW, context=True)


@pytest.mark.parametrize(
    ("path", "accept", "message"),
    [
        ("bare/predict?context=true", "application/json", "no statistics of its training data"),
        ("price/predict?context=maybe", "application/json", "must be true or false"),
        ("price/predict?context=true", "text/csv", "text/csv cannot contain the context"),
        ("price/predict?context=true", "application/x-npy", "application/x-npy cannot contain the context"),
    ],
)
def test_native_rejects_context_that_it_cannot_return(client, path, accept, message):
    response = client.post(f"/deployments/{path}", json=ROW, headers={"accept": accept})

    assert 400 == response.status
    assert message in response.json()["detail"]


@pytest.mark.slow
def test_hidden_schema_has_no_context():
    package = ModelPackage.from_estimator(MODEL, X, AGES)
    schema = package.schema.with_options(show_schema=False)
    gate = Gate([Deployment("price", package, schema=schema)], keys="open")

    with pytest.raises(InvalidInput, match="leave out context"):
        gate.score("price", ROW, context=True)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=300), st.integers(-2, 22))
def test_percentile_is_close_to_the_share_of_smaller_values(values, value):
    """The true percentile is between the shares of values that are less, and that are not greater."""
    deciles = np.quantile(values, np.linspace(0, 1, 11)).tolist()
    found = place(float, value, {"deciles": deciles}, len(values))
    less, not_greater = np.mean(np.array(values) < value) * 100, np.mean(np.array(values) <= value) * 100

    assert less - 10 - 100 / len(values) <= found["percentile"] <= not_greater + 10 + 100 / len(values)
    assert (value < min(values) or value > max(values)) == ("outside" in found)


@pytest.mark.parametrize(
    ("value", "percentile"), [(0, 0), (5, 50), (5.5, 55), (10, 100), (0.25, 2.5)], ids=str
)
def test_percentile_is_interpolated_between_deciles(value, percentile):
    assert {"percentile": percentile} == place(float, value, {"deciles": [float(n) for n in range(11)]})


def test_percentile_of_a_frequent_value_is_the_middle_of_its_rows():
    assert {"percentile": 40} == place(float, 0, {"deciles": [*[0.0] * 9, 1.0, 2.0]})
    assert {"percentile": 50} == place(float, 7, {"deciles": [7.0] * 11})


def test_level_whose_count_is_not_stored_has_no_place():
    levels = [[f"level {index}", 2] for index in range(50)]

    assert {"share": 0.02} == place(str, "level 3", {"levels": levels})
    assert place(str, "another", {"levels": levels}) is None
    assert {"share": 0.0, "unseen": True} == place(str, "another", {"levels": levels[:49]})
    assert place(str, "another", {}) is None


def test_openapi_describes_context(gate, client):
    document = OpenAPIDocument(gate.openapi("price"))
    schema = document.document["components"]["schemas"]["native_answer"]

    document.check(schema, client.post("/deployments/price/predict?context=true", json=ROW).json())
    assert "context" in {
        document.resolve(parameter)["name"] for parameter in document.find_operation("native")["parameters"]
    }


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_no_rows_have_no_context(client, gate, kind):
    body = b"[]" if kind == "application/json" else b""
    response = client.post(
        "/deployments/price/predict?context=true", body=body, headers={"content-type": kind}
    )

    assert (200, []) == (response.status, response.json()["predictions"])
    assert [] == gate.score("price", [], context=True).context


def test_booleans_have_their_share_of_the_training_rows():
    frame = pd.DataFrame({"member": [True] * 30 + [False] * 70, "always": True, "age": np.arange(100.0)})
    package = ModelPackage.from_estimator(LinearRegression().fit(frame, frame["age"]), frame)
    gate = Gate([Deployment("price", package)], keys="open")
    row = {"member": True, "always": False, "age": 5}
    first, second = gate.score("price", [row, {**row, "member": False}], context=True).context

    assert [{"share": 0.3}, {"share": 0.7}] == [first["member"], second["member"]]
    assert {"share": 0.0, "unseen": True} == first["always"]
    assert {"share": 0.05} == place("any", True, {"nulls": 0, "levels": [[True, 5], [1, 95]]})


@pytest.mark.slow
def test_context_of_many_rows_is_computed_in_a_worker_thread(gate):
    """An event loop would be blocked."""
    predictor = gate.deployments.predictor("price")
    rows = msgspec.json.encode([ROW] * 20_000)
    query = Query(rows, predictor=predictor, table=predictor.schema.read(rows))

    assert isinstance(next(add_context(query, predict)), Wait)
    assert 20_000 == len(drive(add_context(query, predict)).context)
