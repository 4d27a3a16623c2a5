"""A second model scores what the first one did."""

import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelgate import ConfigurationError, Deployment, Gate, MemoryStore, ModelPackage, NotFound, Shadow, drive
from modelgate.scoring import Agreement, Output
from modelgate.scoring.shadow import _WAITING, _compared
from modelgate.testing import Client
from releases import broken, release

ROW = {"x0": 1.0}
SOON = 30


class Store(MemoryStore):
    """Loads version 4 when it is let, and counts its loads."""

    def __init__(self, models):
        super().__init__(models)
        self.go, self.loads = threading.Event(), []

    def load(self, name):
        self.loads.append(name)
        assert name != "churn@4" or self.go.wait(SOON)
        return super().load(name)


def gate_of(four, *, go=True, **options):
    store = Store({"churn@3": release(3), "churn@4": four})
    if go:
        store.go.set()
    deployment = Deployment("churn", "store:churn@3", shadow=Shadow("store:churn@4", **options))
    return Gate([deployment], keys="open", store=store)


def counted(gate, field, number):
    """The agreement, once so many are counted."""
    waiting = threading.Event()
    for _ in range(SOON * 200):
        told = gate.agreement("churn")
        if getattr(told, field) >= number:
            return told
        waiting.wait(0.005)
    raise AssertionError(told)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Shadow("churn.skops"), "accepts what tells its version"),
        (lambda: Shadow("store:churn", 1.5), "sample=1.5: accepts a number from 0 to 1"),
        (lambda: Shadow("store:churn", True), "sample=True"),
        (lambda: Deployment("churn", "store:churn", shadow="store:churn"), "accepts a Shadow"),
    ],
)
def test_what_cannot_be(make, told):
    """The option is named, and what it accepts."""
    with pytest.raises(ConfigurationError, match=told):
        make()


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("four", "agreed", "difference"),
    [(release(4, said=3), 4, 0), (release(4), 0, 1), (release(4, said=3.001), 0, 0.001)],
)
def test_agreement_is_counted(interface, four, agreed, difference):
    """Of the numbers before they are rounded; the answers are those of the first."""
    gate = gate_of(four)
    client = Client(getattr(gate, interface))
    answers = [client.post("/api/predict", json={"input_data": rows}).json() for rows in ([ROW] * 3, ROW)]
    told = counted(gate, "rows", 4)

    assert [[3.0] * 3, [3.0]] == [answer["predictions"] for answer in answers]
    assert (4, agreed, 0, 0) == (told.rows, told.agreed, told.failed, told.dropped)
    assert difference == pytest.approx(told.difference, abs=1e-9)


def test_labels_agree_or_do_not():
    """And have no difference."""
    rows = np.arange(-5.0, 5.0).reshape(10, 1)
    labels = np.where(rows[:, 0] > 0, "yes", "no")
    one, other = (LogisticRegression(C=1e6).fit(rows + shift, labels) for shift in (0, 2))
    packages = [ModelPackage.from_estimator(it, rows, version=str(at)) for at, it in enumerate((one, other))]
    gate = Gate([Deployment("churn", packages[0], shadow=Shadow(packages[1]))], keys="open")
    gate.score("churn", rows)
    expected = int((one.predict(rows) == other.predict(rows)).sum())

    assert Agreement(10, expected, None, 0, 0) == counted(gate, "rows", 10)
    assert 0 < expected < 10


@pytest.mark.parametrize(
    "four",
    [broken(), release(4, columns=2), LogisticRegression()],
    ids=["broken", "other columns", "unfitted"],
)
def test_its_errors_are_nobodys(four, caplog):
    """They are counted, and told in the log once."""
    gate = gate_of(four)
    for _ in range(3):
        assert [3] == gate.score("churn", ROW).values.tolist()
    told = counted(gate, "failed", 3)

    assert Agreement(failed=3) == told
    assert 1 == caplog.text.count("the shadow of deployment churn cannot score")


@pytest.mark.parametrize("as_package", [False, True])
def test_its_calls_are_not_those_of_the_deployment(as_package):
    """One that fails, or hangs, is no failure of what answers, and raises nobody's alarm."""
    made, going, go = threading.Event(), threading.Event(), threading.Event()

    class Hanging(LinearRegression):
        def predict(self, X):
            if not made.is_set():
                return super().predict(X)
            going.set()
            assert go.wait(SOON)
            raise ValueError("no answer")

    hanging = replace(release(4), model=Hanging().fit(np.zeros((2, 1)), [4, 4]))
    gate = gate_of(hanging)
    if as_package:
        gate = Gate([Deployment("churn", release(3), shadow=Shadow(hanging))], keys="open")
    drive(gate._entries["churn"].shadowed.model.predictor(SOON))
    made.set()
    gate.score("churn", ROW)
    assert going.wait(SOON)
    tally = gate._loader.tallies["churn"]
    running = len(tally.running)
    go.set()
    counted(gate, "failed", 1)

    assert (0, 0, 1) == (running, tally.failed, sum(tally.calls.values()))


def test_numbers_that_are_none():
    """NaN agrees with NaN, and makes no difference; a number that is none differs by nothing that could be told."""
    numbers = np.array([1.0, np.nan, np.nan, np.inf, np.inf])
    others = np.array([1.5, np.nan, 1.0, np.inf, 1.0])
    agreed, apart = _compared([Output("y", numbers)], [Output("y", others)])

    assert ([False, True, False, True, False], [0.5]) == (agreed, apart)


def test_other_outputs_are_a_failure(caplog):
    """There is nothing to compare."""
    rows = np.arange(20.0).reshape(10, 2)
    two = ModelPackage.from_estimator(LinearRegression().fit(rows, rows), rows, version="4")
    gate = gate_of(two)
    gate.score("churn", {"x0": 1, "x1": 1})

    assert Agreement(failed=1) == counted(gate, "failed", 1)


def test_nobody_waits_for_it():
    """What finds the queue full is left out, and counted; what waits is scored when it can be."""
    gate = gate_of(release(4), go=False)
    for _ in range(_WAITING + 5):
        assert [3] == gate.score("churn", ROW).values.tolist()
    full = gate.agreement("churn")
    gate._loader._store.go.set()

    assert Agreement(dropped=5) == full
    assert Agreement(_WAITING, 0, 1.0, 0, 5) == counted(gate, "rows", _WAITING)


@pytest.mark.parametrize(("sample", "at_least", "at_most"), [(0, 0, 0), (0.5, 40, 160)])
def test_a_sample_of_the_requests(sample, at_least, at_most):
    """By chance; without any the model is not even loaded."""
    gate = gate_of(release(4), sample=sample)
    for _ in range(200):
        gate.score("churn", ROW)
        while gate._entries["churn"].shadow._waiting:
            threading.Event().wait(0.001)
    told = gate.agreement("churn")

    assert at_least <= told.rows <= at_most
    assert 0 == told.dropped
    assert (sample > 0) == ("churn@4" in gate._loader._store.loads)


def test_a_shadow_becomes_the_deployments_own():
    """It is loaded once more, as its calls are counted with those of the deployment then; and there is no shadow."""
    gate = gate_of(release(4, said=4.126))
    gate.score("churn", ROW)
    counted(gate, "rows", 1)
    gate.swap("churn", "store:churn@4")
    answer = Client(gate.wsgi).post("/api/predict", json={"input_data": ROW})

    assert [4.13] == answer.json()["predictions"]
    assert ["churn@3", "churn@4", "churn@4"] == gate._loader._store.loads
    assert 2 == sum(gate._loader.tallies["churn"].calls.values())
    with pytest.raises(NotFound, match="has no shadow"):
        gate.agreement("churn")


def test_a_shadow_is_given_while_it_serves():
    """The model that answers stays as it is."""
    gate = gate_of(release(4))
    gate.swap("churn", "store:churn@3")
    loads = list(gate._loader._store.loads)
    gate.swap("churn", shadow=Shadow("store:churn@4"))
    gate.score("churn", ROW)

    assert 1 == counted(gate, "rows", 1).rows
    assert [*loads, "churn@4"] == gate._loader._store.loads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_counts_for_itself():
    """Its shadow has a thread, although its parent's is not there."""
    gate = gate_of(release(4))
    gate.score("churn", ROW)
    counted(gate, "rows", 1)
    with gate._entries["churn"].shadow._lock:
        child = os.fork()
    if child == 0:
        signal.alarm(SOON)
        try:
            gate.score("churn", [ROW, ROW])
            os._exit(counted(gate, "rows", 1).rows != 2)
        finally:
            os._exit(1)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
