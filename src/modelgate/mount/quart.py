"""Adapter for Quart. It mounts a handler in an app, or calls a handler from a view."""

from typing import Any, cast

import quart
from werkzeug.exceptions import RequestEntityTooLarge

from ..errors import BodyTooLarge
from ..flow import Handler
from ..http import Request, Response
from . import asgi
from .views import ASGIViewRequest, respond_async

__all__ = ["handle", "mount"]


def mount(app: quart.Quart, prefix: str, handler: Handler[Request, Response]) -> None:
    """Mount a handler in front of a Quart app. Requests to the handler bypass routes and hooks.

    Args:
        app: Quart app.
        prefix: Path below which the handler is mounted, such as ``/ml``.
        handler: Handler, for example a gate.
    """
    app.asgi_app = asgi.mount(app.asgi_app, prefix, handler)  # type: ignore[method-assign,assignment,arg-type]


async def handle(request: quart.Request, handler: Handler[Request, Response]) -> quart.Response:
    """Call *handler* from a view, and return a response that the view can return."""

    async def read() -> bytes:
        try:
            return cast(bytes, await request.get_data())
        except RequestEntityTooLarge:
            raise BodyTooLarge(request.max_content_length or 0) from None

    scope: Any = request.scope
    response, body = await respond_async(ASGIViewRequest(scope, read), handler)
    return quart.Response(body, response.status, response.headers)  # type: ignore[arg-type]
