"""What every mount answers for a model that is being loaded, and for one that cannot answer."""

import hashlib
import re
import threading

import joblib
import pandas
import pytest
from sklearn.linear_model import LinearRegression

from conformance.test_deadlines import ASKED
from modelgate import (
    ConfigurationError,
    Deployment,
    DeploymentUnavailable,
    FolderStore,
    Gate,
    ModelPackage,
)
from support.mounts import Mounted
from support.waiting import SOON, wait_until

FRAME = pandas.DataFrame({"x": [1.0, 2.0, 3.0]})
BY_DIALECT = pytest.mark.parametrize(("path", "body", "message"), ASKED.values(), ids=ASKED)


class BlockingStore(FolderStore):
    """Folder whose models are loaded when the test allows it."""

    def __init__(self, folder):
        super().__init__(folder)
        self.go = threading.Event()

    def load(self, name, **pin):
        assert self.go.wait(SOON)
        return super().load(name, **pin)


class RaisingModel(LinearRegression):
    def predict(self, X):
        raise TypeError("the secret recipe is missing")


class MisshapenModel(LinearRegression):
    """Model that returns one value too many."""

    def predict(self, X):
        return [0.0] * (len(X) + 1)


@pytest.fixture
def loading(mount, tmp_path):
    """Return a gate whose only model, a package, is loaded when the test allows it."""
    package = ModelPackage.from_estimator(LinearRegression().fit(FRAME, [2.0, 4.0, 6.0]), FRAME)
    package.save(tmp_path / "double.mgpkg")
    store = BlockingStore(tmp_path)
    deployment = Deployment("hangs", "store:double")
    yield Mounted(mount, Gate([deployment], keys="open", store=store, load_timeout=0.02)), store.go
    store.go.set()


@pytest.mark.slow
@BY_DIALECT
def test_loading_model_is_503_with_retry_after(loading, path, body, message):
    """In the dialect's form. It is not counted as a failure."""
    mounted, go = loading
    answer = mounted.post(path, json=body)
    ready, states = mounted.client.get(mounted.prefix + "/health/ready"), mounted.gate.deployments.states()
    go.set()
    mounted.gate.deployments.warm()
    loaded = mounted.post(path, json=body)

    assert re.fullmatch(
        r"This deployment's model is being loaded \(\d+ s so far\): try again", message(answer.json())
    )
    assert (503, "1") == (answer.status, answer.header("retry-after"))
    assert (503, {"hangs": "active"}) == (ready.status, states)
    assert 200 == loaded.status


def test_startup_is_503_until_all_models_have_been_loaded_once(loading):
    """It does not wait for a load, and later failures do not change it."""
    mounted, go = loading
    before = mounted.request("GET", "/health/startup")
    go.set()
    wait_until(lambda: 200 == mounted.request("GET", "/health/startup").status)
    mounted.gate.deployments.cache.cache_clear()
    go.clear()
    after = mounted.request("GET", "/health/startup")

    assert (503, {"started": False}) == (before.status, before.json())
    assert (200, {"started": True}) == (after.status, after.json())


def test_loading_package_is_already_described(loading):
    """Its metadata, OpenAPI document and console need no model."""
    mounted, _ = loading
    base = f"{mounted.prefix}/deployments/hangs"
    metadata = mounted.client.get(base)
    document = mounted.client.get(f"{base}/openapi.json")
    console = mounted.client.get(f"{base}/console")

    assert (200, ["x"]) == (metadata.status, [column["name"] for column in metadata.json()["input"]])
    assert (200, "hangs") == (document.status, document.json()["info"]["title"])
    assert 200 == console.status
    assert 0 == mounted.gate.deployments.cache.cache_info().currsize


@pytest.mark.slow
@pytest.mark.parametrize("model_type", [RaisingModel, MisshapenModel])
@BY_DIALECT
def test_loading_failed_model_is_503(mount, tmp_path, model_type, path, body, message):
    """It is not ready, and `warm` raises the reason."""
    joblib.dump(model_type().fit(FRAME, [2.0, 4.0, 6.0]), tmp_path / "m.joblib")
    digest = hashlib.sha256((tmp_path / "m.joblib").read_bytes()).hexdigest()
    deployment = Deployment("hangs", tmp_path / "m.joblib", sha256=digest)
    mounted = Mounted(mount, Gate([deployment], keys="open"))
    answer = mounted.post(path, json=body)
    ready = mounted.client.get(mounted.prefix + "/health/ready")
    with pytest.raises(DeploymentUnavailable) as info:
        mounted.gate.deployments.warm()

    assert "This deployment's model is temporarily unavailable: try again in 1 s" == message(answer.json())
    assert (503, 503) == (answer.status, ready.status)
    assert {"hangs": "failed"} == mounted.gate.deployments.states()
    assert isinstance(info.value.__cause__, ConfigurationError)
    assert "deployment hangs: model must be able to score a row of its schema" in str(info.value.__cause__)
    assert isinstance(info.value.__cause__.__cause__, TypeError | ValueError)
