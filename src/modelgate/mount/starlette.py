"""Starlette and FastAPI: a handler beside the app's own routes, or behind one of them."""

import starlette.applications
import starlette.requests
import starlette.responses

from ..errors import MalformedBody
from ..flow import Handler, adrive
from ..http import BodyMeter, Request, Response
from . import asgi

__all__ = ["handle", "mount"]


def mount(app: starlette.applications.Starlette, prefix: str, handler: Handler[Request, Response]) -> None:
    """Answer everything below *prefix* with *handler*, a gate for one: ``app.mount`` does the same."""
    app.mount(prefix, asgi.app(handler))


class _StarletteRequest(asgi.ASGIRequest):
    """A Starlette request: the endpoint may have read its body already, and Starlette has kept it."""

    __slots__ = ("_starlette",)

    def __init__(self, request: starlette.requests.Request) -> None:
        super().__init__(request.scope, request.receive)
        self._starlette = request

    async def _aread(self) -> bytes:
        meter = BodyMeter(self.max_body)
        try:
            return b"".join([meter.count(chunk) async for chunk in self._starlette.stream()])
        except (RuntimeError, starlette.requests.ClientDisconnect) as error:
            raise MalformedBody("The body could not be read") from error


async def handle(
    request: starlette.requests.Request, handler: Handler[Request, Response]
) -> starlette.responses.Response:
    """The answer of *handler* to the request of an endpoint, for the endpoint to return."""
    seen = _StarletteRequest(request)
    try:
        response = await adrive(handler(seen))
        body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        answer = starlette.responses.Response(body, response.status)
        answer.raw_headers += [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in response.headers
            if name != "content-length"
        ]
        return answer
    finally:
        seen.close()
