"""HTTP requests built from ASGI scopes."""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Iterable, MutableMapping
from functools import partial
from time import perf_counter
from types import CoroutineType
from typing import Any, TypeAlias

from ..context import RequestContext
from ..errors import BodyTooLarge, MalformedBody
from ..flow import Flow, Wait, adrive, run
from ..flow.deadline import resume
from ..http import UNUSUAL_FIELDS, USUAL_BODY, USUAL_LENGTH_DIGITS, Request
from ..http.spooled_body import SPOOL_SIZE, SpooledBody

__all__ = [
    "ASGIHeaders",
    "ASGIRequest",
    "Message",
    "Receive",
    "Scope",
    "fail_without_loop",
    "remove_root_path",
]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]

_UNUSUAL_FIELDS = frozenset(name.encode() for name in UNUSUAL_FIELDS)


class ASGIRequest(Request):
    """HTTP request built from an ASGI scope."""

    headers: "ASGIHeaders"
    waits_for_body = False

    def __init__(self, scope: Scope, receive: Receive) -> None:
        # Calling `Request.__init__` would take as long again.
        self.scope = scope
        self.receive = receive
        self.method = scope["method"]
        self.path = scope["path"]
        self.headers = ASGIHeaders(scope["headers"])
        self.context = RequestContext()
        self.started = perf_counter()
        self.on_close = []
        if client := scope.get("client"):
            self.client = client[0]
        if query_string := scope.get("query_string"):
            self.query_string = query_string.decode("latin-1")
        if root_path := scope.get("root_path"):
            self.root_path = root_path
            self.path = remove_root_path(self.path, root_path, scope.get("app_root_path", ""))
        if scheme := scope.get("scheme"):
            self.scheme = scheme

    @property
    def needs_length(self) -> bool:
        return bool(self.scope.get("http_version") == "1.0")

    def is_usual(self) -> bool:
        fields = self.headers.fields
        length = fields.get(b"content-length", b"0")
        return (
            # A subclass may read the body in another way.
            type(self) is ASGIRequest
            and fields.keys().isdisjoint(_UNUSUAL_FIELDS)
            and fields.get(b"content-type", b"application/json") == b"application/json"
            and len(length) <= USUAL_LENGTH_DIGITS
            and length.isdigit()
        )

    def read_arrived(self) -> bytes | None:
        steps = self.receive()
        if type(steps) is not CoroutineType:
            steps = _to_coroutine(steps)
        try:
            signal = steps.send(None)
        except StopIteration as stop:
            message = stop.value
        except Exception as error:
            self.receive = _receive_first(partial(_raise, error), self.receive)
            return None
        else:
            resumed = _Resumed(steps, signal)
            self.receive = _receive_first(lambda: resumed, self.receive)
            return None
        # None if the caller has disconnected.
        body: bytes | None = message.get("body")
        if body is not None and not message.get("more_body") and len(body) < USUAL_BODY:
            length = self.headers.fields.get(b"content-length")
            if length is None or length == b"%d" % len(body):
                self.body_read = body
                return body
        self.receive = _receive_first(partial(_return, message), self.receive)
        return None

    def read(self) -> Flow[bytes]:
        """Return the complete body as it was sent; see `Request.read`.

        A body that has already arrived is returned without waiting.
        """
        if self.body_read is None:
            steps = self._aread()
            try:
                signal = steps.send(None)
            except StopIteration as stop:
                self.body_read = stop.value
            else:
                resumed = _Resumed(steps, signal)
                body = yield self.limit_read(Wait(sync=fail_without_loop, aio=lambda: resumed))
                self.body_read = body if isinstance(body, bytes) else (yield from self.load(body))
        return self.body_read  # type: ignore[return-value]

    async def _aread(self) -> bytes | SpooledBody:
        limit, received, chunks, unwritten = self.max_body, 0, list[bytes](), 0
        spooled: SpooledBody | None = None
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise MalformedBody(
                    "The body is incomplete, because the connection was closed: send it again"
                )
            chunk = message.get("body", b"")
            received += len(chunk)
            if limit is not None and received > limit:
                raise BodyTooLarge(limit)
            is_last = not message.get("more_body")
            if is_last and spooled is None:
                return b"".join([*chunks, chunk]) if chunks else chunk
            chunks.append(chunk)
            unwritten += len(chunk)
            if not is_last and unwritten <= SPOOL_SIZE:
                continue
            if spooled is None:
                spooled = SpooledBody()
                self.on_close.append(spooled.close)
            await adrive(run(spooled.write, chunks))
            if is_last:
                return spooled
            chunks, unwritten = [], 0


class _Resumed:
    """Awaitable that continues a suspended coroutine, which has already yielded *signal*."""

    def __init__(self, steps: Coroutine[Any, Any, Any], signal: Any) -> None:
        self._steps = steps
        self._signal = signal

    def __await__(self) -> Generator[Any, Any, Any]:
        return resume(self._steps, self._signal)


def _receive_first(first: Callable[[], Awaitable[Message]], receive: Receive) -> Receive:
    """Return a function like *receive* whose first call returns the result of *first*."""
    functions = [receive, first]
    return lambda: (functions.pop() if len(functions) > 1 else receive)()


async def _return(message: Message) -> Message:
    return message


async def _raise(error: Exception) -> Message:
    raise error


async def _to_coroutine(awaitable: Awaitable[Message]) -> Message:
    return await awaitable


class ASGIHeaders:
    """Header fields of an ASGI scope. They are decoded on look-up, because most of them are never read.

    Attributes:
        fields: Encoded values by encoded name. Repeated fields are joined by commas.
    """

    __slots__ = ("fields",)

    def __init__(self, fields: Collection[tuple[bytes, bytes]]) -> None:
        self.fields = dict(fields)
        if len(self.fields) != len(fields):
            self.fields = _join_repeated(fields)

    def get(self, name: str) -> str | None:
        """Return the value of the field *name* (lower case), or None if it is missing or empty."""
        value = self.fields.get(name.encode())
        return value.decode("latin-1") if value else None


def _join_repeated(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        # RFC 9110, section 5.3. WSGI servers do the same.
        headers[name] = headers[name] + b"," + value if name in headers else value
    return headers


def remove_root_path(path: str, root_path: str, app_root_path: str) -> str:
    """Return *path* without the prefix of the mount point.

    The prefix is *root_path*, which begins with *app_root_path*. If a proxy has already removed
    *app_root_path* from *path*, only the rest of the prefix is removed.

    Args:
        path: Path of the ASGI scope.
        root_path: Prefix of the mount point, which may include a prefix of a proxy.
        app_root_path: Prefix of the proxy, as in Starlette's scope or uvicorn's ``--root-path``.
    """
    for prefix in (root_path, root_path.removeprefix(app_root_path)):
        prefix = prefix.rstrip("/")
        if prefix and (path == prefix or path.startswith(prefix + "/")):
            return path[len(prefix) :]
    return path


def fail_without_loop() -> None:
    """Raise the error for an ASGI request that is handled without an event loop."""
    raise RuntimeError("an ASGI app cannot be called without an event loop")
