"""Drift monitor of a gate: counts, alarms, and its endpoint."""

import contextlib
import http.server
import json
import sqlite3
import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelgate import ConfigurationError, Deployment, DriftMonitor, Gate, ModelPackage, StoreError
from modelgate.humility import OutlyingInput
from modelgate.monitoring.drift_bins import ModelBins
from modelgate.testing import Client
from support.databases import DATABASES, make_database
from support.keys import KEY
from support.prometheus import read_sample
from support.waiting import SOON, wait_until

ROUTE, MONITOR = "/simple/price", "/deployments/price/monitor"
HOUR = 3_600.0
X = pd.DataFrame({"age": np.random.default_rng(0).normal(50, 10, size=2_000)})
PACKAGE = ModelPackage.from_estimator(
    LinearRegression().fit(X, X["age"]), X, X["age"].to_numpy(), version="7"
)


class Clock:
    """Clock of the predictions and the monitor."""

    def __init__(self, monkeypatch):
        self.now = 1_000 * HOUR
        monkeypatch.setattr("modelgate.gate.score_and_encode.time", lambda: self.now)

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def make_gate(monitor, **options):
    price = Deployment("price", PACKAGE, humility=[OutlyingInput("age", upper=90)])
    gate = Gate([price], **{"keys": "open", "on_prediction": monitor, **options})
    return gate, Client(gate.wsgi)


def send(client, monitor, shift=0.0, rows=600, seed=1):
    ages = np.random.default_rng(seed).normal(50 + shift, 10, size=rows)
    assert 200 == client.post(ROUTE, json=[{"age": age} for age in ages.tolist()]).status
    assert monitor.flush(SOON)


def send_windows(client, monitor, clock, shifts):
    """Send the rows of one window each, and one row after the last."""
    for seed, shift in enumerate(shifts):
        send(client, monitor, shift, seed=seed)
        clock.now += HOUR
    clock.now += HOUR / 2
    send(client, monitor, rows=1)


@pytest.fixture(params=["memory", "sqlite"])
def empty_storage(request, tmp_path):
    """Without the counts of other tests."""
    return None if request.param == "memory" else f"sqlite:///{tmp_path / 'monitor.db'}"


@pytest.fixture(params=["memory", *DATABASES])
def database(request):
    return None if request.param == "memory" else make_database(request.param, request)


def test_monitor_compares_with_training_data(database, clock):
    monitor = DriftMonitor(database, window=HOUR, clock=clock)
    gate, client = make_gate(monitor)
    send_windows(client, monitor, clock, [0, 20])
    answer = client.get(MONITOR)
    [model] = answer.json()["models"]
    quiet, shifted, rest = model["windows"]
    gate.close()

    assert (200, "7", []) == (answer.status, model["version"], model["alarms"])
    assert ([], ["psi"]) == (quiet["columns"]["age"]["drifted"], shifted["columns"]["age"]["drifted"])
    assert ["psi"] == shifted["prediction"]["drifted"]
    assert quiet["columns"]["age"]["psi"] < 0.1 < shifted["columns"]["age"]["psi"]
    assert (600, 600, 1) == (quiet["rows"], shifted["rows"], rest["rows"])
    assert None is rest["columns"]["age"]["psi"]
    assert shifted["humility"] != {}


@pytest.mark.slow
def test_monitor_reports_one_version(database):
    packages = [
        ModelPackage.from_estimator(
            LinearRegression().fit(X, X["age"]), X, X["age"].to_numpy(), version=version
        )
        for version in ("7", "8")
    ]
    monitor = DriftMonitor(database)
    for package, rows in zip(packages, (3, 4), strict=True):
        gate = Gate([Deployment("price", package)], keys="open", on_prediction=monitor)
        send(Client(gate.wsgi), monitor, rows=rows)
    client = Client(gate.wsgi)
    reports = {
        query: [
            (model["version"], model["windows"][-1]["rows"])
            for model in client.get(MONITOR + query).json()["models"]
        ]
        for query in ("", "?version=7", "?version=8", "?version=9")
    }
    gate.close()

    assert {("7", 3), ("8", 4)} == set(reports.pop(""))
    assert {"?version=7": [("7", 3)], "?version=8": [("8", 4)], "?version=9": []} == reports


def test_sustained_drift_calls_function_once(database, clock):
    alarms = []
    monitor = DriftMonitor(database, window=HOUR, clock=clock, on_alarm=alarms.extend)
    gate, client = make_gate(monitor)
    send_windows(client, monitor, clock, [0, 20, 20, 20])
    gate.close()

    assert {("price", "7", "age"), ("price", "7", None)} == {
        (each.deployment, each.version, each.column) for each in alarms
    }
    assert 2 == len([each for each in alarms if each.measure == "psi"])


@pytest.mark.slow
def test_processes_add_up_and_one_of_them_raises_the_alarm(tmp_path, clock):
    """Neither has enough rows alone."""
    alarms, url = [], f"sqlite:///{tmp_path / 'monitor.db'}"
    monitors = [DriftMonitor(url, window=HOUR, clock=clock, on_alarm=alarms.extend) for _ in range(2)]
    sides = [(monitor, *make_gate(monitor)) for monitor in monitors]
    for _ in range(2):
        for seed, (monitor, _, client) in enumerate(sides):
            send(client, monitor, 20, rows=300, seed=seed)
        clock.now += 2 * HOUR
    for monitor, gate, client in sides:
        send(client, monitor, rows=1)
        gate.close()
    windows = [sides[0][2].get(MONITOR).json()["models"][0]["windows"] for _ in sides]

    assert [600, 600, 2] == [window["rows"] for window in windows[0]]
    assert windows[0] == windows[1]
    assert 1 == len([each for each in alarms if each.measure == "psi" and each.column == "age"])


def test_webhook_gets_alarms(clock):
    """A receiver that fails gets them with the next predictions."""
    bodies, statuses = [], [500, 204]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(statuses[min(len(bodies), 2) - 1])
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/drift"
    monitor = DriftMonitor(window=HOUR, clock=clock, on_alarm=url)
    gate, client = make_gate(monitor)
    send_windows(client, monitor, clock, [20, 20])
    send(client, monitor, rows=1)
    wait_until(lambda: len(bodies) == 2)
    gate.close()
    server.shutdown()
    server.server_close()

    assert bodies[0] == bodies[1]
    assert "age" in [alarm["column"] for alarm in bodies[1]["alarms"]]


def test_unavailable_database_delays_counts(tmp_path, clock, caplog, monkeypatch):
    monitor = DriftMonitor(f"sqlite:///{tmp_path / 'monitor.db'}", window=HOUR, clock=clock)
    gate, client = make_gate(monitor)

    def fail(*_):
        raise StoreError

    with monkeypatch.context() as patch:
        patch.setattr("modelgate.monitoring.drift_tables.SQLDriftStorage.save", fail)
        send(client, monitor)
    send(client, monitor, rows=3)
    [model] = monitor.judge("price")
    gate.close()

    assert "database unavailable: counts are stored later" in caplog.text
    assert [603] == [window.rows for window in model.assessments]


def test_metrics_describe_last_judged_window(clock):
    monitor = DriftMonitor(window=HOUR, clock=clock)
    gate, client = make_gate(monitor)
    send_windows(client, monitor, clock, [20, 20])
    text, model = gate.metrics.render(), {"deployment": "price", "version": "7"}
    gate.close()

    assert 600 == read_sample(text, "modelgate_drift_window_rows", **model)
    assert 0.1 < read_sample(text, "modelgate_drift_psi", **model, column="age")
    assert 1 <= read_sample(text, "modelgate_drift_alarms", **model)
    assert 0 == read_sample(text, "modelgate_drift_missing_ratio", **model, column="age")


@pytest.mark.slow
def test_monitor_of_classifier_without_packaged_data_counts_predictions(clock):
    model = LogisticRegression().fit(X, X["age"] > 50)
    monitor = DriftMonitor(window=HOUR, clock=clock)
    gate = Gate([Deployment("price", model)], keys="open", on_prediction=monitor)
    client = Client(gate.wsgi)
    send_windows(client, monitor, clock, [0, 0, 20, 20])
    [judgement] = monitor.judge("price")
    gate.close()

    assert [(None, "psi")] == [(alarm.column, alarm.measure) for alarm in judgement.alarms]


def test_ignored_column_is_not_counted(clock):
    monitor = DriftMonitor(window=HOUR, clock=clock, ignore=["age"])
    gate, client = make_gate(monitor)
    send(client, monitor)
    [judgement] = monitor.judge("price")
    gate.close()

    assert {} == judgement.assessments[0].columns


@pytest.mark.parametrize("kind", ["text/csv", "application/json", "application/x-npy"])
def test_hypothetical_rows_are_predicted_and_not_counted(clock, kind):
    monitor, records = DriftMonitor(window=HOUR, clock=clock), []
    gate, client = make_gate([monitor, records.append])
    path = "/deployments/price/predict?hypothetical="
    answers = [
        client.post(path + flag, json={"age": 50}, headers={"accept": kind}) for flag in ("true", "false")
    ]
    assert monitor.flush(SOON)
    [model] = client.get(MONITOR).json()["models"]
    gate.close()

    assert [200, 200] == [answer.status for answer in answers]
    assert [True, False] == [record.hypothetical for record in records]
    assert [1] == [window["rows"] for window in model["windows"]]


@pytest.mark.parametrize(
    ("scope", "status"), [("price", 200), ("price:monitor", 200), ("price:predict", 403), ("price:read", 403)]
)
def test_endpoint_requires_scope_monitor(scope, status):
    _, client = make_gate(DriftMonitor(), keys={KEY: scope})

    assert status == client.get(MONITOR, headers={"x-api-key": KEY}).status


def test_endpoint_without_predictions_and_for_unknown_deployment():
    _, client = make_gate(DriftMonitor())

    assert [] == client.get(MONITOR).json()["models"]
    assert 404 == client.get("/deployments/prices/monitor").status


def test_gate_without_monitor_has_no_endpoint():
    _, client = make_gate(None)

    assert 404 == client.get(MONITOR).status


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window must be"),
        ({"min_rows": 0}, "min_rows must be"),
        ({"sustained": 1.5}, "sustained must be"),
        ({"psi_threshold": -1}, "psi_threshold must be a number above 0"),
        ({"ignore": "age"}, "ignore must be a list of column names"),
        ({"on_alarm": "ftp://example.com"}, "on_alarm must be a function, or a URL"),
        ({"on_alarm": 3}, "on_alarm must be a function or a URL"),
        ({"database": 3}, "database must be a URL or None"),
    ],
)
def test_invalid_option_is_rejected(options, message):
    with pytest.raises(ConfigurationError, match=message):
        DriftMonitor(**options)


def test_record_that_cannot_be_counted_loses_no_other(clock, monkeypatch):
    monitor = DriftMonitor(window=HOUR, clock=clock)
    gate, client = make_gate(monitor)
    count = ModelBins.count

    def count_small(bins, records):
        assert all(len(record.table) < 600 for record in records)
        return count(bins, records)

    monkeypatch.setattr(ModelBins, "count", count_small)
    send(client, monitor, rows=600)
    send(client, monitor, rows=5)
    [judgement] = monitor.judge("price")
    lost = read_sample(
        gate.metrics.render(), "modelgate_prediction_log_lost_rows_total", log="drift", reason="invalid"
    )
    gate.close()

    assert ([5], 600) == ([window.rows for window in judgement.assessments], lost)


@pytest.mark.slow
def test_alarm_is_raised_once_though_windows_are_joined_differently(empty_storage, clock):
    """Without the oldest period, which is deleted, each window begins one period later."""
    alarms = []
    monitor = DriftMonitor(empty_storage, window=HOUR, clock=clock, on_alarm=alarms.extend, min_rows=600)
    gate, client = make_gate(monitor)
    for period in range(66):
        send(client, monitor, 20 if period >= 56 else 0, rows=300, seed=period)
        clock.now += HOUR
    gate.close()

    assert 1 == len([each for each in alarms if each.measure == "psi" and each.column == "age"])


@pytest.mark.slow
def test_clock_that_goes_back_loses_no_counts(empty_storage, clock):
    monitor = DriftMonitor(empty_storage, window=HOUR, clock=clock)
    gate, client = make_gate(monitor)
    for seed, hours in enumerate((5, -5, 0)):
        send(client, monitor, seed=seed)
        clock.now += hours * HOUR
    [model] = monitor.judge("price")
    gate.close()

    assert [1_200, 600] == [assessment.rows for assessment in model.assessments]


def test_clock_that_is_far_ahead_loses_no_counts(empty_storage, clock):
    monitor = DriftMonitor(empty_storage, window=HOUR, clock=clock)
    gate, client = make_gate(monitor)
    for seed, hours in enumerate((100_000, -100_000 + 1, 0)):
        send(client, monitor, seed=seed)
        clock.now += hours * HOUR
    [model] = monitor.judge("price")
    gate.close()

    assert [600, 600, 600] == [assessment.rows for assessment in model.assessments]


@pytest.mark.slow
def test_counts_of_the_newest_periods_are_stored(empty_storage, clock, monkeypatch):
    monkeypatch.setattr("modelgate.monitoring.drift_counter._HISTORY", 3)
    monitor = DriftMonitor(empty_storage, window=HOUR, clock=clock)
    gate, client = make_gate(monitor)
    send_windows(client, monitor, clock, [0] * 5)
    [model] = monitor._storage.load("price")
    gate.close()

    assert [600, 600, 1] == [bucket.counts.rows for bucket in model.buckets]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "rows"),
    [
        ("UPDATE modelgate_drift_counts SET counts = '{' WHERE start < 3600 * 1001", [[600, 1]]),
        ("UPDATE modelgate_drift_models SET baseline = '[]'", [[600, 600, 1]]),
        ("UPDATE modelgate_drift_models SET reference = '\"x\"'", []),
    ],
)
def test_damaged_values_in_the_database_are_left_out(tmp_path, clock, caplog, damage, rows):
    """The log says so once, without a value."""
    monitor = DriftMonitor(f"sqlite:///{tmp_path / 'monitor.db'}", window=HOUR, clock=clock)
    gate, client = make_gate(monitor)
    send_windows(client, monitor, clock, [0, 0])
    with contextlib.closing(sqlite3.connect(tmp_path / "monitor.db")) as database:
        database.execute(damage)
        database.commit()
    judgements = [monitor.judge("price"), monitor.judge("price")][1]
    gate.close()

    assert rows == [[each.rows for each in model.assessments] for model in judgements]
    assert 1 == caplog.text.count("ignored a damaged value of version 7")
