"""Adapter for ASGI 3, which turns a handler into an app, and wraps layers around an app."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Iterable, MutableMapping
from functools import partial
from time import perf_counter
from types import CoroutineType
from typing import Any, TypeAlias

from ..codecs.json import LARGE
from ..context import RequestContext
from ..errors import BodyTooLarge, MalformedBody, ServingError
from ..flow import Flow, Handler, Layer, Wait, adrive, run
from ..flow.deadline import resume
from ..http import (
    UNUSUAL_FIELDS,
    BodySizeLimiter,
    Request,
    Response,
    call_encoding_errors,
    check_wrapping,
    encode_error,
    http_stack,
)
from ..http.spooled_body import SPOOL_SIZE, SpooledBody
from .prefix import require_prefix

__all__ = ["ASGIApp", "ASGIRequest", "Receive", "Scope", "Send", "app", "mount", "select_handler", "wrap"]

logger = logging.getLogger("modelgate")

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_UNUSUAL_FIELDS = frozenset(name.encode() for name in UNUSUAL_FIELDS)


class UnsupportedEventLoop(ServingError):
    """The server does not run an asyncio event loop."""

    status = 503
    code = "unsupported_event_loop"
    default_message = "This server runs an event loop that predictions do not support: it must run asyncio"


class ASGIRequest(Request):
    """HTTP request built from an ASGI scope."""

    headers: "ASGIHeaders"

    def __init__(self, scope: Scope, receive: Receive) -> None:
        # Not by `Request.__init__`, which would take as long again.
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
            self.path = _remove_root_path(self.path, root_path, scope.get("app_root_path", ""))
        if scheme := scope.get("scheme"):
            self.scheme = scheme

    @property
    def needs_length(self) -> bool:
        return bool(self.scope.get("http_version") == "1.0")

    def is_usual(self) -> bool:
        # A subclass may read the body in another way.
        fields = self.headers.fields
        return (
            type(self) is ASGIRequest
            and fields.keys().isdisjoint(_UNUSUAL_FIELDS)
            and fields.get(b"content-type", b"application/json") == b"application/json"
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
        if body is not None and not message.get("more_body") and len(body) <= LARGE:
            length = self.headers.fields.get(b"content-length")
            if length is None or length == b"%d" % len(body):
                self.body_read = body
                return body
        self.receive = _receive_first(partial(_return, message), self.receive)
        return None

    def read(self) -> Flow[bytes]:
        """Return the whole body as it was sent, see `Request.read`. One that has arrived needs no wait."""
        if self.body_read is None:
            steps = self._aread()
            try:
                signal = steps.send(None)
            except StopIteration as stop:
                self.body_read = stop.value
            else:
                resumed = _Resumed(steps, signal)
                body = yield self.limit_read(Wait(sync=_unreachable, aio=lambda: resumed))
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
    """Awaitable for the rest of a coroutine that has been started by hand and has yielded *signal*."""

    def __init__(self, steps: Coroutine[Any, Any, Any], signal: Any) -> None:
        self._steps = steps
        self._signal = signal

    def __await__(self) -> Generator[Any, Any, Any]:
        return resume(self._steps, self._signal)


def _receive_first(first: Callable[[], Awaitable[Message]], receive: Receive) -> Receive:
    """Return a function like *receive*, whose first call returns what *first* returns."""
    functions = [receive, first]
    return lambda: (functions.pop() if len(functions) > 1 else receive)()


async def _return(message: Message) -> Message:
    return message


async def _raise(error: Exception) -> Message:
    raise error


async def _to_coroutine(awaitable: Awaitable[Message]) -> Message:
    return await awaitable


class ASGIHeaders:
    """Header fields of an ASGI scope, decoded when they are needed: of a dozen, three or four are.

    Attributes:
        fields: Values by name. Repeated fields are joined by commas.
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


def _remove_root_path(path: str, root_path: str, app_root_path: str) -> str:
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


def select_handler(handler: Handler[Request, Response]) -> Handler[Request, Response]:
    """Return *handler*, or a handler that answers 503 if the server does not run an asyncio event loop.

    On any other event loop, *handler* would fail in the middle of an await, and make other requests fail too.
    """
    # Looking for trio first is cheaper.
    if "trio" not in sys.modules or asyncio._get_running_loop() is not None:
        return handler
    return _reject_event_loop


def _reject_event_loop(request: Request) -> Flow[Response]:
    yield from ()
    logger.error("request rejected: modelgate needs asyncio: run hypercorn with --worker-class asyncio")
    return encode_error(request, UnsupportedEventLoop())


def app(handler: Handler[Request, Response], on_shutdown: Callable[[], None] | None = None) -> ASGIApp:
    """Return an ASGI app that calls *handler*. The app accepts lifespan events, but does not need them.

    If the server does not run an asyncio event loop (but trio, for example), all requests get 503, even
    readiness checks.

    Args:
        handler: Handler, for example a gate.
        on_shutdown: Function to call at the end of the lifespan; None for none.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await _handle_other_scope(scope, receive, send, on_shutdown)
        call_handler, request = select_handler(handler), ASGIRequest(scope, receive)
        try:
            try:
                response = await adrive(call_handler(request))
                await _send(response, response.payload(request.method), receive, send)
            finally:
                request.close()
        except BaseException:
            # A KeyboardInterrupt may have ended the first call of `close` before it did anything.
            request.close()
            raise

    return application


def mount(application: ASGIApp, prefix: str, handler: Handler[Request, Response]) -> ASGIApp:
    """Return an ASGI app that calls *handler* below *prefix*, and *application* otherwise.

    Requests to the handler bypass the application, including its middleware.

    Args:
        application: ASGI app, for example of Django or Quart.
        prefix: Path below which the handler is mounted, such as ``/ml``.
        handler: Handler, for example a gate.

    Raises:
        ConfigurationError: *prefix* does not begin with a slash, or ends with one.
    """
    require_prefix(prefix)
    mounted_app = app(handler)

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # By the ASGI specification, the path includes the root path; some servers leave it out.
            root_path, path = scope.get("root_path", ""), scope["path"]
            path = _remove_root_path(path, root_path, scope.get("app_root_path", "")) if root_path else path
            if path == prefix or path.startswith(prefix + "/"):
                mounted_scope = {**scope, "root_path": root_path.rstrip("/") + prefix, "path": path}
                mounted_scope["app_root_path"] = root_path
                return await mounted_app(mounted_scope, receive, send)
        return await application(scope, receive, send)

    return dispatch


async def _handle_other_scope(
    scope: Scope, receive: Receive, send: Send, on_shutdown: Callable[[], None] | None
) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
    elif scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        if on_shutdown is not None:
            # It may block: nothing else is left to do. Servers such as uvicorn then end without exit handlers.
            on_shutdown()
        await send({"type": "lifespan.shutdown.complete"})


async def _send(response: Response, payload: bytes | Iterable[bytes], receive: Receive, send: Send) -> None:
    await send(_start_message(response))
    if isinstance(payload, bytes):
        await send({"type": "http.response.body", "body": payload})
        return
    chunks = iter(payload)
    # Servers such as uvicorn ignore what is sent after a disconnect: encode no more then.
    disconnect = asyncio.create_task(_wait_for_disconnect(receive))
    try:
        while (chunk := await adrive(run(next, chunks, None))) is not None:
            if disconnect.done():
                disconnect.result()  # raises an error of the server
                return
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        disconnect.cancel()
        getattr(payload, "close", lambda: None)()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _start_message(response: Response) -> Message:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    return {"type": "http.response.start", "status": response.status, "headers": headers}


def wrap(application: ASGIApp, *layers: Layer[Request, Response]) -> ASGIApp:
    """Wrap *layers* around an ASGI app, the first one outermost.

    Bodies of requests and responses are streamed, unless a layer needs the whole body. Errors of layers
    become responses in plain JSON, and errors of the app are raised. In the scope of the app,
    ``modelgate.request`` is the `Request`. Lifespan and websocket scopes go directly to the app.

    The app is called in the task of the server, so context variables, cancellation and background tasks work
    as they do without the layers.
    """
    check_wrapping(application, layers)
    inner = http_stack(layers, _call_app)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await application(scope, receive, send)
        request = _WrappedRequest(application, scope, receive, send)
        request.flow = call_encoding_errors(request, select_handler(inner))
        try:
            try:
                response = await adrive(request.flow)
                # The response is None if `_finish` has already sent it.
                if response is not None:
                    await _send(response, response.payload(request.method), receive, send)
            finally:
                request.close()
        except BaseException:
            # A KeyboardInterrupt may have ended the first call of `close` before it did anything.
            request.close()
            raise

    return wrapped


def _call_app(request: Request) -> Flow[Response]:
    assert isinstance(request, _WrappedRequest)
    # Not limited by a deadline, because the app returns only after its body is sent, which may take long.
    return (yield Wait(_unreachable, request.call_app, bounded=False))  # type: ignore[no-any-return]


def _unreachable() -> None:
    raise RuntimeError("an ASGI app cannot be called without an event loop")


_STREAMING = iter(())
"""Placeholder for the body of a streaming response. Layers do not see the body itself."""


class _WrappedRequest(ASGIRequest):
    """Request to a wrapped app.

    The flow of the layers pauses while the app runs. When the app calls ``send`` to start its response, the
    flow continues inside that call. The layers thus see the response before its body is streamed, and no
    second task is needed.
    """

    def __init__(self, application: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive)
        self._application = application
        self._send = send
        self._limiter = BodySizeLimiter(None)
        self._start: Message | None = None
        self._parts: list[bytes] | None = None
        self._replaced = False
        self.flow: Flow[Response]

    async def call_app(self) -> None:
        """Run the app until it returns. `_handle_message` passes the response to the flow of the layers."""
        self.scope["modelgate.request"] = self
        self.on_close.append(partial(self.scope.pop, "modelgate.request", None))
        if self.whole_response:
            # With extensions such as pathsend, the server itself sends a file, which layers would not see.
            self.scope["extensions"] = {}
        self._limiter.limit = self.max_body
        if self.body_read is not None:
            receive = _replay(self.body_read, self.receive)
        else:
            receive = self.receive if self.max_body is None else self._receive_limited
        try:
            await self._application(self.scope, receive, self._handle_message)
        except BodyTooLarge:
            # Raised by `_receive_limited`. If the app has responded, `_finish` has replaced its response.
            if self._start is None:
                raise
        if self._start is None:
            raise RuntimeError("the app returned without a response")

    async def _receive_limited(self) -> Message:
        message = await self.receive()
        self._limiter.count(message.get("body", b""))
        return message

    async def _handle_message(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._start = message
            if self.whole_response and not self._limiter.exceeded:
                self._parts = []
            else:
                await self._finish(_STREAMING)
        elif kind == "http.response.body" and self._parts is not None:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body"):
                await self._finish(b"".join(self._parts))
        elif not self._replaced:
            await self._send(message)

    async def _finish(self, body: Any) -> None:
        """Run the rest of the flow with the response of the app, and send the result."""
        assert self._start is not None
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self._start.get("headers", ())
        ]
        result: Response | BodyTooLarge = Response(self._start["status"], body, headers)
        if self._limiter.exceeded:
            # The app may have caught the error and sent another response. Report the actual reason.
            result = BodyTooLarge(self._limiter.limit or 0)
        response = await adrive(self.flow, result)
        if response.body is _STREAMING:
            await self._send({**self._start, **_start_message(response)})
        else:
            self._replaced, self._parts = True, None
            await _send(response, response.payload(self.method), self.receive, self._send)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a function like *receive* that returns the whole *body* first, and then calls *receive*."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
