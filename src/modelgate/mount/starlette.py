"""Adapter for Starlette and FastAPI. It mounts a handler in an app, or calls a handler from an endpoint."""

from typing import Any

import starlette.applications
import starlette.requests
import starlette.responses

from ..errors import MalformedBody
from ..flow import Handler
from ..http import BodySizeLimiter, Request, Response
from . import asgi
from .views import respond_async

__all__ = ["handle", "mount"]


def mount(app: starlette.applications.Starlette, prefix: str, handler: Handler[Request, Response]) -> None:
    """Mount a handler in a Starlette or FastAPI app with ``app.mount``.

    Args:
        app: Starlette or FastAPI app.
        prefix: Path below which the handler is mounted, such as ``/ml``.
        handler: Handler, for example a gate.
    """
    app.mount(prefix, asgi.app(handler))


class _StarletteRequest(asgi.ASGIRequest):
    """Request of a Starlette endpoint. If the endpoint has read the body, Starlette returns a cached copy."""

    __slots__ = ("_starlette",)

    def __init__(self, request: starlette.requests.Request) -> None:
        super().__init__(request.scope, request.receive)
        self._starlette = request

    async def _aread(self) -> bytes:
        limiter = BodySizeLimiter(self.max_body)
        try:
            return b"".join([limiter.count(chunk) async for chunk in self._starlette.stream()])
        except (RuntimeError, starlette.requests.ClientDisconnect) as error:
            raise MalformedBody("The body could not be read: send it again") from error


async def handle(
    request: starlette.requests.Request, handler: Handler[Request, Response]
) -> starlette.responses.Response:
    """Call *handler* from an endpoint, and return a response that the endpoint can return."""
    response, body = await respond_async(_StarletteRequest(request), handler)
    create: Any = (
        starlette.responses.Response if isinstance(body, bytes) else starlette.responses.StreamingResponse
    )
    starlette_response: starlette.responses.Response = create(body, response.status)
    starlette_response.raw_headers += [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers
        if name != "content-length"
    ]
    return starlette_response
