"""Adapter for BlackSheep. It mounts a handler in an app, or calls a handler from a route."""

from typing import Any

import blacksheep

from ..flow import Handler
from ..http import BodySizeLimiter, Request, Response
from . import asgi
from .views import ASGIViewRequest, respond_async

__all__ = ["handle", "mount"]


def mount(app: blacksheep.Application, prefix: str, handler: Handler[Request, Response]) -> None:
    """Mount a handler in a BlackSheep app.

    BlackSheep sends all paths that begin with *prefix* to the handler. For ``/ml``, these include ``/mlx``.

    Args:
        app: BlackSheep app.
        prefix: Path below which the handler is mounted, such as ``/ml``.
        handler: Handler, for example a gate.
    """
    app.mount(prefix, asgi.app(handler))


async def handle(request: blacksheep.Request, handler: Handler[Request, Response]) -> blacksheep.Response:
    """Call *handler* from a request handler, and return a response of BlackSheep."""

    async def read() -> bytes:
        if getattr(request.content, "body", None) is not None:
            return await request.read() or b""
        chunks: Any = request.stream()
        limiter = BodySizeLimiter(view_request.max_body)
        return b"".join([limiter.count(chunk) async for chunk in chunks])

    scope: Any = request.scope
    view_request = ASGIViewRequest(scope, read)
    response, body = await respond_async(view_request, handler)
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers
        if name not in ("content-length", "content-type")
    ]
    media_type = (response.header("content-type") or "application/octet-stream").encode("latin-1")
    if isinstance(body, bytes):
        content = blacksheep.Content(media_type, body) if body else None
    else:
        content = blacksheep.StreamedContent(media_type, body.__aiter__)
    return blacksheep.Response(response.status, headers, content)
