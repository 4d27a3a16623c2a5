"""Requests and options that the quick path must leave to the layers, or answer as they do."""

import asyncio
import gc
import logging
import math
import threading
import weakref

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware

from modelgate import (
    Admission,
    AuthFailureLimit,
    BodyLimit,
    Column,
    Deadline,
    Deployment,
    Gate,
    KeyAuth,
    MemoryStore,
    RateLimit,
    Schema,
    mount,
    stack,
)
from modelgate.forecasting import TimeSeriesSpec
from modelgate.keys import MemoryKeyStore
from modelgate.testing import Client, FakeClock
from support.keys import KEY, OTHER_KEY
from support.marks import slow
from support.quick_path import Pair, read_counts
from support.waiting import wait_until

BEARER = {"authorization": f"Bearer {KEY}"}
SCHEMA = Schema.of(x=float)
PATH = "/deployments/m/predict"


@pytest.fixture(params=["wsgi", *slow("asgi")])
def interface(request):
    return request.param


def double(table):
    return table["x"] * 2


def make_gate(model=double, **options):
    deployment = Deployment("m", model, schema=SCHEMA, offload=options.pop("offload", None))
    return Gate([deployment], **{"keys": {KEY: "m", OTHER_KEY: "m"}, **options})


def without_measuring(gate):
    """Return *gate*, whose layers measure the phases of no request."""
    gate.metrics._requests._next_measured = math.inf
    return gate


def make_standard_layers(auth, **options):
    return [
        Deadline(),
        Admission(),
        BodyLimit(**options),
        AuthFailureLimit(),
        auth,
        RateLimit(clock=FakeClock()),
    ]


def with_input(gate, stream):
    """Return a WSGI app that calls *gate*, which reads bodies from *stream*."""

    def app(environ, start_response):
        return gate.wsgi({**environ, "wsgi.input": stream}, start_response)

    return app


def scope_of(path=PATH, **fields):
    headers = {"authorization": f"Bearer {KEY}", **fields}
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "client": ("192.0.2.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


class OwnStore(MemoryKeyStore):
    """Custom store that counts the uses of its keys."""

    uses = 0

    def find(self, key):
        self.uses += 1
        return (yield from super().find(key))


@pytest.mark.parametrize(
    "layers",
    [
        make_standard_layers(KeyAuth({KEY: "m"}, scope="*")),
        make_standard_layers(KeyAuth({KEY: "m"}), limit=100),
        make_standard_layers(KeyAuth(OwnStore({KEY: "m"}))),
        make_standard_layers(KeyAuth({KEY: "m"}))[::-1],
        [*make_standard_layers(KeyAuth({KEY: "m"})), RateLimit("9/day")],
    ],
    ids=["a scope", "a small body limit", "an own key store", "another order", "two limits"],
)
def test_gate_has_no_quick_path_if_a_layer_has_an_option_that_it_does_not_apply(layers):
    assert make_gate(keys=None, layers=layers)._quick_path is None


def test_quick_path_is_taken_with_standard_layers_of_the_app(interface):
    layers = [make_standard_layers(KeyAuth({KEY: "m"})) for _ in range(2)]
    pair = Pair(lambda: make_gate(keys=None, layers=layers.pop()), interface)
    for _ in range(2):
        pair.post(PATH, json={"x": 1}, headers=BEARER)

    assert 1 == pair.taken


def test_gate_requires_the_scope_of_its_layer_from_each_request(interface):
    gate = make_gate(keys=None, layers=make_standard_layers(KeyAuth({KEY: "m"}, scope="*")))
    client = Client(getattr(without_measuring(gate), interface))

    assert [403, 403] == [client.post(PATH, json={"x": 1}, headers=BEARER).status for _ in range(2)]


def test_gate_looks_up_the_key_of_a_request_once(interface):
    store = OwnStore({KEY: "m"})
    client = Client(getattr(without_measuring(make_gate(keys=store)), interface))
    statuses = [client.post(PATH, json=row, headers=BEARER).status for row in ({"x": 1}, {"x": "no"})]

    assert ([200, 400], 2) == (statuses, store.uses)


def test_quick_path_leaves_curves_to_the_layers(interface):
    pair = Pair(make_gate, interface)
    for path in (PATH, "/deployments/m/curves", "/deployments/m/curves"):
        response = pair.post(path, json={"x": 1}, headers=BEARER)

    assert (400, 0) == (response.status, pair.taken)


class Repeat:
    """Forecaster that repeats the last value, so that one row is enough history."""

    spec = TimeSeriesSpec(
        date_column="day", target="y", step="1D", feature_derivation_window=(0, 0), forecast_window=(1, 2)
    )

    def forecast(self, window, horizon, future):
        return window.values[future.history, -1]


def test_quick_path_leaves_forecasts_to_the_layers(interface):
    schema = Schema([Column("day", "text"), Column("y", "number")])
    pair = Pair(lambda: Gate([Deployment("m", Repeat(), schema=schema)], keys={KEY: "m"}), interface)
    for _ in range(2):
        response = pair.post(PATH, json={"day": "2026-01-01", "y": 3}, headers=BEARER)

    assert (200, 0) == (response.status, pair.taken)
    assert [3, 3] == [row["prediction"] for row in response.json()["forecast"]]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["caller", "key", "owner", "address", "deployment"])
def test_quick_path_counts_in_the_same_bucket_as_the_layer(interface, by):
    clock = FakeClock()
    pair = Pair(lambda: make_gate(limits=RateLimit("4/minute", by=by, clock=clock)), interface)
    for key in (KEY, OTHER_KEY):
        pair.post(PATH, json={"x": 1}, headers={"x-api-key": key})
        for _ in range(3):
            pair.post("/api/predict", json={"api_key": key, "input_data": {"x": 1}})
        pair.post(PATH, json={"x": 1}, headers={"x-api-key": key})
    pair.check_counts()

    assert pair.taken


def test_quick_path_charges_once_what_it_passes_on(interface):
    """A key in the header is charged before the body is read, as by the layers."""
    clock = FakeClock()
    pair = Pair(lambda: make_gate(limits=RateLimit("9/minute", clock=clock)), interface)
    rows = ({"x": 1}, {"x": "no"}, [{"x": 1}, {"x": 2}], {"y": 3})
    left = []
    for row in rows:
        left.append(pair.post(PATH, json=row, headers=BEARER).header("x-ratelimit-remaining"))
        body = {"input_data": row, "deployment": "m"}
        left.append(pair.post("/api/predict", json=body, headers=BEARER).header("x-ratelimit-remaining"))
    pair.check_counts()

    assert list("87654321") == left


def test_quick_path_finds_an_endpoint_that_replaces_a_known_path(interface):
    pair = Pair(lambda: Gate([Deployment("m", double, schema=SCHEMA)], keys={KEY: "*"}), interface)
    bodies = []
    for step in range(3):
        if step == 2:
            for gate in pair.gates:
                gate.deployments.add(Deployment("n", lambda table: table["x"], schema=SCHEMA, endpoint=PATH))
        bodies.append(pair.post(PATH, json={"x": 1}, headers=BEARER).json())

    assert ([2.0, 2.0], 2) == ([body["prediction"] for body in bodies[:2]], pair.taken)
    assert "model_version" not in bodies[2]


def test_quick_path_frees_failed_requests_without_garbage_collection(interface, caplog):
    """Their bodies may contain a key."""
    rows = []

    def fail(table):
        rows.append(weakref.ref(table.numbers))
        raise LookupError

    caplog.set_level(logging.CRITICAL, "modelgate")
    client = Client(getattr(without_measuring(make_gate(fail, offload=False)), interface))
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            client.post("/api/predict", json={"api_key": KEY, "input_data": {"x": 1}})
        freed = [row() is None for row in rows]
    finally:
        gc.enable()

    assert [True] * 3 == freed


def test_quick_path_logs_and_counts_requests_that_the_server_closes(caplog):
    """As an event loop closes its tasks when it ends: no more than this can be done then."""
    running, go_on = threading.Event(), threading.Event()

    def wait(table):
        running.set()
        go_on.wait()
        return table["x"]

    async def receive():
        return {"type": "http.request", "body": b'{"x": 1}'}

    async def send(message):
        pass

    async def start(gate):
        steps = gate.asgi(scope_of(**{"x-request-id": "mine"}), receive, send).__await__()
        running.clear()
        steps.send(None)
        wait_until(running.is_set)
        steps.close()

    caplog.set_level(logging.INFO, "modelgate.access")
    pair = Pair(lambda: make_gate(wait, offload=True), "asgi")
    for gate in pair.gates:
        for _ in range(2):
            asyncio.run(start(gate))
    go_on.set()
    wait_until(lambda: read_counts(pair.gates[0]) == read_counts(pair.gates[1]))
    ended = [(record.request_id, record.status) for record in caplog.records]

    assert [("mine", "-")] * 4 == ended


class PassOn(BaseHTTPMiddleware):
    """Middleware whose ``receive`` waits within a task group, which only the same task may leave."""

    async def dispatch(self, request, call_next):
        return await call_next(request)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "statuses"),
    [
        ({"limits": "2/minute"}, [200, 200, 429, 429]),
        ({"keys": {KEY: "*"}}, [200, 200, 200, 200]),
    ],
)
def test_quick_path_leaves_no_body_half_received(options, statuses, recwarn):
    gate = without_measuring(make_gate(**options))
    host = Starlette()
    host.add_middleware(PassOn)
    host.mount("/ml", gate.asgi)
    seen = []

    async def post():
        messages = [{"type": "http.request", "body": b'{"x": 1}'}]

        async def receive():
            await asyncio.sleep(0.01 if messages else 60)
            return messages.pop()

        async def send(message):
            seen.append(message.get("status"))

        await host({**scope_of("/ml" + PATH), "http_version": "1.1"}, receive, send)
        gc.collect()

    for _ in statuses:
        asyncio.run(post())

    assert statuses == [status for status in seen if status is not None]
    assert [] == [str(warning.message) for warning in recwarn]


def test_quick_path_counts_requests_whose_body_is_being_read():
    gate = without_measuring(make_gate())
    [admission] = (layer for layer in gate.layers if isinstance(layer, Admission))
    seen = []

    class Input:
        def read(self, size):
            seen.append((admission.in_flight, len(gate.metrics._requests._under_way)))
            return b'{"x": 1}'

    client = Client(with_input(gate, Input()))
    for _ in range(2):
        client.post(PATH, json={"x": 1}, headers=BEARER)

    assert [(1, 1)] * 2 == seen


def test_quick_path_counts_a_request_once_if_its_access_log_fails(interface):
    class Full(logging.Filter):
        def filter(self, record):
            raise OSError("no space left on device")

    log, full = logging.getLogger("modelgate.access"), Full()
    calls = []

    def count(table):
        calls.append(1)
        return np.zeros(1)

    pair = Pair(lambda: make_gate(count, offload=False), interface)
    pair.post(PATH, json={"x": 1}, headers=BEARER)
    log.addFilter(full)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        for client in pair._clients:
            with pytest.raises(OSError, match="no space left"):
                client.post(PATH, json={"x": 1}, headers=BEARER)
    finally:
        log.removeFilter(full)
        log.setLevel(level)

    assert 4 == len(calls)


class Timeout(BaseException):
    """Like the timeouts of gevent."""


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [(PATH, {"x": 1}, BEARER), ("/api/predict", {"api_key": KEY, "input_data": {"x": 1}}, {})],
)
def test_quick_path_logs_and_counts_requests_whose_body_is_interrupted(caplog, path, body, headers):
    class Input:
        def read(self, size):
            raise Timeout

    caplog.set_level(logging.INFO, "modelgate.access")
    pair = Pair(make_gate, "wsgi")
    pair.post(PATH, json={"x": 1}, headers=BEARER)
    ended = []
    for gate in pair.gates:
        client = Client(with_input(gate, Input()))
        caplog.clear()
        with pytest.raises(Timeout):
            client.post(path, json=body, headers={**headers, "x-request-id": "mine"})
        [record] = caplog.records
        ended.append((record.status, record.request_id))
    pair.check_counts()

    assert [("-", "mine")] * 2 == ended


def test_quick_path_charges_once_if_the_model_was_evicted(interface):
    store = MemoryStore({"a": double, "b": double})
    deployments = [Deployment(name, f"store:{name}", schema=SCHEMA) for name in "ab"]
    pair = Pair(
        lambda: Gate(
            deployments, keys={KEY: "*"}, store=store, cache_size=1, limits=RateLimit(clock=FakeClock())
        ),
        interface,
    )
    for name in "aabbabaa":
        assert 200 == pair.post(f"/deployments/{name}/predict", json={"x": 1}, headers=BEARER).status
    pair.check_counts()

    # The first request has a new key, and five load a model.
    assert 3 == pair.taken


def test_quick_path_adds_warnings(interface):
    deployment = Deployment("m", lambda table: table["x"] * np.inf, schema=SCHEMA, nonfinite="null")
    pair = Pair(lambda: Gate([deployment], keys={KEY: "m"}), interface)
    for _ in range(2):
        body = pair.post(PATH, json={"x": 1}, headers=BEARER).json()

    assert (None, 1, 1) == (body["prediction"], len(body["warnings"]), pair.taken)


def test_quick_path_identifies_callers_behind_a_trusted_proxy(interface):
    clock = FakeClock()
    limits = [RateLimit("2/minute", by="address", clock=clock) for _ in range(2)]
    pair = Pair(lambda: make_gate(limits=limits.pop(), trusted_proxies=["0.0.0.0/0"]), interface)
    statuses = [
        pair.post(PATH, json={"x": 1}, headers={**BEARER, "x-forwarded-for": address}).status
        for address in ["192.0.2.1", "192.0.2.2"] * 3
    ]

    assert [200] * 4 + [429] * 2 == statuses
    assert 3 == pair.taken


def test_quick_path_describes_all_windows_in_the_fields_of_the_ietf(interface):
    clock = FakeClock()
    limits = [RateLimit("4/minute; 9/day", ietf_headers=True, clock=clock) for _ in range(2)]
    pair = Pair(lambda: make_gate(limits=limits.pop()), interface)
    for _ in range(2):
        response = pair.post(PATH, json={"x": 1}, headers=BEARER)

    assert 1 == pair.taken
    assert response.header("ratelimit").startswith('"9 per 1 day";r=7;')


CHANGES = {
    "nothing": lambda request, response: None,
    "a field": lambda request, response: response.set("server", "mine"),
    "all fields": lambda request, response: setattr(response, "headers", [("server", "mine")]),
    "the body": lambda request, response: setattr(response, "body", b"longer than before" * 9),
    "a stream": lambda request, response: setattr(response, "body", iter([b"in ", b"parts"])),
    "the status": lambda request, response: setattr(response, "status", 299),
    "the method": lambda request, response: setattr(request, "method", "HEAD"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_quick_path_returns_responses_that_an_outer_layer_may_change(interface, change):
    clock = FakeClock()

    def change_response(request, call_next):
        response = yield from call_next(request)
        change(request, response)
        return response

    def make_wrapped_gate():
        gate = make_gate(limits=RateLimit(clock=clock))
        setattr(gate, interface, getattr(mount, interface).app(stack([change_response], gate)))
        return gate

    pair = Pair(make_wrapped_gate, interface)
    for _ in range(2):
        pair.post(PATH, json={"x": 1}, headers={**BEARER, "x-request-id": "mine"})

    assert 1 == pair.taken


def test_admission_admits_a_request_that_it_counts_already():
    admission, asked = Admission(1), object.__new__(mount.wsgi.WSGIRequest)
    asked.on_close = []

    assert [True, True, 1] == [admission.admit(asked), admission.admit(asked), admission.in_flight]
