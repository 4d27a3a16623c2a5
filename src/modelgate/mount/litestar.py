"""Adapter for Litestar. It mounts a handler in an app, or calls a handler from a route."""

from typing import Any

import litestar
from litestar.exceptions import HTTPException
from litestar.response import Stream

from ..errors import BodyTooLarge
from ..flow import Handler
from ..http import Request, Response
from . import asgi
from .views import ASGIViewRequest, respond_async

__all__ = ["handle", "mount"]


def mount(app: litestar.Litestar, prefix: str, handler: Handler[Request, Response]) -> None:
    """Mount a handler in a Litestar app.

    Args:
        app: Litestar app.
        prefix: Path below which the handler is mounted, such as ``/ml``.
        handler: Handler, for example a gate.
    """
    mounted_app: Any = asgi.app(handler)
    app.register(litestar.asgi(prefix, is_mount=True, copy_scope=True)(mounted_app))


async def handle(
    request: "litestar.Request[Any, Any, Any]", handler: Handler[Request, Response]
) -> "litestar.Response[bytes]":
    """Call *handler* from a route handler, and return a response of Litestar."""

    async def read() -> bytes:
        try:
            body: bytes = await request.body()
            return body
        except HTTPException as error:
            if error.status_code != 413:
                raise
            raise BodyTooLarge(request.route_handler.resolve_request_max_body_size() or 0) from None

    scope: Any = request.scope
    response, body = await respond_async(ASGIViewRequest(scope, read), handler)
    create: Any = litestar.Response if isinstance(body, bytes) else Stream
    return create(body, status_code=response.status, headers=dict(response.headers))  # type: ignore[no-any-return]
