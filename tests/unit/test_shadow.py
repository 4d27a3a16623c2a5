"""Shadow models, which score the same rows as the serving one."""

import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelgate import (
    ConfigurationError,
    Deployment,
    Gate,
    MemoryStore,
    ModelPackage,
    NotFound,
    Shadow,
    drive,
)
from modelgate.inference import Output
from modelgate.scoring.layers.shadow import _MAX_QUEUED, ShadowReport, _compare_outputs
from modelgate.testing import Client
from support.packages import fit_broken_model, make_package
from support.waiting import SOON, wait_until

ROW = {"x0": 1.0}


class BlockingStore(MemoryStore):
    """Loads version 4 only once *go* is set, and records its loads."""

    def __init__(self, models):
        super().__init__(models)
        self.go, self.loads = threading.Event(), []

    def load(self, name):
        self.loads.append(name)
        assert name != "churn@4" or self.go.wait(SOON)
        return super().load(name)


def make_gate(shadow_model, *, go=True, **options):
    store = BlockingStore({"churn@3": make_package(3), "churn@4": shadow_model})
    if go:
        store.go.set()
    deployment = Deployment("churn", "store:churn@3", shadow=Shadow("store:churn@4", **options))
    return Gate([deployment], keys="open", store=store)


def wait_for_report(gate, field, number):
    """Return the report once *field* has reached *number*."""
    wait_until(lambda: getattr(gate.deployments.shadow_report("churn"), field) >= number)
    return gate.deployments.shadow_report("churn")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shadow("churn.skops"), "the model must be a package or"),
        (lambda: Shadow("store:churn", 1.5), "sample must be a number from 0 to 1 .got 1.5"),
        (lambda: Shadow("store:churn", True), "sample must be a number from 0 to 1"),
        (lambda: Deployment("churn", "store:churn", shadow="store:churn"), "shadow must be a Shadow"),
    ],
)
def test_shadow_rejects_invalid_options(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("shadow_model", "agreed", "difference"),
    [
        (make_package(4, prediction=3), 4, 0),
        (make_package(4), 0, 1),
        (make_package(4, prediction=3.001), 0, 0.001),
    ],
)
def test_shadow_report_counts_agreement(interface, shadow_model, agreed, difference):
    """Numbers are compared before rounding; callers get the predictions of the serving model."""
    gate = make_gate(shadow_model)
    client = Client(getattr(gate, interface))
    answers = [client.post("/api/predict", json={"input_data": rows}).json() for rows in ([ROW] * 3, ROW)]
    report = wait_for_report(gate, "rows", 4)

    assert [[3.0] * 3, [3.0]] == [answer["predictions"] for answer in answers]
    assert (4, agreed, 0, 0) == (report.rows, report.agreed, report.failed, report.dropped)
    assert difference == pytest.approx(report.difference, abs=1e-9)


@pytest.mark.slow
def test_shadow_report_counts_equal_labels():
    """They have no difference."""
    rows = np.arange(-5.0, 5.0).reshape(10, 1)
    labels = np.where(rows[:, 0] > 0, "yes", "no")
    one, other = (LogisticRegression(C=1e6).fit(rows + shift, labels) for shift in (0, 2))
    packages = [
        ModelPackage.from_estimator(model, rows, version=str(version))
        for version, model in enumerate((one, other))
    ]
    gate = Gate([Deployment("churn", packages[0], shadow=Shadow(packages[1]))], keys="open")
    gate.score("churn", rows)
    expected = int((one.predict(rows) == other.predict(rows)).sum())

    assert ShadowReport(10, expected, None, 0, 0) == wait_for_report(gate, "rows", 10)
    assert 0 < expected < 10


@pytest.mark.parametrize(
    "shadow_model",
    [fit_broken_model(), make_package(4, columns=2), LogisticRegression()],
    ids=["broken", "other columns", "unfitted"],
)
def test_shadow_errors_are_counted_and_logged_once(shadow_model, caplog):
    """Callers do not see them."""
    gate = make_gate(shadow_model)
    for _ in range(3):
        assert [3] == gate.score("churn", ROW).values.tolist()
    report = wait_for_report(gate, "failed", 3)

    assert ShadowReport(failed=3) == report
    assert 1 == caplog.text.count("deployment churn: shadow cannot score")


@pytest.mark.parametrize("as_package", [False, True])
def test_shadow_calls_are_not_counted_for_the_deployment(as_package):
    """A shadow that fails or hangs triggers no alert."""
    ready, scoring, go = threading.Event(), threading.Event(), threading.Event()

    class Hanging(LinearRegression):
        def predict(self, X):
            if not ready.is_set():
                return super().predict(X)
            scoring.set()
            assert go.wait(SOON)
            raise ValueError("no answer")

    hanging = replace(make_package(4), model=Hanging().fit(np.zeros((2, 1)), [4, 4]))
    gate = make_gate(hanging)
    if as_package:
        gate = Gate([Deployment("churn", make_package(3), shadow=Shadow(hanging))], keys="open")
    drive(gate._catalog["churn"].shadow_revision.model.predictor(SOON))
    ready.set()
    gate.score("churn", ROW)
    assert scoring.wait(SOON)
    metrics, shadow = (
        gate.deployments.loader.model_metrics["churn", *labels]
        for labels in (("3", "serving"), ("4", "shadow"))
    )
    running = len(metrics.running), len(shadow.running)
    go.set()
    wait_for_report(gate, "failed", 1)

    assert ((0, 1), 0, 1) == (running, metrics.failed, sum(metrics.calls.values()))
    assert (1, 1) == (shadow.failed, sum(shadow.calls.values()))


def test_shadow_comparison_of_nan_and_infinity():
    """NaN equals NaN; only finite numbers have a difference."""
    numbers = np.array([1.0, np.nan, np.nan, np.inf, np.inf])
    others = np.array([1.5, np.nan, 1.0, np.inf, 1.0])
    agreed, differences = _compare_outputs([Output("y", numbers)], [Output("y", others)])

    assert ([False, True, False, True, False], [0.5]) == (agreed, differences)


def test_shadow_with_other_outputs_fails(caplog):
    rows = np.arange(20.0).reshape(10, 2)
    two = ModelPackage.from_estimator(LinearRegression().fit(rows, rows), rows, version="4")
    gate = make_gate(two)
    gate.score("churn", {"x0": 1, "x1": 1})

    assert ShadowReport(failed=1) == wait_for_report(gate, "failed", 1)


def test_requests_do_not_wait_for_a_shadow():
    """Requests that find its queue full are dropped and counted; queued ones are scored later."""
    gate = make_gate(make_package(4), go=False)
    for _ in range(_MAX_QUEUED + 5):
        assert [3] == gate.score("churn", ROW).values.tolist()
    full = gate.deployments.shadow_report("churn")
    gate.deployments.loader._store.go.set()

    assert ShadowReport(dropped=5) == full
    assert ShadowReport(_MAX_QUEUED, 0, 1.0, 0, 5) == wait_for_report(gate, "rows", _MAX_QUEUED)


@pytest.mark.slow
@pytest.mark.parametrize(("sample", "at_least", "at_most"), [(0, 0, 0), (0.5, 40, 160)])
def test_shadow_scores_a_sample_of_the_requests(sample, at_least, at_most):
    """With a sample of 0 its model is not loaded."""
    gate = make_gate(make_package(4), sample=sample)
    for _ in range(200):
        gate.score("churn", ROW)
        wait_until(lambda: not gate._catalog["churn"].shadow._queued)
    report = gate.deployments.shadow_report("churn")

    assert at_least <= report.rows <= at_most
    assert 0 == report.dropped
    assert (sample > 0) == ("churn@4" in gate.deployments.loader._store.loads)


def test_swap_to_the_model_of_a_shadow_ends_the_shadow():
    """The model is loaded again, because its calls are then counted for the deployment."""
    gate = make_gate(make_package(4, prediction=4.126))
    gate.score("churn", ROW)
    wait_for_report(gate, "rows", 1)
    gate.deployments.swap("churn", "store:churn@4")
    answer = Client(gate.wsgi).post("/api/predict", json={"input_data": ROW})

    assert [4.13] == answer.json()["predictions"]
    assert ["churn@3", "churn@4", "churn@4"] == gate.deployments.loader._store.loads
    metrics = gate.deployments.loader.model_metrics
    assert 1 == sum(metrics["churn", "4", "serving"].calls.values())
    with pytest.raises(NotFound, match="has no shadow"):
        gate.deployments.shadow_report("churn")


def test_swap_adds_a_shadow_and_keeps_the_model():
    gate = make_gate(make_package(4))
    gate.deployments.swap("churn", "store:churn@3")
    loads = list(gate.deployments.loader._store.loads)
    gate.deployments.swap("churn", shadow=Shadow("store:churn@4"))
    gate.score("churn", ROW)

    assert 1 == wait_for_report(gate, "rows", 1).rows
    assert [*loads, "churn@4"] == gate.deployments.loader._store.loads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_has_a_shadow_report_of_its_own():
    """It also has a thread of its own."""
    gate = make_gate(make_package(4))
    gate.score("churn", ROW)
    wait_for_report(gate, "rows", 1)
    with gate._catalog["churn"].shadow._lock:
        child = os.fork()
    if child == 0:
        signal.alarm(SOON)
        try:
            gate.score("churn", [ROW, ROW])
            os._exit(wait_for_report(gate, "rows", 1).rows != 2)
        finally:
            os._exit(1)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
