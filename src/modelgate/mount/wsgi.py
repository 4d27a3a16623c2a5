"""WSGI (PEP 3333): a handler becomes an app, and layers go around an app."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from io import BytesIO
from itertools import chain
from types import TracebackType
from typing import Any, TypeAlias
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from ..errors import AnswerableError, BodyTooLarge, MalformedBody
from ..flow import Flow, Handler, Layer, Wait, drive
from ..http import BodyMeter, Request, Response, answered, http_stack

__all__ = ["WSGIRequest", "app", "wrap"]

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None

_CHUNK = 64 * 1024


class EnvironHeaders:
    """The header fields in a WSGI environ."""

    __slots__ = ("_environ",)

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    def get(self, name: str) -> str | None:
        """See `modelgate.http.Headers.get`."""
        return self._environ.get(_key(name)) or None


@cache
def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


class WSGIRequest(Request):
    """A view of a WSGI environ."""

    __slots__ = ("environ",)

    def __init__(self, environ: WSGIEnvironment) -> None:
        super().__init__(
            environ["REQUEST_METHOD"],
            _text(environ.get("PATH_INFO", "")),
            EnvironHeaders(environ),
            root_path=_text(environ.get("SCRIPT_NAME", "")),
            query_string=environ.get("QUERY_STRING", ""),
            scheme=environ.get("wsgi.url_scheme", "http"),
            client=environ.get("REMOTE_ADDR") or None,
        )
        self.environ = environ

    def _read(self) -> bytes:
        length = self.content_length
        if length is None and not self.environ.get("wsgi.input_terminated"):
            return b""
        if self.max_body is not None and (length or 0) > self.max_body:
            raise BodyTooLarge(self.max_body)
        try:
            body = self._read_to_the_end() if length is None else self.environ["wsgi.input"].read(length)
        except AnswerableError:
            raise
        except Exception as error:
            # gunicorn, for one, raises errors of its own where a chunked body is malformed.
            raise MalformedBody("The body could not be read") from error
        if length is not None and len(body) < length:
            raise MalformedBody("The body is shorter than its Content-Length says")
        return body

    def _read_to_the_end(self) -> bytes:
        stream, meter = self.environ["wsgi.input"], BodyMeter(self.max_body)
        return b"".join(iter(lambda: meter.count(stream.read(_CHUNK)), b""))


def _text(told: str) -> str:
    # PEP 3333 hands UTF-8 over as if it were Latin-1.
    return told.encode("latin-1").decode("utf-8", "replace")


def app(handler: Handler[Request, Response]) -> WSGIApplication:
    """A WSGI app of *handler*."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return _send(WSGIRequest(environ), handler, start_response)

    return application


def wrap(application: WSGIApplication, *layers: Layer[Request, Response]) -> WSGIApplication:
    """Put *layers* around a WSGI app, the first one outermost.

    Bodies stream past, both ways, unless a layer asks for one. An error a layer raises becomes an
    answer in plain JSON; an error the app raises passes through. The app has the `Request` as
    ``modelgate.request`` in its environ.
    """
    inner = http_stack(layers, partial(_pass_on, application))

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return _send(WSGIRequest(environ), lambda request: answered(request, inner), start_response)

    return wrapped


def _send(
    request: WSGIRequest, handler: Handler[Request, Response], start_response: StartResponse
) -> Iterable[bytes]:
    try:
        try:
            response = drive(handler(request))
            if not isinstance(response.body, bytes):
                start_response(response.status_line, response.headers)
                return _Sending(response.body, request.close)
        except BaseException:
            request.close()
            raise
        # A body that is whole needs nothing more of the request, and not every caller closes an iterable.
        request.close()
    except BaseException:
        # An interruption may have ended the first call before it did anything.
        request.close()
        raise
    payload = response.payload(request.method)
    start_response(response.status_line, response.headers)
    return [payload]


class _Sending:
    """A response's body; the request is over when the server closes it."""

    def __init__(self, body: Iterable[bytes], *callbacks: Callable[[], None]) -> None:
        self._body = body
        self._callbacks = callbacks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        try:
            getattr(self._body, "close", lambda: None)()
        finally:
            for callback in self._callbacks:
                callback()


def _pass_on(application: WSGIApplication, request: Request) -> Flow[Response]:
    assert isinstance(request, WSGIRequest)
    passage = _Passage(application, request)
    return (yield Wait(sync=passage.answer, aio=_unreachable))  # type: ignore[no-any-return]


async def _unreachable() -> None:
    raise RuntimeError("a WSGI app cannot be awaited")


class _Passage:
    """One request's way through a wrapped app."""

    def __init__(self, application: WSGIApplication, request: WSGIRequest) -> None:
        self._application = application
        self._request = request
        self._meter = BodyMeter(request.max_body)
        self._started: tuple[str, list[tuple[str, str]]] | None = None
        self._handed_over = False
        self._written: list[bytes] = []

    def answer(self) -> Response:
        """The app's response, as soon as its status is known."""
        body = self._application(self._environ(), self._start_response)
        iterator = iter(body)
        first = []
        try:
            while self._started is None:
                first.append(next(iterator))
        except StopIteration:
            pass
        sending = _Sending(chain(self._written, first, iterator), getattr(body, "close", lambda: None))
        if self._meter.exceeded:
            # Whatever the app made of the error: its caller is told the reason.
            sending.close()
            raise BodyTooLarge(self._meter.limit or 0)
        if self._started is None:
            sending.close()
            raise RuntimeError("the app answered without calling start_response")
        self._handed_over = True
        status, headers = self._started
        code, _, reason = status.partition(" ")
        return Response(int(code), self._whole(sending), headers, reason)

    def _whole(self, sending: _Sending) -> bytes | Iterable[bytes]:
        if not self._request.whole_response:
            return sending
        try:
            return b"".join(sending)
        finally:
            sending.close()

    def _environ(self) -> WSGIEnvironment:
        environ = self._request.environ
        environ["modelgate.request"] = self._request
        self._request.defer(partial(environ.pop, "modelgate.request", None))
        if self._request.body_read is not None:
            environ["wsgi.input"] = BytesIO(self._request.body_read)
            environ["CONTENT_LENGTH"] = str(len(self._request.body_read))
        elif self._meter.limit is not None:
            environ["wsgi.input"] = _Metered(environ["wsgi.input"], self._meter)
        return environ

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo = None, /
    ) -> Callable[[bytes], object]:
        if exc_info and exc_info[1] is not None and self._handed_over:
            raise exc_info[1].with_traceback(exc_info[2])
        self._started = status, headers
        return self._written.append


class _Metered:
    """A body that is counted while the app reads it."""

    def __init__(self, stream: Any, meter: BodyMeter) -> None:
        self._stream = stream
        self._meter = meter

    def read(self, size: int = -1) -> bytes:
        return self._meter.count(self._stream.read(size))

    def readline(self, size: int = -1) -> bytes:
        return self._meter.count(self._stream.readline(size))

    def readlines(self, hint: int = -1) -> list[bytes]:
        return [self._meter.count(line) for line in self._stream.readlines(hint)]

    def __iter__(self) -> Iterator[bytes]:
        return (self._meter.count(line) for line in self._stream)
