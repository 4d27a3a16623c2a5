"""The layer Idempotency, alone and in a gate."""

import asyncio
import subprocess
import sys
import threading
from functools import partial

import fastapi
import pytest

from modelgate import (
    ConfigurationError,
    Deadline,
    Deployment,
    Gate,
    HumilityError,
    Idempotency,
    IdempotencyKeyReused,
    InvalidInput,
    KeyAuth,
    Overloaded,
    RateLimit,
    RequestInProgress,
    Response,
    Schema,
    StoreError,
    Wait,
    adrive,
    drive,
    mount,
    stack,
)
from modelgate.backends.circuit_breaker import StorageUnavailable
from modelgate.http import call_encoding_errors, encode_error
from modelgate.idempotency import create_answer_store
from modelgate.keys import Principal
from modelgate.layers.idempotency import _warn_once
from modelgate.testing import Client, FakeClock, StubHandler, request
from support.databases import make_database
from support.keys import KEY, OTHER_KEY
from support.redis_server import RedisServer
from support.waiting import SOON, wait_until

BODY = b'{"input_data": {"age": 1}}'


def make_request(body=BODY, key="k1", principal=None, path="/predict", **headers):
    made = request(path=path, body=body, headers={"Idempotency-Key": key, **headers})
    made.context.principal = principal
    return made


def make_counter(**response):
    """Return a handler whose body counts the calls."""
    calls = []

    def handle(_):
        yield from ()
        calls.append(None)
        return Response(
            response.get("status", 200), f"{len(calls)}".encode(), [("content-type", "text/plain")]
        )

    handle.calls = calls
    return handle


@pytest.fixture(params=["memory", "redis", "sqlite", "postgresql"])
def storage(request, monkeypatch):
    """URI of an empty storage."""
    stores = []

    def create(uri):
        stores.append(create_answer_store(uri))
        return stores[-1]

    monkeypatch.setattr("modelgate.layers.idempotency.create_answer_store", create)
    if request.param == "memory":
        yield "memory://"
    elif request.param == "redis":
        yield request.getfixturevalue("redis_server").uri
    else:
        yield make_database(request.param, request)
        for store in stores:
            store._database.close()


@pytest.fixture
def name(request):
    """Name that no other test uses in its storage."""
    return request.node.name


def test_idempotency_repeats_the_answer(storage, name):
    layer, handler = Idempotency(storage, name=name), make_counter()

    first = drive(layer(make_request(), handler))
    second = drive(layer(make_request(), handler))

    assert (200, b"1", None) == (first.status, first.body, first.header("idempotency-replayed"))
    assert (200, b"1", "true") == (second.status, second.body, second.header("idempotency-replayed"))
    assert "text/plain" == second.header("content-type")
    assert (1, 1) == (len(handler.calls), layer.replayed)


def test_idempotency_repeats_the_answer_on_an_event_loop(storage, name):
    layer, handler = Idempotency(storage, name=name), make_counter()

    async def send_two():
        return [await adrive(layer(make_request(), handler)) for _ in range(2)]

    assert [b"1", b"1"] == [response.body for response in asyncio.run(send_two())]


def test_idempotency_rejects_a_key_of_another_request(storage, name):
    layer, handler = Idempotency(storage, name=name), make_counter()
    drive(layer(make_request(), handler))

    length = {"inference-header-content-length": "2"}
    for other in (make_request(body=b"{}"), make_request(accept="text/csv"), make_request(**length)):
        with pytest.raises(IdempotencyKeyReused):
            drive(layer(other, handler))
    assert 1 == len(handler.calls)


def test_idempotency_keys_of_callers_paths_and_permissions_are_independent(storage, name):
    layer, handler = Idempotency(storage, name=name), make_counter()
    alice, bob = Principal("alice", None), Principal("bob", None)
    restricted = Principal("alice", ("churn",))

    sent = [
        make_request(principal=alice),
        make_request(principal=bob),
        make_request(principal=restricted),
        make_request(principal=alice, path="/other"),
        make_request(principal=alice, key="k2"),
        make_request(principal=alice),
    ]
    bodies = [drive(layer(each, handler)).body for each in sent]

    assert [b"1", b"2", b"3", b"4", b"5", b"1"] == bodies


def test_idempotency_keys_of_callers_with_other_credentials_are_independent():
    """Behind a proxy, all callers of an app with its own login have one address."""
    layer, handler = Idempotency(), make_counter()
    sent = [
        make_request(cookie="session=1"),
        make_request(cookie="session=2"),
        make_request(authorization="Basic x"),
    ]

    assert [b"1", b"2", b"3"] == [drive(layer(each, handler)).body for each in sent]


def test_idempotency_rejects_a_request_while_the_first_is_in_progress(storage, name):
    layer = Idempotency(storage, name=name)
    errors = []

    def handle(_):
        with pytest.raises(RequestInProgress) as raised:
            yield from layer(make_request(), StubHandler())
        errors.append(raised.value)
        return Response(200, b"done")

    assert b"done" == drive(layer(make_request(), handle)).body
    assert [(409, {"retry-after": "1"})] == [(error.status, error.headers) for error in errors]
    assert b"done" == drive(layer(make_request(), StubHandler())).body


def test_idempotency_lets_one_of_many_concurrent_requests_pass(storage, name):
    layer, handler = Idempotency(storage, name=name), make_counter()
    statuses, barrier = [], threading.Barrier(8)

    def send():
        barrier.wait(SOON)
        try:
            statuses.append(drive(layer(make_request(), handler)).status)
        except RequestInProgress as error:
            statuses.append(error.status)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)

    assert 1 == len(handler.calls)
    assert 8 == len(statuses)
    assert {200, 409} >= set(statuses)


@pytest.mark.parametrize("error", [Overloaded(), InvalidInput("wrong"), RuntimeError("broken")])
def test_idempotency_lets_failed_requests_be_tried_again(storage, name, error):
    layer, handler = Idempotency(storage, name=name), make_counter()

    if isinstance(error, RuntimeError):
        with pytest.raises(RuntimeError):
            drive(layer(make_request(), StubHandler(error)))
    else:
        assert error.status == drive(layer(make_request(), StubHandler(error))).status

    assert b"1" == drive(layer(make_request(), handler)).body


def test_idempotency_stores_rejections_by_humility_rules():
    layer, handler = Idempotency(), make_counter()

    def reject(incoming):
        yield from ()
        return encode_error(incoming, HumilityError([0]))

    first = drive(layer(make_request(), reject))
    repeated = make_request()
    second = drive(layer(repeated, handler))

    assert (480, 480) == (first.status, second.status)
    assert first.body == second.body
    assert HumilityError.code == repeated.error_code


def test_idempotency_does_not_store_streams_or_large_answers():
    layer = Idempotency(max_answer=10)

    for body in (iter([b"a", b"b"]), b"x" * 11):
        drive(layer(make_request(), StubHandler(Response(200, body))))
        assert b"1" == drive(layer(make_request(key="k2"), make_counter())).body
        assert b"new" == drive(layer(make_request(), StubHandler(Response(200, b"new")))).body
        layer = Idempotency(max_answer=10)


def test_idempotency_discards_the_oldest_answers():
    layer, handler = Idempotency(max_bytes=2000), make_counter()
    bodies = [drive(layer(make_request(key=f"k{number}"), handler)).body for number in (1, 2, 3, 4, 4, 1)]

    assert [b"1", b"2", b"3", b"4", b"4", b"5"] == bodies


def test_idempotency_forgets_answers_after_ttl():
    clock = FakeClock()
    layer, handler = Idempotency(ttl=100, clock=clock), make_counter()

    drive(layer(make_request(), handler))
    clock.advance(99)
    assert b"1" == drive(layer(make_request(), handler)).body
    clock.advance(2)
    assert b"2" == drive(layer(make_request(), handler)).body


FOREVER = Wait(sync=threading.Event().wait, aio=lambda: asyncio.Event().wait(), bounded=False)


def start(*layers):
    """Return the flow of a request that waits forever in the innermost handler."""
    flow = stack(layers, lambda _: iter([FOREVER]))(make_request())
    wait = next(flow)
    while wait is not FOREVER:
        wait = flow.send(wait.sync())
    return flow


@pytest.mark.parametrize(("layers", "deadline"), [([Deadline(SOON)], SOON), ([], 3570)])
def test_idempotency_reserves_the_key_until_30_seconds_after_the_deadline(layers, deadline):
    clock = FakeClock()
    layer, handler = Idempotency(clock=clock), make_counter()
    flow = start(*layers, layer)

    clock.advance(deadline)
    with pytest.raises(RequestInProgress):
        drive(layer(make_request(), handler))
    clock.advance(31)
    assert b"1" == drive(layer(make_request(), handler)).body
    flow.close()


def test_idempotency_releases_the_key_of_a_closed_flow(storage, name):
    layer, handler = Idempotency(storage, name=name), make_counter()
    start(layer).close()

    def is_released():
        try:
            return b"1" == drive(layer(make_request(), handler)).body
        except RequestInProgress:
            return False

    wait_until(is_released)


def test_idempotency_releases_the_key_of_a_cancelled_request(storage, name):
    layer, handler = Idempotency(storage, name=name), make_counter()

    async def cancel():
        started = asyncio.Event()

        def handle(_):
            started.set()
            yield FOREVER

        task = asyncio.create_task(adrive(layer(make_request(), handle)))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await adrive(layer(make_request(), handler))

    assert b"1" == asyncio.run(cancel()).body


def test_idempotency_omits_headers_of_the_first_response():
    layer = Idempotency()
    headers = [
        ("content-type", "a/b"),
        ("x-ratelimit-remaining", "3"),
        ("server-timing", "x"),
        ("X-Custom", "1"),
    ]
    drive(layer(make_request(), StubHandler(Response(200, b"{}", headers))))

    repeated = drive(layer(make_request(), StubHandler()))

    expected = [("content-type", "a/b"), ("X-Custom", "1"), ("idempotency-replayed", "true")]
    assert expected == repeated.headers


def test_idempotency_passes_requests_without_the_header_or_a_prediction():
    layer, handler = Idempotency(), make_counter()
    outcome = make_request()
    outcome.context.action = "outcomes"
    get = request("GET", "/predict", headers={"Idempotency-Key": "k1"})

    for each in (request(body=BODY), request(body=BODY), get, outcome, outcome):
        drive(layer(each, handler))

    assert 5 == len(handler.calls)


@pytest.mark.parametrize("key", ["", "x" * 256, "ä"])
def test_idempotency_rejects_invalid_keys(key):
    with pytest.raises(InvalidInput, match="Idempotency-Key must be 1 to 255 printable ASCII characters"):
        drive(Idempotency()(make_request(key=key), StubHandler()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"storage": "mysql://x"}, "storage must be memory://, redis://…, sqlite:///path or postgresql://…"),
        ({"ttl": 0}, "ttl must be a number of seconds above 0"),
        ({"max_answer": 0}, "max_answer must be a whole number"),
        ({"max_bytes": "1"}, "max_bytes must be a whole number"),
        ({"on_storage_error": "open"}, "on_storage_error must be local or deny"),
        ({"name": None}, "name must be a string"),
    ],
)
def test_idempotency_rejects_invalid_options(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Idempotency(**options)


def test_idempotency_warns_of_several_workers(monkeypatch, caplog):
    _warn_once.cache_clear()
    monkeypatch.setenv("WEB_CONCURRENCY", "3")

    Idempotency()

    assert "idempotency: answers are stored in the memory of each of 3 workers" in caplog.text


def test_idempotency_charges_a_repeated_request_once():
    limit, handler = RateLimit("5/minute"), make_counter()
    answer = stack([Idempotency(), limit], handler)

    drive(answer(make_request()))
    drive(answer(make_request()))
    response = drive(answer(make_request(key="k2")))

    assert "3" == response.header("x-ratelimit-remaining")


@pytest.fixture
def server(tmp_path):
    """Redis server that has not been started."""
    server = RedisServer(tmp_path)
    yield server
    server.close()


@pytest.mark.slow
def test_idempotency_uses_memory_while_redis_is_down(server):
    server.start()
    layer, handler = Idempotency(server.uri), make_counter()
    drive(layer(make_request(), handler))
    server.kill()

    bodies = [drive(layer(make_request(), handler)).body for _ in range(2)]

    assert [b"2", b"2"] == bodies


@pytest.mark.slow
def test_idempotency_stores_the_answer_in_memory_if_redis_ends_meanwhile(server):
    server.start()
    layer = Idempotency(server.uri)

    def handle(_):
        yield from ()
        server.kill()
        return Response(200, b"first")

    drive(layer(make_request(), handle))

    assert b"first" == drive(layer(make_request(), StubHandler())).body


def test_idempotency_repeats_an_answer_in_memory_after_the_storage_responds_again(tmp_path, monkeypatch):
    layer, handler = Idempotency(f"sqlite:///{tmp_path / 'answers.db'}"), make_counter()

    def fail(*_):
        yield from ()
        raise StorageUnavailable

    with monkeypatch.context() as context:
        context.setattr(layer._shared, "replace", fail)
        drive(layer(make_request(), handler))

    assert b"1" == drive(layer(make_request(), handler)).body


@pytest.mark.parametrize(("on_storage_error", "status"), [("local", 200), ("deny", 503)])
def test_idempotency_treats_a_read_only_database_as_an_outage(tmp_path, on_storage_error, status):
    path = tmp_path / "answers.db"
    drive(Idempotency(f"sqlite:///{path}")(make_request(), make_counter()))
    layer = Idempotency(f"sqlite:///file:{path}?mode=ro&uri=true", on_storage_error=on_storage_error)

    response = drive(call_encoding_errors(make_request(key="k2"), partial(layer, call_next=make_counter())))

    assert status == response.status


@pytest.mark.slow
def test_idempotency_denies_requests_while_redis_is_down(server):
    server.start()
    layer, handler = Idempotency(server.uri, on_storage_error="deny"), make_counter()
    server.kill()

    with pytest.raises(StoreError):
        drive(layer(make_request(), handler))
    assert 200 == drive(layer(request(body=BODY), handler)).status


SCRIPT = """
from modelgate import Idempotency, Response, drive
from modelgate.testing import StubHandler, request
layer = Idempotency({uri!r}, name="two processes")
sent = request(path="/predict", body=b"1", headers={{"Idempotency-Key": "k"}})
print(drive(layer(sent, StubHandler(Response(200, b"{body}")))).body.decode())
"""


@pytest.mark.slow
def test_idempotency_repeats_the_answer_of_another_process(redis_server):
    answers = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT.format(uri=redis_server.uri, body=body)],
            capture_output=True,
            text=True,
            check=True,
            timeout=SOON,
        ).stdout
        for body in ("first", "second")
    ]

    assert ["first\n", "first\n"] == answers


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_gate_scores_and_charges_a_repeated_request_once(interface):
    calls = []

    def double(table):
        calls.append(len(table))
        return table["age"] * 2

    gate = Gate(
        [Deployment("double", double, schema=Schema.of(age=float))],
        keys={KEY: "double", OTHER_KEY: "double"},
        limits="5/minute",
        idempotency=True,
    )
    client = Client(getattr(gate, interface))
    loaded = len(calls)

    def send(key=KEY, age=1):
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "k"}
        return client.post("/deployments/double/predict", json={"age": age}, headers=headers)

    first, second, other, changed = send(), send(), send(OTHER_KEY), send(age=2)

    assert [200, 200, 200, 422] == [response.status for response in (first, second, other, changed)]
    assert first.json() == second.json()
    assert "true" == second.header("idempotency-replayed")
    assert "4" == other.header("x-ratelimit-remaining")
    assert 2 == len(calls) - loaded
    assert "idempotency_key_reused" == changed.json()["code"]


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_idempotency_around_an_app_repeats_its_answer(interface):
    calls = []

    def application(environ, start_response):
        calls.append(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % len(calls)]

    async def asgi_application(scope, receive, send):
        calls.append(await receive())
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": b"%d" % len(calls)})

    module, app = (mount.wsgi, application) if interface == "wsgi" else (mount.asgi, asgi_application)
    client = Client(module.wrap(app, Idempotency()), headers={"Idempotency-Key": "k"})

    assert [b"1", b"1"] == [client.post("/score", json={}).body for _ in range(2)]


def test_gate_caller_counts_requests_with_an_idempotency_key():
    app = fastapi.FastAPI()
    gate = Gate(keys={KEY: "double"}, limits="2/minute", idempotency=True)
    app.post("/own", dependencies=[fastapi.Depends(gate.caller)])(lambda: "answer")
    client = Client(app, headers={"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k"})

    responses = [client.post("/own", json={}) for _ in range(3)]

    assert [200, 200, 429] == [response.status for response in responses]
    assert {None} == {response.header("idempotency-replayed") for response in responses}


def test_gate_answers_a_repeated_request_over_the_limit_but_not_without_a_key():
    gate = Gate(
        [Deployment("double", lambda table: table["age"] * 2, schema=Schema.of(age=float))],
        keys={KEY: "double"},
        limits="1/minute",
        idempotency=True,
    )
    client = Client(gate.wsgi, headers={"Idempotency-Key": "k"})
    path, body = "/deployments/double/predict", {"age": 1}
    sent = [{"x-api-key": KEY}, {"x-api-key": KEY}, {}, {"x-api-key": KEY, "Idempotency-Key": "k2"}]

    assert [200, 200, 401, 429] == [client.post(path, json=body, headers=headers).status for headers in sent]


def test_gate_requires_key_auth_before_idempotency():
    with pytest.raises(ConfigurationError, match="layers must have KeyAuth before Idempotency"):
        Gate(layers=[Idempotency(), KeyAuth({KEY: "double"})])


def test_gate_rejects_an_invalid_idempotency():
    with pytest.raises(ConfigurationError, match="idempotency must be True, False or an Idempotency"):
        Gate(keys="open", idempotency="redis://localhost")
