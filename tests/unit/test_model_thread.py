"""Calls of models outside of a request."""

import contextvars
import hashlib
import threading

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LinearRegression

from modelgate import Deployment, Gate, ModelPackage, Schema
from modelgate.models.model_thread import in_model_thread

ROWS = np.arange(10.0).reshape(10, 1)
tenant = contextvars.ContextVar("tenant", default="nobody")


def test_a_call_has_the_context_and_the_configuration_of_its_caller():
    """Its context variables, and what scikit-learn keeps for each thread; and it runs in another thread."""
    token = tenant.set("us")
    with sklearn.config_context(transform_output="pandas"):
        seen = in_model_thread(
            lambda: (tenant.get(), sklearn.get_config()["transform_output"], threading.get_ident())
        )
    tenant.reset(token)

    assert ("us", "pandas") == seen[:2]
    assert threading.get_ident() != seen[2]


@pytest.mark.parametrize("error", [ValueError, SystemExit, StopIteration], ids=lambda it: it.__name__)
def test_a_call_that_raises(error):
    """Raises the same in its caller."""

    def call(text):
        raise error(text)

    with pytest.raises(error, match="no answer"):
        in_model_thread(call, "no answer")


class Noting(LinearRegression):
    """Notes which threads unpickle and call it."""

    def __setstate__(self, state):
        super().__setstate__(state)
        unpickled.append(threading.get_ident())

    def predict(self, X):
        self.threads_.append(threading.get_ident())
        return super().predict(X)


unpickled = []


def noting(threads):
    model = Noting().fit(ROWS, ROWS[:, 0])
    model.threads_ = threads
    return model


def test_no_model_is_unpickled_by_the_thread_that_loads_it(tmp_path):
    """For the app, or to swap it in."""
    path = tmp_path / "noting.joblib"
    joblib.dump(noting([]), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    ModelPackage.load(path, sha256=digest)
    gate = Gate([Deployment("a", noting([]))], keys="open")
    gate.swap("a", path, sha256=digest)

    assert 2 == len(unpickled)
    assert threading.get_ident() not in unpickled


def test_no_model_is_called_by_the_thread_that_makes_or_changes_a_gate():
    """Not at construction, nor by `warm`, `add`, `swap`, `describe`, `openapi`, nor for a package's example."""
    threads = []
    package = ModelPackage.from_estimator(noting(threads), ROWS)
    gate = Gate([Deployment("a", noting(threads)), Deployment("b", package)], keys="open")
    gate.warm()
    gate.add(Deployment("c", noting(threads), schema=Schema.of(x0=float)))
    gate.swap("a", noting(threads))
    gate.rollback("a")
    gate.describe("a")
    gate.openapi("c")

    assert len(threads) >= 6
    assert threading.get_ident() not in threads
