"""Requests of the last hour, and the endpoint that reports them."""

import bisect
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import Deployment, DriftMonitor, Gate, OutcomeLog, Schema
from modelgate.flow.timing import Timing
from modelgate.layers import _recent_requests
from modelgate.layers._recent_requests import RecentRequests, estimate_quantile
from modelgate.monitoring.shared_values import SharedValues
from modelgate.prometheus import LocalValues
from modelgate.testing import Client
from support.keys import KEY
from support.openapi import OpenAPIDocument

BOUNDS = (0.1, 1.0)
PATH = "/deployments/price/traffic"
MINUTE = 60.0


@pytest.fixture
def clock(monkeypatch):
    """A clock to set; it starts at the beginning of a minute."""
    now = [600 * MINUTE]
    monkeypatch.setattr(_recent_requests, "perf_counter", lambda: now[0])
    return now


def make_gate(**options):
    schema = Schema.of(age=float)
    price = Deployment("price", lambda table: 100 / table["age"], schema=schema, version="7")
    return Gate([price], **{"keys": "open", **options})


def read_version(report):
    (version,) = report.versions
    return version


def test_recent_requests_forget_after_an_hour(clock):
    """However many minutes pass without a request: an old slot is neither reported nor added to."""
    recent = RecentRequests(LocalValues(), BOUNDS)
    ring = recent.allocate("price", "7")
    start = clock[0]
    for minute, status in ((0, 200), (0, 404), (1, 503), (1, None)):
        ring.count(start + minute * MINUTE, status, 1, None)
    clock[0] = start + 59 * MINUTE
    before = read_version(recent.report("price", shared=False))
    clock[0] = start + 61 * MINUTE
    after = recent.report("price", shared=False).versions
    ring.count(clock[0], 200, 0, None)
    again = read_version(recent.report("price", shared=False))

    assert ([1, 0], [1, 0]) == (before.answered[:2], before.rejected[:2])
    assert ([0, 1], [0, 1]) == (before.failed[:2], before.cancelled[:2])
    assert [] == after
    assert [0] * 59 + [1] == again.answered
    assert 0 == sum(again.rejected + again.failed + again.cancelled)


def test_recent_requests_have_the_mean_of_measured_phases(clock):
    """What follows the last mark is the phase encode. Requests that are not measured do not count."""
    recent = RecentRequests(LocalValues(), BOUNDS)
    ring = recent.allocate("price", "7")
    for seconds in (1.0, 3.0):
        timing = Timing(clock[0])
        timing.phases = [("auth", clock[0], clock[0] + seconds), ("model", clock[0] + seconds, clock[0] + 4)]
        ring.count(clock[0] + 5, 200, 2, timing)
    ring.count(clock[0], 200, 0, None)
    report = recent.report("price", shared=False)

    assert 2 == report.measured
    assert {"auth": 2, "checks": 0, "cache": 0, "model": 2, "encode": 1} == report.phases


def test_recent_requests_of_processes_are_added(tmp_path, clock):
    """Slots of an hour ago in the file of one process are left out, though it has not reset them."""
    one, two = (RecentRequests(SharedValues(tmp_path), BOUNDS) for _ in range(2))
    idle, busy = one.allocate("price", "7"), two.allocate("price", "7")
    idle.count(clock[0], 200, 0, None)
    idle.count(clock[0] + 30 * MINUTE, 200, 0, None)
    clock[0] += 60 * MINUTE
    busy.count(clock[0], 200, 0, None)
    reports = [recent.report("price", shared=True) for recent in (one, two)]

    assert reports[0].versions == reports[1].versions
    assert {29: 1, 59: 1} == {
        minute: count for minute, count in enumerate(read_version(reports[0]).answered) if count
    }


@given(st.lists(st.floats(0, 3), min_size=1), st.floats(0.01, 1))
def test_quantile_is_in_the_bucket_of_the_value(values, share):
    bounds = (0.25, 0.5, 1.0, 2.0)
    counts = [0] * 5
    for value in values:
        counts[bisect.bisect_left(bounds, value)] += 1
    exact = next(
        value
        for value, total in zip(sorted(values), itertools.count(1), strict=False)
        if total >= share * len(values)
    )
    bucket = bisect.bisect_left(bounds, exact)
    estimate = estimate_quantile(bounds, counts, share)

    assert (bounds[bucket - 1] if bucket else 0) <= estimate <= bounds[min(bucket, 3)]


def test_quantile_of_no_values_is_not_known():
    assert estimate_quantile((1.0,), [0, 0], 0.5) is None


def test_traffic_counts_requests_for_predictions():
    """Those for metadata and those to unknown paths are not counted."""
    client = Client(make_gate().wsgi)
    for age in (41, 20, "young"):
        client.post("/deployments/price/predict", json={"age": age})
    client.get("/deployments/price")
    client.get("/deployments/price/nothing")
    started = time.time()
    report = client.get(PATH).json()
    versions = {each["version"]: each for each in report["versions"]}

    assert ("price", False) == (report["deployment"], report["shared"])
    assert 2 == sum(versions["7"]["answered"])
    assert 1 == sum(sum(each["rejected"]) for each in versions.values())
    assert 0 < versions["7"]["median"] <= versions["7"]["p95"]
    assert 1 == report["measured"]
    assert {"auth", "checks", "cache", "model", "encode"} == report["phases"].keys()
    assert 0 <= started - 59 * MINUTE - report["start"] < 2 * MINUTE


@pytest.mark.parametrize(
    ("scope", "status"), [("price:predict", 403), ("price:read", 403), ("price:monitor", 200), ("price", 200)]
)
def test_traffic_requires_scope_monitor(scope, status):
    client = Client(make_gate(keys={KEY: scope}).wsgi, headers={"x-api-key": KEY})

    assert status == client.get(PATH).status


@pytest.mark.parametrize(("scope", "reports"), [("price:read", None), ("price", ["monitor", "traffic"])])
def test_description_names_the_reports_that_a_key_may_read(scope, reports):
    client = Client(
        make_gate(keys={KEY: scope}, on_prediction=DriftMonitor()).wsgi, headers={"x-api-key": KEY}
    )

    assert reports == client.get("/deployments/price").json()["reports"]


def test_traffic_of_an_unknown_deployment_is_not_found():
    assert 404 == Client(make_gate().wsgi).get("/deployments/prices/traffic").status


def test_traffic_needs_metrics():
    assert 404 == Client(make_gate(metrics=False).wsgi).get(PATH).status


def test_openapi_describes_the_monitoring_endpoints(tmp_path):
    """Responses fit their schemas, before and after predictions and for an error."""
    log = OutcomeLog(f"sqlite:///{tmp_path / 'outcomes.db'}", min_rows=1)
    monitor = DriftMonitor(min_rows=1)
    gate = make_gate(keys={KEY: "price"}, on_prediction=[monitor, log])
    client = Client(gate.wsgi, headers={"x-api-key": KEY})
    document = OpenAPIDocument(gate.openapi("price"))
    paths = [f"/deployments/price/{name}" for name in ("monitor", "outcomes", "traffic")]
    checked = []

    def check(response, path, method="get"):
        document.check_response(document.document["paths"][path][method], response)
        checked.append((path, method, response.status))

    for path in paths:
        check(client.get(path), path)
    response = client.post("/deployments/price/predict", json={"age": 41})
    assert monitor.flush() and log.flush()
    for path in paths:
        check(client.get(path), path)
        check(Client(gate.wsgi).get(path), path)
    version = document.document["paths"][paths[0]]["get"]["parameters"][1]
    outcomes = [{"request_id": response.header("x-request-id"), "actual": 2}]
    check(client.post(paths[1], json={"outcomes": outcomes}), paths[1], "post")
    check(client.post(paths[1], json={"outcomes": []}), paths[1], "post")

    assert ("version", "query", {"type": "string"}) == (version["name"], version["in"], version["schema"])
    assert 11 == len(checked)
    assert {(path, "get", status) for path in paths for status in (200, 401)} | {
        (paths[1], "post", 200),
        (paths[1], "post", 400),
    } == set(checked)
