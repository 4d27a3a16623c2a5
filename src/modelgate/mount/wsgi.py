"""Adapter for WSGI (PEP 3333). It turns a handler into an app, and wraps layers around an app."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from io import BytesIO
from itertools import chain
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol, TypeAlias
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from ..context import RequestContext
from ..errors import AnswerableError, BodyTooLarge, LengthRequired, MalformedBody
from ..flow import Flow, Handler, Layer, Wait, drive
from ..http import (
    UNUSUAL_FIELDS,
    USUAL_LENGTH_DIGITS,
    BodySizeLimiter,
    Request,
    Response,
    call_encoding_errors,
    check_wrapping,
    http_stack,
)
from ..http.spooled_body import SPOOL_SIZE, SpooledBody
from .prefix import require_prefix
from .streaming_body import StreamingBody

__all__ = ["WSGIApp", "WSGIRequest", "app", "mount", "wrap"]

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None

_CHUNK = 64 * 1024

_SHORT_BODY = "The body is shorter than its Content-Length: send all of it"

_CHUNKING_SERVERS = ("gunicorn", "waitress", "Cheroot", "modelgate.testing")
"""Servers that send a response of unknown length in chunks, without the last chunk after an error."""


# Cached, because the names of fields that are looked up are few.
@lru_cache(maxsize=256)
def _environ_key(name: str) -> str:
    """Return the key of the header field *name* (lower case) in a WSGI environ."""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


_UNUSUAL_KEYS = frozenset(map(_environ_key, UNUSUAL_FIELDS))


class WSGIHeaders:
    """Header fields of a WSGI environ."""

    __slots__ = ("_environ",)

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    def get(self, name: str) -> str | None:
        """Return the value of the field *name* (lower case), or None if it is missing or empty."""
        return self._environ.get(_environ_key(name)) or None


class WSGIApp(Protocol):
    """Protocol of WSGI apps with named parameters, which can replace ``app.wsgi_app`` in Flask."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]: ...


class WSGIRequest(Request):
    """HTTP request built from a WSGI environ."""

    _read_error: AnswerableError | None = None

    def __init__(self, environ: WSGIEnvironment) -> None:
        # Calling `Request.__init__` would take as long again.
        get = environ.get
        self.environ = environ
        self.method = environ["REQUEST_METHOD"]
        self.path = _decode_utf8(get("PATH_INFO", ""))
        self.headers = WSGIHeaders(environ)
        self.query_string = get("QUERY_STRING", "")
        self.scheme = get("wsgi.url_scheme", "http")
        self.client = get("REMOTE_ADDR") or None
        self.context = RequestContext()
        self.started = perf_counter()
        self.on_close = []
        if root_path := get("SCRIPT_NAME"):
            self.root_path = _decode_utf8(root_path)

    @property
    def needs_length(self) -> bool:
        server = self.environ.get("SERVER_SOFTWARE", "")
        return self.environ.get("SERVER_PROTOCOL") != "HTTP/1.1" or not server.startswith(_CHUNKING_SERVERS)

    def is_usual(self) -> bool:
        environ = self.environ
        length = environ.get("CONTENT_LENGTH") or ""
        return (
            # A subclass may read the body in another way.
            type(self) is WSGIRequest
            and environ.keys().isdisjoint(_UNUSUAL_KEYS)
            and (environ.get("CONTENT_TYPE") or "application/json") == "application/json"
            and len(length) <= USUAL_LENGTH_DIGITS
            and length.isascii()
            and length.isdigit()
        )

    def read_arrived(self) -> bytes | None:
        if self.read_limit is not None:
            _, on_wait = self.read_limit
            on_wait(self)
        try:
            # `is_usual` has checked the length.
            self.body_read = self._read_exactly(int(self.environ["CONTENT_LENGTH"]))
        except AnswerableError as error:
            # What was read of the body cannot be read again.
            self._read_error = error
        return self.body_read

    def read(self) -> Flow[bytes]:
        """Return the complete body as it was sent; see `Request.read`.

        No timeout of modelgate applies while the server waits for the body.
        """
        if self._read_error is not None:
            raise self._read_error
        if self.body_read is None:
            if self.read_limit is not None:
                _, on_wait = self.read_limit
                on_wait(self)
            body = self._read()
            self.body_read = body if isinstance(body, bytes) else (yield from self.load(body))
        return self.body_read

    def _read(self) -> bytes | SpooledBody:
        length = self.content_length
        if length is None and not self.environ.get("wsgi.input_terminated"):
            if self.headers.get("transfer-encoding"):
                raise LengthRequired
            return b""
        if self.max_body is not None and (length or 0) > self.max_body:
            raise BodyTooLarge(self.max_body)
        if length is None or length > SPOOL_SIZE:
            return self._receive(length)
        return self._read_exactly(length)

    def _read_exactly(self, length: int) -> bytes:
        body = self._read_part(length)
        if len(body) < length:
            raise MalformedBody(_SHORT_BODY)
        return body

    def _read_part(self, size: int) -> bytes:
        try:
            return self.environ["wsgi.input"].read(size)  # type: ignore[no-any-return]
        except AnswerableError:
            raise
        except Exception as error:
            # For example, gunicorn raises its own errors for a malformed chunked body.
            raise MalformedBody("The body could not be read: send it again") from error

    def _receive(self, length: int | None) -> bytes | SpooledBody:
        """Read a large body, or a body of unknown length, in parts."""
        limiter, parts = BodySizeLimiter(self.max_body), list[bytes]()
        spooled: SpooledBody | None = None
        while length is None or limiter.received < length:
            part = limiter.count(
                self._read_part(min(_CHUNK, length - limiter.received) if length else _CHUNK)
            )
            if not part:
                break
            parts.append(part)
            if limiter.received > SPOOL_SIZE:
                if spooled is None:
                    spooled = SpooledBody()
                    self.on_close.append(spooled.close)
                spooled.write(parts)
                parts.clear()
        if length is not None and limiter.received < length:
            raise MalformedBody(_SHORT_BODY)
        return b"".join(parts) if spooled is None else spooled


def _decode_utf8(text: str) -> str:
    # By PEP 3333, the strings of an environ are bytes decoded as Latin-1, even if these are UTF-8.
    return text.encode("latin-1").decode("utf-8", "replace")


def app(handler: Handler[Request, Response]) -> WSGIApp:
    """Return a WSGI app that calls *handler*."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return _send(environ, handler, start_response)

    return application


def mount(application: WSGIApplication, prefix: str, handler: Handler[Request, Response]) -> WSGIApp:
    """Return a WSGI app that calls *handler* below *prefix*, and *application* otherwise.

    Requests to the handler bypass the application, including its middleware.

    Args:
        application: WSGI app, for example of Django or Pyramid.
        prefix: Path below which the handler is mounted, such as ``/ml``.
        handler: Handler, for example a gate.

    Raises:
        ConfigurationError: *prefix* does not begin with a slash, or ends with one.
    """
    require_prefix(prefix)
    mounted_app = app(handler)

    def dispatch(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path != prefix and not path.startswith(prefix + "/"):
            return application(environ, start_response)
        mounted_environ = {
            **environ,
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix,
            "PATH_INFO": path[len(prefix) :],
        }
        return mounted_app(mounted_environ, start_response)

    return dispatch


def wrap(application: WSGIApplication, *layers: Layer[Request, Response]) -> WSGIApp:
    """Wrap *layers* around a WSGI app, the first one outermost.

    Bodies of requests and responses are streamed, unless a layer needs the complete body. Errors of layers
    become responses in plain JSON, and errors of the app are raised. In the environ of the app,
    ``modelgate.request`` is the `Request`.
    """
    check_wrapping(application, layers)
    inner = http_stack(layers, partial(_call_app, application))

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return _send(environ, lambda request: call_encoding_errors(request, inner), start_response)

    return wrapped


def _send(
    environ: WSGIEnvironment, handler: Handler[Request, Response], start_response: StartResponse
) -> Iterable[bytes]:
    request = WSGIRequest(environ)
    try:
        try:
            response = drive(handler(request))
            payload = response.payload(request.method)
            start_response(response.status_line, response.headers)
            if not isinstance(payload, bytes):
                return StreamingBody(payload, request.close)
        except BaseException:
            request.close()
            raise
        # End the request now, because not every server closes the returned iterable.
        request.close()
    except BaseException:
        # A KeyboardInterrupt may have ended the first call of `close` before it did anything.
        request.close()
        raise
    return [payload]


def _call_app(application: WSGIApplication, request: Request) -> Flow[Response]:
    assert isinstance(request, WSGIRequest)
    call = _AppCall(application, request)
    return (yield Wait(sync=call.respond, aio=_unreachable))  # type: ignore[no-any-return]


async def _unreachable() -> None:
    raise RuntimeError("a WSGI app cannot be awaited")


class _AppCall:
    """Call of a wrapped app for one request."""

    def __init__(self, application: WSGIApplication, request: WSGIRequest) -> None:
        self._application = application
        self._request = request
        self._limiter = BodySizeLimiter(request.max_body)
        self._start: tuple[str, list[tuple[str, str]]] | None = None
        self._returned = False
        self._written: list[bytes] = []

    def respond(self) -> Response:
        """Call the app, and return its response as soon as the app has set the status."""
        self._request.context.app_called = True
        iterable = self._application(self._prepare_environ(), self._start_response)
        iterator = iter(iterable)
        first = []
        try:
            while self._start is None:
                first.append(next(iterator))
        except StopIteration:
            pass
        body = StreamingBody(chain(self._written, first, iterator), getattr(iterable, "close", lambda: None))
        if self._limiter.exceeded:
            # The app may have caught the error and sent another response. Report the actual reason.
            body.close()
            raise BodyTooLarge(self._limiter.limit or 0)
        if self._start is None:
            body.close()
            raise RuntimeError("the app returned without calling start_response")
        self._returned = True
        status, headers = self._start
        code, _, reason = status.partition(" ")
        payload = self._join(body) if self._request.whole_response else body
        return Response(int(code), payload, headers, reason)

    def _join(self, body: StreamingBody) -> bytes:
        try:
            return b"".join(body)
        finally:
            body.close()

    def _prepare_environ(self) -> WSGIEnvironment:
        environ = self._request.environ
        environ["modelgate.request"] = self._request
        self._request.on_close.append(partial(environ.pop, "modelgate.request", None))
        if self._request.body_read is not None:
            environ["wsgi.input"] = BytesIO(self._request.body_read)
            environ["CONTENT_LENGTH"] = str(len(self._request.body_read))
        elif self._limiter.limit is not None:
            environ["wsgi.input"] = _LimitedInput(environ["wsgi.input"], self._limiter)
        return environ

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo = None, /
    ) -> Callable[[bytes], object]:
        if exc_info and exc_info[1] is not None and self._returned:
            raise exc_info[1].with_traceback(exc_info[2])
        self._start = status, headers
        return self._written.append


class _LimitedInput:
    """``wsgi.input`` that raises `BodyTooLarge` if the app reads more than the limit."""

    def __init__(self, stream: Any, limiter: BodySizeLimiter) -> None:
        self._stream = stream
        self._limiter = limiter

    # The arguments are passed on unchanged: some servers reject -1, or treat it as 0.
    def read(self, *size: int) -> bytes:
        return self._limiter.count(self._stream.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._limiter.count(self._stream.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        return [self._limiter.count(line) for line in self._stream.readlines(*hint)]

    def __iter__(self) -> Iterator[bytes]:
        return (self._limiter.count(line) for line in self._stream)
