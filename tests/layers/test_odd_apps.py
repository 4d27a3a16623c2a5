"""Apps and servers that use rare features of WSGI and ASGI."""

import io
import sys

import pytest

from modelgate import BodyLimit, Gate, RequestId, Schema, mount
from modelgate.testing import Client
from support.keys import KEY


def call_wsgi(app, **environ):
    """Call a WSGI app with an environ of its own, and return the status and the body."""
    started = []
    full_environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "wsgi.input": io.BytesIO(), **environ}
    body = app(full_environ, lambda *start: started.append(start))
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
def test_body_limit_counts_all_ways_of_reading(read, limit, status):
    """By line, in pieces or at once."""

    def app(environ, start_response):
        body = read(environ["wsgi.input"])
        start_response("200 OK", [])
        return [body]

    body = io.BytesIO(b"one\ntwo\n")
    answer = call_wsgi(
        mount.wsgi.wrap(app, BodyLimit(limit)), **{"wsgi.input": body, "wsgi.input_terminated": True}
    )

    assert status.split()[0] == answer[0].split()[0]
    assert (b"one\ntwo\n" == answer[1]) is (limit == 100)


class StrictBody(io.BytesIO):
    """Body of a server that takes no size of -1: cheroot returns nothing for it, granian raises OverflowError."""

    def read(self, *size):
        assert size != (-1,)
        return super().read(*size)

    def readline(self, *size):
        assert size != (-1,)
        return super().readline(*size)

    def readlines(self, *hint):
        assert hint != (-1,)
        return super().readlines(*hint)


@pytest.mark.parametrize("method", ["read", "readline", "readlines"])
@pytest.mark.parametrize("size", [(), (3,)])
def test_body_limit_passes_size_on(method, size):
    """As the app passed it."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return [repr(getattr(environ["wsgi.input"], method)(*size)).encode()]

    content = b"one\ntwo\n"
    _, answer = call_wsgi(mount.wsgi.wrap(app, BodyLimit(100)), **{"wsgi.input": StrictBody(content)})

    assert answer.decode() == repr(getattr(io.BytesIO(content), method)(*size))


def test_wsgi_app_may_replace_status_with_exc_info():
    """start_response is called again with exc_info: the second status counts."""

    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            raise LookupError
        except LookupError:
            start_response("500 Broken", [], sys.exc_info())
        return [b"broken"]

    assert ("500 Broken", b"broken") == call_wsgi(mount.wsgi.wrap(app, RequestId()))


def test_wsgi_app_error_while_streaming_reaches_server():
    """The status has already been sent (PEP 3333)."""

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"one"
        try:
            raise LookupError("too late")
        except LookupError:
            start_response("500 Broken", [], sys.exc_info())

    with pytest.raises(LookupError, match="too late"):
        call_wsgi(mount.wsgi.wrap(app, RequestId()))


def test_wsgi_app_may_use_write():
    """The text passed to write() comes before the body."""

    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"one ")
        return [b"two"]

    assert ("200 OK", b"one two") == call_wsgi(mount.wsgi.wrap(app, RequestId()))


def test_wsgi_app_without_start_response_is_reported():
    with pytest.raises(RuntimeError, match="without calling start_response"):
        call_wsgi(mount.wsgi.wrap(lambda environ, start_response: [b"body"], RequestId()))


def test_asgi_app_without_response_start_is_reported():

    async def app(scope, receive, send):
        pass

    with pytest.raises(RuntimeError, match="without a response"):
        Client(mount.asgi.wrap(app, RequestId())).get("/")


class FailingBody(io.RawIOBase):
    """Body that cannot be read, such as malformed chunks in gunicorn."""

    def read(self, size=-1):
        raise OSError("invalid chunk size")


@pytest.mark.parametrize("environ", [{"wsgi.input_terminated": True}, {"CONTENT_LENGTH": "7"}])
def test_unreadable_body_is_400(environ):
    gate = Gate(keys={KEY: "ages"})
    gate.handler("ages", schema=Schema.of(age=float))(lambda table: table["age"])
    status, body = call_wsgi(gate.wsgi, PATH_INFO="/api/predict", **{"wsgi.input": FailingBody(), **environ})

    assert ("400 Bad Request", b'{"error":"The body could not be read: send it again"}') == (status, body)


def test_body_without_length_is_empty():
    """Reading could block forever if the server does not end its input."""
    gate = Gate(keys="open")
    gate.handler("ages", schema=Schema.of(age=float))(lambda table: table["age"])
    status, _ = call_wsgi(gate.wsgi, PATH_INFO="/api/predict", **{"wsgi.input": FailingBody()})

    assert "400 Bad Request" == status


def test_chunked_body_hidden_by_server_is_411():
    """hypercorn and uWSGI report neither its length nor that reading ends."""
    gate = Gate(keys="open")
    gate.handler("ages", schema=Schema.of(age=float))(lambda table: table["age"])
    status, body = call_wsgi(gate.wsgi, PATH_INFO="/predict/ages", HTTP_TRANSFER_ENCODING="chunked")

    assert "411 Length Required" == status
    assert b"Transfer-Encoding: chunked: send it with Content-Length" in body


def test_asgi_layer_may_stream_iterable():
    """Its pieces are produced in a thread, and it is closed."""
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


def test_asgi_joins_repeated_headers():
    """As WSGI servers do."""

    async def app(scope, receive, send):
        scope["headers"] = [(b"x-a", b"1"), (b"x-a", b"2")]
        request = mount.asgi.ASGIRequest(scope, receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": request.headers.get("x-a").encode()})

    assert b"1,2" == Client(app).get("/").body
