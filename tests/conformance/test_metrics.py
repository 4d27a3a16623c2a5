"""What every mount tells Prometheus."""

import pytest

from conformance.conftest import Mounted, make_gate
from conftest import KEY, OTHER_KEY
from modelgate import ConfigurationError, Gate
from scraping import sample, samples

SCRAPER = "a-key-that-may-read-everything"
KEYS = {KEY: "wine", OTHER_KEY: ["double", "broken"], SCRAPER: "*"}


def scrape(mounted, key=SCRAPER):
    return mounted.request("GET", "/metrics", headers={"authorization": f"Bearer {key}"})


@pytest.fixture
def counted(mount, wine):
    return Mounted(mount, make_gate(wine, keys=KEYS))


def test_what_was_asked_is_counted(counted, wine_row):
    """By deployment, wire format and status; refusals by their reason; rows; the calls of the models."""
    counted.predict(wine_row)
    counted.predict([wine_row, wine_row])
    counted.predict({"hue": 1})
    counted.predict(wine_row, key="a-key-that-nobody-has")
    counted.post("/simple/double", json={"amount": 2}, headers={"x-api-key": OTHER_KEY})
    counted.post("/simple/broken", json=[1.0], headers={"x-api-key": OTHER_KEY})
    answer = scrape(counted)
    told = answer.body.decode()

    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (answer.status, answer.header("content-type"))
    expected = {
        ("modelgate_requests_total", "wine", "mlclever", "200"): 2,
        ("modelgate_requests_total", "wine", "mlclever", "400"): 1,
        ("modelgate_requests_total", "", "mlclever", "401"): 1,
        ("modelgate_requests_total", "double", "simple", "200"): 1,
        ("modelgate_requests_total", "broken", "simple", "500"): 1,
    }
    assert expected == {
        key: sample(told, key[0], deployment=key[1], dialect=key[2], code=key[3]) for key in expected
    }
    reasons = {("wine", "missing_columns"), ("", "unauthorized"), ("broken", "prediction_error")}
    assert dict.fromkeys(reasons, 1) == {
        (name, reason): sample(told, "modelgate_errors_total", deployment=name, reason=reason)
        for name, reason in reasons
    }
    assert 3 == sample(told, "modelgate_rows_total", deployment="wine")
    assert 1 == sample(told, "modelgate_batches_total", deployment="double", reason="unbatched")
    assert 2 == sample(told, "modelgate_batch_rows_count", deployment="wine")
    assert 3 == sample(told, "modelgate_batch_rows_sum", deployment="wine")
    assert 1 == sample(told, "modelgate_model_failures_total", deployment="broken")
    assert 0 == sample(told, "modelgate_queue_rows", deployment="wine")
    assert 0 == sample(told, "modelgate_model_calls_overdue", deployment="wine")
    assert 1 == sample(told, "modelgate_requests_in_flight")


def test_metrics_need_a_key_that_opens_everything(counted):
    """They tell of every deployment."""

    assert [401, 401, 403, 200] == [
        counted.request("GET", "/metrics").status,
        scrape(counted, "a-key-that-nobody-has").status,
        scrape(counted, OTHER_KEY).status,
        scrape(counted).status,
    ]


def test_metrics_may_be_open(mount, wine):
    """Said so on purpose, anyone reads them."""
    told = Mounted(mount, make_gate(wine, metrics="open")).request("GET", "/metrics")

    assert 200 == told.status
    assert samples(told.body.decode())


def test_metrics_may_be_off(mount, wine, wine_row):
    """Then the path is none, and nothing is counted."""
    mounted = Mounted(mount, make_gate(wine, keys=KEYS, metrics=False))

    assert (404, 200) == (scrape(mounted).status, mounted.predict(wine_row).status)
    assert mounted.gate.metrics is None


@pytest.mark.parametrize("metrics", ["closed", None, 1, "True"])
def test_what_metrics_may_not_be(metrics):
    """Refused at construction, by name."""
    with pytest.raises(ConfigurationError, match="metrics="):
        Gate(keys="open", metrics=metrics)


def test_no_key_and_no_name_that_a_caller_sends_is_told(mount, wine, wine_row):
    """Paths, methods, ids and deployments of their own make no series."""
    counted = Mounted(mount, make_gate(wine, keys=KEYS, auth_failures=None))
    before = set(samples(scrape(counted).body.decode()))
    for at in range(100):
        fields = {"x-api-key": SCRAPER, "x-request-id": f"id-{at}"}
        counted.post(f"/simple/deployment-{at}", json=wine_row, headers=fields)
        counted.request(f"METHOD{at}", f"/path-{at}/{KEY}", headers=fields)
        counted.predict(wine_row, key=f"wrong-key-number-{at}", deployment=f"deployment-{at}")
    text = scrape(counted).body.decode()

    assert len(set(samples(text)) - before) <= 80
    assert not any(word in text for word in (KEY, SCRAPER, "deployment-", "path-", "METHOD", "wrong-key"))
