"""Adapter for ASGI 3. It turns a handler into an app, and wraps layers around an app."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

from ..errors import BodyTooLarge, ServingError
from ..flow import Flow, Handler, Layer, Wait, adrive, run
from ..http import (
    BodySizeLimiter,
    Request,
    Response,
    call_encoding_errors,
    check_wrapping,
    encode_error,
    http_stack,
)
from .asgi_request import ASGIRequest, Message, Receive, Scope, fail_without_loop, remove_root_path
from .prefix import require_prefix

__all__ = ["ASGIApp", "ASGIRequest", "Receive", "Scope", "Send", "app", "mount", "select_handler", "wrap"]

logger = logging.getLogger("modelgate")

Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class UnsupportedEventLoop(ServingError):
    """The server does not run an asyncio event loop."""

    status = 503
    code = "unsupported_event_loop"
    default_message = "This server runs an event loop that predictions do not support: it must run asyncio"


def select_handler(handler: Handler[Request, Response]) -> Handler[Request, Response]:
    """Return *handler*, or a handler that answers 503 if the server does not run an asyncio event loop.

    On any other event loop, *handler* would fail during an await, and make other requests fail, too.
    """
    # Looking for trio first is cheaper.
    if "trio" not in sys.modules or asyncio._get_running_loop() is not None:
        return handler
    return _reject_event_loop


def _reject_event_loop(request: Request) -> Flow[Response]:
    yield from ()
    logger.error(
        "request rejected because modelgate needs asyncio: run hypercorn with --worker-class asyncio"
    )
    return encode_error(request, UnsupportedEventLoop())


def app(handler: Handler[Request, Response], on_shutdown: Callable[[], None] | None = None) -> ASGIApp:
    """Return an ASGI app that calls *handler*. The app accepts lifespan events, but does not need them.

    If the server runs another event loop than asyncio (trio, for example), all requests get 503, even
    readiness checks.

    Args:
        handler: Handler, for example a gate.
        on_shutdown: Function to call at the end of the lifespan; None to call nothing.
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
            path = remove_root_path(path, root_path, scope.get("app_root_path", "")) if root_path else path
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
            # It may block, because nothing else is left to do. Servers such as uvicorn run no exit handlers.
            on_shutdown()
        await send({"type": "lifespan.shutdown.complete"})


async def _send(response: Response, payload: bytes | Iterable[bytes], receive: Receive, send: Send) -> None:
    await send(_start_message(response))
    if isinstance(payload, bytes):
        await send({"type": "http.response.body", "body": payload})
        return
    chunks = iter(payload)
    # Servers such as uvicorn ignore data that is sent after a disconnect: encode no more data then.
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
    return {
        "type": "http.response.start",
        "status": response.status,
        "headers": response.encode_headers(),
    }


def wrap(application: ASGIApp, *layers: Layer[Request, Response]) -> ASGIApp:
    """Wrap *layers* around an ASGI app, the first one outermost.

    Bodies of requests and responses are streamed, unless a layer needs the complete body. Errors of layers
    become responses in plain JSON, and errors of the app are raised. In the scope of the app,
    ``modelgate.request`` is the `Request`. Lifespan and websocket scopes go directly to the app.

    The app is called in the server's task, so context variables, cancellation and background tasks work as
    they do without the layers.
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
    return (yield Wait(fail_without_loop, request.call_app, bounded=False))  # type: ignore[no-any-return]


_STREAMING = iter(())
"""Placeholder for the body of a streaming response. Layers do not see the body itself."""


class _WrappedRequest(ASGIRequest):
    """Request to a wrapped app.

    The layers are generators (see `Flow`), which are suspended while the app runs. When the app calls
    ``send`` to start its response, they are resumed within this call. So the layers see the response before
    its body is streamed, and no second task is needed.
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
        """Run the app until it returns. Meanwhile, `_handle_message` passes its response to the layers."""
        self.context.app_called = True
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
        """Resume the layers with the response of the app, and send their response."""
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
    """Return a function like *receive* that first returns the complete *body*, and then calls *receive*."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
