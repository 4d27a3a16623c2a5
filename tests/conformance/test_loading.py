"""What every mount answers for a model that is being loaded, and for one that cannot answer."""

import hashlib
import re
import threading

import joblib
import pandas
import pytest
from sklearn.linear_model import LinearRegression

from conformance.conftest import Mounted
from conformance.test_deadlines import ASKED
from modelgate import ConfigurationError, Deployment, DeploymentUnavailable, FolderStore, Gate, ModelPackage

SOON = 60
FRAME = pandas.DataFrame({"x": [1.0, 2.0, 3.0]})
BY_DIALECT = pytest.mark.parametrize(("path", "body", "message"), ASKED.values(), ids=ASKED)


class Held(FolderStore):
    """A folder whose models are loaded when the test lets them."""

    def __init__(self, folder):
        super().__init__(folder)
        self.go = threading.Event()

    def load(self, name, **pin):
        assert self.go.wait(SOON)
        return super().load(name, **pin)


class Raising(LinearRegression):
    """Predicts nothing."""

    def predict(self, X):
        raise ValueError("the secret recipe is missing")


class Misshapen(LinearRegression):
    """Predicts one value too many."""

    def predict(self, X):
        return [0.0] * (len(X) + 1)


@pytest.fixture
def loading(mount, tmp_path):
    """A gate whose only model, a package, is not loaded before the test lets it."""
    package = ModelPackage.from_estimator(LinearRegression().fit(FRAME, [2.0, 4.0, 6.0]), FRAME)
    package.save(tmp_path / "double.mgpkg")
    store = Held(tmp_path)
    deployment = Deployment("hangs", "store:double")
    yield Mounted(mount, Gate([deployment], keys="open", store=store, load_timeout=0.02)), store.go
    store.go.set()


@BY_DIALECT
def test_a_model_that_is_being_loaded(loading, path, body, message):
    """It is a 503 that says so and when to try again, in the dialect spoken, and no failure."""
    mounted, go = loading
    answer = mounted.post(path, json=body)
    ready, states = mounted.client.get(mounted.prefix + "/health/ready"), mounted.gate.states()
    go.set()
    mounted.gate.warm()
    loaded = mounted.post(path, json=body)

    assert re.fullmatch(
        r"This deployment's model is being loaded \(\d+ s so far\): try again", message(answer.json())
    )
    assert (503, "1") == (answer.status, answer.header("retry-after"))
    assert (503, {"hangs": "active"}) == (ready.status, states)
    assert 200 == loaded.status


def test_a_package_is_described_without_its_model(loading):
    """Its metadata, its OpenAPI document and its console, while the model is being loaded."""
    mounted, _ = loading
    base = f"{mounted.prefix}/deployments/hangs"
    told = mounted.client.get(base)
    document = mounted.client.get(f"{base}/openapi.json")
    console = mounted.client.get(f"{base}/console")

    assert (200, ["x"]) == (told.status, [column["name"] for column in told.json()["input"]])
    assert (200, "hangs") == (document.status, document.json()["info"]["title"])
    assert 200 == console.status
    assert 0 == mounted.gate.cache.cache_info().currsize


@pytest.mark.parametrize("kind", [Raising, Misshapen])
@BY_DIALECT
def test_a_model_that_cannot_answer(mount, tmp_path, kind, path, body, message):
    """It is failed, not ready, and 503 in the dialect spoken; `warm` raises with the reason."""
    joblib.dump(kind().fit(FRAME, [2.0, 4.0, 6.0]), tmp_path / "m.joblib")
    digest = hashlib.sha256((tmp_path / "m.joblib").read_bytes()).hexdigest()
    deployment = Deployment("hangs", tmp_path / "m.joblib", sha256=digest)
    mounted = Mounted(mount, Gate([deployment], keys="open"))
    answer = mounted.post(path, json=body)
    ready = mounted.client.get(mounted.prefix + "/health/ready")
    with pytest.raises(DeploymentUnavailable) as info:
        mounted.gate.warm()

    assert "This deployment's model is not available just now" == message(answer.json())
    assert (503, 503) == (answer.status, ready.status)
    assert {"hangs": "failed"} == mounted.gate.states()
    assert isinstance(info.value.__cause__, ConfigurationError)
    assert "deployment hangs: model must answer a row of its schema" in str(info.value.__cause__)
    assert isinstance(info.value.__cause__.__cause__, ValueError)
