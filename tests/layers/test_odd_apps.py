"""Apps and servers that use the corners of WSGI and ASGI."""

import io
import sys

import pytest

from conftest import KEY
from modelgate import BodyLimit, Gate, RequestId, Schema, mount
from modelgate.testing import Client


def asked(app, **environ):
    """The status, and the body, of a WSGI app asked with an environ of its own."""
    started = []
    told = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "wsgi.input": io.BytesIO(), **environ}
    body = app(told, lambda *start: started.append(start))
    content = b"".join(body)
    getattr(body, "close", lambda: None)()
    return started[-1][0], content


@pytest.mark.parametrize(
    "read",
    [
        lambda stream: stream.readline() + stream.readline(),
        lambda stream: b"".join(stream.readlines()),
        lambda stream: b"".join(stream),
        lambda stream: stream.read(4) + stream.read(),
    ],
    ids=["readline", "readlines", "iteration", "read"],
)
@pytest.mark.parametrize(("limit", "status"), [(100, "200 OK"), (7, "413 Request Entity Too Large")])
def test_a_body_is_counted_however_it_is_read(read, limit, status):
    """By line, by piece or at once."""

    def app(environ, start_response):
        body = read(environ["wsgi.input"])
        start_response("200 OK", [])
        return [body]

    body = io.BytesIO(b"one\ntwo\n")
    answer = asked(
        mount.wsgi.wrap(app, BodyLimit(limit)), **{"wsgi.input": body, "wsgi.input_terminated": True}
    )

    assert status.split()[0] == answer[0].split()[0]
    assert (b"one\ntwo\n" == answer[1]) is (limit == 100)


def test_an_app_may_change_its_mind_before_it_has_answered():
    """start_response is called again with exc_info: the second status counts."""

    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            raise LookupError
        except LookupError:
            start_response("500 Broken", [], sys.exc_info())
        return [b"broken"]

    assert ("500 Broken", b"broken") == asked(mount.wsgi.wrap(app, RequestId()))


def test_an_app_that_fails_while_it_streams():
    """Its status is sent by then: the error goes to the server, as PEP 3333 has it."""

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"one"
        try:
            raise LookupError("too late")
        except LookupError:
            start_response("500 Broken", [], sys.exc_info())

    with pytest.raises(LookupError, match="too late"):
        asked(mount.wsgi.wrap(app, RequestId()))


def test_an_app_may_write():
    """The old write() of start_response comes before the body."""

    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"one ")
        return [b"two"]

    assert ("200 OK", b"one two") == asked(mount.wsgi.wrap(app, RequestId()))


def test_an_app_that_starts_no_response():
    """That is the app's mistake, and is said so."""
    with pytest.raises(RuntimeError, match="without calling start_response"):
        asked(mount.wsgi.wrap(lambda environ, start_response: [b"body"], RequestId()))


def test_an_asgi_app_that_starts_no_response():
    """The same."""

    async def app(scope, receive, send):
        pass

    with pytest.raises(RuntimeError, match="without answering"):
        Client(mount.asgi.wrap(app, RequestId())).get("/")


class Breaking(io.RawIOBase):
    """A body whose reading fails, as gunicorn's does where the chunks are malformed."""

    def read(self, size=-1):
        raise OSError("invalid chunk size")


@pytest.mark.parametrize("told", [{"wsgi.input_terminated": True}, {"CONTENT_LENGTH": "7"}])
def test_a_body_that_cannot_be_read(told):
    """Whatever the server raises, the caller's body is at fault: 400."""
    gate = Gate(keys={KEY: "ages"})
    gate.handler("ages", schema=Schema.of(age=float))(lambda table: table["age"])
    status, body = asked(gate.wsgi, PATH_INFO="/api/predict", **{"wsgi.input": Breaking(), **told})

    assert ("400 Bad Request", b'{"error":"The body could not be read"}') == (status, body)


def test_without_a_length_there_is_no_body():
    """A server that does not end its input must not be read to the end."""
    gate = Gate(keys="open")
    gate.handler("ages", schema=Schema.of(age=float))(lambda table: table["age"])
    status, _ = asked(gate.wsgi, PATH_INFO="/api/predict", **{"wsgi.input": Breaking()})

    assert "400 Bad Request" == status


def test_a_layer_may_stream():
    """Under ASGI the pieces of an iterable are made beside the event loop, and it is closed."""
    from modelgate import Response

    closed = []

    class Pieces:
        def __iter__(self):
            return iter([b"one", b"two"])

        def close(self):
            closed.append(True)

    def stream(request, call_next):
        yield from call_next(request)
        return Response(200, Pieces())

    gate = Gate(keys="open", layers=[stream])
    for app in (gate.wsgi, gate.asgi):
        assert b"onetwo" == Client(app).post("/api/predict").body
    assert [True, True] == closed


def test_header_fields_that_repeat():
    """Under ASGI they are joined, as WSGI servers join them."""

    async def app(scope, receive, send):
        scope["headers"] = [(b"x-a", b"1"), (b"x-a", b"2")]
        request = mount.asgi.ASGIRequest(scope, receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": request.headers.get("x-a").encode()})

    assert b"1,2" == Client(app).get("/").body
