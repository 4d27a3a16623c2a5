"""Training data that callers may see: aggregates, and the rows that the owner shows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, Schema
from modelgate.schema import Column
from modelgate.testing import Client
from support.series import Drift

ROWS = pd.DataFrame({
    "age": [*np.arange(20.0, 60.0), np.nan],
    "plan": ["free", "pro"] * 20 + ["pro"],
    "member": [True] * 11 + [False] * 30,
    "name": [f"customer {index}" for index in range(41)],
})  # fmt: skip
SCHEMA = Schema(
    [
        Column("age", "number", nullable=True),
        Column("plan", "text", levels=("free", "pro")),
        Column("member", "boolean"),
        Column("name", "text"),
    ]
)


@pytest.fixture(scope="module")
def package():
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["plan", "name"]), remainder="passthrough"
    )
    data = ROWS.dropna()
    model = make_pipeline(encode, LinearRegression()).fit(data, data["age"])
    return ModelPackage.from_estimator(model, data, data["age"], schema=SCHEMA, target="years")


def get_training(model, **options):
    gate = Gate([Deployment("d", model, **options)], keys="open")
    return Client(gate.wsgi).get("/deployments/d/training")


@pytest.mark.slow
def test_summary_has_aggregates_of_each_column_and_target(package):
    summary = get_training(package).json()

    assert 40 == summary["rows"]
    assert {"nulls": 0, "minimum": 20, "median": 39.5, "maximum": 59, "histogram": [2] * 20} == summary[
        "columns"
    ]["age"]
    assert {"nulls": 0, "levels": [["free", 20], ["pro", 20]]} == summary["columns"]["plan"]
    assert {"nulls": 0, "levels": [[True, 11], [False, 29]]} == summary["columns"]["member"]
    assert summary["columns"]["age"] == summary["targets"]["years"]


def test_summary_has_no_texts_without_levels(package):
    """They may be names or notes. Rows are only shown if the owner says so."""
    answer = get_training(package)

    assert "name" not in answer.json()["columns"]
    assert "customer" not in answer.body.decode()
    assert [] == answer.json()["examples"]


@pytest.mark.slow
def test_public_examples_are_packaged_rows_or_given_rows(package):
    row = {"age": 41, "plan": "pro", "member": True, "name": "anybody"}

    assert [package.background[index] for index in (0, 19, 39)] == get_training(
        package, public_examples=3
    ).json()["examples"]
    assert [row] == get_training(package, public_examples=[row]).json()["examples"]
    assert [row] == get_training(len, schema=SCHEMA, public_examples=[row]).json()["examples"]


@pytest.mark.slow
def test_public_examples_are_checked(package):
    with pytest.raises(ConfigurationError, match=r"public_examples must be a list of rows, .* \(got 0\)"):
        Deployment("d", package, public_examples=0)
    with pytest.raises(
        ConfigurationError, match=r"public_examples must have rows that match the schema: .*plan"
    ):
        Gate([Deployment("d", package, public_examples=[{"age": 1}])], keys="open")
    with pytest.raises(ConfigurationError, match="list of rows unless the model has a package with a sample"):
        Gate([Deployment("d", len, schema=SCHEMA, public_examples=2)], keys="open")
    with pytest.raises(ConfigurationError, match="public_examples must be left out for a forecaster"):
        Gate([Deployment("d", Drift(), public_examples=2)], keys="open")


def test_summary_needs_a_key(package):
    gate = Gate([Deployment("d", package)], keys={"mg_a-key-of-this-test": "d"})

    assert 401 == Client(gate.wsgi).get("/deployments/d/training").status


def test_summary_of_a_hidden_schema_is_forbidden(package):
    assert 403 == get_training(package, schema=SCHEMA.with_options(show_schema=False)).status


def test_summary_without_package_has_the_range_in_a_scaler():
    frame = pd.DataFrame({"age": [20.0, 60.0]})
    model = make_pipeline(make_column_transformer((MinMaxScaler(), ["age"])), LinearRegression())

    assert {"rows": 0, "columns": {"age": {"minimum": 20, "maximum": 60}}, "targets": {}, "examples": []} == (
        get_training(model.fit(frame, [1, 2])).json()
    )


def test_numbers_that_are_all_equal_have_no_histogram():
    model = LinearRegression().fit([[1.0], [2.0]], [1, 2])
    package = ModelPackage.from_estimator(model, np.array([[5.0], [5.0]]))

    assert "histogram" not in package.statistics["columns"]["x0"]


def test_description_says_what_a_deployment_can_add(package):
    """So that a page requests only that."""
    gate = Gate(
        [
            Deployment("model", package, explanations="permutation"),
            Deployment("function", len, schema=SCHEMA),
        ],
        keys="open",
    )
    model, function = (Client(gate.wsgi).get(f"/deployments/{name}").json() for name in ("model", "function"))

    assert (50, None) == (model["max_explanations"], function.get("max_explanations"))
    assert (None, True) == (model.get("function"), function["function"])
