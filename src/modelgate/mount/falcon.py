"""Adapter for Falcon. It calls a handler from a responder."""

from collections.abc import Awaitable
from typing import Any

import falcon
import falcon.asgi

from ..flow import Handler
from ..http import BodySizeLimiter, Request, Response
from .views import ASGIViewRequest, WSGIViewRequest, respond, respond_async

__all__ = ["handle"]


def handle(
    request: falcon.Request, handler: Handler[Request, Response], response: falcon.Response
) -> Awaitable[None] | None:
    """Call *handler* from a responder, and copy its response to *response*.

    Return None under WSGI, and an awaitable under ASGI.
    """
    if isinstance(request, falcon.asgi.Request):
        return _handle_async(request, handler, response)
    view_request = WSGIViewRequest(request.env, request.bounded_stream.read)
    _copy(*respond(view_request, handler), response)
    return None


async def _handle_async(request: Any, handler: Handler[Request, Response], response: falcon.Response) -> None:
    async def read() -> bytes:
        limiter = BodySizeLimiter(view_request.max_body)
        return b"".join([limiter.count(chunk) async for chunk in request.stream])

    view_request = ASGIViewRequest(request.scope, read)
    source, body = await respond_async(view_request, handler)
    # The body has a method `close`, which Falcon would await.
    _copy(source, body if isinstance(body, bytes) else aiter(body), response)


def _copy(source: Response, body: Any, target: falcon.Response) -> None:
    target.status = source.status_line
    if isinstance(body, bytes):
        target.data = body
    else:
        target.stream = body
    for name, value in source.headers:
        if name != "content-length" or target.stream is not None:
            target.set_header(name, value)
