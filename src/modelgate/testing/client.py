"""Client that calls a WSGI or ASGI app without a server."""

import asyncio
import inspect
import io
import sys
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack
from urllib.parse import unquote

import msgspec

__all__ = ["Client", "ClientResponse"]


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """Response to a request of `Client`.

    Args:
        status: HTTP status.
        headers: Pairs of field name (lower case) and value, in the order in which they were sent.
        body: Complete body.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the value of the header field *name* (lower case), or None if it was not sent."""
        return dict(self.headers).get(name)

    def json(self) -> Any:
        """Return the decoded JSON body. Raises `msgspec.DecodeError` if the body is not JSON."""
        return msgspec.json.decode(self.body)


class _Options(TypedDict, total=False):
    """Options of `Client.request`."""

    json: Any
    body: bytes | Iterable[bytes]
    headers: Mapping[str, str] | None


class Client:
    """Client that calls an app directly, without a server.

    While an event loop is running, as in an async test or a notebook, an ASGI app cannot be called
    synchronously. Use ``await client.apost(…)`` instead of ``client.post(…)``.

    Args:
        app: WSGI or ASGI app.
        headers: Header fields sent with every request.
        address: Client IP address of the requests.
        interface: ``"wsgi"`` or ``"asgi"``; None to detect it from *app*.
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

    def get(self, path: str, **options: Unpack[_Options]) -> ClientResponse:
        """Send a GET request; see `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Unpack[_Options]) -> ClientResponse:
        """Send a POST request; see `request`."""
        return self.request("POST", path, **options)

    async def aget(self, path: str, **options: Unpack[_Options]) -> ClientResponse:
        """Send a GET request within an event loop; see `request`."""
        return await self.arequest("GET", path, **options)

    async def apost(self, path: str, **options: Unpack[_Options]) -> ClientResponse:
        """Send a POST request within an event loop; see `request`."""
        return await self.arequest("POST", path, **options)

    async def arequest(self, method: str, path: str, **options: Unpack[_Options]) -> ClientResponse:
        """Send a request within an event loop; see `request`. A WSGI app is called in a thread."""
        if not self._asgi:
            return await asyncio.to_thread(self.request, method, path, **options)
        return await self._call_asgi(method, *self._prepare(method, path, **options))

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = msgspec.UNSET,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> ClientResponse:
        """Send a request and return the response.

        Args:
            method: HTTP method, upper case.
            path: Path, percent-encoded, with the query string.
            json: Value to send as a JSON body, with ``Content-Type``.
            body: Body as bytes, or as an iterable of chunks that are sent without ``Content-Length``.
            headers: Additional header fields, which override those of the client.

        Raises:
            RuntimeError: The app is an ASGI app, and an event loop is running in this thread.
        """
        call = self._prepare(method, path, json=json, body=body, headers=headers)
        if not self._asgi:
            return self._call_wsgi(method, *call)
        if _is_loop_running():
            raise RuntimeError(
                "an ASGI app cannot be called synchronously while an event loop is running, as in an async test"
                " or a notebook: write await client.apost(…), aget or arequest"
            )
        return asyncio.run(self._call_asgi(method, *call))

    def _prepare(
        self,
        method: str,
        path: str,
        *,
        json: Any = msgspec.UNSET,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[str, str, dict[str, str], list[bytes]]:
        """Return the path, the query string, the header fields and the chunks of the body."""
        fields = {name.lower(): value for name, value in {**self._headers, **(headers or {})}.items()}
        if json is not msgspec.UNSET:
            body = msgspec.json.encode(json)
            fields.setdefault("content-type", "application/json")
        if isinstance(body, bytes) and (body or method != "GET"):
            fields.setdefault("content-length", str(len(body)))
        chunks = [body] if isinstance(body, bytes) else list(body)
        path, _, query = path.partition("?")
        return path, query, fields, chunks

    def _call_wsgi(
        self, method: str, path: str, query: str, fields: Mapping[str, str], chunks: list[bytes]
    ) -> ClientResponse:
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": "modelgate.testing",
            "REMOTE_ADDR": self._address,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(b"".join(chunks)),
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
        starts: list[Any] = []

        def start_response(*start: Any) -> Any:
            starts.append(start)

        body = self._app(environ, start_response)
        try:
            content = b"".join(body)
        finally:
            getattr(body, "close", lambda: None)()
        status, headers = starts[-1][:2]
        return ClientResponse(int(status[:3]), [(name.lower(), value) for name, value in headers], content)

    async def _call_asgi(
        self, method: str, path: str, query: str, fields: Mapping[str, str], chunks: list[bytes]
    ) -> ClientResponse:
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
        messages = [
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
            for number, chunk in enumerate(chunks, 1)
        ]
        sent: list[Mapping[str, Any]] = []
        is_complete = asyncio.Event()

        async def receive() -> Mapping[str, Any]:
            if messages:
                return messages.pop(0)
            # Django, for example, waits for a disconnect while it creates the response.
            await is_complete.wait()
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                is_complete.set()

        await self._app(scope, receive, send)
        start, *bodies = sent
        headers = [
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in start["headers"]
        ]
        return ClientResponse(
            start["status"], headers, b"".join(message.get("body", b"") for message in bodies)
        )


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _looks_like_asgi(app: Any) -> bool:
    call = app if inspect.isroutine(app) else getattr(app, "__call__", app)  # noqa: B004
    return inspect.iscoroutinefunction(call) or _returns_awaitable(call)


def _returns_awaitable(call: Any) -> bool:
    annotation = getattr(call, "__annotations__", {}).get("return")
    return (annotation is not None and "Awaitable" in str(annotation)) or annotation is Awaitable
