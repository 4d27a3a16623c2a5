"""The configuration of scikit-learn that the app has set holds wherever a model is called."""

import sys
import threading

import numpy as np
import pandas
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from conformance.conftest import Mounted
from conftest import KEY
from modelgate import (
    Deployment,
    FolderStore,
    Gate,
    ModelPackage,
    Predictor,
    Schema,
    Shadow,
    Workers,
    drive,
    score,
)
from modelgate.scoring import Agreement
from modelgate.scoring.plans import Plan
from modelgate.scoring.sklearn_config import current_config

FRAME = pandas.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 7})
ROW = {"a": 30.0, "b": 2.0}


class Named(TransformerMixin, BaseEstimator):
    """Reads a column that only a DataFrame has."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X[["standardscaler__a"]]


@pytest.fixture
def configured():
    """The app's configuration while it makes its gate; requests come where it does not hold."""
    with sklearn.config_context(transform_output="pandas"):
        yield


@pytest.fixture
def model(configured):
    scaled = make_column_transformer((StandardScaler(), ["a", "b"]))
    return make_pipeline(scaled, Named(), LogisticRegression()).fit(FRAME, FRAME["a"] > 20)


def asked_elsewhere(call):
    """What *call* returns where the defaults hold."""
    with sklearn.config_context(transform_output="default"):
        return call()


@pytest.mark.parametrize("options", [{}, {"offload": True}, {"offload": False}, {"batch": False}], ids=str)
def test_a_model_is_called_under_the_configuration_of_the_app(mount, model, options):
    """In the threads of the gate and of the server, on an event loop, batched or not."""
    mounted = Mounted(mount, Gate([Deployment("m", model, **options)], keys={KEY: "m"}))
    answers = asked_elsewhere(lambda: [mounted.predict(ROW) for _ in range(3)])

    assert [200] * 3 == [answer.status for answer in answers]
    assert all([True] == answer.json()["predictions"] for answer in answers)


def test_a_function_is_called_under_the_configuration_of_the_app(mount, model):
    """In the threads of the gate and of the server: it may call an estimator itself."""
    gate = Gate(keys={KEY: "f"})
    gate.handler("f", schema=Schema.of(a=float, b=float))(lambda table: model.predict(table.to_pandas()))
    answer = asked_elsewhere(lambda: Mounted(mount, gate).predict(ROW))

    assert (200, [True]) == (answer.status, answer.json()["predictions"])


def test_a_model_is_loaded_under_the_configuration_of_the_app(mount, model, tmp_path):
    """The example of its package is replayed in another thread, and so is what comes next."""
    package = ModelPackage.from_estimator(model, FRAME, name="m", format="joblib")
    digest = package.save(tmp_path / "m@1.mgpkg")
    store = FolderStore(tmp_path, allow_pickle=True)
    gate = Gate([Deployment("m", "store:m", sha256=digest)], keys={KEY: "m"}, store=store)
    mounted = Mounted(mount, gate)

    assert 200 == asked_elsewhere(lambda: mounted.predict(ROW)).status


def test_a_shadow_is_called_under_the_configuration_of_the_app(model):
    """It has a thread of its own."""
    package = ModelPackage.from_estimator(model, FRAME, name="m", version="2", format="joblib")
    gate = Gate([Deployment("m", model, shadow=Shadow(package))], keys="open")
    asked_elsewhere(lambda: gate.score("m", ROW))
    waiting, patience = threading.Event(), 60 * 200
    while gate.agreement("m") == Agreement() and patience:
        patience -= 1
        waiting.wait(0.005)

    assert Agreement(rows=1, agreed=1) == gate.agreement("m")


def test_a_predictor_has_the_configuration_of_the_thread_that_makes_it(model):
    """Also where there is no gate, and many rows at once."""
    predictor = Predictor(model, workers=Workers(1))
    table = predictor.schema.read(pandas.concat([FRAME] * 30))

    assert [True] == score(model, ROW).values.tolist()
    assert 1200 == len(asked_elsewhere(lambda: drive(predictor.predict(table))))


def test_the_default_configuration_is_none(configured, monkeypatch):
    """Nothing is set around a call, and scikit-learn is not imported to find that out."""
    monkeypatch.delitem(sys.modules, "sklearn")

    assert current_config() is None
    assert "sklearn" not in sys.modules
    monkeypatch.undo()
    assert "pandas" == current_config()["transform_output"]
    assert asked_elsewhere(current_config) is None


def test_an_exact_plan_answers_as_its_estimator_under_the_configuration(configured):
    """It is compared with the estimator under the configuration it will be used in."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, FRAME["a"] > 20)
    predictor = Predictor(model)
    expected = model.predict_proba(FRAME)
    prediction = asked_elsewhere(lambda: drive(predictor.predict(predictor.schema.read(FRAME))))

    assert isinstance(predictor.plan, Plan)
    np.testing.assert_allclose(expected, prediction.probabilities, rtol=0, atol=1e-12)
