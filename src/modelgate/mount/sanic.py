"""Adapter for Sanic. It calls a handler from a route."""

from typing import Any

import sanic
import sanic.response

from ..context import RequestContext
from ..flow import Handler
from ..http import Request, Response
from .views import check_size, respond_async

__all__ = ["handle"]


class _SanicRequest(Request):
    """Request of a Sanic handler. Sanic has already received its body."""

    __slots__ = ("_sanic",)

    def __init__(self, request: Any) -> None:
        super().__init__(
            request.method,
            request.path,
            {name.lower(): ",".join(request.headers.getall(name)) for name in request.headers},
            query_string=request.query_string,
            scheme=request.scheme,
            client=request.ip or None,
            context=RequestContext(),
        )
        self._sanic = request

    async def _aread(self) -> bytes:
        check_size(self, len(self._sanic.body))
        return self._sanic.body  # type: ignore[no-any-return]


async def handle(
    request: "sanic.Request[Any, Any]", handler: Handler[Request, Response]
) -> sanic.HTTPResponse:
    """Call *handler* from a request handler, and return a response of Sanic."""
    response, body = await respond_async(_SanicRequest(request), handler)
    headers, content_type = dict(response.headers), response.header("content-type")
    if isinstance(body, bytes):
        return sanic.HTTPResponse(body, response.status, headers, content_type)

    async def send(stream: Any) -> None:
        async for part in body:
            await stream.write(part)

    return sanic.response.ResponseStream(send, response.status, headers, content_type)  # type: ignore[return-value]
