"""Trial call of a model before it serves."""

import hashlib
import logging
import math
import re

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, SplineTransformer

from modelgate import (
    Column,
    ConfigurationError,
    Deployment,
    DeploymentUnavailable,
    Gate,
    ModelPackage,
    Schema,
)
from modelgate.inference import Predictor
from modelgate.testing import Client

FRAME = pd.DataFrame({"age": np.arange(40.0) % 7 + 20, "income": np.arange(40.0) * 3 + 1})
DATES = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=40), "load": np.arange(40.0)})
PLANS = pd.DataFrame({"plan": ["free", "pro"] * 20, "age": np.arange(40.0)})
LABELS = np.arange(40) % 2


class FunctionModel(RegressorMixin, BaseEstimator):
    """Estimator that predicts by a function of its rows."""

    n_features_in_ = 1

    def __init__(self, function=None):
        self.function = function

    def predict(self, X):
        return self.function(X)


class ColumnPicker(TransformerMixin, BaseEstimator):
    """Needs a DataFrame and stores no column names."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X[["age", "income"]]


def fail(text="no answer", error=ValueError):
    raise error(text)


def quarters(frame):
    return pd.DataFrame({"quarter": frame["when"].dt.quarter, "load": frame["load"]})


def mapped(frame):
    return frame.assign(plan=frame["plan"].map({"free": 0, "pro": 1}))


def vectorized():
    rows = [{"contract": "a", "tenure": 1}, {"contract": "b", "tenure": 2}] * 20
    return make_pipeline(DictVectorizer(), LogisticRegression()).fit(rows, LABELS)


NEVER = {
    "raises": (FunctionModel(lambda X: fail()), Schema.of(x0=float)),
    "levels": (FunctionModel(lambda X: fail(f"unknown {X}")), Schema.of(x0=[1, 2], on=bool)),
    "too many values": (FunctionModel(lambda X: np.zeros(len(X) + 1)), None),
    "a scalar": (FunctionModel(lambda X: 3.0), None),
    "not finite": (FunctionModel(lambda X: np.full(len(X), math.nan)), Schema.of(x0=float)),
    "wrong shape for text": (FunctionModel(lambda X: np.zeros(7)), Schema.of(x0=str)),
    "exits": (FunctionModel(lambda X: fail("3", SystemExit)), Schema.of(x0=float)),
}


@pytest.mark.slow
@pytest.mark.parametrize(("model", "schema"), NEVER.values(), ids=NEVER)
def test_estimator_that_always_fails_is_rejected(model, schema):
    """By a new gate and by `Deployments.add`; its own error is the cause."""
    good = Deployment("good", LinearRegression().fit(FRAME, LABELS))
    gate = Gate([good], keys="open")
    attempts = [
        lambda: Gate([Deployment("m", model, schema=schema)], keys="open"),
        lambda: gate.deployments.add(Deployment("m", model, schema=schema)),
    ]
    for attempt in attempts:
        with pytest.raises(
            ConfigurationError, match="deployment m: model must be able to score a row of its schema"
        ) as info:
            attempt()

        assert info.value.__cause__ is not None
        assert not isinstance(info.value.__cause__, ConfigurationError)
    assert {"good": "active"} == gate.deployments.states()


UNUSUAL = {
    "no names": (lambda: make_pipeline(ColumnPicker(), LogisticRegression()).fit(FRAME, LABELS), FRAME),
    "dates": (
        lambda: make_pipeline(FunctionTransformer(quarters), LogisticRegression()).fit(DATES, LABELS),
        DATES,
    ),
    "dictionaries": (vectorized, pd.DataFrame({"contract": ["a", "b"] * 20, "tenure": [1.0, 2.0] * 20})),
}


@pytest.mark.slow
@pytest.mark.parametrize(("make", "frame"), UNUSUAL.values(), ids=UNUSUAL)
def test_model_with_unusual_input_is_rejected_or_scores(make, frame):
    """Models that need another kind of input than a gate provides."""
    try:
        gate = Gate([Deployment("m", make(), schema=Schema.from_sample(frame))], keys="open")
    except ConfigurationError as error:
        assert "model must be able to score a row of its schema" in str(error)
    else:
        assert 2 == len(gate.score("m", frame[:2]))


HEALTHY = {
    "levels that the schema lacks": (
        lambda: make_pipeline(FunctionTransformer(mapped), LogisticRegression()).fit(PLANS, LABELS),
        Schema.of(plan=str, age=float),
        {"plan": "pro", "age": 3.0},
    ),
    "any value": (
        lambda: make_pipeline(FunctionTransformer(mapped), LogisticRegression()).fit(PLANS, LABELS),
        None,
        {"plan": "pro", "age": 3.0},
    ),
    "a pattern": (
        lambda: make_pipeline(FunctionTransformer(mapped), LogisticRegression()).fit(PLANS, LABELS),
        Schema.of(plan=Column("plan", "text", pattern="^(free|pro)$"), age=float),
        {"plan": "pro", "age": 3.0},
    ),
    "numbers above 0": (
        lambda: make_pipeline(PowerTransformer("box-cox"), LogisticRegression()).fit(FRAME, LABELS),
        None,
        {"age": 20.0, "income": 30.0},
    ),
    "years": (
        lambda: FunctionModel(lambda X: X[:, 0] if (X > 1900).all() else fail("year out of range")),
        None,
        {"x0": 1984.0},
    ),
    "a function of numpy over an array": (
        lambda: make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(
            FRAME.to_numpy(), LABELS
        ),
        None,
        {"x0": 20, "x1": 30.5},
    ),
    "nulls in an array": (
        lambda: make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression()).fit(
            FRAME.to_numpy(), LABELS
        ),
        None,
        {"x0": 20, "x1": None},
    ),
    "numbers between knots": (
        lambda: make_pipeline(SplineTransformer(extrapolation="error"), LogisticRegression()).fit(
            FRAME * 1000, LABELS
        ),
        None,
        {"age": 20000.0, "income": 30000.0},
    ),
    "texts with a part": (
        lambda: FunctionModel(lambda X: np.array([float(text.split(",")[1]) for text in X[:, 0]])),
        Schema.of(x0=str),
        {"x0": "a,1"},
    ),
    "texts with a match": (
        lambda: FunctionModel(
            lambda X: np.array([float(re.match(r"A-(\d+)", text).group(1)) for text in X[:, 0]])
        ),
        Schema.of(x0=str),
        {"x0": "A-1"},
    ),
    "a few codes or nothing": (
        lambda: FunctionModel(lambda X: np.array([{4711: 1.0}.get(value) * 2 for value in X[:, 0].tolist()])),
        None,
        {"x0": 4711.0},
    ),
    "a few codes": (
        lambda: FunctionModel(lambda X: np.array([{4711: 1.0}[value] for value in X[:, 0].tolist()])),
        None,
        {"x0": 4711.0},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("make", "schema", "row"), HEALTHY.values(), ids=HEALTHY)
def test_model_that_rejects_synthetic_rows_serves(make, schema, row):
    """If it may have rejected them for their values."""
    gate = Gate([Deployment("m", make(), schema=schema)], keys="open")

    assert 1 == len(gate.score("m", row))
    assert {"m": "active"} == gate.deployments.states()


@pytest.mark.slow
def test_unproven_model_is_logged(caplog):
    """With the model's own error."""
    model, schema, _ = HEALTHY["levels that the schema lacks"]
    Gate([Deployment("m", model(), schema=schema)], keys="open")
    Gate([Deployment("n", model(), schema=HEALTHY["a pattern"][1])], keys="open")
    doubts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    assert 2 == len(doubts)
    assert doubts[0].startswith("deployment m: model was not tested: the model scored no synthetic row")
    assert "contains NaN" in doubts[0]
    assert "deployment n: model was not tested: no synthetic row can be made" in doubts[1]


@pytest.mark.slow
def test_example_replaces_synthetic_rows(caplog):
    """A model that cannot score its example is rejected."""
    model, schema, row = HEALTHY["levels that the schema lacks"]
    Gate([Deployment("m", model(), schema=schema, example=row)], keys="open")
    with pytest.raises(ConfigurationError, match="for its example") as info:
        Gate([Deployment("m", model(), schema=schema, example={**row, "plan": "gold"})], keys="open")

    assert "" == caplog.text
    assert "contains NaN" in str(info.value.__cause__)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "message"),
    [
        (
            {"age": 3.0},
            r"deployment m: example must be a row that matches the schema: missing input columns: plan",
        ),
        ([1], "example must be a Mapping"),
    ],
)
def test_invalid_example_is_rejected(example, message):
    model, schema, _ = HEALTHY["levels that the schema lacks"]
    with pytest.raises(ConfigurationError, match=message):
        Gate([Deployment("m", model(), schema=schema, example=example)], keys="open")


@pytest.mark.parametrize("form", ["sync", "async"])
def test_function_is_called_only_with_an_example(form):
    """Without one it is not called before a request: it may do more than predict."""
    calls = []

    def double(table):
        calls.append(table["x"].tolist())
        return table["x"] * 2 if len(calls) == 1 else fail()

    async def awaited(table):
        return double(table)

    function = {"sync": double, "async": awaited}[form]
    schema = Schema.of(x=float)
    Gate([Deployment("m", function, schema=schema)], keys="open").deployments.warm()
    before = list(calls)
    Gate([Deployment("m", function, schema=schema, example={"x": 7.0})], keys="open")
    with pytest.raises(ConfigurationError, match="no answer"):
        Gate([Deployment("m", function, schema=schema, example={"x": 8.0})], keys="open")

    assert ([], [[7.0], [8.0]]) == (before, calls)


def test_package_is_tried_with_its_example():
    """Synthetic rows are not used."""
    rows, calls = np.arange(10.0).reshape(10, 1), []
    package = ModelPackage.from_estimator(LinearRegression().fit(rows, rows[:, 0]), rows)
    own = package.model.predict
    package.model.predict = lambda X: (calls.append(X.tolist()), own(X))[1]
    Gate([Deployment("m", package, plans=False)], keys="open")

    assert [[[0.0]]] == calls


def test_targets_are_known_from_the_trial():
    """Without another call."""
    model = FunctionModel(lambda X: np.column_stack([X[:, 0], X[:, 0]]))
    predictor = Predictor(model)
    predictor.warm()
    model.function = lambda X: fail()

    assert ["prediction_0", "prediction_1"] == [target.name for target in predictor.targets]


def test_model_that_cannot_be_reloaded_is_not_ready(tmp_path):
    joblib.dump(LinearRegression().fit(FRAME, LABELS), tmp_path / "m.joblib")
    good = (tmp_path / "m.joblib").read_bytes()
    digest = hashlib.sha256(good).hexdigest()
    gate = Gate([Deployment("m", tmp_path / "m.joblib", sha256=digest)], keys="open")
    gate.deployments.warm()
    (tmp_path / "m.joblib").write_bytes(b"no model")
    gate.deployments.cache.cache_clear()
    with pytest.raises(DeploymentUnavailable):
        gate.score("m", FRAME[:1])
    client = Client(gate.wsgi)
    broken = client.get("/health/ready").status, gate.deployments.states()["m"]
    (tmp_path / "m.joblib").write_bytes(good)
    gate.deployments.cache.cache_clear()
    repaired = client.get("/health/ready").status, gate.deployments.states()["m"]

    assert ((503, "failed"), (200, "active")) == (broken, repaired)
