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

from modelgate import (
    Deployment,
    FolderStore,
    Gate,
    ModelPackage,
    Predictor,
    Schema,
    Shadow,
    WorkerPool,
    drive,
    score,
)
from modelgate.flow.sklearn_config import current_sklearn_config
from modelgate.inference.plans import Plan
from modelgate.scoring.layers.shadow import ShadowReport
from support.keys import KEY
from support.mounts import Mounted

FRAME = pandas.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 7})
ROW = {"a": 30.0, "b": 2.0}


class NeedsColumnNames(TransformerMixin, BaseEstimator):
    """Transformer that needs the column names of a DataFrame."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X[["standardscaler__a"]]


@pytest.fixture
def configured():
    """Set the app's configuration while the gate is created. Requests run where it is not set."""
    with sklearn.config_context(transform_output="pandas"):
        yield


@pytest.fixture
def model(configured):
    scaled = make_column_transformer((StandardScaler(), ["a", "b"]))
    return make_pipeline(scaled, NeedsColumnNames(), LogisticRegression()).fit(FRAME, FRAME["a"] > 20)


def call_without_config(call):
    """Call *call* in a thread with the default configuration."""
    with sklearn.config_context(transform_output="default"):
        return call()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"offload": True}, {"offload": False}, {"batch": False}], ids=str)
def test_sklearn_config_holds_for_models(mount, model, options):
    """In worker threads, server threads and on an event loop, batched or not."""
    mounted = Mounted(mount, Gate([Deployment("m", model, **options)], keys={KEY: "m"}))
    answers = call_without_config(lambda: [mounted.predict(ROW) for _ in range(3)])

    assert [200] * 3 == [answer.status for answer in answers]
    assert all([True] == answer.json()["predictions"] for answer in answers)


def test_sklearn_config_holds_for_functions(mount, model):
    """A function may call an estimator."""
    gate = Gate(keys={KEY: "f"})
    gate.handler("f", schema=Schema.of(a=float, b=float))(lambda table: model.predict(table.to_pandas()))
    answer = call_without_config(lambda: Mounted(mount, gate).predict(ROW))

    assert (200, [True]) == (answer.status, answer.json()["predictions"])


@pytest.mark.slow
def test_sklearn_config_holds_for_loading(mount, model, tmp_path):
    """A package's example is replayed in another thread."""
    package = ModelPackage.from_estimator(model, FRAME, name="m", format="joblib")
    digest = package.save(tmp_path / "m@1.mgpkg")
    store = FolderStore(tmp_path, allow_pickle=True)
    gate = Gate([Deployment("m", "store:m", sha256=digest)], keys={KEY: "m"}, store=store)
    mounted = Mounted(mount, gate)

    assert 200 == call_without_config(lambda: mounted.predict(ROW)).status


@pytest.mark.slow
def test_sklearn_config_holds_for_shadows(model):
    """They run in a thread of their own."""
    package = ModelPackage.from_estimator(model, FRAME, name="m", version="2", format="joblib")
    gate = Gate([Deployment("m", model, shadow=Shadow(package))], keys="open")
    call_without_config(lambda: gate.score("m", ROW))
    waiting, patience = threading.Event(), 60 * 200
    while gate.deployments.shadow_report("m") == ShadowReport() and patience:
        patience -= 1
        waiting.wait(0.005)

    assert ShadowReport(rows=1, agreed=1) == gate.deployments.shadow_report("m")


@pytest.mark.slow
def test_sklearn_config_holds_for_predictors(model):
    """Without a gate, and for many rows at once."""
    predictor = Predictor(model, workers=WorkerPool(1))
    table = predictor.schema.read(pandas.concat([FRAME] * 30))

    assert [True] == score(model, ROW).values.tolist()
    assert 1200 == len(call_without_config(lambda: drive(predictor.predict(table))))


def test_sklearn_config_default_needs_no_import(configured, monkeypatch):
    """Nothing is set around a call."""
    monkeypatch.delitem(sys.modules, "sklearn")

    assert current_sklearn_config() is None
    assert "sklearn" not in sys.modules
    monkeypatch.undo()
    assert "pandas" == current_sklearn_config()["transform_output"]
    assert call_without_config(current_sklearn_config) is None


def test_sklearn_config_holds_when_verifying_plans(configured):
    """A plan is compared with the estimator under the configuration it will be used in."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, FRAME["a"] > 20)
    predictor = Predictor(model)
    expected = model.predict_proba(FRAME)
    prediction = call_without_config(lambda: drive(predictor.predict(predictor.schema.read(FRAME))))

    assert isinstance(predictor.plan, Plan)
    np.testing.assert_allclose(expected, prediction.probabilities, rtol=0, atol=1e-12)
