"""Metrics of requests."""

import threading

import pytest

from modelgate import KeyAuth, Metrics, NotFound, Predictor, Query, RequestId, Response, Schema, drive
from modelgate.prometheus import render_metrics
from modelgate.testing import Client, StubHandler, request
from support.keys import KEY
from support.prometheus import parse_samples, read_sample
from support.waiting import SOON


def text(layer):
    return render_metrics(layer.families())


def test_metrics_count_responses_and_rejections(wrap):
    """Rejections are counted by reason, responses by status."""
    layer = Metrics()
    client = Client(wrap(RequestId(), layer, KeyAuth({KEY: "*"})))
    client.post("/")
    for _ in range(2):
        client.post("/stream", headers={"x-api-key": KEY})
    output = text(layer)

    assert 1 == read_sample(
        output, "modelgate_requests_total", deployment="", version="", dialect="", code="401"
    )
    assert 2 == read_sample(
        output, "modelgate_requests_total", deployment="", version="", dialect="", code="206"
    )
    assert 1 == read_sample(
        output, "modelgate_errors_total", deployment="", version="", reason="unauthorized"
    )
    assert 0 == read_sample(output, "modelgate_requests_in_flight")
    assert 2 == read_sample(
        output, "modelgate_request_duration_seconds_count", deployment="", version="", **{"class": "2xx"}
    )


def test_metrics_have_no_labels_from_callers():
    """Four hundred unknown names share one series."""
    layer = Metrics({"churn"})
    for index in range(400):
        http_request = request()
        http_request.context.deployment = "churn" if index == 7 else f"name-{index}"
        with pytest.raises(NotFound):
            drive(layer(http_request, StubHandler(NotFound())))
    labels = {dict(key[1:]).get("deployment") for key in parse_samples(text(layer))}

    assert {None, "", "churn"} == labels
    assert 399 == read_sample(
        text(layer), "modelgate_errors_total", deployment="", version="", reason="not_found"
    )


def test_metrics_discard_removed_deployments():
    """The counts of the other deployments stay."""
    deployments = {"churn", "price"}
    layer = Metrics(deployments)

    def ask(name):
        http_request = request()
        http_request.context.deployment = name
        with pytest.raises(NotFound):
            drive(layer(http_request, StubHandler(NotFound())))

    def counted():
        return {labels[0] for values in layer._values.read().values() for labels in values if labels}

    ask("churn")
    ask("price")
    deployments.remove("churn")
    labels = {dict(key[1:]).get("deployment") for key in parse_samples(text(layer))}
    deployments.remove("price")
    ask("other")

    assert ({None, "price"}, {""}) == (labels, counted())


def test_metrics_count_requests_in_flight():
    """A request whose caller disconnects is cancelled, without rows."""
    layer, http_request = Metrics(), request()
    http_request.context.query = Query(b"", table=Schema.of(a=float).read({"a": 1}))
    flow = layer(http_request, lambda _: (yield))
    next(flow)
    waiting = read_sample(text(layer), "modelgate_requests_in_flight")
    flow.close()

    assert (1, 0) == (waiting, read_sample(text(layer), "modelgate_requests_in_flight"))
    assert 1 == read_sample(
        text(layer), "modelgate_requests_total", deployment="", version="", dialect="", code="cancelled"
    )
    assert 0 == read_sample(text(layer), "modelgate_rows_total", deployment="", version="")


def test_metrics_count_failed_app_as_500():
    """Not as cancelled."""
    layer = Metrics()
    with pytest.raises(RuntimeError):
        drive(layer(request(), StubHandler(RuntimeError("bug"))))
    output = text(layer)

    assert 1 == read_sample(
        output, "modelgate_requests_total", deployment="", version="", dialect="", code="500"
    )
    assert 1 == read_sample(
        output, "modelgate_errors_total", deployment="", version="", reason="internal_error"
    )


def test_metrics_measure_duration_from_arrival():
    layer, http_request = Metrics(), request()
    http_request.started -= 2
    drive(layer(http_request, StubHandler(Response(200))))
    samples = parse_samples(text(layer))
    buckets = {
        dict(key[1:])["le"]: value
        for key, value in samples.items()
        if key[0] == "modelgate_request_duration_seconds_bucket"
    }

    assert (0, 1, 1) == (buckets["1"], buckets["2.5"], buckets["+Inf"])


@pytest.mark.slow
def test_metrics_count_exactly_with_threads():
    layer, inner = Metrics(), StubHandler()

    def ask():
        for _ in range(500):
            drive(layer(request(), inner))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)

    assert 4000 == read_sample(
        text(layer), "modelgate_requests_total", deployment="", version="", dialect="", code="200"
    )


def test_metrics_limit_versions():
    """The fifty versions that were used last, so that labels stay bounded while a model is trained daily."""
    layer = Metrics({"churn"})
    for version in range(60):
        http_request = request()
        http_request.context.deployment = "churn"
        http_request.context.query = Query(
            b"", predictor=Predictor(len, Schema.of(a=float), version=str(version))
        )
        drive(layer(http_request, StubHandler(Response(200))))
    samples = parse_samples(text(layer))
    versions = [dict(key[1:])["version"] for key in samples if key[0] == "modelgate_requests_total"]

    assert list(map(str, range(10, 60))) == versions
