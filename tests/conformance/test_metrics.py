"""What every mount tells Prometheus."""

import pytest

from modelgate import ConfigurationError, Gate
from support.keys import KEY, OTHER_KEY
from support.mounts import Mounted, make_gate
from support.prometheus import parse_samples, read_sample

SCRAPER = "a-key-that-may-read-everything"
KEYS = {KEY: "wine", OTHER_KEY: ["double", "broken"], SCRAPER: "*"}


def scrape(mounted, key=SCRAPER):
    return mounted.request("GET", "/metrics", headers={"authorization": f"Bearer {key}"})


@pytest.fixture
def counted(mount, wine):
    return Mounted(mount, make_gate(wine, keys=KEYS))


@pytest.mark.slow
def test_metrics_count_requests(counted, wine_row):
    """By deployment, dialect and status; errors by reason; rows and model calls."""
    counted.predict(wine_row)
    counted.predict([wine_row, wine_row])
    counted.predict({"hue": 1})
    counted.predict(wine_row, key="a-key-that-nobody-has")
    counted.post("/simple/double", json={"amount": 2}, headers={"x-api-key": OTHER_KEY})
    counted.post("/simple/broken", json=[1.0], headers={"x-api-key": OTHER_KEY})
    answer = scrape(counted)
    samples = answer.body.decode()

    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (answer.status, answer.header("content-type"))
    expected = {
        ("wine", "1", "mlclever", "200"): 2,
        ("wine", "", "mlclever", "400"): 1,
        ("", "", "mlclever", "401"): 1,
        ("double", "1", "simple", "200"): 1,
        ("broken", "1", "simple", "500"): 1,
    }
    assert expected == {
        (deployment, version, dialect, code): read_sample(
            samples,
            "modelgate_requests_total",
            deployment=deployment,
            version=version,
            dialect=dialect,
            code=code,
        )
        for deployment, version, dialect, code in expected
    }
    reasons = {("wine", "", "missing_columns"), ("", "", "unauthorized"), ("broken", "1", "prediction_error")}
    assert dict.fromkeys(reasons, 1) == {
        (name, version, reason): read_sample(
            samples, "modelgate_errors_total", deployment=name, version=version, reason=reason
        )
        for name, version, reason in reasons
    }
    wine, double, broken = (
        {"deployment": name, "version": "1", "role": "serving"} for name in ("wine", "double", "broken")
    )
    assert 3 == read_sample(samples, "modelgate_rows_total", deployment="wine", version="1")
    assert 1 == read_sample(samples, "modelgate_batches_total", **double, reason="unbatched")
    assert 2 == read_sample(samples, "modelgate_batch_rows_count", **wine)
    assert 3 == read_sample(samples, "modelgate_batch_rows_sum", **wine)
    assert 1 == read_sample(samples, "modelgate_model_failures_total", **broken)
    assert 0 == read_sample(samples, "modelgate_queue_rows", **wine)
    assert 0 == read_sample(samples, "modelgate_model_calls_overdue", **wine)
    assert 1 == read_sample(samples, "modelgate_requests_in_flight")


def test_metrics_need_a_key_for_all_deployments(counted):
    assert [401, 401, 403, 200] == [
        counted.request("GET", "/metrics").status,
        scrape(counted, "a-key-that-nobody-has").status,
        scrape(counted, OTHER_KEY).status,
        scrape(counted).status,
    ]


def test_metrics_can_be_open(mount, wine):
    answer = Mounted(mount, make_gate(wine, metrics="open")).request("GET", "/metrics")

    assert 200 == answer.status
    assert parse_samples(answer.body.decode())


def test_metrics_can_be_turned_off(mount, wine, wine_row):
    """Then nothing is counted."""
    mounted = Mounted(mount, make_gate(wine, keys=KEYS, metrics=False))

    assert (404, 200) == (scrape(mounted).status, mounted.predict(wine_row).status)
    assert mounted.gate.metrics is None


@pytest.mark.parametrize("metrics", ["closed", None, 1, "True"])
def test_metrics_option_is_checked(metrics):
    with pytest.raises(ConfigurationError, match="metrics must be"):
        Gate(keys="open", metrics=metrics)


def test_metrics_have_no_names_sent_by_callers(mount, wine, wine_row):
    """Their paths, methods, ids and deployments create no series."""
    counted = Mounted(mount, make_gate(wine, keys=KEYS, auth_failure_limit=None))
    before = set(parse_samples(scrape(counted).body.decode()))
    for number in range(100):
        fields = {"x-api-key": SCRAPER, "x-request-id": f"id-{number}"}
        counted.post(f"/simple/deployment-{number}", json=wine_row, headers=fields)
        counted.request(f"METHOD{number}", f"/path-{number}/{KEY}", headers=fields)
        counted.predict(wine_row, key=f"wrong-key-number-{number}", deployment=f"deployment-{number}")
    text = scrape(counted).body.decode()

    assert len(set(parse_samples(text)) - before) <= 80
    assert not any(word in text for word in (KEY, SCRAPER, "deployment-", "path-", "METHOD", "wrong-key"))
