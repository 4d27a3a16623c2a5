"""What tests are made with."""

import msgspec
import pytest

from modelgate.errors import BodyTooLarge, NotFound
from modelgate.flow import adrive, drive
from modelgate.http import Response
from modelgate.mount import asgi, wsgi
from modelgate.testing import Client, Clock, Inner, request


def test_a_clock_stands_still_until_it_is_turned():
    """It shows what it was set to."""
    clock = Clock(10.0)
    first = clock(), clock()
    clock.advance(2.5)

    assert ((10.0, 10.0), 12.5) == (first, clock())


def test_inner_answers_and_remembers():
    """An empty 200, what it was given, or an error."""
    inner = Inner()

    assert 200 == drive(inner("asked")).status
    assert ["asked"] == inner.requests
    assert "answer" == drive(Inner("answer")(None))
    with pytest.raises(NotFound):
        drive(Inner(NotFound())(None))


@pytest.mark.parametrize(
    "perform", [drive, lambda flow: __import__("asyncio").run(adrive(flow))], ids=["sync", "aio"]
)
def test_a_request_has_its_body_in_memory(perform):
    """Under either driver, and no more of it than is allowed."""
    asked = request(body=b"body", headers={"X-Some": "1"})

    assert ("1", 4) == (asked.headers.get("x-some"), asked.content_length)
    assert b"body" == perform(asked.read())
    limited = request(body=b"body")
    limited.max_body = 3
    with pytest.raises(BodyTooLarge):
        perform(limited.read())


def mirror(asked):
    """Answers what it was asked."""
    body = yield from asked.read()
    return Response.json(
        {
            "method": asked.method,
            "path": asked.path,
            "query": asked.query_string,
            "client": asked.client,
            "type": asked.headers.get("content-type"),
            "length": asked.headers.get("content-length"),
            "own": asked.headers.get("x-own"),
            "body": body.decode(),
        }
    )


@pytest.fixture(params=[wsgi.app, asgi.app], ids=["wsgi", "asgi"])
def client(request):
    return Client(request.param(mirror), headers={"X-Own": "client's"}, address="192.0.2.7")


NOTHING = {"query": "", "client": "192.0.2.7", "type": None, "length": None, "own": "client's", "body": ""}


def test_a_client_gets(client):
    """Path and query reach the app decoded and apart; a GET has no length."""
    answer = client.get("/caf%C3%A9%20?a=%20b&c")

    assert {**NOTHING, "method": "GET", "path": "/caf\u00e9 ", "query": "a=%20b&c"} == answer.json()
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
def test_a_client_posts(client, options, seen):
    """JSON, bytes, and pieces of no known length."""

    assert {**NOTHING, "method": "POST", "path": "/", **seen} == client.post("/", **options).json()


def test_a_client_tells_the_interface_of_an_app():
    """Of functions and of objects; and is told where it cannot."""
    for app in (wsgi.app(mirror), asgi.app(mirror)):
        assert 200 == Client(app).get("/").status
        wrapped = lambda *args, app=app: app(*args)  # noqa: E731
        interface = "asgi" if app.__module__ == "modelgate.mount.asgi" else "wsgi"

        assert 200 == Client(wrapped, interface=interface).get("/").status


def test_a_streamed_answer_is_whole():
    """The pieces are put together, and the body closed."""
    closed = []

    class Body:
        def __iter__(self):
            return iter([b"a", b"b"])

        def close(self):
            closed.append(True)

    def stream(asked):
        yield from ()
        return Response(200, Body())

    for make in (wsgi.app, asgi.app):
        assert b"ab" == Client(make(stream)).get("/").body
    assert [True, True] == closed


def test_an_answer_that_is_no_json_says_so():
    """No guess is made."""

    def empty(asked):
        yield from ()
        return Response(204)

    with pytest.raises(msgspec.DecodeError):
        Client(wsgi.app(empty)).get("/").json()
