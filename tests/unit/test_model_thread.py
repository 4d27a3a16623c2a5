"""Model calls outside of a request."""

import contextvars
import hashlib
import subprocess
import sys
import threading

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LinearRegression

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, Schema
from modelgate.flow.model_thread import in_model_thread
from support.waiting import SOON

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


@pytest.mark.slow
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


FORKED = """
import os, signal, sys, threading
from modelgate import ConfigurationError, Deployment, Gate, Schema
from modelgate.testing import Client

class Model:
    n_features_in_ = 1
    threads = []

    def predict(self, rows):
        self.threads.append(threading.get_ident())
        return [gate.score("m", {"x": x - 1}).values[0] + 1 if x else 0.0 for x in rows[:, 0]]

model, gate, safe = Model(), Gate(keys="open"), sys.argv[1] == "safe"
batch = sys.argv[2] == "batched"
schema = Schema.of(x=float)
gate.deployments.add(Deployment("m", model, schema=schema, plans=False, batch=batch, thread_safe=safe))
gate.score("m", {"x": 1})
here = threading.get_ident()
assert here in Model.threads
child = os.fork()
if child == 0:
    signal.alarm(300)  # ends the child if it waits for itself
    Model.threads.clear()
    results = [gate.score("m", {"x": 2}).values[0], Client(gate.wsgi).post("/simple/m", json={"x": 2}).status]
    os._exit([2.0, 200] != results or here in Model.threads)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("mode", ["safe batched", "safe unbatched", "locked batched"])
@pytest.mark.slow
def test_thread_that_called_a_model_before_a_fork_calls_it_in_other_threads(mode):
    """OpenMP hangs otherwise. A model that calls its own deployment does not wait for itself."""
    run = [sys.executable, "-W", "ignore", "-c", FORKED, *mode.split()]
    done = subprocess.run(run, timeout=SOON, check=False, capture_output=True, text=True)

    assert (0, "") == (done.returncode, done.stderr)


class Hanging:
    """Fitted estimator that never predicts."""

    n_features_in_ = 1

    def predict(self, rows):
        assert go_on.wait(SOON)
        return rows[:, 0]


go_on = threading.Event()


def test_model_that_hangs_in_its_test_is_rejected(monkeypatch, caplog):
    monkeypatch.setattr("modelgate.deployments.loader._SLOW_TEST", 0.01)
    monkeypatch.setattr("modelgate.deployments.loader._TEST_TIMEOUT", 0.02)
    message = "deployment slow: model must predict a row within 0 s .got no prediction"
    with pytest.raises(ConfigurationError, match=message):
        Gate([Deployment("slow", Hanging(), schema=Schema.of(x=float))], keys="open")
    go_on.set()

    assert "deployment slow: slow model test: not finished after 0 s" in caplog.text
