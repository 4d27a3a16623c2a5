"""ASGI (version 3): a handler becomes an app, and layers go around an app."""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, TypeAlias

from ..errors import BodyTooLarge, MalformedBody
from ..flow import Flow, Handler, Layer, Wait, adrive, run
from ..http import BodyMeter, Request, Response, answered, http_stack

__all__ = ["ASGIApp", "ASGIRequest", "app", "wrap"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class ScopeHeaders:
    """The header fields of an ASGI scope."""

    __slots__ = ("_fields",)

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        fields = dict(raw)
        self._fields = fields if len(fields) == len(raw) else _joined(raw)

    def get(self, name: str) -> str | None:
        """See `modelgate.http.Headers.get`."""
        value = self._fields.get(name.encode())
        return value.decode("latin-1") if value else None


def _joined(raw: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in raw:
        # RFC 9110, section 5.3. WSGI servers do the same before we see the fields.
        fields[name] = fields[name] + b"," + value if name in fields else value
    return fields


class ASGIRequest(Request):
    """A view of an ASGI scope."""

    __slots__ = ("receive", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        path, root_path = scope["path"], scope.get("root_path", "")
        client = scope.get("client")
        super().__init__(
            scope["method"],
            _below(path, root_path, scope.get("app_root_path", "")) if root_path else path,
            ScopeHeaders(scope["headers"]),
            root_path=root_path,
            query_string=scope.get("query_string", b"").decode("latin-1"),
            scheme=scope.get("scheme", "http"),
            client=client[0] if client else None,
        )
        self.scope = scope
        self.receive = receive

    async def _aread(self) -> bytes:
        limit, seen, chunks = self.max_body, 0, list[bytes]()
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise MalformedBody("The body ended before it was whole")
            chunk = message.get("body", b"")
            seen += len(chunk)
            if limit is not None and seen > limit:
                raise BodyTooLarge(limit)
            if not message.get("more_body"):
                return b"".join([*chunks, chunk]) if chunks else chunk
            chunks.append(chunk)


def _below(path: str, root_path: str, app_root_path: str) -> str:
    """*path* below *root_path*: a mount, and uvicorn's ``--root-path``, leave it in the path.

    A proxy may have taken off its own part, Starlette's ``app_root_path``, so that the mount's is left.
    """
    for prefix in (root_path, root_path.removeprefix(app_root_path)):
        prefix = prefix.rstrip("/")
        if prefix and (path == prefix or path.startswith(prefix + "/")):
            return path[len(prefix) :]
    return path


def app(handler: Handler[Request, Response]) -> ASGIApp:
    """An ASGI app of *handler*. It needs no lifespan, and takes part in one where it is run alone."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await _decline(scope, receive, send)
        request = ASGIRequest(scope, receive)
        try:
            try:
                response = await adrive(handler(request))
                await _send(request, response, send)
            finally:
                request.close()
        except BaseException:
            # An interruption may have ended the first call before it did anything.
            request.close()
            raise

    return application


async def _decline(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
    elif scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})


async def _send(request: Request, response: Response, send: Send) -> None:
    body = response.body
    if isinstance(body, bytes):
        payload = response.payload(request.method)
        await send(_start(response))
        await send({"type": "http.response.body", "body": payload})
        return
    await send(_start(response))
    chunks = iter(body)
    try:
        while (chunk := await adrive(run(next, chunks, None))) is not None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        getattr(body, "close", lambda: None)()


def _start(response: Response) -> Message:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    return {"type": "http.response.start", "status": response.status, "headers": headers}


def wrap(application: ASGIApp, *layers: Layer[Request, Response]) -> ASGIApp:
    """Put *layers* around an ASGI app, the first one outermost.

    Bodies stream past, both ways, unless a layer asks for one. An error a layer raises becomes an
    answer in plain JSON; an error the app raises passes through. The app has the `Request` as
    ``modelgate.request`` in its scope; lifespan and websockets go to it untouched.

    The app is called plainly, in no task of its own, so that context variables, cancellation and
    background tasks are as they were without the layers.
    """
    inner = http_stack(layers, _pass_on)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await application(scope, receive, send)
        request = _Passage(application, scope, receive, send)
        request.flow = answered(request, inner)
        try:
            try:
                response = await adrive(request.flow)
                # None: the flow's way out was driven from within the app, and the answer is sent.
                if response is not None:
                    await _send(request, response, send)
            finally:
                request.close()
        except BaseException:
            # An interruption may have ended the first call before it did anything.
            request.close()
            raise

    return wrapped


def _pass_on(request: Request) -> Flow[Response]:
    assert isinstance(request, _Passage)
    # The app runs to the end of its body, which may stream for as long as it likes.
    return (yield Wait(_unreachable, request.call_app, bounded=False))  # type: ignore[no-any-return]


def _unreachable() -> None:
    raise RuntimeError("an ASGI app cannot be called without an event loop")


_PASSING = iter(())
"""The body of a response that streams past its layers."""


class _Passage(ASGIRequest):
    """One request's way through a wrapped app.

    The flow of the layers waits while the app runs. When the app starts its response, the flow's
    way out is driven there and then, inside the app's own ``send``; so the layers see the response
    before its body streams, and nothing runs beside the app.
    """

    __slots__ = ("_application", "_meter", "_parts", "_replaced", "_send", "_start", "flow")

    def __init__(self, application: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive)
        self._application = application
        self._send = send
        self._meter = BodyMeter(None)
        self._start: Message | None = None
        self._parts: list[bytes] | None = None
        self._replaced = False
        self.flow: Flow[Response]

    async def call_app(self) -> None:
        """Run the app to its end. Its response goes to the flow, not to whom awaits this."""
        self.scope["modelgate.request"] = self
        self.defer(partial(self.scope.pop, "modelgate.request", None))
        if self.whole_response:
            # Extensions by which a server would send a file itself: no layer could have its bytes.
            self.scope["extensions"] = {}
        self._meter.limit = self.max_body
        try:
            await self._application(self.scope, self._receiver(), self._answer)
        except BodyTooLarge:
            # Raised into the app by `_metered`; an app that answered has been overruled already.
            if self._start is None:
                raise
        if self._start is None:
            raise RuntimeError("the app ended without answering")

    def _receiver(self) -> Receive:
        if self.body_read is not None:
            return _replay(self.body_read, self.receive)
        return self.receive if self._meter.limit is None else self._metered

    async def _metered(self) -> Message:
        message = await self.receive()
        self._meter.count(message.get("body", b""))
        return message

    async def _answer(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._start = message
            if self.whole_response and not self._meter.exceeded:
                self._parts = []
            else:
                await self._way_out(_PASSING)
        elif kind == "http.response.body" and self._parts is not None:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body"):
                await self._way_out(b"".join(self._parts))
        elif not self._replaced:
            await self._send(message)

    async def _way_out(self, body: Any) -> None:
        assert self._start is not None
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self._start.get("headers", ())
        ]
        told: Response | BodyTooLarge = Response(self._start["status"], body, headers)
        if self._meter.exceeded:
            # Whatever the app made of the error: its caller is told the reason.
            told = BodyTooLarge(self._meter.limit or 0)
        response = await adrive(self.flow, told)
        if response.body is _PASSING:
            await self._send({**self._start, **_start(response)})
        else:
            self._replaced, self._parts = True, None
            await _send(self, response, self._send)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Receives *body* once more, and then what comes after it."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
