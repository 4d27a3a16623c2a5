"""Counts of what was asked."""

import threading

import pytest

from conftest import KEY
from modelgate import KeyAuth, Metrics, NotFound, Query, RequestId, Response, Schema, drive
from modelgate.metrics import exposition
from modelgate.testing import Client, Inner, request
from scraping import sample, samples


def text(layer):
    return exposition(layer.families())


def test_around_an_app(wrap):
    """What the layers within refuse is counted with its reason, and what the app answers by its status."""
    layer = Metrics()
    client = Client(wrap(RequestId(), layer, KeyAuth({KEY: "*"})))
    client.post("/")
    for _ in range(2):
        client.post("/stream", headers={"x-api-key": KEY})
    told = text(layer)

    assert 1 == sample(told, "modelgate_requests_total", deployment="", dialect="", code="401")
    assert 2 == sample(told, "modelgate_requests_total", deployment="", dialect="", code="206")
    assert 1 == sample(told, "modelgate_errors_total", deployment="", reason="unauthorized")
    assert 0 == sample(told, "modelgate_requests_in_flight")
    assert 2 == sample(told, "modelgate_request_duration_seconds_count", deployment="", **{"class": "2xx"})


def test_what_a_caller_names_is_no_label():
    """Of four hundred names one is known, and the others share a series."""
    layer = Metrics({"churn"})
    for at in range(400):
        asked = request()
        asked.deployment = "churn" if at == 7 else f"name-{at}"
        with pytest.raises(NotFound):
            drive(layer(asked, Inner(NotFound())))
    told = {dict(key[1:]).get("deployment") for key in samples(text(layer))}

    assert {None, "", "churn"} == told
    assert 399 == sample(text(layer), "modelgate_errors_total", deployment="", reason="not_found")


def test_who_waits_is_in_flight():
    """And one who leaves without an answer is cancelled, and was given no row."""
    layer, asked = Metrics(), request()
    asked.query = Query(b"", table=Schema.of(a=float).read({"a": 1}))
    flow = layer(asked, lambda asked: (yield))
    next(flow)
    waiting = sample(text(layer), "modelgate_requests_in_flight")
    flow.close()

    assert (1, 0) == (waiting, sample(text(layer), "modelgate_requests_in_flight"))
    assert 1 == sample(text(layer), "modelgate_requests_total", deployment="", dialect="", code="cancelled")
    assert 0 == sample(text(layer), "modelgate_rows_total", deployment="")


def test_an_app_that_raises_has_failed():
    """The server answers 500: nobody has left."""
    layer = Metrics()
    with pytest.raises(RuntimeError):
        drive(layer(request(), Inner(RuntimeError("bug"))))
    told = text(layer)

    assert 1 == sample(told, "modelgate_requests_total", deployment="", dialect="", code="500")
    assert 1 == sample(told, "modelgate_errors_total", deployment="", reason="internal_error")


def test_time_since_the_request_came():
    """In the bucket that holds it."""
    layer, asked = Metrics(), request()
    asked.started -= 2
    drive(layer(asked, Inner(Response(200))))
    told = samples(text(layer))
    buckets = {
        dict(key[1:])["le"]: value
        for key, value in told.items()
        if key[0] == "modelgate_request_duration_seconds_bucket"
    }

    assert (0, 1, 1) == (buckets["1"], buckets["2.5"], buckets["+Inf"])


def test_no_request_is_lost_among_threads():
    """Eight threads, and every request of theirs is counted."""
    layer, inner = Metrics(), Inner()

    def ask():
        for _ in range(500):
            drive(layer(request(), inner))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4000 == sample(text(layer), "modelgate_requests_total", deployment="", dialect="", code="200")
