"""What tests of modelgate, and of apps that use it, need: no socket, no thread, no mock library.

* `Client` asks a WSGI or an ASGI app, a gate or a whole web app, without a server.
* `request` makes a `modelgate.Request` for a layer; `Inner` is a handler to put inside one::

      inner = Inner()
      response = modelgate.drive(RateLimit("1/minute")(request(), inner))
      assert inner.requests

* `Clock` is a clock to turn by hand: ``RateLimit("1/minute", clock=clock)``.
"""

import asyncio
import inspect
import io
import sys
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from .errors import BodyTooLarge
from .flow import Flow
from .http import Request, Response

__all__ = ["Answer", "Client", "Clock", "Inner", "request"]


class Clock:
    """A clock that stands still until it is turned. Call it for the time, in seconds.

    Args:
        now: the time it shows first.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Turn it on by *seconds*."""
        self.now += seconds


class _Fields(dict[str, str]):
    """Header fields whose names are lower case."""


class _MemoryRequest(Request):
    __slots__ = ("_content",)

    def __init__(self, content: bytes, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._content = content

    def _read(self) -> bytes:
        if self.max_body is not None and len(self._content) > self.max_body:
            raise BodyTooLarge(self.max_body)
        return self._content

    async def _aread(self) -> bytes:
        return self._read()


def request(
    method: str = "POST",
    path: str = "/",
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    client: str | None = "192.0.2.1",
) -> Request:
    """A request with its body in memory."""
    fields = _Fields({name.lower(): value for name, value in (headers or {}).items()})
    if body:
        fields.setdefault("content-length", str(len(body)))
    return _MemoryRequest(body, method, path, fields, client=client)


class Inner:
    """A handler that answers whatever it is asked, and remembers it.

    Args:
        result: what it answers, or the error it raises; an empty 200 by default.

    Attributes:
        requests: what it was asked, in order.
    """

    def __init__(self, result: Any = None) -> None:
        self.result = result
        self.requests: list[Any] = []

    def __call__(self, request: Any) -> Flow[Any]:
        yield from ()
        self.requests.append(request)
        if isinstance(self.result, BaseException):
            raise self.result
        return Response(200) if self.result is None else self.result


@dataclass(frozen=True, slots=True)
class Answer:
    """What a `Client` was answered.

    Args:
        status: the HTTP status.
        headers: pairs of field name (lower case) and value, in the order sent.
        body: all of it.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of the field *name* (lower case), None where it was not sent."""
        return dict(self.headers).get(name)

    def json(self) -> Any:
        """The body, decoded. Raises `msgspec.DecodeError` where it is no JSON."""
        return msgspec.json.decode(self.body)


class Client:
    """Asks an app without a server.

    Args:
        app: a WSGI or an ASGI app.
        headers: sent with every request.
        address: where the requests seem to come from.
        interface: ``"wsgi"`` or ``"asgi"``; by default what *app* looks like.
    """

    def __init__(
        self,
        app: Any,
        *,
        headers: Mapping[str, str] | None = None,
        address: str = "192.0.2.1",
        interface: Literal["wsgi", "asgi"] | None = None,
    ) -> None:
        self._app = app
        self._headers = dict(headers or {})
        self._address = address
        self._asgi = _looks_like_asgi(app) if interface is None else interface == "asgi"

    def get(self, path: str, **options: Any) -> Answer:
        """Ask with GET; see `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        """Ask with POST; see `request`."""
        return self.request("POST", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = msgspec.UNSET,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask.

        Args:
            method: upper case.
            path: percent-encoded, with the query string.
            json: sent as a JSON body with its content type.
            body: sent as it is; as an iterable, in pieces, with no length told.
            headers: beside the client's own, and before them.
        """
        fields = {name.lower(): value for name, value in {**self._headers, **(headers or {})}.items()}
        if json is not msgspec.UNSET:
            body = msgspec.json.encode(json)
            fields.setdefault("content-type", "application/json")
        if isinstance(body, bytes) and (body or method != "GET"):
            fields.setdefault("content-length", str(len(body)))
        pieces = [body] if isinstance(body, bytes) else list(body)
        path, _, query = path.partition("?")
        if self._asgi:
            return asyncio.run(self._ask_asgi(method, path, query, fields, pieces))
        return self._ask_wsgi(method, path, query, fields, pieces)

    def _ask_wsgi(
        self, method: str, path: str, query: str, fields: Mapping[str, str], pieces: list[bytes]
    ) -> Answer:
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self._address,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(b"".join(pieces)),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "HTTP_HOST": "testserver",
        }
        for name, value in fields.items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        started: list[Any] = []

        def start_response(*start: Any) -> Any:
            started.append(start)

        body = self._app(environ, start_response)
        try:
            content = b"".join(body)
        finally:
            getattr(body, "close", lambda: None)()
        status, headers = started[-1][:2]
        return Answer(int(status[:3]), [(name.lower(), value) for name, value in headers], content)

    async def _ask_asgi(
        self, method: str, path: str, query: str, fields: Mapping[str, str], pieces: list[bytes]
    ) -> Answer:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [(b"host", b"testserver")]
            + [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()],
            "client": (self._address, 1234),
            "server": ("testserver", 80),
        }
        waiting = [
            {"type": "http.request", "body": piece, "more_body": at < len(pieces)}
            for at, piece in enumerate(pieces, 1)
        ]
        sent: list[Mapping[str, Any]] = []

        async def receive() -> Mapping[str, Any]:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        start, *bodies = sent
        headers = [
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in start["headers"]
        ]
        return Answer(start["status"], headers, b"".join(message.get("body", b"") for message in bodies))


def _looks_like_asgi(app: Any) -> bool:
    call = app if inspect.isroutine(app) else getattr(app, "__call__", app)  # noqa: B004
    return inspect.iscoroutinefunction(call) or _is_awaitable_annotation(call)


def _is_awaitable_annotation(call: Any) -> bool:
    told = getattr(call, "__annotations__", {}).get("return")
    return (told is not None and "Awaitable" in str(told)) or told is Awaitable
