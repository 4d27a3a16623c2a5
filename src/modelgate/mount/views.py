"""Call a handler with the requests that views of web frameworks receive."""

from collections.abc import Awaitable, Callable
from wsgiref.types import WSGIEnvironment

from ..errors import AnswerableError, BodyTooLarge, MalformedBody
from ..flow import Handler, adrive, drive
from ..http import Request, Response
from ..http.spooled_body import SpooledBody
from .asgi import ASGIRequest, Receive, Scope, select_handler
from .streaming_body import StreamingBody
from .wsgi import WSGIRequest

__all__ = ["ASGIViewRequest", "WSGIViewRequest", "check_size", "respond", "respond_async"]


class WSGIViewRequest(WSGIRequest):
    """Request of a view under WSGI. The framework reads and caches its body.

    Args:
        environ: WSGI environ.
        read: Function that returns the body. It is called only if the length is known, because frameworks
            treat a body of unknown length as empty.
    """

    __slots__ = ("_read_body",)

    def __init__(self, environ: WSGIEnvironment, read: Callable[[], bytes]) -> None:
        super().__init__(environ)
        self._read_body = read

    def _read(self) -> bytes | SpooledBody:
        length = self.content_length
        if length is None:
            return super()._read()
        check_size(self, length)
        try:
            body = self._read_body()
        except AnswerableError:
            raise
        except Exception as error:
            raise MalformedBody("The body could not be read: send it again") from error
        if len(body) < length:
            raise MalformedBody("The body is shorter than its Content-Length: send all of it")
        return body

    async def _aread(self) -> bytes | SpooledBody:
        return self._read()


class ASGIViewRequest(ASGIRequest):
    """Request of a view under ASGI. The framework reads and caches its body.

    Args:
        scope: ASGI scope.
        read: Coroutine function that returns the body.
    """

    __slots__ = ("_read_body",)

    def __init__(self, scope: Scope, read: Callable[[], Awaitable[bytes]]) -> None:
        super().__init__(scope, _receive_nothing)
        self._read_body = read

    async def _aread(self) -> bytes:
        check_size(self, self.content_length or 0)
        try:
            body = await self._read_body()
        except AnswerableError:
            raise
        except Exception as error:
            raise MalformedBody("The body could not be read: send it again") from error
        check_size(self, len(body))
        return body


_receive_nothing: Receive = None  # type: ignore[assignment]  # `_aread` is overridden


def check_size(request: Request, size: int) -> None:
    """Raise `BodyTooLarge` if a body of *size* bytes is too large for *request*."""
    if request.max_body is not None and size > request.max_body:
        raise BodyTooLarge(request.max_body)


def respond(request: Request, handler: Handler[Request, Response]) -> tuple[Response, bytes | StreamingBody]:
    """Call *handler* from a view, and return the response and its body.

    *request* is closed before this function returns or, if the body streams, when the body ends.
    """
    try:
        response = drive(handler(request))
        return response, _end(request, response)
    except BaseException:
        request.close()
        raise


async def respond_async(
    request: Request, handler: Handler[Request, Response]
) -> tuple[Response, bytes | StreamingBody]:
    """Call *handler* from an async view; see `respond`."""
    try:
        response = await adrive(select_handler(handler)(request))
        return response, _end(request, response)
    except BaseException:
        request.close()
        raise


def _end(request: Request, response: Response) -> bytes | StreamingBody:
    """Return the body of *response*. Close *request* now or, if the body streams, when the body ends."""
    if not isinstance(response.body, bytes):
        return StreamingBody(response.body, request.close)
    request.close()
    return response.body
