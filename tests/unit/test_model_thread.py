"""Model calls outside of a request."""

import contextvars
import hashlib
import threading

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LinearRegression

from modelgate import Deployment, Gate, ModelPackage, Schema
from modelgate.flow.model_thread import in_model_thread

ROWS = np.arange(10.0).reshape(10, 1)
tenant = contextvars.ContextVar("tenant", default="nobody")


def test_in_model_thread_copies_context_and_configuration():
    token = tenant.set("us")
    with sklearn.config_context(transform_output="pandas"):
        seen = in_model_thread(
            lambda: (tenant.get(), sklearn.get_config()["transform_output"], threading.get_ident())
        )
    tenant.reset(token)

    assert ("us", "pandas") == seen[:2]
    assert threading.get_ident() != seen[2]


@pytest.mark.parametrize("error", [ValueError, SystemExit, StopIteration], ids=lambda it: it.__name__)
def test_in_model_thread_raises_in_the_caller(error):
    def call(text):
        raise error(text)

    with pytest.raises(error, match="no answer"):
        in_model_thread(call, "no answer")


class ThreadRecorder(LinearRegression):
    """Records the threads that unpickle and call it."""

    def __setstate__(self, state):
        super().__setstate__(state)
        unpickled.append(threading.get_ident())

    def predict(self, X):
        self.threads_.append(threading.get_ident())
        return super().predict(X)


unpickled = []


def make_recorder(threads):
    model = ThreadRecorder().fit(ROWS, ROWS[:, 0])
    model.threads_ = threads
    return model


def test_model_is_unpickled_in_another_thread(tmp_path):
    path = tmp_path / "make_recorder.joblib"
    joblib.dump(make_recorder([]), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    ModelPackage.load(path, sha256=digest)
    gate = Gate([Deployment("a", make_recorder([]))], keys="open")
    gate.deployments.swap("a", path, sha256=digest)

    assert 2 == len(unpickled)
    assert threading.get_ident() not in unpickled


def test_model_is_called_in_another_thread():
    """By the constructor, `warm`, `add`, `swap`, `describe`, `openapi`, and for a package's example."""
    threads = []
    package = ModelPackage.from_estimator(make_recorder(threads), ROWS)
    gate = Gate([Deployment("a", make_recorder(threads)), Deployment("b", package)], keys="open")
    gate.deployments.warm()
    gate.deployments.add(Deployment("c", make_recorder(threads), schema=Schema.of(x0=float)))
    gate.deployments.swap("a", make_recorder(threads))
    gate.deployments.rollback("a")
    gate.deployments.describe("a")
    gate.openapi("c")

    assert len(threads) >= 6
    assert threading.get_ident() not in threads
