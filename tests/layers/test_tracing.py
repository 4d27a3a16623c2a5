"""Spans of OpenTelemetry."""

import json
import logging

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from modelgate import Deployment, Gate, JSONFormatter, KeyAuth, Schema, Tracing
from modelgate.testing import Client
from support.keys import KEY

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture(params=["wsgi", "asgi"])
def make_client(request, provider, monkeypatch):
    """Return a function that makes a client of a gate, whose spans go to the exporter."""
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    def make(function=lambda table: table["age"], **options):
        deployment = Deployment("ages", function, schema=Schema.of(age=float), version="3")
        gate = Gate([deployment], **{"keys": {KEY: "ages"}, "tracing": True, **options})
        return Client(getattr(gate, request.param), headers={"x-api-key": KEY})

    return make


def spans_by_name(exporter):
    return {span.name: span for span in exporter.get_finished_spans()}


def test_request_has_a_span_with_a_child_for_each_phase(make_client, exporter):
    """The children follow each other within their parent."""
    response = make_client().post("/simple/ages", json=[{"age": 1}, {"age": 2}])
    *spans, root = exporter.get_finished_spans()

    assert ["auth", "checks", "cache", "checks", "model", "encode"] == [span.name for span in spans]
    assert "POST /simple/{deployment}" == root.name
    assert {root.context.span_id} == {span.parent.span_id for span in spans}
    assert (None, trace.SpanKind.SERVER) == (root.parent, root.kind)
    assert {
        "http.request.method": "POST",
        "http.route": "/simple/{deployment}",
        "http.response.status_code": 200,
        "modelgate.request_id": response.header("x-request-id"),
        "modelgate.deployment": "ages",
        "modelgate.model.version": "3",
        "modelgate.rows": 2,
    } == dict(root.attributes)
    times = [time for span in spans for time in (span.start_time, span.end_time)]
    assert sorted(times) == times
    assert root.start_time <= times[0]
    assert times[-1] <= root.end_time


def test_parent_is_the_callers_span(make_client, exporter):
    make_client().post("/simple/ages", json=[{"age": 1}], headers=TRACEPARENT)
    root = spans_by_name(exporter)["POST /simple/{deployment}"]

    assert (TRACE, PARENT) == (f"{root.context.trace_id:032x}", f"{root.parent.span_id:016x}")


def test_parent_is_the_active_span_of_the_app(make_client, exporter, provider):
    """Its instrumentation has read the field already."""
    with provider.get_tracer("app").start_as_current_span("app"):
        make_client().post("/simple/ages", json=[{"age": 1}], headers=TRACEPARENT)
    spans = spans_by_name(exporter)
    root = spans["POST /simple/{deployment}"]

    assert (spans["app"].context.span_id, trace.SpanKind.INTERNAL) == (root.parent.span_id, root.kind)
    assert not trace.get_current_span().get_span_context().is_valid


def test_spans_of_a_model_are_children(make_client, exporter, provider):
    def predict(table):
        with provider.get_tracer("model").start_as_current_span("feature store"):
            return table["age"]

    make_client(predict).post("/simple/ages", json=[{"age": 1}])
    spans = spans_by_name(exporter)

    assert spans["POST /simple/{deployment}"].context.span_id == spans["feature store"].parent.span_id


@pytest.mark.slow
def test_failed_model_is_an_error(make_client, exporter):
    def fail(table):
        raise RuntimeError("secret")

    make_client(fail).post("/simple/ages", json=[{"age": 1}])
    root = spans_by_name(exporter)["POST /simple/{deployment}"]

    assert ("prediction_error", 500) == (
        root.attributes["error.type"],
        root.attributes["http.response.status_code"],
    )
    assert trace.StatusCode.ERROR == root.status.status_code
    assert "secret" not in root.to_json()


def test_spans_have_nothing_of_unknown_callers(make_client, exporter):
    """Neither names nor keys that they send."""
    unknown = "a-key-that-nobody-has"
    response = make_client().post(f"/simple/{unknown}", json=[], headers={"x-api-key": unknown})
    [root] = [span for span in exporter.get_finished_spans() if span.parent is None]

    assert (401, "unauthorized") == (response.status, root.attributes["error.type"])
    assert unknown not in root.to_json()
    assert trace.StatusCode.UNSET == root.status.status_code


def test_server_timing_beside_spans(make_client, exporter):
    response = make_client().post("/simple/ages", json=[{"age": 1}], headers={"prefer": "server-timing"})
    phases = [entry.split(";")[0] for entry in response.header("server-timing").split(", ")]

    assert ["auth", "checks", "cache", "model", "encode", "total"] == phases
    assert set(phases) - {"total"} < set(spans_by_name(exporter))


def test_span_around_another_app(wrap, exporter, provider):
    response = Client(wrap(Tracing(provider=provider), KeyAuth({KEY: "*"}))).get("/orders/7")
    [span] = exporter.get_finished_spans()

    assert (401, "GET") == (response.status, span.name)


def test_log_in_json_has_trace_and_request(make_client, exporter, caplog):
    caplog.set_level(logging.INFO, "modelgate.access")
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(json.loads(JSONFormatter().format(record)))
    logger = logging.getLogger("modelgate.access")
    logger.addHandler(handler)
    try:
        response = make_client().post("/simple/ages", json=[{"age": 1}], headers=TRACEPARENT)
    finally:
        logger.removeHandler(handler)
    [line] = lines
    root = spans_by_name(exporter)["POST /simple/{deployment}"]

    assert (TRACE, f"{root.context.span_id:016x}") == (line["trace_id"], line["span_id"])
    assert (response.header("x-request-id"), 200, "ages", "3") == (
        line["request_id"],
        line["status"],
        line["deployment"],
        line["version"],
    )
    assert "message" not in line
