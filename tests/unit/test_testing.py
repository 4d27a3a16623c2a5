"""Test tools of modelgate."""

import asyncio

import msgspec
import pytest

from modelgate.errors import BodyTooLarge, NotFound
from modelgate.flow import adrive, drive
from modelgate.http import Response
from modelgate.mount import asgi, wsgi
from modelgate.testing import Client, FakeClock, StubHandler, request


def test_fake_clock():
    clock = FakeClock(10.0)
    first = clock(), clock()
    clock.advance(2.5)

    assert ((10.0, 10.0), 12.5) == (first, clock())


def test_stub_handler():
    handler = StubHandler()

    assert 200 == drive(handler("request")).status
    assert ["request"] == handler.requests
    assert "result" == drive(StubHandler("result")(None))
    with pytest.raises(NotFound):
        drive(StubHandler(NotFound())(None))


@pytest.mark.parametrize(
    "perform", [drive, lambda flow: __import__("asyncio").run(adrive(flow))], ids=["sync", "aio"]
)
def test_request_reads_its_body(perform):
    """Its body is limited by `max_body`."""
    received = request(body=b"body", headers={"X-Some": "1"})

    assert ("1", 4) == (received.headers.get("x-some"), received.content_length)
    assert b"body" == perform(received.read())
    limited = request(body=b"body")
    limited.max_body = 3
    with pytest.raises(BodyTooLarge):
        perform(limited.read())


def mirror(received):
    """Return the request as a response."""
    body = yield from received.read()
    return Response.json(
        {
            "method": received.method,
            "path": received.path,
            "query": received.query_string,
            "client": received.client,
            "type": received.headers.get("content-type"),
            "length": received.headers.get("content-length"),
            "own": received.headers.get("x-own"),
            "body": body.decode(),
        }
    )


@pytest.fixture(params=[wsgi.app, asgi.app], ids=["wsgi", "asgi"])
def client(request):
    return Client(request.param(mirror), headers={"X-Own": "client's"}, address="192.0.2.7")


EMPTY = {"query": "", "client": "192.0.2.7", "type": None, "length": None, "own": "client's", "body": ""}


def test_client_get(client):
    """The path is decoded, the query string is not. A GET has no length."""
    answer = client.get("/caf%C3%A9%20?a=%20b&c")

    assert {**EMPTY, "method": "GET", "path": "/caf\u00e9 ", "query": "a=%20b&c"} == answer.json()
    assert (200, "application/json") == (answer.status, answer.header("content-type"))
    assert answer.header("x-none") is None


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({"json": {"a": 1}}, {"type": "application/json", "length": "7", "body": '{"a":1}'}),
        ({"json": None}, {"type": "application/json", "length": "4", "body": "null"}),
        (
            {"json": 1, "headers": {"Content-Type": "text/csv"}},
            {"type": "text/csv", "length": "1", "body": "1"},
        ),
        ({"body": b"abc"}, {"length": "3", "body": "abc"}),
        ({"body": [b"a", b"", b"bc"]}, {"body": "abc"}),
        ({"headers": {"x-own": "call's"}}, {"own": "call's", "length": "0"}),
        ({}, {"length": "0"}),
    ],
    ids=repr,
)
def test_client_post(client, options, seen):
    """A body of several chunks has no length."""

    assert {**EMPTY, "method": "POST", "path": "/", **seen} == client.post("/", **options).json()


def test_client_detects_the_interface_of_an_app():
    """Functions and objects are detected; for others the option is needed."""
    for app in (wsgi.app(mirror), asgi.app(mirror)):
        assert 200 == Client(app).get("/").status
        wrapped = lambda *args, app=app: app(*args)  # noqa: E731
        interface = "asgi" if app.__module__ == "modelgate.mount.asgi" else "wsgi"

        assert 200 == Client(wrapped, interface=interface).get("/").status


def test_client_joins_a_streamed_body():
    """The body is closed."""
    closed = []

    class Body:
        def __iter__(self):
            return iter([b"a", b"b"])

        def close(self):
            closed.append(True)

    def stream(received):
        yield from ()
        return Response(200, Body())

    for make in (wsgi.app, asgi.app):
        assert b"ab" == Client(make(stream)).get("/").body
    assert [True, True] == closed


def test_client_response_without_json():
    def empty(received):
        yield from ()
        return Response(204)

    with pytest.raises(msgspec.DecodeError):
        Client(wsgi.app(empty)).get("/").json()


def test_client_disconnects_after_response():
    """As a server does, for apps that wait for a disconnect while they create the response."""
    events = []

    async def app(scope, receive, send):
        async def watch():
            while (await receive())["type"] != "http.disconnect":
                pass
            events.append("disconnected")

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        events.append("responds")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
        await watching

    assert b"done" == Client(app).post("/", body=b"body").body
    assert events == ["responds", "disconnected"]


@pytest.mark.parametrize("app", [wsgi.app, asgi.app], ids=["wsgi", "asgi"])
def test_client_works_in_an_event_loop(app):
    client = Client(app(mirror), headers={"X-Own": "client's"}, address="192.0.2.7")

    async def call():
        return [
            await client.aget("/a?b"),
            await client.apost("/c", json={"a": 1}),
            await client.arequest("PUT", "/d", body=[b"x"], headers={"x-own": "call's"}),
        ]

    answers = asyncio.run(call())
    assert [answer.json() for answer in answers] == [
        client.get("/a?b").json(),
        client.post("/c", json={"a": 1}).json(),
        client.request("PUT", "/d", body=[b"x"], headers={"x-own": "call's"}).json(),
    ]


def test_client_tells_how_to_call_an_asgi_app_in_an_event_loop():
    """And leaves no coroutine that is never awaited, which would be a warning."""

    async def call():
        assert 200 == Client(wsgi.app(mirror)).get("/").status
        Client(asgi.app(mirror)).get("/")

    with pytest.raises(RuntimeError, match=r"write await client\.apost"):
        asyncio.run(call())
